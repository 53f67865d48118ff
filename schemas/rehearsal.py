"""A past interval that is to go through a stored model."""

from __future__ import annotations

from typing import NamedTuple


class Wanted(NamedTuple):
    """``model`` : an id, or "": the champions of ``rollup`` answer, in ``period`` or, "", in those of the calendar.

    ``warm_up_ms`` : so much before the interval says what is usual, where the model's own windows do not.
    ``as_of_ms`` : models as they were then, by the last version kept until that moment; None: as they are now.
    """

    model: str
    rollup: str
    period: str
    from_ms: int
    to_ms: int
    warm_up_ms: int
    as_of_ms: int | None = None
