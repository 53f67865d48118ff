"""Faust agents on the embedded log: every record arrives, a restart goes on where the caller says."""

import asyncio

import faust
import pytest
from faust.types import TP

from log.embedded import EmbeddedLog
from log.fetch import WAITING_BYTES, WAITING_FETCHES, fetch_topic


async def agent_on(folder, work, positions=None):
    """Return (log, app) of an agent that calls ``work(app, fetch)`` for each fetch of two partitions.

    positions : partition → the offset it is read from.
    """
    log = EmbeddedLog.shared(str(folder / "log"))
    await log.start()
    await log.create_topics({"t": 2})
    app = faust.App(
        "check",
        broker=f"embedded://{folder / 'log'}",
        datadir=str(folder / "faust"),
        web_enabled=False,
        stream_wait_empty=False,
        topic_partitions=2,
    )
    if positions is not None:

        async def ask(topic, partition):
            return positions.get(partition)

        app.foreshock_positions = ask

    @app.agent(fetch_topic(app, "t", 2))
    async def read(stream):
        async for fetch in stream:
            await work(app, fetch)

    await app.start()
    return log, app


@pytest.mark.parametrize("positions, expect", [(None, 40), ({0: 15, 1: 0}, 25)])
async def test_an_agent_receives_every_record_from_its_position(tmp_path, positions, expect):
    seeded = EmbeddedLog(str(tmp_path / "log"))
    seeded.open()
    seeded.create_topic("t", 2)
    for number in range(20):
        seeded.append_now("t", 0, b"%d" % number)
    seeded.close()
    got, enough = [], asyncio.Event()

    async def work(app, fetch):
        got.extend((record.partition, record.offset, record.value) for record in fetch.records)
        if len(got) >= expect:
            enough.set()

    log, app = await agent_on(tmp_path, work, positions)
    for number in range(20):
        log.append_now("t", 1, b"%d" % number)
    await asyncio.wait_for(enough.wait(), 20)
    await app.stop()
    await log.stop()
    start = (positions or {}).get(0, 0)
    assert sorted(got) == sorted([(0, n, b"%d" % n) for n in range(start, 20)] + [(1, n, b"%d" % n) for n in range(20)])


async def test_an_agent_that_does_not_get_on_is_handed_a_bounded_number_of_fetches_and_all_of_them_in_the_end(tmp_path):
    go_on, got = asyncio.Event(), []

    async def work(app, fetch):
        await go_on.wait()
        got.extend((record.partition, record.offset) for record in fetch.records)
        app.consumer.taken_in(fetch)

    log, app = await agent_on(tmp_path, work)
    large = b"x" * (WAITING_BYTES // 2)
    for _ in range(6):
        for partition in (0, 1):
            log.append_now("t", partition, large)
            await asyncio.sleep(0.1)  # a fetch of its own
    until = asyncio.get_running_loop().time() + 20
    handed = app.consumer._handed
    while min(sum(handed[TP("t", n)].values()) for n in (0, 1)) < WAITING_BYTES:
        assert asyncio.get_running_loop().time() < until, handed
        await asyncio.sleep(0.05)
    await asyncio.sleep(0.3)
    for partition in (0, 1):
        waiting = handed[TP("t", partition)]
        assert sum(waiting.values()) < WAITING_BYTES + max(waiting.values()) and len(waiting) <= WAITING_FETCHES
        assert len(waiting) < 6
    go_on.set()
    while len(got) < 12 and asyncio.get_running_loop().time() < until:
        await asyncio.sleep(0.05)
    await app.stop()
    await log.stop()
    assert sorted(got) == [(partition, offset) for partition in (0, 1) for offset in range(6)]


async def test_what_comes_while_partitions_move_is_read_again_from_where_their_owner_began(tmp_path):
    got = []

    async def work(app, fetch):
        got.extend((record.partition, record.offset) for record in fetch.records)
        app.consumer.taken_in(fetch)

    log, app = await agent_on(tmp_path, work)
    until = asyncio.get_running_loop().time() + 20
    consumer, real = app.consumer, app.consumer._getmany

    async def moved(active_partitions, timeout):
        found = await real(active_partitions, timeout)
        if found and consumer.flow_active:  # as a revocation does that comes beside a fetch
            consumer.stop_flow()
            asyncio.get_running_loop().call_later(0.1, consumer.resume_flow)
            consumer._getmany = real
        return found

    consumer._getmany = moved
    for number in range(5):
        log.append_now("t", 1, b"%d" % number)
    while len(got) < 5 and asyncio.get_running_loop().time() < until:
        await asyncio.sleep(0.05)
    await app.stop()
    await log.stop()
    assert got == [(1, offset) for offset in range(5)]
