"""A store that goes away: nothing is made ready for it in vain, and what it took of a write is not written again."""

import time

import numpy as np
import pytest

from schemas.errors import SinkError, SourceError
from store import raw as raw_module
from store.base import open_store
from store.models import ModelTables
from store.raw import RawSamples
from store.repository import Repository

CHECKPOINT = {"topic": "t", "partition": 0, "resume_offset": 0, "floor_ms": 0, "watermark_ms": 0, "version": 0}


class Flaky:
    """A real store that is away from the ``left``-th call on, until ``left`` is set again."""

    def __init__(self, store):
        self._store, self.left, self.calls = store, 10**9, []

    def __getattr__(self, name):
        return getattr(self._store, name)

    def _call(self, error, name, *args, **more):
        self.calls.append((name, args[0]))
        self.left -= 1
        if self.left < 0:
            raise error("away")
        return getattr(self._store, name)(*args, **more)

    def insert(self, *args, **more):
        return self._call(SinkError, "insert", *args, **more)

    def select(self, *args, **more):
        return self._call(SourceError, "select", *args, **more)


@pytest.fixture
async def away(tmp_path):
    store = Flaky(open_store(f"embedded://{tmp_path}"))
    repository = Repository(store)
    await repository.open()
    yield store, repository
    await repository.close()


async def test_while_a_store_is_away_a_write_is_not_made_ready(away):
    store, repository = away
    store.left, made = 0, []
    for _ in range(4):
        with pytest.raises((SinkError, SourceError)):
            await repository.thread.run(lambda: made.append(1) or store.insert("checkpoints", {"topic": ["t"]}))
    assert made == [1]
    store.left = 10**9
    await repository.write([], [], [], CHECKPOINT)
    assert await repository.checkpoint("t", 0)


async def test_a_store_that_is_away_is_closed_without_a_word(tmp_path):
    store = Flaky(open_store(f"embedded://{tmp_path}"))
    repository = Repository(store)
    await repository.open()
    store.left = 0
    with pytest.raises(SinkError):
        await repository.write([], [], [], CHECKPOINT)
    await repository.close()
    assert not store._store._sessions


async def test_versions_of_a_day_have_one_time_until_which_every_partition_has_its_own(away):
    _, repository = away
    models, midnight = ModelTables(repository.thread), int(time.time()) // 86_400 * 86_400_000 - 5 * 86_400_000
    for day in range(3):
        for partition in range(3):
            at_ms = midnight + day * 86_400_000 + 100 * partition
            await models.keep_version(partition, "1m", day, at_ms, bytes([partition, day]))
    kept = await models.versions("1m")
    assert kept == [midnight + day * 86_400_000 + 200 for day in range(3)]
    for day, at_ms in enumerate(kept):
        states = [await models.state(partition, "1m", at_ms) for partition in range(3)]
        assert [one.body for one in states] == [bytes([partition, day]) for partition in range(3)]


async def test_raw_samples_that_a_store_took_before_it_went_away_are_written_once(away, monkeypatch):
    monkeypatch.setattr(raw_module, "SAMPLES_AT_ONCE", 250)
    store, repository = away
    parts = [
        RawSamples(np.full(100, n, np.uint64), np.arange(100) + n * 1000, np.arange(100.0), np.arange(100))
        for n in range(1, 11)
    ]
    raw = list(parts)
    store.left = 2
    with pytest.raises(SinkError):
        await repository.write([], [], raw, CHECKPOINT)
    assert 0 < len(raw) < len(parts)
    store.left = 10**9
    await repository.write([], [], raw, CHECKPOINT)
    rows = store.select("SELECT series_id, count() AS n, uniqExact(timestamp_ms) AS times FROM samples GROUP BY 1")
    assert sorted(rows["series_id"].tolist()) == list(range(1, 11))
    assert set(rows["n"].tolist()) == set(rows["times"].tolist()) == {100}
