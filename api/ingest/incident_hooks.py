"""Incidents as other systems tell of them: the bodies of Alertmanager's and PagerDuty's webhooks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec

from api.ingest.incidents import Told
from schemas.alert import ALERT_NAME
from schemas.errors import DataError
from schemas.incident import Severity

TOLD_MAX = 1000
_SEVERITIES: dict[str, Severity] = {
    "critical": "critical", "page": "critical", "high": "major", "error": "major", "major": "major",
    "warning": "warning", "low": "minor", "minor": "minor", "info": "info", "none": "info",
}  # fmt: skip


class HookSaid(NamedTuple):
    told: list[Told]
    skipped: int
    reopened: bool = False  # it has no end any more, though it was closed before


def parse_alertmanager(body: bytes, entity_labels: Sequence[str]) -> HookSaid:
    """Alertmanager's webhook, version 4: an incident an alert and start. Our own alerts are no evidence."""
    alerts = _object(body).get("alerts")
    if not isinstance(alerts, list) or len(alerts) > TOLD_MAX:
        raise DataError(f"cannot read the webhook: want at most {TOLD_MAX} alerts in a list of that name")
    told, skipped = [], 0
    for alert in alerts:
        labels, said = _texts(alert, "labels"), _texts(alert, "annotations")
        if labels.get("alertname") == ALERT_NAME:
            skipped += 1
            continue
        start, end = _text(alert, "startsAt"), _text(alert, "endsAt")
        resolved = _text(alert, "status") == "resolved"
        key = _text(alert, "fingerprint") or msgspec.json.encode(sorted(labels.items())).decode()
        name = labels.get("alertname", "")
        told.append(
            Told(
                entity=next((labels[n] for n in entity_labels if labels.get(n)), "") or name,
                start=start,
                end=end if resolved and not end.startswith("0001") else None,
                title=(said.get("summary") or said.get("description") or name)[:1000],
                severity=_SEVERITIES.get(labels.get("severity", "").lower(), "major"),
                external_id=f"alertmanager:{key}:{start}"[:1000],
            )
        )
    return HookSaid(told, skipped)


def parse_pagerduty(body: bytes) -> HookSaid:
    """PagerDuty's webhook, version 3: incident.triggered opens, incident.resolved closes."""
    event = _object(body).get("event")
    data = event.get("data") if isinstance(event, dict) else None
    if not isinstance(event, dict) or not isinstance(data, dict):
        raise DataError("cannot read the webhook: want event.data, as PagerDuty's webhooks v3 send it")
    kind = _text(event, "event_type")
    if not kind.startswith("incident.") or not _text(data, "id"):
        return HookSaid([], 1)  # pagey.ping, services, and what is to come
    service = data.get("service")
    told = Told(
        entity=(_text(service, "summary") if isinstance(service, dict) else "") or "unknown",
        start=_text(data, "created_at") or _text(event, "occurred_at"),
        end=_text(event, "occurred_at") if kind == "incident.resolved" else None,
        title=_text(data, "title")[:1000],
        severity=_SEVERITIES.get(_text(data, "urgency"), "major"),
        resolution=_text(data, "resolve_reason")[:1000],
        external_id=f"pagerduty:{_text(data, 'id')}"[:1000],
    )
    return HookSaid([told], 0, kind == "incident.reopened")


def _object(body: bytes) -> dict[str, Any]:
    try:
        found = msgspec.json.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise DataError(f"cannot read the webhook: {error}") from error
    if not isinstance(found, dict):
        raise DataError("cannot read the webhook: want an object")
    return found


def _text(table: Any, name: str) -> str:
    value = table.get(name) if isinstance(table, dict) else None
    return value if isinstance(value, str) else ""


def _texts(table: Any, name: str) -> dict[str, str]:
    found = table.get(name) if isinstance(table, dict) else None
    return {k: v for k, v in found.items() if isinstance(v, str)} if isinstance(found, dict) else {}
