"""Seeded campaigns on longer rollups: a store and a log that fail or are slow, owners that end, two jobs at once.

Whatever happens, once it is over each longer window holds every sample once, and was told as it is stored.
"""

import asyncio
import random
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from log.embedded import EmbeddedLog
from schemas.batch import encode_batch, make_batch
from schemas.errors import SinkError, SourceError
from schemas.rollup import decode_rollup
from schemas.series import make_series
from schemas.topics import ALL, ROLLUPS, SAMPLES
from store.chdb import ChdbStore
from store.repository import Repository
from stream.agents.windowing import PartitionWorker
from stream.jobs.longer import LongerRollups
from stream.settings import StreamSettings
from stream.window.calendar import long_windows
from tests.unit.failing import Wire, failing

HOUR, STEPS = 3_600_000, 60
# Not long ago: ClickHouse forgets what was touched by its own clock.
BEGIN = int(datetime.combine((datetime.now(UTC) - timedelta(40)).date(), datetime.min.time(), UTC).timestamp()) * 1000
SERIES = [make_series("web-1", name) for name in ("cpu", "queue")]
IDS = np.array([one.series_id for one in SERIES], np.uint64)
ROLLUPS_MADE = ("5m", "1h", "1d", "1w")
LONG = tuple(long_windows(ROLLUPS_MADE, "UTC"))
SETTINGS = StreamSettings(rollups=ROLLUPS_MADE, lateness_ms=5000, partitions=1, long_windows=LONG, keep_samples=False)


class Deployment:
    """An owner of the partition with its job, and another worker that takes itself for the job's owner too."""

    def __init__(self, seed, folder):
        self.rng, self.clock, self.sent = random.Random(seed), BEGIN, []
        self.log = EmbeddedLog(str(folder / "log"))
        self.store = ChdbStore(str(folder / "store"))
        self.repository, self.other = Repository(self.store), Repository(self.store)
        self.slow = False

    async def start(self):
        self.log.open()
        await self.log.create_topics(dict.fromkeys(ALL, 1))
        await self.repository.open()
        self.loop, self.insert = asyncio.get_running_loop(), self.store.insert
        self.wire = Wire(self.rng, self.store)
        self.rival = self.job(self.other)
        await self.begin()

    async def begin(self):
        self.worker = PartitionWorker(0, self.log, self.repository, SETTINGS, self.now)
        self.offset = await self.worker.open()
        self.longer = self.job(self.repository)

    async def stop(self):
        self.other.thread._pool.shutdown()
        await self.repository.close()
        self.log.close()

    def now(self):
        return self.clock

    def job(self, repository):
        given = {"log": self.log, "repository": repository, "partitions": 1, "lateness_ms": 5000, "now_ms": self.now}
        return LongerRollups(LONG, **given)

    def write(self, at_ms):
        """Append a sample of every series at each of the times, which ``sent`` is not told of."""
        times = np.repeat(np.array(at_ms, np.int64), len(SERIES))
        batch = make_batch(SERIES, np.tile(IDS, len(at_ms)), times, np.ones(len(times)))
        self.log.append_now(SAMPLES, 0, encode_batch(batch))

    async def work(self):
        """What the owner does in a while; the store or the log may fail it anywhere."""
        records = await self.log.read(SAMPLES, 0, max(self.offset, self.worker.offset))
        if records:
            await self.worker.process(records)
        await self.worker.tick()
        self.clock += 10_000
        await self.longer.run()

    def slow_insert(self, table, columns, **more):
        """Before rows arrive time passes, and the rival merges what it finds due."""
        if self.slow and table in ("rollups", "touched") and self.rng.random() < 0.5:
            self.slow = False
            self.clock += self.rng.choice((1000, 8000, 40_000))
            asyncio.run_coroutine_threadsafe(self.rival.run(), self.loop).result(60)
        self.insert(table, columns, **more)

    async def step(self):
        self.clock += self.rng.choice((1, 3, 7)) * HOUR
        late = [self.clock - self.rng.randrange(60 * HOUR) for _ in range(self.rng.choice((0, 0, 1, 3)))]
        times = [max(BEGIN, at) for at in (self.clock - self.rng.randrange(HOUR), self.clock, *late)]
        self.write(times)
        self.sent += times
        happens = self.rng.random()
        if happens < 0.4:
            try:
                with failing(self.rng, self.store, self.log, 12, self.wire):
                    await self.work()
            except (SinkError, SourceError):
                pass
        elif happens < 0.6:
            self.store.insert, self.slow = self.slow_insert, True
            try:
                await self.work()
            finally:
                del self.store.insert
        else:
            await self.work()
        if self.rng.random() < 0.3:  # killed: what it had not written is gone
            self.worker.abandon()
            await self.begin()
        await self.repository.thread.run(self.wire.land)

    async def settle(self):
        """Let everything that was sent be taken in, corrected and merged."""
        self.until_ms = self.clock
        await self.repository.thread.run(self.wire.land)
        self.clock += 20 * 24 * HOUR
        self.write([self.clock])  # closes all before it
        for _ in range(8):
            await self.work()
        await self.worker._correct(everything=True)
        for _ in range(4):
            self.clock += 10_000
            await self.longer.run()
        await self.repository.thread.run(lambda: self.wire.land(everything=True))
        for _ in range(2):
            self.clock += 10_000
            await self.longer.run()
        self.worker.abandon()

    def stored(self):
        sql = "SELECT rollup, start_ms, series_id, count FROM rollups FINAL WHERE start_ms <= {until:Int64}"
        rows = self.store.select(sql, {"until": self.until_ms})
        return keyed(rows["rollup"], rows["start_ms"], rows["series_id"], rows["count"])

    async def told(self):
        out = {}
        for record in await self.log.read(ROLLUPS, 0, 0, records_max=10**6):
            one = decode_rollup(record.value)
            starts, rows, counts = (np.frombuffer(c, np.int64) for c in (one.starts, one.rows, one.count))
            out |= keyed([one.rollup] * len(rows), starts, one.names.ids[rows], counts)
        return out


def keyed(rollups, starts_ms, ids, counts):
    hours = ((np.asarray(starts_ms) - BEGIN) / HOUR).tolist()
    rows = zip(rollups, hours, np.asarray(ids).tolist(), np.asarray(counts).tolist(), strict=True)
    return {(name, hour, one): count for name, hour, one, count in rows}


def wanted(sent):
    out = {}
    for at in sent:
        edges = [("5m", at // 300_000 * 300_000)]
        edges += [(window.spec.name, start) for window in LONG for start, _ in window.holding(at)]
        for name, start in edges:
            for one in IDS.tolist():
                key = (name, (start - BEGIN) / HOUR, one)
                out[key] = out.get(key, 0) + 1
    return out


@pytest.mark.parametrize("seed", [1, 2, 10])  # each showed samples that a day lacked, and windows that nobody was told
async def test_whatever_fails_each_longer_window_holds_every_sample_once(tmp_path, seed):
    site = Deployment(seed, tmp_path)
    await site.start()
    try:
        for _ in range(STEPS):
            await site.step()
        await site.settle()
        want = wanted(site.sent)
        stored = await site.repository.thread.run(site.stored)
        assert {k: (stored.get(k), n) for k, n in want.items() if stored.get(k) != n} == {}
        assert set(stored) == set(want)
        told = await site.told()
        assert {k: (told.get(k), n) for k, n in stored.items() if told.get(k) != n} == {}
    finally:
        await site.stop()
