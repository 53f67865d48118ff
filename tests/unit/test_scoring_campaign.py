"""Seeded campaigns on a partition's models: a store and a log that fail, owners that are killed or lose the partition.

Whatever happens, each window has the one verdict, to the byte, that a calm run gives it, and what the models know in
the end is what they know after a calm run: nothing is learned twice or skipped.
"""

import asyncio
import contextlib
import random
import time

import msgspec
import numpy as np
import pytest

from log.base import Record
from log.embedded import EmbeddedLog
from schemas.errors import SinkError
from schemas.incident import Incident
from schemas.names import encode_names, names_of
from schemas.rollup import encode_rollup
from schemas.series import make_series
from schemas.topics import INCIDENTS, ROLLUPS, VERDICTS
from schemas.verdict import decode_verdicts_in_short
from store.chdb import ChdbStore
from store.repository import Repository
from stream.agents.scoring import PartitionScorer
from stream.models.base import pack
from stream.models.engine import EngineSettings
from stream.rollup.aggregate import aggregate
from stream.settings import StreamSettings
from tests.unit.failing import Wire, failing

MINUTE, WINDOWS = 60_000, 240
START = 1_700_000_000_000 // MINUTE * MINUTE
ENTITIES = ("web-1", "web-2", "web-3")
SERIES = [make_series(entity, metric) for entity in ENTITIES for metric in ("queue", "cpu")]
ENGINE = EngineSettings(
    kinds=("logistic", "knn"),
    horizons_ms=(5 * MINUTE, 10 * MINUTE, 20 * MINUTE),
    label_delay_ms=5 * MINUTE,
    quarantine_ms=2 * MINUTE,
)
SETTINGS = StreamSettings(
    rollups=("1m",),
    lateness_ms=0,
    partitions=1,
    model_rollups=("1m",),
    engine=ENGINE,
    snapshot_interval_ms=20_000,
    cards_interval_ms=5_000,
)


def incidents():
    for number, at in enumerate(range(30, WINDOWS, 45)):
        begin = START + at * MINUTE
        yield Incident(id=f"i{number}", entity="web-1", start_ms=begin, end_ms=begin + 8 * MINUTE)


def records():
    """Return the rollups of each minute, some entities silent now and then; a queue grows before each incident."""
    rng, ids = np.random.default_rng(3), np.array([one.series_id for one in SERIES], np.uint64)
    names = encode_names(names_of(sorted(SERIES, key=lambda one: one.series_id)))
    for i in range(WINDOWS):
        values = rng.normal(50, 3, len(ids))
        build_up = max((i - (at - 15) for at in range(30, WINDOWS, 45) if at - 15 <= i < at + 8), default=0)
        values[0] += 4 * build_up
        here = np.array([one.entity == "web-1" or rng.random() > 0.05 for one in SERIES])
        starts = np.full(int(here.sum()), START + i * MINUTE)
        counters = np.zeros(len(starts), bool)
        rollup = aggregate(
            "1m", MINUTE, starts, ids[here], starts, values[here], counters=counters, version=i, late=False
        )
        yield Record(ROLLUPS, 0, i, 0, None, encode_rollup(rollup, slice(None), np.arange(len(starts)), names))


RECORDS = list(records())


@contextlib.asynccontextmanager
async def place(folder):
    log = EmbeddedLog.shared(str(folder / "log"))
    await log.start()
    await log.create_topics({INCIDENTS: 1, ROLLUPS: 1, VERDICTS: 1})
    for one in incidents():
        await log.append(INCIDENTS, 0, msgspec.json.encode(one))
    repository = Repository(ChdbStore(str(folder / "store")))
    await repository.open()
    yield log, repository
    await repository.close()
    await log.stop()


class Campaign:
    def __init__(self, seed, log, repository):
        self.rng, self.log, self.repository = random.Random(seed), log, repository
        self.now = time.time_ns() // 1_000_000  # lately: the store lets the models' windows go after some weeks
        self.faults = self.owners = 0
        self.wire = Wire(self.rng, repository.thread.store)

    async def fresh(self):
        self.owners += 1
        self.scorer = PartitionScorer(0, self.log, self.repository, SETTINGS, lambda: self.now)
        self.at = await self.scorer.open()

    @contextlib.contextmanager
    def failing(self, probability):
        """The store and the log fail, perhaps."""
        with contextlib.ExitStack() as faults:
            if self.rng.random() < probability:
                faults.enter_context(failing(self.rng, self.repository.thread.store, self.log, 4, self.wire))
            try:
                yield
            except SinkError:
                self.faults += 1

    async def run(self, probability):
        rng = self.rng
        await self.fresh()
        while self.at < WINDOWS:
            some = RECORDS[self.at : self.at + rng.randint(1, 12)]
            with self.failing(probability / 3):
                await self.scorer.process(some)
                self.at += len(some)
            self.now += 1000 * rng.randint(1, 9)
            await self.repository.thread.run(self.wire.land)
            if rng.random() < 0.6:
                with self.failing(probability):
                    await self.scorer.tick()
            if self.scorer._abandoned or rng.random() < probability / 4:
                if rng.random() < 0.5:
                    with self.failing(probability):
                        await self.scorer.close()
                self.scorer.abandon()
                await self.fresh()
        await self.scorer.save()
        await self.repository.thread.run(lambda: self.wire.land(everything=True))

    async def outcome(self):
        """Return the verdicts, what the models know, and what was said of each window on the topic, in order."""
        verdicts = [bytes(one) for one in await self.scorer._verdicts.select(START, START + WINDOWS * MINUTE)]
        said, at = [], 0
        while found := await self.log.read(VERDICTS, 0, at):
            said += [(one.end, one.entity, one.flag) for r in found for one in decode_verdicts_in_short(r.value)]
            at = found[-1].offset + 1
        return verdicts, pack(self.scorer.engines["1m"].state()), said


@pytest.fixture(scope="module")
def calm(tmp_path_factory):
    async def run():
        async with place(tmp_path_factory.mktemp("calm")) as (log, repository):
            campaign = Campaign(0, log, repository)
            await campaign.run(0)
            return await campaign.outcome()

    return asyncio.run(run())


@pytest.mark.parametrize("seed", range(4))
async def test_every_window_has_the_verdict_of_a_calm_run_and_is_learned_once(tmp_path, calm, seed):
    async with place(tmp_path) as (log, repository):
        campaign = Campaign(seed, log, repository)
        await campaign.run(0.4)
        verdicts, state, said = await campaign.outcome()
    assert campaign.faults > 3 and campaign.owners > 2
    assert len(verdicts) == len(calm[0]) > 2.8 * WINDOWS
    assert verdicts == calm[0], "a verdict differs"
    assert state == calm[1], "the models learned something else"
    once = list(dict.fromkeys(said))
    assert sorted(once) == sorted(calm[2]), "said of each window, and the same each time"
