"""What holds an alert back: silences, maintenance, and a cause that fires itself."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from zoneinfo import ZoneInfo

import msgspec

from schemas.alert import Alert, Silence
from schemas.patterns import fits
from stream.alerts.settings import AlertSettings, Maintenance


def held(
    alert: Alert, silences: Sequence[Silence], firing: Iterable[str], settings: AlertSettings, now_ms: int
) -> Alert:
    """Return the alert with what holds it back now. ``firing`` : the entities of every alert that fires."""
    causes = settings.depends.get(alert.entity, ())
    cause = next((e for e in sorted(firing) if e != alert.entity and any(fits(e, c) for c in causes)), "")
    return msgspec.structs.replace(
        alert,
        silenced_by=[silence.id for silence in silences if silence.holds(alert.labels, now_ms)],
        inhibited_by=cause,
        maintenance=any(_maintained(one, alert.entity, settings.timezone, now_ms) for one in settings.maintenance),
    )


def held_by(alert: Alert) -> str:
    """Return in words what holds an alert back."""
    said = [f"silenced by {', '.join(alert.silenced_by)}"] if alert.silenced_by else []
    said += ["in maintenance"] if alert.maintenance else []
    return ", ".join(said + ([f"its cause {alert.inhibited_by} fires"] if alert.inhibited_by else []))


def _maintained(window: Maintenance, entity: str, timezone: str, now_ms: int) -> bool:
    if not any(fits(entity, pattern) for pattern in window.entities):
        return False
    if not window.days:
        return window.from_ms <= now_ms < window.to_ms
    now = datetime.fromtimestamp(now_ms / 1000, ZoneInfo(timezone))
    minute, today, yesterday = now.hour * 60 + now.minute, now.weekday(), (now.weekday() - 1) % 7
    if window.start_minute < window.end_minute:
        return today in window.days and window.start_minute <= minute < window.end_minute
    return (today in window.days and minute >= window.start_minute) or (
        yesterday in window.days and minute < window.end_minute
    )
