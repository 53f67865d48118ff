"""What every door makes of a request: series, times and values of what can be read, and what was refused and why."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from schemas.errors import DataError
from schemas.series import COUNTER_SUFFIXES, Kind, Series, make_series

NAME_CHARACTERS_MAX = 1024
LABELS_MAX = 64
MS_MIN = -62_135_596_800_000  # the year 1


class Parsed(NamedTuple):
    series: list[Series]
    times: list[int] | np.ndarray  # epoch ms
    values: list[float] | np.ndarray  # finite
    rejected: list[dict[str, Any]]
    all_timed: bool  # every sample carried its own time, so the same body again is a repeat


class Door:
    """Collects the samples of one request.

    entity_labels : the labels that name the entity, the first that is there; without one it is ``fallback``.
    """

    def __init__(self, *, entity_labels: Sequence[str], now_ms: int, future_ms: int, fallback: str = "unknown") -> None:
        self._entity_labels, self._fallback = tuple(entity_labels), fallback
        self.now_ms, self._latest_ms = now_ms, now_ms + future_ms
        self.parsed = Parsed([], [], [], [], True)

    def series(self, metric: str, labels: dict[str, str], kind: Kind | None = None) -> Series:
        """Return the series of a metric with its labels; raises DataError."""
        longest = NAME_CHARACTERS_MAX
        if not 0 < len(metric) <= longest:
            raise DataError(f"cannot use metric={metric[:40]!r}: want 1 to {longest} characters", "bad_name")
        if len(labels) > LABELS_MAX or any(max(len(k), len(v)) > longest for k, v in labels.items()):
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
        return make_series(entity, metric, labels, kind)

    def add(self, series: Series, at_ms: int, value: float) -> None:
        """Take a sample; a value that is not finite, or a time too far ahead, is refused and counted."""
        index = len(self.parsed.series) + len(self.parsed.rejected)
        if not math.isfinite(value):
            self.parsed.rejected.append({"index": index, "error": f"cannot use value={value}: want a finite number"})
        elif not MS_MIN <= at_ms <= self._latest_ms:
            error = f"cannot use timestamp={at_ms}: before the year 1 or too far ahead of our clock (limits.future)"
            self.parsed.rejected.append({"index": index, "error": error})
        else:
            times, values = self._lists()
            self.parsed.series.append(series)
            times.append(at_ms)
            values.append(value)

    def add_columns(self, series: list[Series], times_ms: np.ndarray, values: np.ndarray) -> None:
        """Take many samples, int64 epoch ms and float64, behind those that were added; as ``add``."""
        good = np.isfinite(values) & (times_ms >= MS_MIN) & (times_ms <= self._latest_ms)
        if self.parsed.series:
            good[:] = False
        elif good.all():
            self.parsed = self.parsed._replace(series=series, times=times_ms, values=values)
            return
        else:
            kept = np.flatnonzero(good).tolist()
            self.parsed = self.parsed._replace(
                series=[series[row] for row in kept], times=times_ms[good], values=values[good]
            )
        for row in np.flatnonzero(~good).tolist():
            self.add(series[row], int(times_ms[row]), float(values[row]))

    def _lists(self) -> tuple[list[int], list[float]]:
        times, values = self.parsed.times, self.parsed.values
        if isinstance(times, np.ndarray) or isinstance(values, np.ndarray):
            times, values = list(times), list(values)
            self.parsed = self.parsed._replace(times=times, values=values)
        return times, values

    def refuse(self, error: str) -> None:
        index = len(self.parsed.series) + len(self.parsed.rejected)
        self.parsed.rejected.append({"index": index, "error": error})
