"""Which of the notifications of one group, waiting for one target, goes next: what came first, unless it is held back.

A beginning that is silenced, in maintenance or behind its cause before the target took it waits, and lets later ones of
other alerts pass. If the alert ends meanwhile the target is not woken for it any more; of the end it is told only
where it may have heard of the beginning. What is told of one alert stays in order.

Of a group the rest is told at once: a notification that nobody was sent yet is taken apart where some of its alerts are
held back (``parts``). One that a target may have taken is sent again as it was, for its key stands for what is in it.
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
    mixed = parts(lane, known)
    unheard: set[tuple[str, int]] = set()
    behind: set[str] = set()  # alerts of what is held back: what is told of them later stays behind it

    def without_beginning(after: int) -> list[int]:
        """With a beginning that nobody hears of goes its end, now: the next call knows nothing of this one."""
        return [at for at in range(after + 1, len(lane)) if _all_of(lane[at], unheard)]

    for at, one in enumerate(lane):
        if _all_of(one, unheard):
            drop.append(at)
            continue
        if any(alert.fingerprint in behind for alert in one.alerts):
            behind |= {alert.fingerprint for alert in one.alerts}
            continue
        if at in mixed:  # until it is taken apart
            return Plan(hold, drop + without_beginning(at), None)
        loud, quiet = _standing(one, known)
        if loud or not (quiet or one.held):
            return Plan(hold, drop + without_beginning(at), at if one.next_ms <= now_ms else None)
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


def _all_of(one: Notification, unheard: set[tuple[str, int]]) -> bool:
    return bool(one.alerts) and all((alert.fingerprint, alert.sequence) in unheard for alert in one.alerts)


def parts(lane: Sequence[Notification], known: Callable[[Alert], Alert | None]) -> dict[int, list[list[Alert]]]:
    """Return what has to be taken apart, by its place: first what is told now, then one by one what is held back.

    The end of an alert whose beginning is held back goes with it: where nobody hears of one, nobody hears of the other.
    """
    out: dict[int, list[list[Alert]]] = {}
    unheard: set[str] = set()
    for at, one in enumerate(lane):
        if one.attempts:
            continue
        now: list[Alert] = []
        apart: list[list[Alert]] = []
        for alert in one.alerts:
            begins = alert.state == "firing"
            quiet = _held(alert, known) is True if begins else alert.fingerprint in unheard
            if begins and (quiet or one.held):
                unheard.add(alert.fingerprint)
            if quiet:
                apart.append([alert])
            else:
                now.append(alert)
        if now and apart:
            out[at] = [now, *apart]
    return out


def _held(alert: Alert, known: Callable[[Alert], Alert | None]) -> bool | None:
    """Return whether an alert is held back now, as the very one that is to be told; None: it is another by now."""
    now = known(alert)
    return now.held if now is not None and now.sequence == alert.sequence else None


def _standing(one: Notification, known: Callable[[Alert], Alert | None]) -> tuple[bool, bool]:
    """Return whether it has to be told whatever holds alerts back, and whether any alert of it is held back now.

    What cannot be taken apart any more does not wait for one alert if news of another, which is free, wait behind it.
    """
    quiet = free = False
    for alert in one.alerts:
        held = _held(alert, known)
        if alert.state != "firing" or held is False:
            return True, False
        quiet = quiet or held is True
        now = known(alert)
        free = free or (held is None and now is not None and not now.held)
    return quiet and free and one.attempts > 0, quiet


def _after(alert: Alert, later: Sequence[Notification]) -> Alert | None:
    """Return what is told of the alert next."""
    for one in later:
        for other in one.alerts:
            if other.fingerprint == alert.fingerprint and other.sequence > alert.sequence:
                return other
    return None
