"""A worker that is stopped in the middle of its work finishes it first."""

import asyncio

import numpy as np

from log.embedded import EmbeddedLog
from schemas.batch import CLOSE_ALL, encode_batch, make_batch
from schemas.series import make_series
from schemas.topics import ALL, SAMPLES
from store.base import open_store
from store.repository import Repository
from stream.agents.windowing import PartitionWorker
from stream.settings import StreamSettings
from stream.worker import StreamWorker

NOW_MS = 1_700_000_000_000


async def test_a_stop_waits_for_the_records_that_are_being_taken_in(tmp_path, monkeypatch):
    entered, close_part = asyncio.Event(), PartitionWorker._close_part

    async def slow(self):
        entered.set()
        await asyncio.sleep(0.5)
        return await close_part(self)

    monkeypatch.setattr(PartitionWorker, "_close_part", slow)
    log = EmbeddedLog.shared(str(tmp_path / "log"))
    await log.start()
    await log.create_topics(dict.fromkeys(ALL, 1))
    series = make_series("web-1", "cpu")
    batch = make_batch([series], np.array([series.series_id]), np.array([NOW_MS]), np.ones(1), advance_ms=CLOSE_ALL)
    await log.append(SAMPLES, 0, encode_batch(batch))
    repository = Repository(open_store(f"embedded://{tmp_path / 'store'}"))
    await repository.open()
    worker = StreamWorker(
        broker_url=f"embedded://{tmp_path / 'log'}",
        log=log,
        repository=repository,
        settings=StreamSettings(rollups=("10s",), lateness_ms=0, partitions=1, flush_interval_s=60),
        now_ms=lambda: NOW_MS,
        datadir=str(tmp_path / "faust"),
        agents=frozenset({"window"}),
    )
    await worker.start()
    await asyncio.wait_for(entered.wait(), 20)
    await worker.stop()
    found = await repository.ranges.select(NOW_MS - 60_000, NOW_MS + 60_000, [series], "count", "10s")
    saved = await repository.checkpoint(SAMPLES, 0)
    await repository.close()
    await log.stop()
    assert found.values.tolist() == [[1.0]] and saved["resume_offset"] == 1
