"""What raises an alert, what holds it back and who is told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

KINDS = ("webhook", "slack", "pagerduty", "alertmanager")
PAGERDUTY_URL = "https://events.pagerduty.com/v2/enqueue"
_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


@dataclass(frozen=True)
class Target:
    """Somebody to be told. ``secret`` signs a webhook's body; ``routing_key`` is PagerDuty's."""

    name: str
    kind: str
    url: str
    secret: str = field(default="", repr=False)
    routing_key: str = field(default="", repr=False)


@dataclass(frozen=True)
class Maintenance:
    """Entities (``*`` patterns) whose alerts are held back: once, [from_ms, to_ms), or weekly by local time."""

    entities: tuple[str, ...]
    from_ms: int = 0
    to_ms: int = 0
    days: tuple[int, ...] = ()  # 0 is Monday
    start_minute: int = 0
    end_minute: int = 0  # not after the start: ends the next day


@dataclass(frozen=True)
class AlertSettings:
    windows: int = 3  # consecutive flagged windows raise an alert, as many clear ones resolve it
    group_by: tuple[str, ...] = ("entity",)
    group_wait_ms: int = 5_000
    give_up_ms: int = 86_400_000
    stale_ms: int = 1_800_000  # an alert whose entity is silent for so long is resolved
    targets: tuple[Target, ...] = ()
    depends: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # entity → causes
    maintenance: tuple[Maintenance, ...] = ()
    timezone: str = "UTC"
    page_url: str = ""


def parse_targets(tables: Sequence[Mapping[str, Any]]) -> tuple[Target, ...]:
    """Return the targets of ``[[alerts.targets]]``; raises ValueError naming the table and what would be right."""
    out: list[Target] = []
    for number, table in enumerate(tables, 1):
        where = f"alerts.targets, table {number}"
        unknown = set(table) - {"name", "kind", "url", "secret", "routing_key"}
        if unknown or not all(isinstance(value, str) for value in table.values()):
            raise ValueError(f"{where}: want strings name, kind, url, secret, routing_key; got {sorted(table)}")
        kind = table.get("kind", "webhook")
        if kind not in KINDS:
            raise ValueError(f"{where}: kind={kind!r}; want one of {', '.join(KINDS)}")
        url = table.get("url", PAGERDUTY_URL if kind == "pagerduty" else "")
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"{where}: url={url!r}; want http:// or https:// and a host")
        if kind == "pagerduty" and not table.get("routing_key"):
            raise ValueError(f"{where}: want a routing_key, that of a PagerDuty Events v2 integration")
        name = table.get("name") or f"{kind}-{number}"
        if name in {target.name for target in out}:
            raise ValueError(f"{where}: name={name!r} is there twice")
        out.append(Target(name, kind, url, table.get("secret", ""), table.get("routing_key", "")))
    return tuple(out)


def parse_maintenance(tables: Sequence[Mapping[str, Any]]) -> tuple[Maintenance, ...]:
    """Return the windows of ``[[alerts.maintenance]]``; raises ValueError as ``parse_targets``."""
    out = []
    for number, table in enumerate(tables, 1):
        where = f"alerts.maintenance, table {number}"
        entities = table.get("entities", ["*"])
        if not isinstance(entities, list) or not all(isinstance(e, str) for e in entities):
            raise ValueError(f"{where}: entities={entities!r}; want a list of names, * allowed")
        try:
            if set(table) <= {"entities", "from", "to"}:
                from_ms, to_ms = _instant_ms(table["from"]), _instant_ms(table["to"])
                out.append(Maintenance(tuple(entities), from_ms, to_ms))
            elif set(table) <= {"entities", "days", "start", "end"}:
                days = tuple(_DAYS.index(day) for day in table.get("days", _DAYS))
                out.append(Maintenance(tuple(entities), 0, 0, days, _minute(table["start"]), _minute(table["end"])))
            else:
                raise ValueError(f"got {sorted(table)}")
        except (KeyError, ValueError, TypeError, AttributeError) as error:
            raise ValueError(
                f"{where}: {error}; want entities with from and to (2026-11-27T22:00:00Z), or with days"
                ' (["sat"]), start and end ("02:00")'
            ) from error
    return tuple(out)


def _instant_ms(value: Any) -> int:
    at = value if isinstance(value, datetime) else datetime.fromisoformat(value)
    if at.tzinfo is None:
        raise ValueError(f"{value} names no time zone")
    return int(at.timestamp() * 1000)


def _minute(text: str) -> int:
    hours, minutes = (int(part) for part in text.split(":"))
    if not (0 <= hours <= 24 and 0 <= minutes < 60):
        raise ValueError(f"{text} is no time of day")
    return hours * 60 + minutes
