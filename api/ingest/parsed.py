"""What every door makes of a request: series, times and values of what can be read, and what was refused and why."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, overload

import numpy as np

from schemas.definitions import Definitions
from schemas.errors import DataError
from schemas.series import COUNTER_SUFFIXES, Kind, Series, ids_of, make_series

NAME_CHARACTERS_MAX = 1024
LABELS_MAX = 64
MS_MIN = -2_208_988_800_000  # the year 1900: the windows and local days of earlier ones cannot all be named


MakeSeries = Callable[[str, str, dict[str, str], Kind], Series]


class SeriesOf(Sequence[Series]):
    """The series of ids, made when they are asked for: each is known or one of the others."""

    def __init__(self, ids: np.ndarray, known: Definitions, others: Mapping[int, Series]) -> None:
        self._ids, self._known, self._others = ids, known, others

    def __len__(self) -> int:
        return len(self._ids)

    def __iter__(self) -> Iterator[Series]:
        pairs = zip(self._ids.tolist(), self._known.named(self._ids), strict=True)
        return iter([one or self._others[series_id] for series_id, one in pairs])

    @overload
    def __getitem__(self, row: int) -> Series: ...

    @overload
    def __getitem__(self, row: slice) -> SeriesOf: ...

    def __getitem__(self, row: int | slice) -> Series | SeriesOf:
        some = SeriesOf(np.atleast_1d(self._ids[row]), self._known, self._others)
        return some if isinstance(row, slice) else next(iter(some))


class Parsed(NamedTuple):
    series: Sequence[Series]
    times: list[int] | np.ndarray  # epoch ms
    values: list[float] | np.ndarray  # finite
    rejected: list[dict[str, Any]]
    all_timed: bool  # every sample carried its own time, so the same request again is a repeat
    ids: np.ndarray | None = None  # uint64, of the series, where the door knows them already

    def content(self) -> bytes:
        """Return what the samples say: as bytes that are the same for the same samples in the same order."""
        return b"".join(
            (
                self.series_ids().astype("<u8", copy=False).tobytes(),
                np.asarray(self.times, "<i8").tobytes(),
                np.asarray(self.values, "<f8").tobytes(),
            )
        )

    def series_ids(self) -> np.ndarray:
        """Return the ids of the series, uint64[n]."""
        if self.ids is not None:
            return self.ids
        return ids_of(self.series)


class Door:
    """Collects the samples of one request.

    entity_labels : the labels that name the entity, the first that is there; without one it is ``fallback``.
    """

    def __init__(self, *, entity_labels: Sequence[str], now_ms: int, future_ms: int, fallback: str = "unknown") -> None:
        self._entity_labels, self._fallback = tuple(entity_labels), fallback
        self.now_ms, self._latest_ms = now_ms, now_ms + future_ms
        self._blocks: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []  # ids, times and values
        self._known: Definitions | None = None  # of the series in the blocks
        self._others: dict[int, Series] = {}  # in the blocks too, that came one by one
        self._series: list[Series] = []  # of samples that came one by one behind the blocks
        self._times: list[int] = []
        self._values: list[float] = []
        self._seen = 0
        self._rejected: list[dict[str, Any]] = []
        self.all_timed = True

    @property
    def parsed(self) -> Parsed:
        """Return what was taken and refused so far, in its order."""
        if self._known is None:
            return Parsed(self._series, self._times, self._values, self._rejected, self.all_timed)
        self._close_block()
        blocks = zip(*self._blocks, strict=True)
        ids, times, values = (np.concatenate(column) if len(column) > 1 else column[0] for column in blocks)
        return Parsed(SeriesOf(ids, self._known, self._others), times, values, self._rejected, self.all_timed, ids)

    def _close_block(self) -> None:
        if self._series:
            times, values = np.array(self._times, np.int64), np.array(self._values, np.float64)
            self._blocks.append((ids_of(self._series), times, values))
            self._others |= {one.series_id: one for one in self._series}
            self._series, self._times, self._values = [], [], []

    def series(
        self, metric: str, labels: dict[str, str], kind: Kind | None = None, *, make: MakeSeries = make_series
    ) -> Series:
        """Return the series of a metric with its labels, by ``make``; raises DataError."""
        longest = NAME_CHARACTERS_MAX
        if not 0 < len(metric) <= longest:
            raise DataError(f"cannot use metric={metric[:40]!r}: want 1 to {longest} characters", "bad_name")
        if len(labels) > LABELS_MAX or max(map(len, (*labels, *labels.values())), default=0) > longest:
            raise DataError(
                f"cannot use the labels of {metric[:40]!r}: want at most {LABELS_MAX} of {longest} characters",
                "bad_labels",
            )
        entity = self._fallback
        for name in self._entity_labels:
            if labels.get(name):
                entity = labels[name]
                labels = {k: v for k, v in labels.items() if k != name}
                break
        if kind is None:
            kind = "counter" if metric.endswith(COUNTER_SUFFIXES) else "gauge"
        return make(entity, metric, labels, kind)

    def add(self, series: Series, at_ms: int, value: float) -> None:
        """Take a sample; a value that is not finite, or a time too far ahead, is refused and counted."""
        if not math.isfinite(value):
            self.refuse(f"cannot use value={value}: want a finite number")
        elif not MS_MIN <= at_ms <= self._latest_ms:
            self.refuse(
                f"cannot use timestamp={at_ms}: before the year 1900 or too far ahead of our clock (limits.future)"
            )
        else:
            self._series.append(series)
            self._times.append(at_ms)
            self._values.append(value)
            self._seen += 1

    def add_columns(self, known: Definitions, ids: np.ndarray, times_ms: np.ndarray, values: np.ndarray) -> None:
        """Take many samples, uint64 ids of known series, int64 epoch ms and float64; as ``add``.

        known : the same each time.
        """
        good = np.isfinite(values)
        good &= (times_ms >= MS_MIN) & (times_ms <= self._latest_ms)
        if good.all():
            self._close_block()
            self._blocks.append((ids, times_ms, values))
            self._known = known
            self._seen += len(ids)
            return
        for row, series_id in enumerate(ids.tolist()):
            self.add(known[series_id], int(times_ms[row]), float(values[row]))

    def refuse(self, error: str) -> None:
        """Count a sample that cannot be taken."""
        self._rejected.append({"index": self._seen, "error": error})
        self._seen += 1
