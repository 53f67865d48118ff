"""What p_incident knows beside the metrics: it begins as the score, and learns likeness and recovery of incidents."""

import numpy as np
import pytest

from schemas.incident import Incident
from stream.features.vector import SUMMARY
from stream.models.base import logit, pack, unpack
from stream.models.context import LOOKS_MAX, Context
from tests.unit.models.test_engine import MINUTE, START, engine, site


def incident(number=0, start=100, end=110, **more):
    times = {"start_ms": START + start * MINUTE, "end_ms": START + end * MINUTE}
    return Incident(id=f"i{number}", entity="e0", **{"updated_ms": 1, **times, **more})


def test_without_labels_it_ranks_as_the_score_does():
    frames, _ = site(600)
    one = engine()
    verdicts = [v for frame in frames for v in one.step(frame)][200:]
    score = np.array([v.anomaly_score for v in verdicts])
    p = np.array([v.p_incident for v in verdicts])
    rank = [np.argsort(np.argsort(values)) for values in (score, p)]
    assert np.corrcoef(*rank)[0, 1] > 0.5
    assert p[np.argsort(score)[-20:]].mean() > 10 * np.median(p)


def test_a_told_incident_makes_windows_like_it_similar_and_a_withdrawn_one_no_longer():
    frames, _ = site(130, entities=1)
    one = engine()
    for frame in frames:
        one.step(frame)
    body = one.ring.entries[105].x[:, len(SUMMARY) :].astype(float)
    assert one.context.likeness(body) == 0
    one.incident(incident(start=105, end=106))
    assert one.context.likeness(body)[0] > 0.99
    assert one.context.likeness(-body)[0] < one.context.likeness(body)[0]
    assert one.context.likeness(np.zeros_like(body)) == 0
    one.incident(incident(start=105, end=106, withdrawn=True, updated_ms=2))
    assert one.context.likeness(body) == 0


def test_an_incident_that_was_told_ahead_is_looked_at_when_it_has_ended():
    frames, _ = site(130, entities=1)
    one = engine()
    one.incident(incident(start=104, end=106))
    for frame in frames[:105]:
        one.step(frame)
    assert not one.context.looks
    for frame in frames[105:110]:
        one.step(frame)
    late = engine()
    for frame in frames:
        late.step(frame)
    late.incident(incident(start=104, end=106))
    # The same windows; what was learned as normal meanwhile differs, as it was frozen only where it was known.
    assert one.context.looks["i0"] == pytest.approx(late.context.looks["i0"], abs=0.3)


def test_recovery_fades_and_an_open_incident_is_not_one():
    one = engine()
    labels = one.labels
    labels.incident(incident())
    labels.incident(incident(1, start=300, end=0, end_ms=None))
    at = [START + minute * MINUTE for minute in (105, 110, 140, 310)]
    since = [labels.since_end(["e0", "other"], when) for when in at]
    assert [s[0] for s in since] == [np.inf, 0, 30 * MINUTE, 200 * MINUTE]
    assert all(s[1] == np.inf for s in since)


def test_looks_are_bounded_and_come_back():
    frames, _ = site(130, entities=1)
    one = engine()
    for frame in frames:
        one.step(frame)
    for number in range(LOOKS_MAX + 20):
        one.incident(incident(number))
    assert len(one.context.looks) == LOOKS_MAX and "i0" not in one.context.looks
    same = Context(MINUTE)
    same.restore(unpack(pack(one.context.state())))
    body = one.ring.entries[105].x[:, len(SUMMARY) :].astype(float)
    assert same.likeness(body) == one.context.likeness(body)


def test_the_last_minutes_linger():
    one = Context(MINUTE)
    one.grow(1)
    labels, row = engine().labels, np.zeros(1, int)

    def lingering(score):
        return one.step(row, ["e0"], np.array([score]), np.zeros((1, 3)), labels, START)[0, 1]

    for _ in range(200):
        lingering(0.5)
    high = [lingering(0.99) for _ in range(20)]
    assert high == sorted(high) and high[-1] == pytest.approx(logit(np.array(0.99)) / 4 * (1 - np.exp(-1)), rel=0.05)


def test_silence_is_the_share_of_the_last_minutes_and_fades():
    frames, _ = site(200, entities=2)
    silent = SUMMARY.index("silent")
    one = engine()
    for minute, frame in enumerate(frames):
        if 60 <= minute < 80:  # e1 is silent, e0 is not
            frame.entities, frame.stats = frame.entities[:1], {"mean": frame.values[:1]}
        one.step(frame)
    said = [dict(zip(e.entities, e.x[:, silent].astype(float), strict=True)) for e in one.ring.entries]
    assert all(x["e0"] == 0 for x in said) and all(x["e1"] == 0 for x in said[:60])
    assert said[80]["e1"] == pytest.approx((1 - np.exp(-1)) * np.exp(-1 / 20), abs=0.001)
    assert said[100]["e1"] == pytest.approx(said[80]["e1"] * np.exp(-1), abs=0.001)


def test_it_comes_back_as_it_was():
    frames, _ = site(130, entities=2)
    one = engine()
    for frame in frames[:100]:
        one.step(frame)
    same = Context(MINUTE)
    same.restore(unpack(pack(one.context.state())))
    assert pack(same.state()) == pack(one.context.state())
    later = START + 150 * MINUTE
    rows, score, body = np.arange(2), np.full(2, 0.1), np.zeros((2, 3))
    said = [c.step(rows, ["e0", "e1"], score, body, one.labels, later) for c in (one.context, same)]
    assert said[0].tobytes() == said[1].tobytes() and said[0][:, -1].min() > 0.8
