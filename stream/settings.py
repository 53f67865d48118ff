"""What a stream worker needs to know."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class StreamSettings:
    rollups: tuple[str, ...]
    lateness_ms: int
    partitions: int
    flush_interval_s: float = 1.0
    idle_ms: int = 1500  # a partition without records for so long is advanced by its owner
