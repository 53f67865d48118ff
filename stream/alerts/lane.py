"""Which of the notifications of one group, waiting for one target, goes next: what came first, unless it is held back.

A beginning that is silenced, in maintenance or behind its cause before the target took it waits, and lets later ones of
other alerts pass. If the alert ends meanwhile the target is not woken for it any more; of the end it is told only
where it may have heard of the beginning. What is told of one alert stays in order, so the end of one that began
together with another, which is still held back, waits with it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from schemas.alert import Alert, Notification


class Plan(NamedTuple):
    """Places in the lane. ``hold`` : to be marked as held back; ``drop`` : of no use any more; ``send`` : goes now."""

    hold: list[int]
    drop: list[int]
    send: int | None


def plan(lane: Sequence[Notification], known: Callable[[Alert], Alert | None], now_ms: int) -> Plan:
    """Return what is to be done. ``known`` : the alert as it is now, None where it was forgotten."""
    hold: list[int] = []
    drop: list[int] = []
    unheard: set[tuple[str, int]] = set()
    behind: set[str] = set()  # alerts of what is held back: what is told of them later stays behind it
    for at, one in enumerate(lane):
        if one.alerts and all((alert.fingerprint, alert.sequence) in unheard for alert in one.alerts):
            drop.append(at)
            continue
        if any(alert.fingerprint in behind for alert in one.alerts):
            behind |= {alert.fingerprint for alert in one.alerts}
            continue
        loud, quiet = _standing(one, known)
        if loud or not (quiet or one.held):
            return Plan(hold, drop, at if one.next_ms <= now_ms else None)
        after = [_after(alert, lane[at + 1 :]) for alert in one.alerts]
        if quiet or None in after:
            behind |= {alert.fingerprint for alert in one.alerts}
            if not one.held:
                hold.append(at)
            continue
        drop.append(at)
        if not one.attempts:
            unheard |= {(a.fingerprint, a.sequence) for a in after if a is not None and a.state == "resolved"}
    return Plan(hold, drop, None)


def _standing(one: Notification, known: Callable[[Alert], Alert | None]) -> tuple[bool, bool]:
    """Return whether it has to be told whatever holds alerts back, and whether any alert of it is held back now."""
    quiet = False
    for alert in one.alerts:
        now = known(alert)
        if alert.state != "firing":
            return True, False
        if now is not None and now.sequence == alert.sequence:
            if not now.held:
                return True, False
            quiet = True
    return False, quiet


def _after(alert: Alert, later: Sequence[Notification]) -> Alert | None:
    """Return what is told of the alert next."""
    for one in later:
        for other in one.alerts:
            if other.fingerprint == alert.fingerprint and other.sequence > alert.sequence:
                return other
    return None
