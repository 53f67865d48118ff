"""What open windows hold of a series is bounded."""

from dataclasses import fields

import numpy as np

from schemas.batch import make_batch
from schemas.window_spec import parse_rollup
from stream.rollup.packed import Packed
from stream.window.partition import PartitionWindows

BEGIN = 1_700_000_000_000 // 3_600_000 * 3_600_000


def bytes_held(windows):
    pieces = [piece for slices in windows._slices._slices for one in slices.values() for piece in one._pieces.values()]
    columns = [vars_of(piece) for piece in pieces]
    raw = [c for slices in windows._slices._slices for one in slices.values() for part in one._raw for c in part]
    waiting = sum(column.nbytes for column in raw if column is not None)
    return waiting + sum(map(len_of, (value for column in columns for value in column)))


def vars_of(piece):
    return [piece.octets] if isinstance(piece, Packed) else [getattr(piece, f.name) for f in fields(piece)]


def len_of(value):
    return value.nbytes if isinstance(value, np.ndarray) else len(value) if isinstance(value, bytes) else 0


def test_open_windows_take_less_than_320_bytes_a_series_whatever_the_values():
    names, series, rng = ("10s", "1m", "5m", "5m/1m"), 2000, np.random.default_rng(3)
    windows = PartitionWindows([parse_rollup(n) for n in names], 5000, is_counter=lambda ids: ids < 0)
    ids, most = rng.integers(0, 2**63, series, dtype=np.uint64), 0
    for number in range(25 * 6):
        times = BEGIN + 10_000 * number + rng.integers(0, 200, series)
        windows.apply(number, make_batch([], ids, times, rng.standard_normal(series) + 10))
        list(windows.drain())
        most = max(most, bytes_held(windows))
    assert most < 320 * series, most / series
