"""An alert: raised from consecutive flagged verdicts, resolved by as many clear ones."""

from __future__ import annotations

import msgspec


class Alert(msgspec.Struct, kw_only=True):
    """``state``: pending → firing → resolved; ``silenced_by``: ids of silences that held it back."""

    fingerprint: str
    entity: str
    rollup: str
    state: str
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    started_ms: int = 0
    updated_ms: int = 0
    ended_ms: int | None = None
    anomaly_score: float = 0.0
    p_incident: float = 0.0
    verdict_id: str = ""
    silenced_by: list[str] = []
    inhibited_by: str = ""
    sequence: int = 0


class Matcher(msgspec.Struct, kw_only=True):
    """As Alertmanager's: ``is_regex`` anchors at both ends; ``is_equal`` False negates."""

    name: str
    value: str
    is_regex: bool = False
    is_equal: bool = True


class Silence(msgspec.Struct, kw_only=True):
    id: str
    matchers: list[Matcher]
    starts_ms: int
    ends_ms: int
    created_by: str = ""
    comment: str = ""
