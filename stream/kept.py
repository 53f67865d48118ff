"""Workers of partitions between two assignments: whoever gets its partition again goes on with what it knows.

Every change of a group's members takes all partitions from everybody. One that comes back at once, in the generation
that follows, was nobody else's in between; only then may its state go on. Pure.
"""

from __future__ import annotations

from typing import Generic, TypeVar

W = TypeVar("W")
Place = tuple[str, int]  # topic, partition


class Kept(Generic[W]):
    """At most one worker a partition: ``put`` when it is revoked, ``take`` when it comes back, ``lost`` for others."""

    def __init__(self) -> None:
        self._held: dict[Place, tuple[W, int]] = {}

    def put(self, place: Place, worker: W, generation: int) -> None:
        """generation : the one in which the worker owned its partition."""
        assert place not in self._held, f"BUG: {place} is revoked twice"
        self._held[place] = worker, generation

    def take(self, place: Place, generation: int) -> W | None:
        """Return the worker of a partition that is assigned in ``generation``; None where another may have had it."""
        if place in self._held and self._held[place][1] + 1 == generation:
            return self._held.pop(place)[0]
        return None

    def lost(self, assigned: set[Place], generation: int) -> list[tuple[Place, W]]:
        """Return those that do not go on, and forget them."""
        gone = [p for p, (_, of) in self._held.items() if p not in assigned or of + 1 != generation]
        return [(place, self._held.pop(place)[0]) for place in gone]

    def workers(self) -> list[W]:
        return [worker for worker, _ in self._held.values()]
