"""Pieces that wait for minutes until a window is put together, compressed: measured values to about a half, times that
come regularly to nearly nothing.
"""

from __future__ import annotations

from dataclasses import fields
from typing import Any, NamedTuple

import cramjam
import numpy as np

from stream.rollup.samples import Piece

_LEVEL = 1  # of zstd: a higher one takes longer than it saves room
# What mostly rises is kept as what each number is more than the one before, modulo its type's range.
_STEPS = ("rows", "times_ms", "entries")


class Packed(NamedTuple):
    type: type[Piece]
    base_ms: int
    layout: tuple[tuple[str, str, int], ...]  # name, type and length of each column, one after another
    octets: bytes

    def piece(self) -> Piece:
        data, at = bytes(cramjam.zstd.decompress(self.octets)), 0
        columns: dict[str, Any] = {f.name: None for f in fields(self.type) if f.name != "base_ms"}
        for name, dtype, length in self.layout:
            column = np.frombuffer(data, dtype, length, at)
            at += column.nbytes
            columns[name] = np.cumsum(column, dtype=column.dtype) if name in _STEPS else column
        return self.type(self.base_ms, **columns)


def packed(piece: Piece) -> Packed:
    columns = {f.name: getattr(piece, f.name) for f in fields(piece) if f.name != "base_ms"}
    there = {name: column for name, column in columns.items() if column is not None}
    layout = tuple((name, column.dtype.str, len(column)) for name, column in there.items())
    data = b"".join((_steps(column) if name in _STEPS else column).tobytes() for name, column in there.items())
    return Packed(type(piece), piece.base_ms, layout, bytes(cramjam.zstd.compress(data, _LEVEL)))


def _steps(column: np.ndarray) -> np.ndarray:
    return np.diff(column, prepend=column.dtype.type(0))
