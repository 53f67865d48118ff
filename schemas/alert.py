"""Alerts, what keeps them quiet, and the notifications that tell of them."""

from __future__ import annotations

from typing import Any, Literal

import msgspec
import re2

from schemas.errors import DataError

MATCHERS_MAX = 50
PATTERN_CHARACTERS_MAX = 500
ALERT_NAME = "Foreshock"

State = Literal["pending", "firing", "resolved"]


class Alert(msgspec.Struct, kw_only=True):
    """Raised from consecutive flagged verdicts of one entity and rollup, resolved by as many clear ones.

    ``sequence`` rises with every change that is worth telling; ``told`` is the last one that was put in the outbox.
    ``streak`` : flagged windows while pending, clear ones while firing. ``fired_ms`` : when it fired lately.
    ``silenced_by`` : ids of silences, ``inhibited_by`` : the cause that fires, ``maintenance`` : whether a window of
    it holds the alert back.
    """

    fingerprint: str
    entity: str
    rollup: str
    state: State
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    started_ms: int = 0
    updated_ms: int = 0
    ended_ms: int | None = None
    window_end_ms: int = 0
    anomaly_score: float = 0.0
    p_incident: float = 0.0
    verdict_id: str = ""
    silenced_by: list[str] = []
    inhibited_by: str = ""
    maintenance: bool = False
    flapping: bool = False
    sequence: int = 0
    told: int = 0
    told_firing: bool = False
    streak: int = 0
    fired_ms: list[int] = []

    @property
    def held(self) -> bool:
        return bool(self.silenced_by or self.inhibited_by or self.maintenance)


class Matcher(
    msgspec.Struct, kw_only=True, forbid_unknown_fields=True, rename={"is_regex": "isRegex", "is_equal": "isEqual"}
):
    """As Alertmanager's: ``isRegex`` is anchored at both ends (RE2), ``isEqual`` false negates; a label that is not
    there is empty."""

    name: str
    value: str
    is_regex: bool = False
    is_equal: bool = True

    def matches(self, labels: dict[str, str]) -> bool:
        got = labels.get(self.name, "")
        found = bool(re2.fullmatch(self.value, got)) if self.is_regex else got == self.value
        return found == self.is_equal


class Silence(msgspec.Struct, kw_only=True):
    """Holds back alerts that all matchers match, from ``starts_ms`` until ``ends_ms``."""

    id: str
    matchers: list[Matcher]
    starts_ms: int
    ends_ms: int
    created_by: str = ""
    comment: str = ""
    updated_ms: int = 0

    def holds(self, labels: dict[str, str], now_ms: int) -> bool:
        return self.starts_ms <= now_ms < self.ends_ms and all(m.matches(labels) for m in self.matchers)


class Notification(msgspec.Struct, kw_only=True):
    """What one target is told of one group of alerts. ``id`` is its idempotency key, the same at every attempt.

    ``state`` : waiting; delivered; refused (the target said that it never will take it); given_up (too long in vain);
    silenced (held back, and over before it was told). ``held`` : it was held back since the last attempt.
    """

    id: str
    target: str
    group: dict[str, str]
    alerts: list[Alert]
    partition: int
    created_ms: int
    state: Literal["waiting", "delivered", "refused", "given_up", "silenced"] = "waiting"
    attempts: int = 0
    next_ms: int = 0
    error: str = ""
    held: bool = False
    updated_ms: int = 0


def check_matchers(matchers: list[Matcher]) -> None:
    """Raise DataError where a silence's matchers could not be meant."""
    if not 0 < len(matchers) <= MATCHERS_MAX:
        raise DataError(f"cannot use {len(matchers)} matchers: want 1 to {MATCHERS_MAX}")
    for one in matchers:
        if not one.name or max(len(one.name), len(one.value)) > PATTERN_CHARACTERS_MAX:
            raise DataError(f"cannot use matcher {one.name[:40]!r}: want a label's name and a value of at most 500")
        if one.is_regex:
            try:
                re2.compile(one.value)
            except re2.error as error:
                why = error.args[0].decode() if isinstance(error.args[0], bytes) else str(error)
                raise DataError(f"cannot use pattern {one.value[:60]!r}: {why}") from error
    if all(m.matches({}) for m in matchers):
        raise DataError("cannot use these matchers: they match everything; name an entity or another label")


def shown(alert: Alert, deliveries: list[Notification]) -> dict[str, Any]:
    """Return an alert as ``GET /api/v1/alerts`` gives it."""
    out = msgspec.to_builtins(alert)
    for name in ("streak", "fired_ms", "told", "told_firing"):
        out.pop(name)
    out |= {"start": out.pop("started_ms"), "end": out.pop("ended_ms"), "updated": out.pop("updated_ms")}
    out["window_end"] = out.pop("window_end_ms")
    out["deliveries"] = [
        {"id": d.id, "target": d.target, "state": d.state, "attempts": d.attempts, "error": d.error}
        | {"created": d.created_ms, "updated": d.updated_ms, "next": d.next_ms if d.state == "waiting" else None}
        for d in deliveries
    ]
    return out
