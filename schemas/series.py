"""A series: entity + metric + remaining labels, and the 64-bit id that stands for it everywhere inside."""

from __future__ import annotations

from collections.abc import Collection
from functools import lru_cache
from hashlib import blake2b
from typing import Literal

import msgspec
import numpy as np

Kind = Literal["gauge", "counter", "event"]

SHARED_MAX = 10_000
MADE_MAX = 100_000
COUNTER_SUFFIXES = ("_total", "_count", "_sum", "_bucket")


class Series(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What a series id stands for. ``labels`` excludes the label that named the entity.

    Nothing in it leads back to it, so a million of them need not be looked through for garbage.
    """

    series_id: int
    entity: str
    metric: str
    labels: dict[str, str]
    kind: Kind = "gauge"

    @property
    def key(self) -> str:
        """The name a chart column has: ``metric`` or ``metric{label="value",…}``, labels sorted."""
        return metric_key(self.metric, self.labels)


class SharedParts:
    """``of`` a series is an equal one whose names and labels are the same objects as those of the others.

    Series that were read one by one bring their own: an entity has many series, a metric is of many entities. It
    remembers SHARED_MAX names and as many sets of labels; of more than that little would be shared.
    """

    def __init__(self) -> None:
        self._texts: dict[str, str] = {}
        self._labels: dict[tuple[tuple[str, str], ...], dict[str, str]] = {}

    def of(self, series: Series) -> Series:
        for known in (self._texts, self._labels):
            if len(known) >= SHARED_MAX:
                known.clear()
        share = self._texts.setdefault
        items = tuple(sorted(series.labels.items()))
        labels = self._labels.get(items)
        if labels is None:
            labels = self._labels[items] = {share(k, k): share(v, v) for k, v in items}
        entity, metric = share(series.entity, series.entity), share(series.metric, series.metric)
        return Series(series.series_id, entity, metric, labels, series.kind)


_shared = SharedParts()
_made: dict[tuple[str, str, tuple[tuple[str, str], ...], Kind], Series] = {}


def series_id(entity: str, metric: str, labels: dict[str, str]) -> int:
    """Return the id of a series: 63 bits of BLAKE2b over its length-prefixed parts, so no value can forge another.

    With a million series the chance of any collision is under 1e-6. 63 bits, so it fits a signed integer as well.
    """
    parts = [entity, metric]
    for name in sorted(labels):
        parts += (name, labels[name])
    pieces: list[bytes] = []
    for part in parts:
        data = part.encode("utf-8", "surrogatepass")
        pieces += (len(data).to_bytes(4, "little"), data)
    digest = blake2b(b"".join(pieces), digest_size=8)
    return int.from_bytes(digest.digest(), "little") >> 1


def make_series(entity: str, metric: str, labels: dict[str, str] | None = None, kind: Kind = "gauge") -> Series:
    """Return the series with its id.

    >>> make_series("web-1", "cpu", {"core": "0"}).key
    'cpu{core="0"}'
    """
    items = tuple(sorted(labels.items())) if labels else ()
    made = _made.get((entity, metric, items, kind))
    if made is None:
        made = _shared.of(define_series(entity, metric, labels or {}, kind))
        if len(_made) >= MADE_MAX:
            _made.clear()
        _made[made.entity, made.metric, tuple(sorted(made.labels.items())), kind] = made
    return made


def define_series(entity: str, metric: str, labels: dict[str, str], kind: Kind) -> Series:
    """Return the series as ``make_series`` does, for who remembers it: it is made anew."""
    return Series(series_id(entity, metric, labels), entity, metric, labels, kind)


def ids_of(series: Collection[Series]) -> np.ndarray:
    """Return the ids of some series, uint64[n]."""
    return np.fromiter((one.series_id for one in series), np.uint64, len(series))


def metric_key(metric: str, labels: dict[str, str]) -> str:
    """Return ``metric{a="1",b="2"}``; backslash, quote and newline in values are escaped as Prometheus does."""
    if not labels:
        return metric
    inner = ",".join(f'{name}="{_escape(labels[name])}"' for name in sorted(labels))
    return f"{metric}{{{inner}}}"


def _escape(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


@lru_cache(100_000)
def partition_of(entity: str, partitions: int) -> int:
    """Return the partition that owns an entity: all series of one entity live in one partition."""
    digest = blake2b(entity.encode("utf-8", "surrogatepass"), digest_size=4).digest()
    return int.from_bytes(digest, "little") % partitions
