"""A receiver is away for an hour and comes back in bad shape; the alerter is killed now and then. Simulated clock."""

import asyncio
import json
import random
from collections import defaultdict

import pytest

from schemas.topics import VERDICTS
from schemas.verdict import Verdict, encode_verdicts
from store.alerts import AlertTables
from stream.agents.alerting import PartitionAlerter
from stream.alerts import deliver, track
from stream.alerts.settings import AlertSettings, Target
from tests.receiver import SLOW_S, Receiver

NOW = 1_800_000_000_000
ENTITIES = ("db", "shop", "web")
MINUTES = 60
BAD_SHAPE = (500, "slow", (429, {"Retry-After": "30"}), "close", "short", 503, "slow", "short", 500)


def verdict(entity, number, flag):
    start = NOW + number * 60_000
    said = {"period": "normal", "anomaly_score": 0.9, "p_incident": 0.7, "reason": "slow", "flag": flag}
    return Verdict(id=f"{entity}{number}", entity=entity, rollup="1m", start=start, end=start + 60_000, **said)


class Outage:
    """An alerter on a real log and store, with one receiver over real HTTP. ``want`` : every change of every alert."""

    def __init__(self, log, repository):
        self.log, self.repository, self.now = log, repository, NOW
        self.receiver, self.tables = Receiver(), AlertTables(repository.thread)
        target = Target("ops", "webhook", self.receiver.url)
        self.rules = AlertSettings(windows=1, group_wait_ms=0, give_up_ms=86_400_000, targets=(target,))
        self.known, self.want, self.offset, self.records = {}, defaultdict(list), 0, 0

    async def begin(self):
        """A new process: it knows what is durable."""
        self.alerter = PartitionAlerter(0, self.log, self.repository, self.rules, lambda: self.now)
        self.alerter._deliverer._rng = random.Random(1)
        self.offset = await self.alerter.open()

    async def kill(self):
        await self.alerter._deliverer.close()

    async def minute(self, number, flags):
        verdicts = [verdict(entity, number, flag) for entity, flag in flags.items()]
        for one in verdicts:
            before = self.known.get(one.entity)
            after = self.known[one.entity] = track.step(before, one, self.rules)
            if after and after.sequence > (before.sequence if before else 0):
                self.want[after.fingerprint].append((after.sequence, after.state))
        await self.log.append(VERDICTS, 0, encode_verdicts(verdicts))
        self.records += 1
        self.now = NOW + (number + 1) * 60_000

    async def take(self):
        if self.offset < self.records:
            await self.alerter.process(await self.log.read(VERDICTS, 0, self.offset))
            self.offset = self.records

    async def tick(self, seconds=20):
        await self.alerter.tick()
        tasks = self.alerter._deliverer._tasks.values()
        await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 60)
        self.now += seconds * 1000

    def told(self):
        """Return what was answered well, an alert after another: (sequence, status, key)."""
        out = defaultdict(list)
        for body in self.receiver.taken():
            for alert in body["data"]["alerts"]:
                out[alert["fingerprint"]].append((alert["sequence"], alert["status"], body["id"]))
        return out


@pytest.mark.parametrize("seed", range(2))
async def test_after_an_hour_away_everything_is_told_in_order_with_one_key_each(parts, seed, monkeypatch):
    monkeypatch.setattr(deliver, "TIMEOUT_S", SLOW_S / 2)  # who is slow is slower than we wait
    outage, rng = Outage(*parts), random.Random(seed)
    await outage.begin()
    outage.receiver.down()
    flags, crashes = dict.fromkeys(ENTITIES, 0), set(rng.sample(range(MINUTES), 4))
    for number in range(MINUTES):
        flags = {entity: flag ^ (rng.random() < 0.3) for entity, flag in flags.items()}
        await outage.minute(number, flags)
        await outage.take()
        for _ in range(3):
            await outage.tick()
        if number in crashes:
            await outage.kill()
            await outage.begin()
    assert not outage.receiver.requests
    waiting = [one for one in await outage.tables.notifications() if one.state == "waiting"]
    changes = sum(map(len, outage.want.values()))
    assert len(waiting) == changes > 30 and max(one.attempts for one in waiting) > 10
    assert all("Connect" in one.error for one in waiting if one.attempts), "why is seen in /api/v1/alerts"

    outage.receiver._answers = list(BAD_SHAPE)
    outage.receiver.up()
    for turn in range(200):
        await outage.tick()
        if turn in (2, 9):
            await outage.kill()
            await outage.begin()
        if not await outage.tables.waiting(0):
            break
    away_s = (outage.now - NOW) / 1000 - MINUTES * 60
    assert away_s < 40 * 60, "once it takes something again the rest follows without waiting"
    assert {one.state for one in await outage.tables.notifications(10_000)} == {"delivered"}
    told = outage.told()
    for fingerprint, want in outage.want.items():
        got = told[fingerprint]
        # Perhaps twice, where we could not know that it was taken; in order all the same.
        assert list(dict.fromkeys((sequence, status) for sequence, status, _ in got)) == want
        assert got == sorted(got, key=lambda one: one[0])
        keys = defaultdict(set)
        for sequence, _, key in got:
            keys[sequence].add(key)
        assert all(len(one) == 1 for one in keys.values())
    bodies = {}
    for _, headers, body, _ in outage.receiver.requests:
        assert bodies.setdefault(headers["Idempotency-Key"], body) == body and json.loads(body)["id"]
    assert len(bodies) == changes
    assert not outage.receiver._answers, "it has misbehaved in every way"
    await outage.alerter.close()
    outage.receiver.close()
