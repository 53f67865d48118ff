"""A cursor: where a subscriber is on the log, as text that it hands back to go on from there."""

from __future__ import annotations

import re

from schemas.errors import DataError

Positions = dict[tuple[str, int], int]  # (topic, partition) → next offset to read

CHARACTERS_MAX = 4096


def encode_cursor(positions: Positions) -> str:
    """
    >>> encode_cursor({("samples", 0): 12, ("rollups", 0): 3})
    'samples.0=12,rollups.0=3'
    """
    return ",".join(f"{topic}.{partition}={offset}" for (topic, partition), offset in positions.items())


def decode_cursor(text: object, known: Positions) -> Positions:
    """Return the positions, those that the text does not name from ``known``; raises DataError."""
    if not isinstance(text, str) or len(text) > CHARACTERS_MAX:
        raise DataError("cannot use after: want the cursor of a message received before", "bad_cursor")
    positions = dict(known)
    for part in text.split(","):
        found = re.fullmatch(r"([a-z.]{1,40})\.(\d{1,6})=(\d{1,18})", part)
        key = (found[1], int(found[2])) if found else None
        if found is None or key not in known:
            raise DataError(f"cannot use after={text[:60]!r}: want the cursor of a message received before")
        positions[key] = int(found[3])
    return positions
