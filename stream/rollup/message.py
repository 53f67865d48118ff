"""A rollup cut into messages."""

from __future__ import annotations

import numpy as np

from schemas.rollup import Rollup

MESSAGE_ROWS = 20_000


def whole_windows(rollup: Rollup) -> list[slice]:
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
