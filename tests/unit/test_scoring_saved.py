"""A snapshot of a model never stands for a verdict that was not written, whatever is saved or cut off beside it."""

import asyncio
import contextlib

import numpy as np
import pytest

from log.base import Record
from schemas.errors import SinkError
from schemas.names import encode_names, names_of
from schemas.rollup import encode_rollup
from schemas.series import make_series
from schemas.topics import INCIDENTS, ROLLUPS, VERDICTS
from stream.agents.scoring import PartitionScorer
from stream.models.engine import EngineSettings
from stream.rollup.aggregate import aggregate
from stream.settings import StreamSettings

MINUTE, WINDOWS = 60_000, 60
START = 1_700_000_000_000 // MINUTE * MINUTE
SERIES = [make_series(entity, "queue") for entity in ("web-1", "web-2")]
SETTINGS = StreamSettings(
    rollups=("1m",), lateness_ms=0, partitions=1, model_rollups=("1m",), engine=EngineSettings(kinds=("logistic",))
)


def records():
    ids, rng = np.array([one.series_id for one in SERIES], np.uint64), np.random.default_rng(3)
    for i in range(WINDOWS):
        starts = np.full(len(ids), START + i * MINUTE)
        values = rng.normal(50, 3, len(ids))
        rollup = aggregate(
            "1m", MINUTE, starts, ids, starts, values, counters=np.zeros(len(ids), bool), version=i, late=False
        )
        names = encode_names(names_of(sorted(SERIES, key=lambda one: one.series_id)))
        yield Record(ROLLUPS, 0, i, 0, None, encode_rollup(rollup, slice(None), np.arange(len(ids)), names))


@pytest.fixture
async def scorer(parts):
    log, repository = parts
    await log.create_topics({INCIDENTS: 1, ROLLUPS: 1, VERDICTS: 1})
    one = PartitionScorer(0, log, repository, SETTINGS, lambda: 0)
    await one.open()
    return one, PartitionScorer(0, log, repository, SETTINGS, lambda: 0)


async def stored(scorer):
    found = await scorer._verdicts.select(START, START + WINDOWS * MINUTE)
    return len(found)


async def test_windows_that_are_scored_while_an_owner_saves_are_in_the_store_when_its_snapshot_is(scorer, monkeypatch):
    one, following = scorer
    made = list(records())
    await one.process(made[:40])
    waiting, go_on, write = asyncio.Event(), asyncio.Event(), one._verdicts.write

    async def slow(verdicts):
        waiting.set()
        await go_on.wait()
        await write(verdicts)

    monkeypatch.setattr(one._verdicts, "write", slow)
    saving = asyncio.create_task(one.save())
    await waiting.wait()
    scoring = asyncio.create_task(one.process(made[40:50]))
    await asyncio.sleep(0.1)
    go_on.set()
    await asyncio.gather(saving, scoring)
    one.abandon()  # the partition went to another
    await following.process(made[await following.open() :])
    await following.close()
    assert await stored(following) == WINDOWS * len(SERIES)


@pytest.mark.parametrize("fault", [asyncio.CancelledError, SinkError])
async def test_verdicts_whose_write_is_cut_off_are_written_by_the_next(scorer, monkeypatch, fault):
    one, following = scorer
    made, write = list(records()), one._verdicts.write
    await one.process(made[:40])

    async def cut_off(verdicts):
        raise fault("cut off")

    monkeypatch.setattr(one._verdicts, "write", cut_off)
    with contextlib.suppress(asyncio.CancelledError, SinkError):
        await one.tick()
    monkeypatch.setattr(one._verdicts, "write", write)
    await one.close()
    await following.process(made[await following.open() :])
    await following.close()
    assert await stored(following) == WINDOWS * len(SERIES)


async def test_an_owner_that_lost_its_partition_in_the_middle_of_a_fetch_says_and_writes_nothing_more(
    scorer, parts, monkeypatch
):
    one, following = scorer
    log, _ = parts
    made, append = list(records()), log.append
    said = []

    async def lost_after(topic, *rest):
        at = await append(topic, *rest)
        if topic == VERDICTS:
            said.append(at)
            if len(said) == 5:
                one.abandon()
        return at

    monkeypatch.setattr(log, "append", lost_after)
    await one.process(made[:40])
    assert len(said) == 5 and one.offset == 0
    await one.process(made[40:])
    await one.tick()
    await one.save()
    assert len(said) == 5 and await stored(one) == 0
    monkeypatch.setattr(log, "append", append)
    await following.process(made[await following.open() :])
    await following.close()
    assert await stored(following) == WINDOWS * len(SERIES)


async def test_figures_of_models_that_the_store_did_not_take_are_written_the_next_time(scorer, parts, monkeypatch):
    one, _ = scorer
    _, repository = parts
    await one.process(list(records())[:40])

    def refuses(table, columns, **_):
        raise SinkError(f"cannot insert into {table}")

    with monkeypatch.context() as patch:
        patch.setattr(repository.thread.store, "insert", refuses)
        with contextlib.suppress(SinkError):
            await one._save_cards()
    await one._save_cards()
    assert await one._models.cards()
