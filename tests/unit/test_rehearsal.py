"""A past interval through a stored model: real store, log, snapshot and engine; windows as they are written live."""

import asyncio
import contextlib
import time
from functools import partial

import msgspec
import numpy as np
import pytest

from foreshock.rehearse import counts
from log.base import Record
from log.open import open_log
from schemas.errors import DataError
from schemas.incident import Incident
from schemas.names import encode_names, names_of
from schemas.rehearsal import Wanted
from schemas.rollup import Rollup, decode_rollup, encode_rollup
from schemas.series import make_series
from schemas.topics import ALL, INCIDENTS, ROLLUPS
from store.base import open_store
from store.incidents import IncidentTable
from store.models import ModelTables
from store.repository import Repository
from store.verdicts import VerdictTable
from stream.agents.scoring import PartitionScorer
from stream.agents.snapshot import read_snapshot
from stream.features.frame import frames_from_message, frames_from_rows
from stream.models.base import pack
from stream.models.engine import EngineSettings
from stream.models.periods import Periods
from stream.models.rehearsal import Asked, Rehearsal
from stream.rehearsal import Rehearsals
from stream.settings import StreamSettings

MINUTE, HOUR = 60_000, 3_600_000
START = 1_700_000_000_000 // MINUTE * MINUTE
LEARNED, AFTER, EVERY = 700, 40, 170  # windows until the snapshot, and after it; an incident every so many
SETTINGS = StreamSettings(
    rollups=("1m",),
    lateness_ms=0,
    partitions=1,
    model_rollups=("1m",),
    engine=EngineSettings(
        horizons_ms=(5 * MINUTE, 10 * MINUTE, 30 * MINUTE),
        quarantine_ms=5 * MINUTE,
        label_delay_ms=0,
        kinds=("logistic", "knn"),
    ),
    periods=Periods(ranges=[{"name": "peak", "from": "2001-01-01", "to": "2001-01-02"}]),
)
SERIES = [
    make_series(entity, metric, None, kind)
    for entity in ("web-1", "web-2")
    for metric, kind in (("queue", "gauge"), ("requests_total", "counter"), ("deploy", "event"))
]


def windows():
    """Return a rollup a minute: a queue that grows for ten minutes before each incident, a counter, an event."""
    rng = np.random.default_rng(5)
    n, total = len(SERIES), LEARNED + AFTER
    mean = rng.normal(50, 3, (total, n))
    for at in range(150, total, EVERY):
        mean[at - 10 : at, [0, 3]] += np.linspace(2, 30, 10)[: len(mean[at - 10 : at]), None]
        mean[at : at + 8, [0, 3]] += 40
    for i in range(total):
        count = rng.integers(1, 7, n).astype(np.uint64)
        start, low, high = START + i * MINUTE, mean[i] - (count > 1), mean[i] + (count > 1)
        yield Rollup(
            rollup="1m",
            start_ms=np.full(n, start),
            end_ms=np.full(n, start + MINUTE),
            ids=np.array([s.series_id for s in SERIES], np.uint64),
            count=count,
            sum=mean[i] * count,
            min=low,
            max=high,
            sumsq=np.where(count > 1, 2.0, 0.0),
            first=low,
            last=mean[i],
            first_ms=np.full(n, start),
            last_ms=np.full(n, start + 1),
            increase=np.where([s.kind == "counter" for s in SERIES], mean[i] * 7, np.nan),
            p50=mean[i],
            p95=high,
            p99=high,
            sketch_offsets=np.zeros(n + 1, np.int64),
            sketch_keys=np.zeros(0, np.int16),
            sketch_counts=np.zeros(0, np.uint32),
            version=i,
        )


def incidents():
    for number, at in enumerate(range(150, LEARNED - 60, EVERY)):
        for entity in ("web-1", "web-2"):
            start_ms, end_ms = START + at * MINUTE, START + (at + 8) * MINUTE
            yield Incident(id=f"{entity}-{number}", entity=entity, start_ms=start_ms, end_ms=end_ms, updated_ms=1)


