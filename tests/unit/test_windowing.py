"""A partition's worker on a real log and store: who waits for a window does not wait for the store."""

import asyncio
import random

import numpy as np
import pytest

from log.embedded import EmbeddedLog
from schemas.batch import encode_batch, make_batch
from schemas.errors import SinkError
from schemas.rollup import decode_rollup
from schemas.series import make_series
from schemas.topics import ALL, ROLLUPS, SAMPLES
from store.base import open_store
from store.repository import Repository
from stream.agents.windowing import PartitionWorker
from stream.settings import StreamSettings

SERIES = [make_series(f"e{number}", "m") for number in range(3)]
BEGIN_MS = 1_700_000_000_000 // 60_000 * 60_000
SETTINGS = StreamSettings(rollups=("1s", "5s"), lateness_ms=0, partitions=1)


class Gate(Repository):
    """A store whose writes can be held up, and fail."""

    def __init__(self, store):
        super().__init__(store)
        self.free, self.failures = asyncio.Event(), 0
        self.free.set()

    async def write(self, *given):
        await self.free.wait()
        if self.failures:
            self.failures -= 1
            raise SinkError("cannot write: the store is away")
        await super().write(*given)


@pytest.fixture
async def parts(tmp_path):
    log = EmbeddedLog(str(tmp_path / "log"))
    log.open()
    await log.create_topics(dict.fromkeys(ALL, 1))
    repository = Gate(open_store(f"embedded://{tmp_path / 'store'}"))
    await repository.open()
    yield log, repository
    await repository.close()
    log.close()


async def opened(log, repository):
    worker = PartitionWorker(0, log, repository, SETTINGS, lambda: BEGIN_MS)
    return worker, await worker.open()


def write(log, times_s):
    """Append a record with a sample of every series at each of the times."""
    times = BEGIN_MS + 1000 * np.repeat(np.asarray(times_s, float), len(SERIES))
    ids = np.tile(np.array([s.series_id for s in SERIES], np.uint64), len(times_s))
    log.append_now(SAMPLES, 0, encode_batch(make_batch(SERIES, ids, times.astype(np.int64), np.ones(len(times)))))


def stored(repository):
    sql = "SELECT rollup, start_ms, sum(count) AS n FROM rollups FINAL GROUP BY start_ms, rollup"
    rows = repository.store.select(sql)
    starts = ((rows["start_ms"] - BEGIN_MS) / 1000).tolist()
    return {(r, s): n for r, s, n in zip(rows["rollup"], starts, rows["n"].tolist(), strict=True)}


async def test_windows_close_while_the_store_is_written_to(parts):
    log, repository = parts
    worker, offset = await opened(log, repository)
    write(log, [0.5])
    write(log, [1.5])
    await worker.process(await log.read(SAMPLES, 0, offset))
    repository.free.clear()
    ticking = asyncio.create_task(worker.tick())
    await asyncio.sleep(0.05)
    for second in range(2, 8):
        write(log, [second + 0.5])
        await asyncio.wait_for(worker.process(await log.read(SAMPLES, 0, worker.offset)), 60)
    assert log.offsets_now(ROLLUPS, 0)[1] == 8, "seven of a second and one of five were told"
    assert not ticking.done() and stored(repository) == {}
    write(log, [0.7])  # late: its correction waits for the store, what comes after it does not
    write(log, [8.5])
    await asyncio.wait_for(worker.process(await log.read(SAMPLES, 0, worker.offset)), 60)
    assert log.offsets_now(ROLLUPS, 0)[1] == 9
    repository.free.set()
    await ticking
    await worker.tick()
    await worker.close()
    assert stored(repository) == {("1s", float(s)): 6 if s == 0 else 3 for s in range(8)} | {("5s", 0.0): 18}


@pytest.mark.parametrize("seed", range(6))
async def test_failing_slow_and_killed_at_any_moment_the_table_is_the_same(parts, seed):
    log, repository = parts
    rng, now_s, sent = random.Random(seed), 0.0, []
    worker, offset = await opened(log, repository)
    ticking: list[asyncio.Task] = []
    for _ in range(40):
        now_s += rng.choice((0.1, 0.4, 1.1))
        times = [max(0.0, round(now_s - rng.choice((0, 0, 0, 1, 4)), 1)) for _ in range(rng.randint(1, 3))]
        write(log, times)
        sent += times
        await worker.process(await log.read(SAMPLES, 0, max(offset, worker.offset)))
        happens = rng.random()
        if happens < 0.25:
            ticking.append(asyncio.create_task(worker.tick()))
        elif happens < 0.35:
            repository.failures = rng.randint(1, 2)
        elif happens < 0.45:
            repository.free.clear()
        elif happens < 0.65:
            repository.free.set()
        elif happens < 0.72:  # killed: what it had not written is gone, what it had under way may arrive
            worker.abandon()
            repository.free.set()
            await asyncio.gather(*ticking, return_exceptions=True)
            worker, offset = await opened(log, repository)
        await asyncio.sleep(0)
    write(log, [now_s + 20])
    repository.free.set()
    repository.failures = 0
    await asyncio.gather(*ticking, return_exceptions=True)
    while records := await log.read(SAMPLES, 0, max(offset, worker.offset)):
        await worker.process(records)
    await worker._correct(everything=True)  # late samples wait for their own windows to be complete
    await worker.close()
    want: dict = {}
    for at in sent:
        for name, size in (("1s", 1.0), ("5s", 5.0)):
            key = (name, float(at // size * size))
            want[key] = want.get(key, 0) + len(SERIES)
    assert stored(repository) == want


async def test_a_partition_that_another_process_had_is_taken_over_with_its_series(parts):
    log, first = parts
    second = Repository(first.store)
    await second._run(second._load_series)  # it was up before the series were known
    series = make_series("e", "requests_total", kind="counter")

    async def write(at_s, value, *, new):
        ids, times = np.array([series.series_id], np.uint64), np.array([BEGIN_MS + 1000 * at_s], np.int64)
        batch = make_batch([series] if new else [], ids, times, np.array([value]))
        await log.append(SAMPLES, 0, encode_batch(batch))

    await write(0, 10.0, new=True)
    await write(20, 30.0, new=False)
    before, _ = await opened(log, first)
    await before.process(await log.read(SAMPLES, 0, 0))
    await before.close()
    await write(21, 31.0, new=False)
    await write(40, 50.0, new=False)
    after, offset = await opened(log, second)
    assert offset == 1  # the definition does not come by again
    end = (await log.offsets(ROLLUPS, 0))[1]
    await after.process(await log.read(SAMPLES, 0, offset))
    await after.close()
    messages = [decode_rollup(record.value) for record in await log.read(ROLLUPS, 0, end)]
    for names in (message.names for message in messages):
        assert (names.entities, names.keys, names.are("counter").tolist()) == (["e"], ["requests_total"], [True])
    rows = second.store.select("SELECT start_ms, increase FROM rollups FINAL WHERE rollup = '5s' ORDER BY start_ms")
    increases = dict(zip(((rows["start_ms"] - BEGIN_MS) // 1000).tolist(), rows["increase"].tolist(), strict=True))
    assert increases[20] == 21.0, "a counter is one for its next owner too"
