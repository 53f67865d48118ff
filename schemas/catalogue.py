"""What series are called, by id: numbers in columns, and each name once. A million take some 40 bytes each."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from threading import RLock
from typing import Generic, TypeVar

import msgspec
import numpy as np

from schemas.columns import grown
from schemas.id_table import IdTable
from schemas.names import KINDS, Names, by_appearance, joined, names_of
from schemas.series import Kind, Series, metric_key

T = TypeVar("T", str, bytes)

_NAME_BYTES = 150  # of a name or a set of labels, besides its characters
_ROW_BYTES = 45
_AT_ONCE = 2000  # series; between those others have their turn
_encoder, _decoder = msgspec.msgpack.Encoder(), msgspec.msgpack.Decoder(dict[str, str])


Named = Callable[[np.ndarray], list[Series | None]]  # of uint64[n] ids, None for one that is not known


class Catalogue(Mapping[int, Series]):
    """Definitions of series by id; one that is known is not changed. For any threads.

    A series is made anew whenever it is asked for, so ask for many at once (``named``).
    """

    def __init__(self) -> None:
        self._lock = RLock()
        self._table = IdTable()
        self._names = _Numbered[str]()  # of entities and metrics
        self._labels = _Numbered[bytes]()  # each set that occurs, encoded
        self._entity, self._metric, self._labelled = (np.zeros(1024, np.int32) for _ in range(3))  # by row
        self._kind = np.zeros(1024, np.uint8)

    @property
    def nbytes(self) -> int:
        """About how much memory it takes."""
        return self._names.nbytes + self._labels.nbytes + _ROW_BYTES * len(self)

    def add(self, series: Iterable[Series]) -> None:
        """Take in series, some of them known perhaps."""
        given = iter(series)
        while some := list(islice(given, _AT_ONCE)):
            self._add(some)

    def _add(self, series: list[Series]) -> None:
        with self._lock:
            unique = dict[int, Series]()
            for one in series:
                if self._table.find_one(one.series_id) < 0:
                    unique.setdefault(one.series_id, one)
            if not unique:
                return
            new, begin = list(unique.values()), len(self._table)
            end = begin + len(new)
            for name in ("_entity", "_metric", "_labelled", "_kind"):
                setattr(self, name, grown(getattr(self, name), end, 0))
            self._entity[begin:end] = [self._names.number(one.entity) for one in new]
            self._metric[begin:end] = [self._names.number(one.metric) for one in new]
            encoded = (_encoder.encode(dict(sorted(one.labels.items()))) for one in new)
            self._labelled[begin:end] = [self._labels.number(labels) for labels in encoded]
            self._kind[begin:end] = [KINDS.index(one.kind) for one in new]
            self._table.put(np.fromiter(unique, np.uint64, len(new)), np.arange(begin, end))

    # -- a mapping

    def __getitem__(self, series_id: int) -> Series:
        with self._lock:
            if (row := self._table.find_one(series_id)) < 0:
                raise KeyError(series_id)
            entity, metric = self._names.every[self._entity[row]], self._names.every[self._metric[row]]
            labels = _decoder.decode(self._labels.every[self._labelled[row]])
            return Series(series_id, entity, metric, labels, KINDS[self._kind[row]])

    def __contains__(self, series_id: object) -> bool:
        with self._lock:
            return isinstance(series_id, int | np.integer) and self._table.find_one(int(series_id)) >= 0

    def __len__(self) -> int:
        return len(self._table)

    def __iter__(self) -> Iterator[int]:
        return iter(self.ids.tolist())

    def every(self) -> Iterator[Series]:
        """Yield each series, made many at a time."""
        ids = self.ids
        for at in range(0, len(ids), _AT_ONCE):
            yield from (one for one in self.named(ids[at : at + _AT_ONCE]) if one is not None)

    # -- many at a time

    @property
    def ids(self) -> np.ndarray:
        """Return uint64[n], every id, in the order they came."""
        with self._lock:
            return self._table.ids[: len(self._table)]

    def has(self, ids: np.ndarray) -> np.ndarray:
        """Return bool[n], whether each of uint64[n] ids is known."""
        with self._lock:
            return self._table.find(ids) >= 0

    def are(self, kind: Kind, ids: np.ndarray) -> np.ndarray:
        """Return bool[n], whether each of uint64[n] ids is known and of a kind."""
        with self._lock:
            rows = self._table.find(ids)
            return (rows >= 0) & (self._kind[rows] == KINDS.index(kind))

    def named(self, ids: np.ndarray) -> list[Series | None]:
        """Return the series of each of uint64[n] ids, None where it is not known."""
        with self._lock:
            rows = self._table.find(ids)
            known = np.flatnonzero(rows >= 0)
            made = self._made(ids[known].tolist(), rows[known])
        if len(made) == len(ids):
            return list[Series | None](made)
        out: list[Series | None] = [None] * len(ids)
        for at, one in zip(known.tolist(), made, strict=True):
            out[at] = one
        return out

    def columns(self, ids: np.ndarray) -> tuple[np.ndarray, Names]:
        """Return intp[k], which of uint64[n] ids are known, and their names."""
        with self._lock:
            rows = self._table.find(ids)
            known = np.flatnonzero(rows >= 0)
            rows = rows[known]
            entities, entity_of = by_appearance(self._entity[rows])
            labelled = np.int64(len(self._labels))
            pairs, pair_of = by_appearance(self._metric[rows] * labelled + self._labelled[rows])
            keys = dict[str, int]()  # two pairs may read the same
            names, labels = self._names.every, self._labels.every
            of_pair = [
                keys.setdefault(metric_key(names[metric], _decoder.decode(labels[number])), len(keys))
                for metric, number in zip(*(part.tolist() for part in divmod(pairs, labelled)), strict=True)
            ]
            key_of = np.array(of_pair, np.int32)[pair_of]
            every = [names[number] for number in entities.tolist()]
            return known, Names(ids[known], every, entity_of, list(keys), key_of, self._kind[rows])

    def _made(self, ids: list[int], rows: np.ndarray) -> list[Series]:
        labelled = self._labelled[rows].tolist()
        labels = {number: _decoder.decode(self._labels.every[number]) for number in set(labelled)}
        names, columns = self._names.every, (self._entity[rows].tolist(), self._metric[rows].tolist())
        kinds = self._kind[rows].tolist()
        return [
            Series(series_id, names[entity], names[metric], labels[number], KINDS[kind])
            for series_id, entity, metric, number, kind in zip(ids, *columns, labelled, kinds, strict=True)
        ]

    def entities(self) -> dict[str, int]:
        """Return how many series each entity has."""
        with self._lock:
            counts = np.bincount(self._entity[: len(self._table)])
            return {self._names.every[number]: int(counts[number]) for number in np.flatnonzero(counts).tolist()}

    def of_entities(self, entities: Sequence[str]) -> list[Series]:
        """Return the series of some entities, in the order they came."""
        with self._lock:
            numbers = [number for entity in entities if (number := self._names.get(entity)) is not None]
            wanted = np.zeros(len(self._names), bool)
            wanted[numbers] = True
            rows = np.flatnonzero(wanted[self._entity[: len(self._table)]])
            return self._made(self._table.ids[rows].tolist(), rows)


def named_by(catalogues: Iterable[Catalogue], ids: np.ndarray) -> list[Series | None]:
    """Return the series of each of uint64[n] ids as the first catalogue that knows it says, asked in their order."""
    out: list[Series | None] = [None] * len(ids)
    for catalogue in catalogues:
        if catalogue:
            out = [a or b for a, b in zip(out, catalogue.named(ids), strict=True)]
            if all(out):
                break
    return out


def columns_by(catalogues: Iterable[Catalogue], ids: np.ndarray) -> Names:
    """Return the names of uint64[n] ids as the first catalogue that knows each says, asked in their order.

    One that none knows has no entity, and as its key its number.
    """
    left, parts = np.arange(len(ids)), list[tuple[np.ndarray, Names]]()
    for catalogue in catalogues:
        known, names = catalogue.columns(ids[left])
        if len(known) == len(ids):
            return names
        if len(known):
            parts.append((left[known], names))
            left = np.delete(left, known)
    parts.append((left, names_of([Series(i, "", f"series-{i}", {}) for i in ids[left].tolist()])))
    return joined(parts, len(ids))


class _Numbered(Generic[T]):
    """Each value once, by number."""

    def __init__(self) -> None:
        self.every: list[T] = []
        self._numbers: dict[T, int] = {}
        self.nbytes = 0  # about

    def __len__(self) -> int:
        return len(self.every)

    def get(self, value: T) -> int | None:
        """Return the number of a value, None where it is not there."""
        return self._numbers.get(value)

    def number(self, value: T) -> int:
        """Return the number of a value, known or not."""
        number = self._numbers.setdefault(value, len(self.every))
        if number == len(self.every):
            self.every.append(value)
            self.nbytes += len(value) + _NAME_BYTES
        return number
