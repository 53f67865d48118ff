"""An incident: an interval in which an entity was known to be failed; the label that models learn from."""

from __future__ import annotations

from typing import Literal

import msgspec

Severity = Literal["critical", "major", "minor", "warning", "info"]


class Incident(msgspec.Struct, kw_only=True, tag="incident"):
    """``end_ms`` None: still open. ``withdrawn``: was never one; what was learned from it is corrected."""

    id: str
    entity: str
    start_ms: int
    end_ms: int | None = None
    title: str = ""
    severity: str = "major"  # as it was told; webhooks' are made one of Severity
    resolution: str = ""
    external_id: str = ""
    source: str = "api"
    withdrawn: bool = False
    updated_ms: int = 0


class Feedback(msgspec.Struct, kw_only=True, tag="feedback"):
    """What somebody said of a verdict."""

    verdict_id: str
    entity: str
    rollup: str
    start_ms: int
    end_ms: int
    correct: bool
    flag: int = 1  # what the verdict had said
    note: str = ""
    at_ms: int = 0


class Pin(msgspec.Struct, kw_only=True, tag="pin"):
    """Which model answers, whatever the figures say. ``period`` ``*``: all of the group; ``candidate`` empty: the best
    answers again, else ``pooled.`` or ``own.`` and the kind."""

    rollup: str
    group: str
    period: str
    candidate: str
    at_ms: int