class Site:
    """The parts as they are after all windows: scored live, the snapshot taken after LEARNED of them."""

    def __init__(self, folder):
        self.folder, self.records, self.live = folder, [], []

    @contextlib.asynccontextmanager
    async def open(self):
        log = open_log(f"embedded://{self.folder / 'log'}")
        repository = Repository(open_store(f"embedded://{self.folder / 'store'}"))
        await log.start()
        await log.create_topics(dict.fromkeys(ALL, 1))
        await repository.open()
        try:
            yield log, repository
        finally:
            await repository.close()
            await log.stop()

    async def prepare(self, log, repository):
        """Tell of every incident, store every rollup, and keep what the log would hold of them."""
        for incident in incidents():
            await log.append(INCIDENTS, 0, msgspec.json.encode(incident))
        await IncidentTable(repository.thread).put(list(incidents()))
        rollups = list(windows())
        names = ("topic", "partition", "resume_offset", "floor_ms", "watermark_ms", "version")
        checkpoint = dict(zip(names, ("t", 0, 0, 0, 0, 1), strict=True))
        await repository.write(rollups, SERIES, [], checkpoint)
        rows, series = np.arange(len(SERIES)), encode_names(names_of(SERIES))
        for offset, rollup in enumerate(rollups):
            value = encode_rollup(rollup, slice(None), rows, series)
            self.records.append(Record(ROLLUPS, 0, offset, 0, None, value))

    async def live_through(self):
        """Score everything as a stream worker does; what comes after the snapshot is written by no second one."""
        async with self.open() as (log, repository):
            await self.prepare(log, repository)
            first = PartitionScorer(0, log, repository, SETTINGS, lambda: 0)
            await first.open()
            await first.process(self.records[:LEARNED])
            await first.close()
            second = PartitionScorer(0, log, repository, SETTINGS, lambda: 0)
            await second.open()
            await second.process(self.records[LEARNED:])
            await second.tick()
            second.abandon()
            found = await VerdictTable(repository.thread).select(START, START + 10**9)
            self.live = [msgspec.json.decode(one) for one in found]

    def rehearse(self, first, last, *, model="", rollup="1m", period="", warm_up=120, as_of=None):
        async def run():
            async with self.open() as (_, repository):
                span = START + first * MINUTE, START + last * MINUTE
                wanted = Wanted(model, "" if model else rollup, period, *span, warm_up * MINUTE, as_of)
                parts = await Rehearsals(repository, SETTINGS).begin(wanted, START + 10**9)
                return b"\n".join([msgspec.json.encode(verdict) async for part in parts for verdict in part])

        return asyncio.run(run())


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    site = Site(tmp_path_factory.mktemp("rehearsal"))
    asyncio.run(site.live_through())
    return site


def lines(body):
    return [msgspec.json.decode(line) for line in body.splitlines()]


def test_stored_rows_make_the_frames_that_the_log_made(site):
    async def stored():
        async with site.open() as (_, repository):
            rows = await repository.ranges.rows("1m", START, START + 50 * MINUTE)
            return frames_from_rows("1m", rows, repository.series)

    live = [frame for record in site.records[:50] for frame in frames_from_message(decode_rollup(record.value))]
    made = asyncio.run(stored())
    assert [(f.start_ms, f.end_ms) for f in made] == [(f.start_ms, f.end_ms) for f in live]
    for one, other in zip(made, live, strict=True):
        order = [one.metrics.index(metric) for metric in other.metrics]
        rows = [one.entities.index(entity) for entity in other.entities]
        np.testing.assert_array_equal(one.values[np.ix_(rows, order)], other.values)


def test_after_the_snapshot_it_says_what_was_said_live_until_the_models_learn_again(site):
    said = lines(site.rehearse(LEARNED, LEARNED + AFTER))
    live = {one["id"]: one for one in site.live}
    same = [
        all(one[key] == live[one["id"]][key] for key in ("p_incident", "anomaly_score", "horizons", "model"))
        for one in said
    ]
    assert len(said) == 2 * AFTER
    # Windows are learned in blocks of ten minutes: until the first such moment nothing differs.
    learns = next(i for i in range(LEARNED, LEARNED + AFTER) if (START + (i + 1) * MINUTE) % 600_000 == 0) - LEARNED
    assert learns >= 2 and all(same[: 2 * learns])
    assert any(one["p_incident"] for one in said)


def test_the_same_interval_gives_the_same_bytes(site):
    for model in ("1m.pooled.logistic", "1m.normal.knn"):
        body = site.rehearse(300, 420, model=model)
        assert len(lines(body)) == 240 and body == site.rehearse(300, 420, model=model)
    assert {one["model"] for one in lines(site.rehearse(300, 420, model="1m.pooled.logistic"))} == {
        "1m.pooled.logistic"
    }


def test_what_comes_later_changes_nothing(site):
    whole, part = site.rehearse(300, 420), site.rehearse(300, 360)
    assert whole.startswith(part)


