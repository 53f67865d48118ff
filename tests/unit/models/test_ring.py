"""Where more windows wait for their labels than fit into memory, a sample of each is learned, and stands for all."""

import numpy as np
import pytest

from schemas.incident import Incident
from stream.features.frame import Frame
from stream.models.base import pack, unpack
from stream.models.entry import Entry, pack_entries, unpack_entries
from stream.models.sampling import Peaks, chances, share_for, uniform, worth
from tests.unit.models.test_engine import MINUTE, START, card, engine, plain

HORIZONS = {"horizons_ms": (5 * MINUTE, 30 * MINUTE, 120 * MINUTE), "label_delay_ms": 60 * MINUTE, "explained_max": 0}
ENTITIES, MINUTES = 300, 380
METRICS = ["cpu", "queue", "errors", "reads", "writes", "load"]
# At 10,000 entities of 40 metrics 64 MiB hold some 15 windows of the 181 that wait; here it is 25 of the like.
TIGHT = 25 * ENTITIES * 220


def crowd(entities=ENTITIES, minutes=MINUTES, seed=5):
    """Return frames, and incidents of every eighth entity: errors and a queue that has grown for half an hour."""
    rng = np.random.default_rng(seed)
    x = rng.normal(0, 1, (minutes, entities, len(METRICS))) + np.array([10, 50, 1, 8, 9, 3])
    incidents = []
    for entity in range(0, entities, 8):
        at = int(rng.integers(90, minutes - 30))
        x[at - 30 : at, entity, 1] += np.linspace(1, 9, 30)
        x[at : at + 10, entity] += [5, 15, 9, 0, 0, 2]
        times = {"start_ms": START + at * MINUTE, "end_ms": START + (at + 10) * MINUTE, "updated_ms": 1}
        incidents.append(Incident(id=f"i{entity}", entity=f"e{entity}", **times))
    names = [f"e{i}" for i in range(entities)]
    span = [(START + i * MINUTE, START + (i + 1) * MINUTE) for i in range(minutes)]
    return [Frame("1m", *at, names, METRICS, {"mean": x[i]}) for i, at in enumerate(span)], incidents


def run(one, frames, incidents):
    """Step through the frames; incidents are told as they end. Return the verdicts."""
    said = []
    ends = sorted(incidents, key=lambda i: i.end_ms)
    for frame in frames:
        while ends and ends[0].end_ms <= frame.start_ms:
            one.incident(ends.pop(0))
        said.append(one.step(frame))
        assert one.ring.bytes <= one.settings.ring_bytes_max
    return said


@pytest.fixture(scope="module")
def both():
    frames, incidents = crowd()
    roomy, tight = engine(**HORIZONS, kinds=()), engine(**HORIZONS, ring_bytes_max=TIGHT)
    for one in (roomy, tight):
        run(one, frames, incidents)
    return roomy, tight


def test_many_entities_are_learned_where_a_seventh_of_their_windows_fits(both):
    roomy, tight = (card(one) for one in both)
    assert both[0].ring.rows_max is None and both[1].ring.rows_max < ENTITIES / 8
    # Each window stands for those that were let go: as many are learned of either label, as far as a sample can tell.
    assert tight["windows"] == pytest.approx(roomy["windows"], rel=0.05)
    assert tight["windows_positive"] == pytest.approx(roomy["windows_positive"], rel=0.2)
    assert roomy["windows_positive"] > 300 and tight["roc_auc"] == pytest.approx(roomy["roc_auc"], abs=0.05)


def test_thresholds_are_those_of_all_windows(both):
    roomy, tight = both
    np.testing.assert_allclose(tight.budget.pool.sum(), roomy.budget.pool.sum(), rtol=0.02)
    some = np.isfinite(roomy.budget.cut) & np.isfinite(tight.budget.cut)
    assert some.sum() > 0.9 * ENTITIES
    assert np.abs(tight.budget.cut - roomy.budget.cut)[some].mean() < 0.25, "the highest of each hour are kept"


def test_sequences_are_learned_of_as_many_entities_as_fit(both):
    _, tight = both
    assert 8 <= tight.ring.followed < ENTITIES / 4
    knn = tight.ring.banks[""].cells["pooled", "knn"]
    assert knn.counts.sum() > 0
    followed = [entry for entry in tight.ring.entries if entry.followed]
    assert sum(entry.size for entry in followed) <= 0.6 * TIGHT
    assert all(len(entry.kept) == len(entry.rows) for entry in followed)


