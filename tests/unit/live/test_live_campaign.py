"""A seeded campaign: subscribers that vanish, read slowly, and come back with their last cursor; a server that is
restarted, before definitions are stored too; a log whose reads fail.

Whatever happens: who goes on with the cursors it was given, and asks for what a gap names, receives every message that
it wants, each once and in order.
"""

import asyncio
import contextlib
import json
import random

import numpy as np
import pytest

from schemas.batch import encode_batch, make_batch
from schemas.catalogue import Catalogue
from schemas.errors import SourceError
from schemas.series import make_series
from schemas.topics import SAMPLES, VERDICTS
from schemas.verdict import Verdict, encode_verdicts
from tests.unit.live.serving import Client, Serving, values_of

ENTITIES, METRICS, PARTITIONS, TURNS = 4, ("cpu", "queue", *map(str, range(200))), 2, 60
WANTED = (
    {"entities": ["*"], "metrics": ["*"], "rollups": ["*"]},
    {"entities": ["e1"], "metrics": ["*"], "rollups": ["*"]},
    {"entities": ["e2", "e3"], "metrics": ["queue"], "rollups": ["*"]},
    {"entities": ["e*"], "metrics": ["cpu"], "rollups": ["*"], "types": ["samples"]},
    {"entities": ["*"], "metrics": ["*"], "rollups": ["10s"], "types": ["verdict"]},
)


class Site:
    """Writes; knows what each subscriber has to receive."""

    def __init__(self, rng):
        self.rng, self.number, self.written = rng, 0, []
        self.announced, self.stored, self.stored_until = {}, Catalogue(), {}

    def store(self, log):
        """Definitions that are on the log are in the store from now on."""
        self.stored.add(self.announced.values())
        self.stored_until |= {partition: log.offsets_now(SAMPLES, partition)[1] - 1 for partition in range(PARTITIONS)}

    def write(self, log):
        entity = self.rng.randrange(ENTITIES)
        if self.rng.random() < 0.3:
            made = []
            for _ in range(self.rng.choice((1, 2, 30))):
                self.number += 1
                self.written.append(("verdict", f"e{entity}", "", float(self.number)))
                times = {"start": self.number, "end": self.number + 1}
                said = {"period": "normal", "anomaly_score": 0.0, "p_incident": 0.0, "reason": "x" * 200, "flag": 0}
                made.append(Verdict(id=str(self.number), entity=f"e{entity}", rollup="10s", **times, **said))
            log.append_now(VERDICTS, entity % PARTITIONS, encode_verdicts(made))
            return
        entities = [e for e in range(ENTITIES) if e % PARTITIONS == entity % PARTITIONS]
        series = [make_series(f"e{e}", metric) for e in entities for metric in METRICS]
        rows = self.rng.choice((2, 8, 800))
        chosen = [self.rng.choice(series) for _ in range(rows)]
        values = np.arange(self.number + 1.0, self.number + 1 + rows)
        self.number += rows
        self.written += [("samples", one.entity, one.metric, v) for one, v in zip(chosen, values.tolist(), strict=True)]
        ids = np.array([one.series_id for one in chosen], np.uint64)
        new = {one.series_id: one for one in chosen if one.series_id not in self.announced}
        self.announced |= new
        batch = make_batch(list(new.values()), ids, np.full(rows, 1_700_000_000_000), values)
        log.append_now(SAMPLES, entity % PARTITIONS, encode_batch(batch))

    def wanted(self, first):
        types, entities = first.get("types", ("samples", "verdict")), first["entities"]
        for type_, entity, metric, number in self.written:
            named = entity in entities or entities[0] in ("*", "e*")
            if type_ in types and named and (not metric or first["metrics"][0] in ("*", metric)):
                yield type_, entity, number


