"""What each kind of target is sent. Pure: a notification becomes requests, the same ones at every attempt."""

from __future__ import annotations

import hashlib
import hmac
from datetime import UTC, datetime
from typing import Any, NamedTuple

import msgspec

from schemas.alert import Alert, Notification
from stream.alerts.settings import Target


class HttpRequest(NamedTuple):
    url: str
    headers: dict[str, str]
    body: bytes


def requests_of(target: Target, notification: Notification) -> list[HttpRequest]:
    """Return the requests of a notification, to be sent in order; each carries its idempotency key."""
    return _MAKERS[target.kind](target, notification)


def _webhook(target: Target, notification: Notification) -> list[HttpRequest]:
    """CloudEvents 1.0 in structured mode; ``X-Foreshock-Signature: sha256=…`` is the HMAC of the body."""
    firing = any(alert.state == "firing" for alert in notification.alerts)
    event = {
        "specversion": "1.0",
        "id": notification.id,
        "source": "/foreshock",
        "type": f"foreshock.alert.{'firing' if firing else 'resolved'}",
        "subject": ",".join(f"{k}={v}" for k, v in notification.group.items()),
        "time": _time(notification.created_ms),
        "datacontenttype": "application/json",
        "data": {"group": notification.group, "alerts": [_told(alert) for alert in notification.alerts]},
    }
    body = msgspec.json.encode(event)
    headers = {"Content-Type": "application/cloudevents+json", "Idempotency-Key": notification.id}
    if target.secret:
        digest = hmac.new(target.secret.encode(), body, hashlib.sha256).hexdigest()
        headers["X-Foreshock-Signature"] = f"sha256={digest}"
    return [HttpRequest(target.url, headers, body)]


def _slack(target: Target, notification: Notification) -> list[HttpRequest]:
    lines = []
    for alert in notification.alerts:
        sign = ":rotating_light:" if alert.state == "firing" else ":white_check_mark:"
        lines.append(f"{sign} *{alert.state}* {_slack_text(alert.annotations.get('summary', alert.entity))}")
        for name in ("flapping", "action", "page"):
            if alert.state == "firing" and alert.annotations.get(name):
                lines.append(f"> {name}: {_slack_text(alert.annotations[name])}")
    headers = {"Content-Type": "application/json", "Idempotency-Key": notification.id}
    return [HttpRequest(target.url, headers, msgspec.json.encode({"text": "\n".join(lines)}))]


def _slack_text(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")[:2000]


def _pagerduty(target: Target, notification: Notification) -> list[HttpRequest]:
    """Events API v2: one event an alert, deduplicated by its fingerprint."""
    out = []
    for alert in notification.alerts:
        event: dict[str, Any] = {
            "routing_key": target.routing_key,
            "event_action": "trigger" if alert.state == "firing" else "resolve",
            "dedup_key": alert.fingerprint,
        }
        if alert.state == "firing":
            event["payload"] = {
                "summary": alert.annotations.get("summary", alert.entity)[:1024],
                "source": alert.entity,
                "severity": alert.labels.get("severity", "warning"),
                "timestamp": _time(alert.started_ms),
                "custom_details": {"labels": alert.labels, "annotations": alert.annotations},
            }
        key = f"{notification.id}-{alert.fingerprint}"
        headers = {"Content-Type": "application/json", "Idempotency-Key": key}
        out.append(HttpRequest(target.url, headers, msgspec.json.encode(event)))
    return out


def _alertmanager(target: Target, notification: Notification) -> list[HttpRequest]:
    """Alertmanager resolves by itself what it is not told of again: see RESEND_MS in stream.agents.alerting."""
    alerts = []
    for alert in notification.alerts:
        one = {"labels": alert.labels, "annotations": alert.annotations, "startsAt": _time(alert.started_ms)}
        if alert.state == "resolved":
            one["endsAt"] = _time(alert.ended_ms or notification.created_ms)
        if page := alert.annotations.get("page"):
            one["generatorURL"] = page
        alerts.append(one)
    headers = {"Content-Type": "application/json", "Idempotency-Key": notification.id}
    return [HttpRequest(target.url.rstrip("/") + "/api/v2/alerts", headers, msgspec.json.encode(alerts))]


_MAKERS = {"webhook": _webhook, "slack": _slack, "pagerduty": _pagerduty, "alertmanager": _alertmanager}


def _time(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _told(alert: Alert) -> dict[str, Any]:
    return {
        "fingerprint": alert.fingerprint,
        "sequence": alert.sequence,
        "status": alert.state,
        "entity": alert.entity,
        "rollup": alert.rollup,
        "labels": alert.labels,
        "annotations": alert.annotations,
        "startsAt": _time(alert.started_ms),
        "endsAt": None if alert.ended_ms is None else _time(alert.ended_ms),
        "anomaly_score": alert.anomaly_score,
        "p_incident": alert.p_incident,
        "verdict": alert.verdict_id,
    }
