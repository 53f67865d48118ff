"""A partition's worker on the real log and store, with faults: what a crash, an outage or a takeover leaves."""

import asyncio
import contextlib
import random
import threading
from collections import Counter

import numpy as np
import pytest

from log.embedded import EmbeddedLog
from schemas.batch import encode_batch, make_batch
from schemas.errors import SinkError, SourceError
from schemas.series import make_series
from schemas.topics import ALL, ROLLUPS, SAMPLES
from store.chdb import ChdbStore
from store.repository import Repository
from stream.agents import windowing
from stream.agents.windowing import PartitionWorker
from stream.settings import StreamSettings
from tests.unit.failing import Wire, failing

SERIES = [make_series("web-1", name) for name in ("cpu", "queue")]
IDS = np.array([s.series_id for s in SERIES], np.uint64)
BEGIN = 1_700_000_000_000 // 60_000 * 60_000
SETTINGS = StreamSettings(rollups=("10s", "1m"), lateness_ms=5000, partitions=1, idle_ms=10**9)


class Away(ChdbStore):
    """The real store, which takes no inserts while ``away``."""

    away, inserting = False, None  # ``inserting`` : called with the table before each insert

    def insert(self, table, columns):
        if self.inserting is not None:
            self.inserting(table)
        if self.away:
            raise SinkError(f"cannot insert into {table}: away")
        super().insert(table, columns)


@pytest.fixture
async def parts(tmp_path):
    log, store = EmbeddedLog(str(tmp_path / "log")), Away(str(tmp_path / "store"))
    await log.start()
    await log.create_topics(dict.fromkeys(ALL, 1))
    repository = Repository(store)
    await repository.open()
    yield log, repository, store
    await repository.close()
    await log.stop()


async def opened(log, repository, partitions=1):
    worker = PartitionWorker(0, log, repository, SETTINGS, lambda: BEGIN, lambda: partitions)
    await worker.open()
    return worker


