"""What of the embedded log may go: whole segments that nobody needs any more and that are old, or too many."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

Place = tuple[str, int]  # topic, partition


class Filled(NamedTuple):
    """A segment that is not written to any more: records ``base`` to ``end`` (exclusive), ``size`` bytes."""

    place: Place
    base: int
    end: int
    size: int
    newest_ms: int  # when its last record was written


def unneeded(
    segments: Iterable[Filled], needed: Mapping[Place, int], *, before_ms: int, bytes_over: int
) -> dict[Place, int]:
    """Return the offset that each place may begin at from now on.

    needed : the lowest offset that somebody would read again after a crash; places that are not in it keep everything.
    before_ms : segments whose newest record is older go; of the others the oldest, until ``bytes_over`` bytes are gone.
    A place loses its segments in order: what is behind one that stays, stays.
    """
    out: dict[Place, int] = {}
    stays: set[Place] = set()
    for segment in sorted(segments, key=lambda one: (one.newest_ms, one.base)):
        passed = segment.end <= needed.get(segment.place, 0)
        if segment.place in stays or not passed or (segment.newest_ms >= before_ms and bytes_over <= 0):
            stays.add(segment.place)
            continue
        out[segment.place] = segment.end
        bytes_over -= segment.size
    return out