@pytest.mark.parametrize(("first", "from_"), [(200, 300), (LEARNED, LEARNED)])
def test_the_models_learn_nothing_of_it(site, first, from_):
    async def stored():
        async with site.open() as (_, repository):
            models = ModelTables(repository.thread)
            return await read_snapshot(models, 0, (await models.states(0))[0])

    snapshot = asyncio.run(stored())
    one = Rehearsal(
        *snapshot[:2],
        Asked("1m"),
        (MINUTE, MINUTE),
        SETTINGS.engine,
        SETTINGS.periods,
        from_ms=START + from_ * MINUTE,
        incidents=list(incidents()),
    )
    assert one.goes_on is (from_ == LEARNED)
    before = pack(one.engine.ring.banks[""].state())
    for record in site.records[first : first + 200]:
        for frame in frames_from_message(decode_rollup(record.value)):
            assert one.step(frame)
    assert pack(one.engine.ring.banks[""].state()) == before


def minute(verdict):
    return (verdict["start"] - START) // MINUTE


def test_a_period_is_rehearsed_on_a_day_that_is_none_of_it(site):
    calendar = site.rehearse(300, 360)
    assert {one["period"] for one in lines(calendar)} == {"normal"}
    assert site.rehearse(300, 360, period="normal") == calendar
    peak = lines(site.rehearse(300, 360, period="peak"))
    assert {one["period"] for one in peak} == {"peak"}
    assert {one["model"].split(".")[1] for one in peak} <= {"peak", "pooled"}


def test_it_says_when_it_would_have_flagged(site):
    """Three flags in a row, as alerts want them: of calm hours this site has too few to know the last odd one."""
    said = lines(site.rehearse(100, 200, warm_up=100))
    for entity in ("web-1", "web-2"):
        flagged = {minute(one) for one in said if one["flag"] and one["entity"] == entity}
        alerted = {at for at in flagged if {at - 1, at - 2} <= flagged}
        assert alerted and all(140 <= at < 158 for at in alerted)


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"model": "nonsense"}, "want an id"),
        ({"rollup": "7m"}, "of 1m"),
        ({"period": "peek"}, "want one of"),
        ({"model": "1m.normal.lstm"}, "of kind 'lstm'"),
        ({"warm_up": 10**6}, "at most"),
        ({"first": 9, "last": 9}, "from before to"),
    ],
)
def test_what_cannot_be_rehearsed_is_said_at_once(site, given, why):
    given = {"first": 300, "last": 420} | given
    with pytest.raises(DataError, match=why):
        site.rehearse(given.pop("first"), given.pop("last"), **given)


def test_each_days_model_says_the_same_however_much_was_learned_since(tmp_path):
    site = Site(tmp_path)
    midnight = int(time.time()) // 86_400 * 24 - 72  # in hours, lately: versions go after 30 days

    def at(hour):
        return (midnight + hour) * HOUR

    async def live(*snapshots):
        """Score windows until the last number of each pair, and write a snapshot at the first, an hour."""
        async with site.open() as (log, repository):
            if not site.records:
                await site.prepare(log, repository)
            for hour, until in snapshots:
                scorer = PartitionScorer(0, log, repository, SETTINGS, partial(at, hour))
                await scorer.process(site.records[await scorer.open() : until])
                await scorer.close()
            return await ModelTables(repository.thread).versions("1m")

    def said(as_of=None):
        return site.rehearse(450, 500, as_of=as_of), site.rehearse(200, 250, model="1m.pooled.knn", as_of=as_of)

    assert asyncio.run(live((10, 400))) == [at(10)]
    first = said()
    assert asyncio.run(live((11, 500), (35, 600), (36, LEARNED))) == [at(10), at(35)]
    newest = said()
    assert all(one != other for one, other in zip(first, newest, strict=True))
    assert said(at(10)) == said(at(35) - 1) == first
    assert said(at(35)) not in (first, newest) and said(at(36)) == newest
    with pytest.raises(DataError, match="of this time or earlier"):
        said(at(10) - 1)


def test_without_a_stored_model_it_says_so(tmp_path):
    with pytest.raises(DataError, match="no model of 1m is stored yet"):
        Site(tmp_path).rehearse(0, 9)


def test_counts_of_caught_missed_and_false():
    def flag(minute, entity="a"):
        return {"entity": entity, "start": minute * MINUTE, "end": (minute + 1) * MINUTE}

    told = [
        {"entity": "a", "start": 100 * MINUTE, "end": 110 * MINUTE},
        {"entity": "b", "start": 100 * MINUTE, "end": 110 * MINUTE},
        {"entity": "a", "start": 300 * MINUTE, "end": None},
    ]
    assert counts([], told, 400 * MINUTE) == (0, 3, 0)
    assert counts([flag(80)], told, 400 * MINUTE) == (1, 2, 0)
    assert counts([flag(60), flag(61), flag(111), flag(350)], told, 400 * MINUTE) == (1, 2, 2)
    assert counts([flag(105, "c")], told, 400 * MINUTE) == (0, 3, 1)
    assert counts([flag(109), flag(110), flag(111)], told, 400 * MINUTE) == (1, 2, 0)  # it goes on for a while