def test_a_snapshot_amid_samples_changes_nothing():
    frames, incidents = crowd(80, 300)
    whole, first, second = (engine(**HORIZONS, ring_bytes_max=TIGHT // 8) for _ in range(3))
    expected = [plain(said) for said in run(whole, frames, incidents)]
    run(first, frames[:240], [i for i in incidents if i.end_ms <= frames[239].start_ms])
    state, entries = pack(first.state()), pack(pack_entries(list(first.ring.entries)))
    assert first.ring.rows_max is not None
    second.restore(unpack(state), unpack_entries(unpack(entries), unpack(state)["entities"]))
    assert second.ring.bytes == first.ring.bytes and second.ring.waiting_bytes == first.ring.waiting_bytes
    rest = run(second, frames[240:], [i for i in incidents if i.end_ms > frames[239].start_ms])
    assert [plain(said) for said in rest] == expected[240:]
    assert pack(second.ring.state()) == pack(whole.ring.state())


def test_models_are_made_anew_of_samples(both):
    _, tight = both
    before = card(tight)
    tight.ring.relearn()
    assert tight.ring.bytes <= TIGHT
    assert card(tight)["windows"] == pytest.approx(before["windows"], rel=1e-9), "the same samples, the same weights"


def test_memory_comes_back_once_there_is_room_again():
    frames, _ = crowd(80, 240)
    one = engine(**HORIZONS, ring_bytes_max=TIGHT // 8)
    run(one, frames, [])
    tight = one.ring.rows_max
    assert tight is not None
    far = frames[-1].end_ms + 10_000 * MINUTE
    for i in range(12):
        some = {"mean": frames[i].values[60:]}
        one.step(Frame("1m", far + i * MINUTE, far + (i + 1) * MINUTE, frames[i].entities[60:], METRICS, some))
    assert one.ring.rows_max is None or one.ring.rows_max > tight


def entry(n, rng, number=0):
    said = rng.random(n).astype(np.float32) ** 6
    p, ones = said * 0.5, np.arange(n)
    x = np.tile(ones[:, None], (1, 4)).astype(np.float16)
    worths = worth(said, p, ones % 50 == 0)
    more = (False, n, ones.astype(np.int32), worths, said > 0.9)
    names = [f"e{i}" for i in ones]
    z = np.zeros((1, n, 2), np.float32)
    return Entry(number, "", 0, MINUTE, "", "normal", names, ones, x, x[:, :1], z, said > 0.5, p, said, *more)


def test_a_sample_stands_for_all_in_the_mean_however_often_it_is_thinned():
    peaks = entry(600, np.random.default_rng(2)).peak.sum()
    sums = {"all": [], "score": []}
    for number in range(400):
        one = entry(600, np.random.default_rng(2), number)
        for rows in (200, 90, 40):
            one.thin(share_for(one.worth, rows) if np.isinf(one.share) else one.share / 2)
        kept = one.score[one.kept]
        sums["all"].append(one.weight.sum())
        sums["score"].append((one.weight * kept).sum())
        assert (one.x[:, 0] == one.rows[one.kept]).all() and one.entities == [f"e{i}" for i in one.rows]
        assert one.peak.sum() == peaks, "those of which thresholds are made never go"
    truth = entry(600, np.random.default_rng(2))
    for name, value in (("all", 600), ("score", float(truth.score.sum()))):
        spread = np.std(sums[name]) / np.sqrt(len(sums[name]))
        assert abs(np.mean(sums[name]) - value) < 4 * spread, name


@pytest.mark.parametrize("rows", [1, 16, 300, 999, 1000, 5000])
def test_chances_add_up_to_the_room_there_is(rows):
    worths = worth(np.random.default_rng(3).random(1000), np.full(1000, np.nan), np.arange(1000) < 5)
    chance = chances(worths, share_for(worths, rows))
    assert chance.sum() == pytest.approx(min(rows, 1000), rel=1e-6)
    assert (chance[:5] >= chance[5:].max() - 1e-12).all(), "what is known to be of an incident stays the likeliest"


def test_draws_are_even_and_do_not_repeat():
    draws = np.concatenate([uniform(number, np.arange(500)) for number in range(40)])
    assert len(np.unique(draws)) == len(draws)
    assert np.histogram(draws, 10, (0, 1))[0] / len(draws) == pytest.approx(0.1, abs=0.01)
    np.testing.assert_array_equal(uniform(7, np.array([3, 9])), uniform(7, np.arange(10))[[3, 9]])


def test_the_highest_of_each_hour_is_always_among_the_peaks():
    rng, peaks = np.random.default_rng(4), Peaks()
    score, p = rng.random((180, 30)).astype(np.float32), rng.random((180, 30)).astype(np.float32)
    marked = np.array([peaks.step(np.arange(30), score[i], p[i], i * MINUTE) for i in range(180)])
    for values in (score, p):
        for hour in range(3):
            highest = values[60 * hour : 60 * hour + 60].argmax(0) + 60 * hour
            assert marked[highest, np.arange(30)].all()
    assert marked.mean() < 0.2
