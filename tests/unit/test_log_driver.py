"""Faust agents on the embedded log: every record arrives, a restart goes on where the caller says."""

import asyncio

import faust
import pytest

from log.embedded import EmbeddedLog
from log.fetch import fetch_topic


async def run_app(folder, until, positions=None):
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
    got, enough = [], asyncio.Event()

    @app.agent(fetch_topic(app, "t", 2))
    async def read(stream):
        async for fetch in stream:
            got.extend((r.partition, r.offset, r.value) for r in fetch.records)
            if len(got) >= until:
                enough.set()

    await app.start()
    return log, app, got, enough


@pytest.mark.parametrize("positions, expect", [(None, 40), ({0: 15, 1: 0}, 25)])
async def test_an_agent_receives_every_record_from_its_position(tmp_path, positions, expect):
    seeded = EmbeddedLog(str(tmp_path / "log"))
    seeded.open()
    seeded.create_topic("t", 2)
    for number in range(20):
        seeded.append_now("t", 0, b"%d" % number)
    seeded.close()
    log, app, got, enough = await run_app(tmp_path, expect, positions)
    for number in range(20):
        log.append_now("t", 1, b"%d" % number)
    await asyncio.wait_for(enough.wait(), 20)
    await app.stop()
    await log.stop()
    start = (positions or {}).get(0, 0)
    assert sorted(got) == sorted([(0, n, b"%d" % n) for n in range(start, 20)] + [(1, n, b"%d" % n) for n in range(20)])
