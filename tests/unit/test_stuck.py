"""A broker's client that stops without a word ends the worker, for its supervisor to start it again."""

import asyncio

import numpy as np
import pytest

from log.driver import Consumer
from schemas.batch import encode_batch, make_batch
from schemas.errors import SourceError
from schemas.series import make_series
from schemas.topics import ALL, SAMPLES
from stream.settings import StreamSettings
from stream.worker import StreamWorker

NOW_MS = 1_700_000_000_000


@pytest.fixture
async def worker(parts, tmp_path):
    log, repository = parts
    await log.create_topics(dict.fromkeys(ALL, 1))
    loop = asyncio.get_running_loop()
    one = StreamWorker(
        broker_url=f"embedded://{tmp_path / 'log'}",
        log=log,
        repository=repository,
        settings=StreamSettings(rollups=("10s",), lateness_ms=0, partitions=1, watch_interval_s=0.2, patience_ms=1000),
        now_ms=lambda: NOW_MS + int(loop.time() * 1000),
        datadir=str(tmp_path / "faust"),
        agents=frozenset({"window"}),
    )
    yield one, log
    await one.stop()


async def append(log):
    series = make_series("web-1", "cpu")
    await log.append(SAMPLES, 0, encode_batch(make_batch([series], np.array([series.series_id]), [NOW_MS], [1.0])))


async def taken_in(one, samples):
    until = asyncio.get_running_loop().time() + 20
    while one.status()["samples"] < samples and asyncio.get_running_loop().time() < until:
        await asyncio.sleep(0.05)


async def with_three(one, log):
    """Start the worker on three records; return its partition once they are taken in."""
    for _ in range(3):
        await append(log)
    await one.start()
    await taken_in(one, 3)
    (window,) = one.windows.values()
    return window


async def test_a_consumer_that_gives_nothing_though_there_is_something(worker, monkeypatch):
    one, log = worker
    await one.start()
    await append(log)
    await taken_in(one, 1)
    assert one.status()["samples"] == 1 and not one.failed.is_set()

    async def nothing(self, active_partitions, timeout):
        await asyncio.sleep(timeout)
        return {}

    monkeypatch.setattr(Consumer, "_getmany", nothing)
    await append(log)
    await asyncio.wait_for(one.failed.wait(), 30)
    assert "but nothing came from" in one.why


async def test_partitions_that_are_shared_out_for_ever(worker, monkeypatch):
    one, _ = worker
    monkeypatch.setattr(Consumer, "seek_to_committed", lambda self: asyncio.sleep(3600))
    with pytest.raises(SourceError, match="shared out for too long"):
        await asyncio.wait_for(one.start(), 30)


async def test_records_that_the_client_left_out_are_read_from_the_log(worker):
    one, log = worker
    window = await with_three(one, log)
    for _ in range(3):
        await append(log)
    last = (await log.read(SAMPLES, 0, 5))[-1:]
    await one._take_in(window, last)
    assert window.offset == 6 and one.status()["samples"] == 6


async def test_records_that_a_new_leader_does_not_know_of_yet_are_waited_for(worker, monkeypatch):
    one, log = worker
    window = await with_three(one, log)
    read, behind = log.read, [[], []]
    for _ in range(3):
        await append(log)
    last = (await read(SAMPLES, 0, 5))[-1:]

    async def late(topic, partition, offset, **given):
        return behind.pop() if behind and topic == SAMPLES else await read(topic, partition, offset, **given)

    monkeypatch.setattr(log, "read", late)
    await one._take_in(window, last)
    assert window.offset == 6 and one.status()["samples"] == 6 and not behind
    assert one.status()["records_trimmed_unread"] == 0
