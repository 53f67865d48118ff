"""A rollup cut into messages, and these encoded."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from schemas.names import Names, encode_names
from schemas.rollup import Rollup, encode_rollup

MESSAGE_ROWS = 20_000
ROWS_MAX = 1 << 15  # of a message: as many as a block of windows that close, each of which may become a verdict
ROW_BYTES = 128  # without what its series is called
MESSAGE_BYTES_MAX = 16 << 20  # well below what a record of the log may have


def _whole_windows(rollup: Rollup) -> list[slice]:
    """Return the rows of each message, of a rollup that rises by start: whole windows, some MESSAGE_ROWS at a time.

    A window's rows stay together, because the entities of one window are scored together.
    """
    if len(rollup) <= MESSAGE_ROWS:
        return [slice(0, len(rollup))]
    edges = np.flatnonzero(np.diff(rollup.start_ms)) + 1
    cuts, out = [*edges.tolist(), len(rollup)], []
    begin = 0
    for at, cut in enumerate(cuts):
        if at == len(cuts) - 1 or cuts[at + 1] - begin > MESSAGE_ROWS:
            out.append(slice(begin, cut))
            begin = cut
    return out


def messages_of(rollup: Rollup, named: Callable[[np.ndarray], Names]) -> list[bytes]:
    """Return the messages of a rollup, n > 0 rows: of what closes, a block of a window, one if that fits.

    named : returns what series are called, of uint64[n] ids.
    """
    out = []
    for part in _whole_windows(rollup):
        out += _fitting(rollup, np.arange(part.start, part.stop), named)
    return out


def _fitting(rollup: Rollup, at: np.ndarray, named: Callable[[np.ndarray], Names]) -> list[bytes]:
    """Return the messages of some rows: one, or of half of the entities each, where that is too large for a record.

    Entities are cut by name, so that of other windows the same ones are together.
    """
    ids = rollup.ids[at]
    one_window = rollup.start_ms[at[0]] == rollup.start_ms[at[-1]]
    unique, rows = (ids, np.arange(len(ids))) if one_window else np.unique(ids, return_inverse=True)
    names = named(unique)
    if len(at) <= ROWS_MAX:
        encoded = encode_names(names)
        if len(bytes(encoded)) + ROW_BYTES * len(at) <= MESSAGE_BYTES_MAX or len(at) == 1:
            whole = len(at) == len(rollup)
            return [encode_rollup(rollup, slice(None) if whole else at, rows, encoded)]
    if len(names.entities) > 1:
        by_name = np.argsort(np.array(names.entities))
        in_first = np.zeros(len(by_name), bool)
        in_first[by_name[: len(by_name) // 2]] = True
        first = in_first[names.entity_of[rows]]
    else:  # more than fits of one entity
        first = np.arange(len(at)) < len(at) // 2
    return _fitting(rollup, at[first], named) + _fitting(rollup, at[~first], named)
