"""A cursor: where a subscriber is on the log, as text that it hands back to go on from there."""

from __future__ import annotations

import re

from schemas.errors import DataError

# (offset, row): of the record at ``offset`` everything before ``row`` was seen; (offset, 0): nothing of it.
Position = tuple[int, int]
Positions = dict[tuple[str, int], Position]  # (topic, partition) → position

CHARACTERS_MAX = 32_768
_PART = re.compile(r"([a-z.]{1,40})\.(\d{1,6})=(\d{1,18})(?:\+(\d{1,9}))?")


def encode_cursor(positions: Positions) -> str:
    """
    >>> encode_cursor({("samples", 0): (12, 0), ("rollups", 0): (3, 40)})
    'samples.0=12,rollups.0=3+40'
    """
    return ",".join(
        f"{topic}.{partition}={offset}+{row}" if row else f"{topic}.{partition}={offset}"
        for (topic, partition), (offset, row) in positions.items()
    )


def decode_cursor(text: object, known: Positions) -> Positions:
    """Return the positions, those that the text does not name from ``known``; raises DataError."""
    if not isinstance(text, str) or len(text) > CHARACTERS_MAX:
        raise DataError("cannot use after: want the cursor of a message received before", "bad_cursor")
    positions = dict(known)
    for part in text.split(","):
        found = _PART.fullmatch(part)
        key = (found[1], int(found[2])) if found else None
        if found is None or key not in known:
            raise DataError(f"cannot use after={text[:60]!r}: want the cursor of a message received before")
        positions[key] = (int(found[3]), int(found[4] or 0))
    return positions
