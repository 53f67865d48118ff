"""From verdicts to the state of one alert. Pure: what is known comes in, what is new goes out."""

from __future__ import annotations

from hashlib import blake2b

import msgspec

from schemas.alert import ALERT_NAME, Alert
from schemas.verdict import VerdictInShort
from stream.alerts.settings import AlertSettings

FLAPS = 3  # fired so often within FLAP_MS, it takes FLAP_FACTOR times as many clear windows to resolve
FLAP_MS = 3_600_000
FLAP_FACTOR = 4
CRITICAL_FROM = 0.5  # p_incident


def fingerprint(entity: str, rollup: str) -> str:
    """Return the name of an alert that never changes."""
    return blake2b(f"{ALERT_NAME}\0{entity}\0{rollup}".encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()


def step(known: Alert | None, verdict: VerdictInShort, settings: AlertSettings) -> Alert | None:
    """Return the alert after a verdict, None where there is none; windows that were seen, or older, change nothing.

    The alert returned is a new object; its ``sequence`` has risen where there is something to tell.
    """
    if known is not None and verdict.end <= known.window_end_ms:
        return known
    alert = msgspec.structs.replace(known) if known is not None else None
    if alert is None or alert.state == "resolved":
        if not verdict.flag:
            return alert if alert is None else _seen(alert, verdict)
        before = alert
        alert = Alert(
            fingerprint=fingerprint(verdict.entity, verdict.rollup),
            entity=verdict.entity,
            rollup=verdict.rollup,
            state="pending",
            started_ms=verdict.start,
        )
        if before is not None:
            alert.sequence, alert.told, alert.fired_ms = before.sequence, before.sequence, before.fired_ms
    alert = _seen(alert, verdict)
    if alert.state == "pending":
        if not verdict.flag:
            return msgspec.structs.replace(alert, state="resolved", ended_ms=verdict.end, streak=0)
        alert.streak += 1
        if alert.streak >= settings.windows:
            _fire(alert, verdict, settings)
    elif verdict.flag:
        alert.streak = 0
    else:
        alert.streak += 1
        if alert.streak >= settings.windows * (FLAP_FACTOR if alert.flapping else 1):
            alert.state, alert.ended_ms, alert.streak = "resolved", verdict.end, 0
            alert.sequence += 1
    return alert


def expire(alert: Alert, settings: AlertSettings, now_ms: int) -> Alert:
    """Return the alert, resolved where it fires and its entity has been silent for too long."""
    if alert.state != "firing" or now_ms - alert.window_end_ms < settings.stale_ms:
        return alert
    said = alert.annotations | {"resolved": "no window came any more"}
    ended = {"state": "resolved", "ended_ms": now_ms, "streak": 0, "annotations": said}
    return msgspec.structs.replace(alert, sequence=alert.sequence + 1, **ended)


def _seen(alert: Alert, verdict: VerdictInShort) -> Alert:
    alert = msgspec.structs.replace(alert, window_end_ms=verdict.end)
    if alert.state != "resolved":
        alert.anomaly_score, alert.p_incident, alert.verdict_id = verdict.anomaly_score, verdict.p_incident, verdict.id
    return alert


def _fire(alert: Alert, verdict: VerdictInShort, settings: AlertSettings) -> None:
    alert.state, alert.streak, alert.ended_ms = "firing", 0, None
    alert.sequence += 1
    alert.fired_ms = [ms for ms in alert.fired_ms if ms > verdict.end - FLAP_MS] + [verdict.end]
    alert.flapping = len(alert.fired_ms) >= FLAPS
    severity = "critical" if verdict.p_incident >= CRITICAL_FROM else "warning"
    alert.labels = {
        "alertname": ALERT_NAME,
        "entity": verdict.entity,
        "rollup": verdict.rollup,
        "period": verdict.period,
        "severity": severity,
    }
    alert.annotations = {
        "summary": f"{verdict.entity}: {verdict.reason or 'unlike its normal'}",
        "anomaly_score": f"{verdict.anomaly_score:.3f}",
        "p_incident": f"{verdict.p_incident:.3f}",
    }
    if alert.flapping:
        held, often = settings.windows * FLAP_FACTOR, len(alert.fired_ms)
        alert.annotations["flapping"] = f"fired {often} times within the hour: held open until {held} clear windows"
    if verdict.actions:
        alert.annotations["action"] = "; ".join(f"{a.title} ({a.why})" for a in verdict.actions[:3])
    if settings.page_url:
        alert.annotations["page"] = f"{settings.page_url}#verdict={verdict.id}"
