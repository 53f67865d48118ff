"""What a stream worker needs to know."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from stream.alerts.settings import AlertSettings
from stream.models.engine import EngineSettings
from stream.models.periods import Periods
from stream.window.calendar import LongWindow


@dataclass(frozen=True)
class StreamSettings:
    rollups: tuple[str, ...]
    lateness_ms: int
    partitions: int
    flush_interval_s: float = 1.0
    idle_ms: int = 1500  # a partition without records for so long is advanced by its owner
    model_rollups: tuple[str, ...] = ()  # a model each
    engine: EngineSettings = field(default_factory=EngineSettings)
    periods: Periods = field(default_factory=Periods)
    keep_samples: bool = True  # raw samples are stored beside the rollups
    long_windows: tuple[LongWindow, ...] = ()  # merged in the store
    long_interval_s: float = 5.0
    retention_s: Mapping[str, int | None] = field(default_factory=dict)
    alerts: AlertSettings = field(default_factory=AlertSettings)
    snapshot_interval_ms: int = 60_000
    cards_interval_ms: int = 5_000
    watch_interval_s: float = 5.0
    log_retention_ms: int = 7 * 86_400_000  # of the embedded log; a broker has its own
    log_bytes_max: int = 10 << 30
    forget_interval_s: float = 60.0
    patience_ms: int = 30_000  # so long a partition may get nothing though there is something to read