async def write(log, seconds, *, digest=0, rows=1, value=1.0):
    """Append a record with a sample of each series in each second."""
    times = BEGIN + np.repeat(np.array(list(seconds)) * 1000, 2 * rows)
    ids, values = np.tile(IDS, len(times) // 2), np.full(len(times), value)
    batch = make_batch(SERIES, ids, times, values, requests=[(digest, len(ids))])
    await log.append(SAMPLES, 0, encode_batch(batch))


async def feed(log, worker):
    while records := await log.read(SAMPLES, 0, worker.offset, records_max=1):
        await worker.process(records)


async def counts(repository, rollup="10s"):
    rows = await repository.rollup_rows(rollup, np.repeat(IDS[:1], 8), BEGIN + np.arange(8) * 10_000)
    return dict(zip(((rows["start_ms"] - BEGIN) // 10_000).tolist(), rows["count"].tolist(), strict=True))


async def test_windows_that_could_not_be_told_of_are_made_again_by_the_next_owner(parts, monkeypatch):
    log, repository, _ = parts
    worker = await opened(log, repository)
    await write(log, range(0, 20))
    await feed(log, worker)
    await worker.tick()
    await write(log, range(20, 60))
    append, told = log.append, 0

    async def torn(topic, *given):
        nonlocal told
        told += topic == ROLLUPS
        if topic == ROLLUPS and told == 2:
            raise SinkError("cannot append: the broker is away")
        return await append(topic, *given)

    monkeypatch.setattr(log, "append", torn)
    with pytest.raises(SinkError):
        await feed(log, worker)
    await worker.tick()
    await worker.close()  # as a process does that ends: it must not say that the windows are stored
    monkeypatch.undo()
    after = await opened(log, repository)
    await feed(log, after)
    await after.close()
    assert await counts(repository) == {0: 10, 1: 10, 2: 10, 3: 10, 4: 10}


async def test_a_request_that_is_sent_again_after_a_restart_is_counted_once(parts):
    log, repository, _ = parts
    worker = await opened(log, repository)
    await write(log, range(0, 10), digest=77)
    await write(log, range(10, 120))
    await feed(log, worker)
    await worker.close()
    after = await opened(log, repository)
    assert after.offset > 0, "the first request is not read again"
    await write(log, range(0, 10), digest=77)
    await write(log, range(0, 10), digest=78)
    await write(log, range(120, 150))
    await feed(log, after)
    for _ in range(4):
        await after.tick()
    await after.close()
    assert (await counts(repository))[0] == 20


async def test_a_write_that_nobody_waits_for_any_more_leaves_each_raw_sample_once(parts):
    log, repository, store = parts
    worker = await opened(log, repository)
    await write(log, range(0, 100))
    await feed(log, worker)
    began, goes_on, loop = asyncio.Event(), threading.Event(), asyncio.get_running_loop()

    def wait_for_us(table):
        if table == "raw_samples":
            loop.call_soon_threadsafe(began.set)
            assert goes_on.wait(30)

    store.inserting = wait_for_us
    ticking = asyncio.create_task(worker.tick())
    await began.wait()
    ticking.cancel()  # as a stop does
    await asyncio.gather(ticking, return_exceptions=True)
    await write(log, range(100, 200))  # with which another block would not be taken for the same one
    await feed(log, worker)
    closing = asyncio.create_task(worker.close())
    await asyncio.sleep(0.1)
    goes_on.set()
    await closing
    sql = "SELECT count() AS n, uniqExact(series_id, timestamp_ms) AS u FROM samples"
    rows = await repository.thread.run(store.select, sql)
    assert rows["n"].tolist() == rows["u"].tolist() == [400]


@pytest.mark.parametrize(("partitions", "most", "least"), [(1, 100_000, 1), (3, 300_000, 1), (3, 30_000, 100_000)])
async def test_while_the_store_is_away_no_more_is_held_than_fits_and_then_all_of_it_arrives(
    parts, monkeypatch, partitions, most, least
):
    log, repository, store = parts
    monkeypatch.setattr(windowing, "PENDING_BYTES_MAX", most)
    monkeypatch.setattr(windowing, "PENDING_BYTES_LEAST", least)
    worker = await opened(log, repository, partitions)
    for second in range(70):
        await write(log, [second], rows=100)
    store.away = True
    feeding = asyncio.create_task(feed(log, worker))
    await asyncio.sleep(0.3)
    stands = worker.offset
    assert 10 < stands < 60 and not feeding.done()
    with pytest.raises(SinkError):
        await worker.tick()
    await asyncio.sleep(0.1)
    assert worker.offset == stands
    store.away = False
    while not feeding.done():
        await worker.tick()
        await asyncio.sleep(0.01)
    await worker.close()
    assert await counts(repository) == {n: 1000 for n in range(6)}


async def test_an_owner_that_lost_the_partition_while_the_store_was_away_leaves_it_to_the_next(parts):
    log, repository, store = parts
    first = await opened(log, repository)
    await write(log, range(0, 30))
    await feed(log, first)
    store.away = True
    with pytest.raises(SinkError):
        await first.tick()
    store.away = False
    second = await opened(log, repository)
    await write(log, range(30, 60))
    await write(log, [5])  # late
    await feed(log, second)
    for _ in range(4):
        await second.tick()
    await first.tick()  # it wakes, and writes what it still held
    await second.close()
    assert await counts(repository) == {0: 11, 1: 10, 2: 10, 3: 10, 4: 10}


async def test_raw_samples_are_not_written_again_by_the_next_owner(parts):
    """Who takes over reads from before what is stored, because of the windows that are open."""
    log, repository, store = parts
    for number in range(4):
        worker = await opened(log, repository)
        assert number == 0 or worker.offset < number, "nothing would be read again"
        await write(log, range(number * 20, number * 20 + 20))
        await feed(log, worker)
        await worker.tick()
        if number % 2:
            worker.abandon()
        else:
            await worker.close()
    rows = await repository.thread.run(
        store.select, "SELECT count() AS n, uniqExact(series_id, timestamp_ms) AS different FROM samples"
    )
    assert (int(rows["n"][0]), int(rows["different"][0])) == (160, 160)


@pytest.mark.parametrize("seed", range(8))
async def test_samples_are_stored_once_whatever_fails_whoever_ends_and_when_ever_a_write_lands(parts, seed):
    """Some requests come twice, some times and values too; a write may fail after any of what it writes was taken, and
    what was sent may be taken long after somebody else has the partition.
    """
    log, repository, store = parts
    rng, sent, digest = random.Random(seed), Counter(), 0
    wire = Wire(rng, store)
    worker = await opened(log, repository)
    for second in range(60):
        repeated = rng.random() < 0.2 and digest > 0
        if not repeated:
            digest, content = digest + 1, sorted({second, rng.randrange(second + 1)})
            sent.update(content)
        await write(log, content, digest=digest, value=digest // 8, rows=1 + digest % 2)
        sent.update(content if not repeated and digest % 2 else [])
        try:
            with failing(rng, store, log, 12, wire) if rng.random() < 0.4 else contextlib.nullcontext():
                await feed(log, worker)
                if rng.random() < 0.7:
                    await worker.tick()
        except (SinkError, SourceError):
            pass
        if rng.random() < 0.2:
            worker.abandon()
            worker = await opened(log, repository)
        if rng.random() < 0.3:
            await repository.thread.run(wire.land)
    await write(log, [99], digest=10**6)
    await feed(log, worker)
    for _ in range(4):
        await worker.tick()
    await repository.thread.run(lambda: wire.land(everything=True))
    await worker.close()
    sql = "SELECT intDiv(timestamp_ms, 1000) AS second, count() AS n FROM samples GROUP BY second"
    rows = await repository.thread.run(store.select, sql)
    got = dict(zip((rows["second"] - BEGIN // 1000).tolist(), rows["n"].tolist(), strict=True))
    assert got == {second: len(SERIES) * n for second, n in sent.items()} | {99: len(SERIES)}
    assert await counts(repository) == {n: sum(sent[s] for s in range(10 * n, 10 * n + 10)) for n in range(6)}