class Subscriber:
    def __init__(self, rng, site, first):
        self.rng, self.site, self.first = rng, site, first
        self.cursor, self.got, self.gaps, self.comes_back = None, [], 0, 0

    def complete(self):
        return len(self.got) >= sum(1 for _ in self.site.wanted(self.first))

    async def run(self, serving, stopped):
        """Until the site has stopped and everything is here."""
        while not (stopped.is_set() and self.complete()):
            with contextlib.suppress(OSError, asyncio.IncompleteReadError, TimeoutError):
                await self.once(serving, self.rng.choice((1, 5, 40, 10**6)))
            self.comes_back += 1
            await asyncio.sleep(0.01)

    async def once(self, serving, most):
        client = await Client.open(serving().port, receive_buffer=self.rng.choice((0, 4096)))
        try:
            await client.subscribe(subscribe=self.first, **({"after": self.cursor} if self.cursor else {}))
            for _ in range(most):
                opcode, _payload = frame = await client.frame(0.5)
                if opcode != 0x81 or not self.take(frame):
                    return
                if self.rng.random() < 0.02:
                    await asyncio.sleep(self.rng.choice((0.05, 0.4)))
        finally:
            client.close()

    def take(self, frame):
        message = json.loads(frame[1])
        if message["type"] == "gap":
            self.gaps += 1
            self.cursor = message["after"]  # it wants what it missed
            return False
        self.cursor = message["cursor"]
        if message["type"] == "samples":
            self.got += [("samples", message["entity"], value) for value in values_of(message)]
        elif message["type"] == "verdict":
            self.got.append(("verdict", message["entity"], float(message["start"])))
        return True


def failing_reads(rng, log):
    read = log.read

    async def read_or_fail(*given, **more):
        if rng.random() < 0.1:
            raise SourceError("cannot read: injected")
        return await read(*given, **more)

    log.read = read_or_fail


@pytest.mark.parametrize("seed", [0, 3])  # both lacked samples of series that were defined just before a restart
async def test_who_goes_on_from_its_cursor_receives_everything_once_and_in_order(tmp_path, monkeypatch, seed):
    monkeypatch.setattr("api.live.channel.LAG_S", 0.2)
    monkeypatch.setattr("api.live.channel.FRESH_S", 0.1)
    rng, stopped = random.Random(seed), asyncio.Event()
    site, running = Site(rng), []
    subscribers = [Subscriber(random.Random(100 * seed + n), site, WANTED[n % len(WANTED)]) for n in range(10)]
    known = {"stored": site.stored, "stored_until": site.stored_until}
    serving = Serving(tmp_path / "log", partitions=PARTITIONS, **known)
    async with contextlib.AsyncExitStack() as stack:
        await stack.enter_async_context(serving)
        failing_reads(rng, serving.log)
        running.append(serving)
        for one in subscribers:  # from here on nothing may be lost
            client = await Client.open(serving.port)
            await client.subscribe(subscribe=one.first)
            one.cursor = (await client.message())["cursor"]
            client.close()
        tasks = [asyncio.create_task(one.run(lambda: running[-1], stopped)) for one in subscribers]
        for _ in range(TURNS):
            for _ in range(rng.choice((0, 1, 1, 20))):
                site.write(running[-1].log)
            await asyncio.sleep(0.01)
            if rng.random() < 0.1:
                site.store(running[-1].log)
            if rng.random() < 0.05:
                await stack.aclose()
                again = Serving(tmp_path / "log", partitions=PARTITIONS, **known)
                await stack.enter_async_context(again)
                failing_reads(rng, again.log)
                running.append(again)
        stopped.set()
        await asyncio.wait(tasks, timeout=60)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    assert sum(one.comes_back for one in subscribers) > 30
    for one in subscribers:
        want = list(site.wanted(one.first))
        for entity in {entity for _, entity, _ in want}:
            for type_ in ("samples", "verdict"):
                mine = [number for t, e, number in one.got if (t, e) == (type_, entity)]
                assert mine == [number for t, e, number in want if (t, e) == (type_, entity)], (one.first, entity)
