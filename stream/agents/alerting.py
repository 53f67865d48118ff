"""Verdicts → alerts → outbox → targets. One PartitionAlerter a partition; the Faust agent only hands it records."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from hashlib import blake2b

import msgspec

from log.base import Log, Record
from schemas.alert import Alert, Notification
from schemas.topics import ALERTS, VERDICTS
from schemas.verdict import VerdictInShort, decode_verdicts_in_short
from store.alerts import AlertTables
from store.repository import Repository
from stream.alerts.deliver import Deliverer
from stream.alerts.hold import held
from stream.alerts.settings import AlertSettings
from stream.alerts.track import expire, fingerprint, step

HISTORY_MS = 900_000  # verdicts on windows that ended earlier are history: nobody is woken for them
RESEND_MS = 60_000  # Alertmanager takes an alert as resolved after some minutes without a word
RESOLVED_MS = 86_400_000  # resolved alerts are remembered for so long, for their numbers and flaps


class PartitionAlerter:
    """The alerts of one partition. State is in the store before anybody is told; so is what is to be told."""

    def __init__(
        self, partition: int, log: Log, repository: Repository, settings: AlertSettings, now_ms: Callable[[], int]
    ) -> None:
        self.partition, self._log, self._settings, self._now_ms = partition, log, settings, now_ms
        self._repository, self._tables = repository, AlertTables(repository.thread)
        self.counters: Counter[str] = Counter()
        self._alerts: dict[str, Alert] = {}
        self._changed: set[str] = set()
        self._due_ms: dict[tuple[str, ...], int] = {}
        self._resent_ms: dict[str, int] = {}
        self._untold: list[Notification] = []  # not in the outbox yet
        self._outcomes: dict[str, Notification] = {}  # what became of those in the outbox; not written down yet
        self._recalled: set[tuple[str, int, str]] = set()  # what the outbox holds since before, see ``_recall``
        self._recalled_until_ms = 0
        self._unshown: dict[str, Alert] = {}  # not on the topic ``alerts`` yet
        self.offset = 0
        self._written_offset = 0
        self._closed = False
        self._lock = asyncio.Lock()
        self._deliverer = Deliverer(
            settings.targets,
            give_up_ms=settings.give_up_ms,
            now_ms=now_ms,
            write_down=lambda begun: self._tables.write(partition, (), begun),
            known=lambda alert: self._alerts.get(alert.fingerprint),
        )

    async def open(self) -> int:
        """Restore from the store; return the offset to read from."""
        saved = await self._repository.checkpoint(VERDICTS, self.partition)
        self.offset = self._written_offset = saved["resume_offset"] if saved else 0
        self._alerts = {a.fingerprint: a for a in await self._tables.open_alerts(self.partition)}
        for alert in self._alerts.values():
            if alert.sequence > alert.told:
                self._due_ms.setdefault(self._group(alert), self._now_ms())
        for notification in await self._tables.waiting(self.partition):
            self._deliverer.add(notification)
        await self._recall(self._now_ms())
        return self.offset

    async def _recall(self, now_ms: int) -> None:
        """Learn what was put in the outbox by one that ended before it had written what it stands for.

        Verdicts that are read again lead to the same alerts again, unless they are history by then.
        """
        self._recalled_until_ms = now_ms + 2 * HISTORY_MS
        for one in await self._tables.put_since(self.partition, now_ms - 2 * HISTORY_MS):
            self._recalled |= {(alert.fingerprint, alert.sequence, alert.state) for alert in one.alerts}

    @property
    def needed_offset(self) -> int:
        """The lowest offset that is read again after a crash."""
        return self._written_offset

    async def process(self, records: list[Record]) -> None:
        async with self._lock:
            if self._closed:
                return
            for record in records:
                if record.offset < self.offset:
                    continue
                self.offset = record.offset + 1
                try:
                    verdicts = decode_verdicts_in_short(record.value)
                except msgspec.MsgspecError:
                    self.counters["unreadable_records"] += 1
                    continue
                for verdict in verdicts:
                    self._step(verdict)

    def _step(self, verdict: VerdictInShort) -> None:
        key = fingerprint(verdict.entity, verdict.rollup)
        known = self._alerts.get(key)
        if verdict.end < self._now_ms() - HISTORY_MS:
            self.counters["alerts_not_raised_by_history"] += bool(verdict.flag)
            return
        alert = step(known, verdict, self._settings)
        if alert is None or alert is known:
            return
        self._put(alert, known)

    def _put(self, alert: Alert, known: Alert | None) -> None:
        self._alerts[alert.fingerprint] = alert
        begins = alert.state != "resolved"
        if begins and known and known.state == "resolved" and known.told_firing and known.sequence > known.told:
            # The end of the last one still waits for its group, and must not be lost to the next beginning.
            self._untold += self._notifications_of(self._group(known), [known], self._now_ms())
        if known is None or (alert.state, alert.sequence, alert.streak) != (known.state, known.sequence, known.streak):
            alert.updated_ms = max(self._now_ms(), alert.updated_ms + 1)
            self._changed.add(alert.fingerprint)
        if alert.sequence > alert.told and (known is None or alert.sequence > known.sequence):
            self.counters[f"alerts_{alert.state}"] += 1
            self._due_ms.setdefault(self._group(alert), self._now_ms() + self._settings.group_wait_ms)

    def _group(self, alert: Alert) -> tuple[str, ...]:
        return tuple(alert.labels.get(name, "") for name in self._settings.group_by)

    async def tick(self) -> None:
        """Once a second: put what is due in the outbox, with the state it stands for; deliver."""
        async with self._lock:
            now = self._now_ms()
            for known in list(self._alerts.values()):
                if (alert := expire(known, self._settings, now)) is not known:
                    self._put(alert, known)
                elif (
                    known.state != "firing" and known.window_end_ms < now - RESOLVED_MS and known.told >= known.sequence
                ):
                    del self._alerts[known.fingerprint]
            await self._hold(now)
            self._untold += self._notifications(now)
            changed = [self._alerts[key] for key in sorted(self._changed) if key in self._alerts]
            if changed or self._untold or self.offset > self._written_offset:
                await self._write(changed)
            await self._write_down(self._deliverer.apart())
            self._deliverer.pump()
            await self._write_attempts()
            await self._show()

    async def _write_attempts(self) -> None:
        attempted = self._deliverer.changed()
        for one in attempted:
            self.counters["notifications_" + one.state] += 1
        await self._write_down(attempted)

    async def _write_down(self, notifications: list[Notification]) -> None:
        """Put in the outbox what became of notifications; what the store does not take now is kept for later."""
        self._outcomes |= {one.id: one for one in notifications}
        if self._outcomes:
            await self._tables.write(self.partition, (), list(self._outcomes.values()))
            self._outcomes.clear()

    async def _write(self, changed: list[Alert]) -> None:
        checkpoint = {"topic": VERDICTS, "partition": self.partition, "resume_offset": self.offset}
        checkpoint |= {"floor_ms": 0, "watermark_ms": 0, "version": self.offset}
        await self._tables.write(self.partition, changed, self._untold, checkpoint)
        self._written_offset = self.offset
        self._changed.clear()
        notifications, self._untold = self._untold, []
        for notification in notifications:
            self._deliverer.add(notification)
        self._unshown |= {alert.fingerprint: alert for alert in changed if alert.labels}  # it fires, or did

    async def _show(self) -> None:
        """Tell pages and subscribers what changed."""
        for alert in list(self._unshown.values()):
            await self._log.append(ALERTS, 0, msgspec.json.encode(alert))
            del self._unshown[alert.fingerprint]

    async def _hold(self, now_ms: int) -> None:
        """Look again at what holds firing alerts back; one that is free now is told of."""
        firing = [alert for alert in self._alerts.values() if alert.state == "firing"]
        if not firing:
            return
        silences = await self._tables.silences()
        every = {alert.entity for alert in firing}
        if self._settings.depends:
            every |= set(await self._tables.firing())
        for alert in firing:
            after = held(alert, silences, every, self._settings, now_ms)
            if after != alert:
                after.updated_ms = max(now_ms, alert.updated_ms + 1)
                self._alerts[alert.fingerprint] = after
                self._changed.add(alert.fingerprint)
            if not after.held and after.sequence > after.told:
                self._due_ms.setdefault(self._group(after), now_ms)

    def _notifications(self, now_ms: int) -> list[Notification]:
        """Return what is to be told now; the alerts are marked as told."""
        out: list[Notification] = []
        for group in [group for group, due_ms in self._due_ms.items() if due_ms <= now_ms]:
            del self._due_ms[group]
            mine = [a for a in self._alerts.values() if a.sequence > a.told and self._group(a) == group]
            told = [a for a in mine if (not a.held if a.state == "firing" else a.told_firing)]
            for alert in mine:
                if alert in told or alert.state == "resolved":  # nobody heard of it: nobody hears that it is over
                    alert.told, alert.told_firing = alert.sequence, alert.state == "firing"
                    self._changed.add(alert.fingerprint)
                    alert.updated_ms = max(now_ms, alert.updated_ms + 1)
            out += self._notifications_of(group, told, now_ms)
        return out + self._resent(now_ms)

    def _notifications_of(self, group: tuple[str, ...], alerts: list[Alert], now_ms: int) -> list[Notification]:
        """Return what each target is to be told of the alerts; of those in the outbox since before, nothing."""
        if now_ms > self._recalled_until_ms:
            self._recalled.clear()
        new = [a for a in alerts if (a.fingerprint, a.sequence, a.state) not in self._recalled]
        return [self._notification(target.name, group, new, now_ms, "") for target in self._settings.targets if new]

    def _resent(self, now_ms: int) -> list[Notification]:
        out = []
        for target in self._settings.targets:
            if (
                target.kind != "alertmanager"
                or now_ms - self._resent_ms.get(target.name, now_ms - RESEND_MS) < RESEND_MS
            ):
                continue
            self._resent_ms[target.name] = now_ms
            groups: dict[tuple[str, ...], list[Alert]] = {}
            for alert in self._alerts.values():
                if alert.state == "firing" and alert.told_firing and not alert.held:
                    groups.setdefault(self._group(alert), []).append(alert)
            for group, alerts in groups.items():
                one = self._notification(target.name, group, alerts, now_ms, str(now_ms))
                if not self._deliverer.waiting(target.name, one.group):
                    out.append(one)
        return out

    def _notification(
        self, target: str, group: tuple[str, ...], alerts: list[Alert], now_ms: int, again: str
    ) -> Notification:
        said = [(alert.fingerprint, alert.sequence) for alert in alerts]
        key = msgspec.json.encode([target, group, said, again])
        return Notification(
            id=blake2b(key, digest_size=16).hexdigest(),
            target=target,
            group=dict(zip(self._settings.group_by, group, strict=True)),
            alerts=[msgspec.structs.replace(alert) for alert in alerts],
            partition=self.partition,
            created_ms=now_ms,
            updated_ms=now_ms,
        )

    async def save(self) -> None:
        """Write everything that is not written yet."""
        await self.tick()

    async def close(self) -> None:
        """Write everything; deliveries under way are made again by whoever goes on."""
        try:
            await self.tick()
        finally:
            self._closed = True
            await self._deliverer.close()
        await self._write_attempts()

    def abandon(self) -> None:
        """Let go of everything: the partition is another's, who tells what is still in the outbox."""
        self._closed = True
        self._deliverer.abandon()
