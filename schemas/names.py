"""What the series of a message are called, in columns: each entity and each metric once.

Twenty thousand series of a window are some hundred names, so writing and reading them costs little more than the
numbers that point to them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, get_args

import msgspec
import numpy as np

from schemas.series import Kind, Series

KINDS: tuple[Kind, ...] = get_args(Kind)


class Names(NamedTuple):
    """Of n series. Entities and keys (``Series.key``) are in order of first appearance, none twice."""

    ids: np.ndarray  # uint64[n]
    entities: list[str]
    entity_of: np.ndarray  # int32[n], index into ``entities``
    keys: list[str]
    key_of: np.ndarray  # int32[n], index into ``keys``
    kinds: np.ndarray  # uint8[n], index into KINDS

    def are(self, kind: Kind) -> np.ndarray:
        """Return bool[n], whether each series is of a kind."""
        return self.kinds == KINDS.index(kind)


def names_of(series: Sequence[Series]) -> Names:
    entities, keys = dict[str, int](), dict[str, int]()
    return Names(
        np.array([one.series_id for one in series], np.uint64),
        entity_of=np.array([entities.setdefault(one.entity, len(entities)) for one in series], np.int32),
        key_of=np.array([keys.setdefault(one.key, len(keys)) for one in series], np.int32),
        kinds=np.array([KINDS.index(one.kind) for one in series], np.uint8),
        entities=list(entities),
        keys=list(keys),
    )


def by_appearance(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return (the distinct values in order of first appearance, int32[n] which of them each is)."""
    distinct, first, which = np.unique(values, return_index=True, return_inverse=True)
    order = np.argsort(first)
    place = np.empty(len(order), np.int32)
    place[order] = np.arange(len(order), dtype=np.int32)
    return distinct[order], place[which]


def joined(parts: Sequence[tuple[np.ndarray, Names]], n: int) -> Names:
    """Return the names of n series of which each part has those at some places: (intp[k], names of k)."""
    ids, kinds = np.zeros(n, np.uint64), np.zeros(n, np.uint8)
    entity_of, key_of = np.zeros(n, np.int32), np.zeros(n, np.int32)
    entities, keys = dict[str, int](), dict[str, int]()
    for at, names in parts:
        ids[at], kinds[at] = names.ids, names.kinds
        for every, known, theirs, which in (
            (entity_of, entities, names.entities, names.entity_of),
            (key_of, keys, names.keys, names.key_of),
        ):
            every[at] = np.array([known.setdefault(text, len(known)) for text in theirs], np.int32)[which]
    return Names(ids, *_ordered(list(entities), entity_of), *_ordered(list(keys), key_of), kinds)


def _ordered(texts: list[str], which: np.ndarray) -> tuple[list[str], np.ndarray]:
    distinct, which = by_appearance(which)
    return [texts[number] for number in distinct.tolist()], which


class _Columns(msgspec.Struct):
    ids: bytes  # uint64 each, little-endian as all of them
    entities: list[str]
    entity_of: bytes  # int32 each
    keys: list[str]
    key_of: bytes  # int32 each
    kinds: bytes  # uint8 each


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(_Columns | list[Series])


def encode_names(names: Names) -> msgspec.Raw:
    ids, entity_of, key_of = names.ids.astype("<u8"), names.entity_of.astype("<i4"), names.key_of.astype("<i4")
    columns = _Columns(
        ids.tobytes(), names.entities, entity_of.tobytes(), names.keys, key_of.tobytes(), names.kinds.tobytes()
    )
    return msgspec.Raw(_encoder.encode(columns))


def decode_names(data: bytes | msgspec.Raw) -> Names:
    """Return names, of a list of series too, as messages had it; raises msgspec.MsgspecError or ValueError."""
    read = _decoder.decode(data)
    if isinstance(read, list):
        return names_of(read)
    names = Names(
        np.frombuffer(read.ids, "<u8"),
        read.entities,
        np.frombuffer(read.entity_of, "<i4"),
        read.keys,
        np.frombuffer(read.key_of, "<i4"),
        np.frombuffer(read.kinds, np.uint8),
    )
    columns = ((names.entity_of, len(names.entities)), (names.key_of, len(names.keys)), (names.kinds, len(KINDS)))
    for which, many in columns:
        if len(which) != len(names.ids) or (len(which) and not 0 <= int(which.min()) <= int(which.max()) < many):
            raise ValueError(f"cannot read names: want {len(names.ids)} numbers below {many}, got {which[:10]}")
    return names
