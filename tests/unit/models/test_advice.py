"""What to do comes from the runbook and from what ended similar incidents, with its record; nothing is invented."""

import numpy as np
import pytest

from schemas.incident import Incident
from schemas.verdict import Contribution
from stream.actions.advice import advice
from stream.actions.runbook import parse_runbook
from stream.features.frame import Frame
from stream.models.base import pack, unpack
from stream.models.engine import Engine, EngineSettings
from stream.models.periods import Periods
from stream.models.signatures import Signatures, Similar

MINUTE = 60_000
START = 1_700_000_000_000 // MINUTE * MINUTE
METRICS = ["cpu", "queue", "errors", "memory"]
QUEUE = Contribution(metric="queue", stat="mean", weight=2.0, value=9.0, expected=1.0)
CAUSES = {"queue": (1, "add consumers"), "memory": (3, "restart it")}


def test_the_runbook_comes_first_then_the_likest_incidents_with_their_record():
    rules = parse_runbook('[[action]]\ntitle = "Drain"\nmatch = [{metric = "queue", direction = "up"}]')
    past = [
        Similar(Incident(id=i, entity="e", start_ms=0, end_ms=1, resolution=r), s)
        for i, r, s in (("a", "restart", 0.9), ("b", "restart", 0.8), ("c", "", 0.99), ("d", "call Bob", 0.7))
    ]
    found = advice(rules, "e", [QUEUE], past, lambda r: (9, 7) if r == "restart" else (0, 0))
    assert [action.title for action in found] == ["Drain", "restart", "call Bob"]
    assert "90% similar and 1 more like it" in found[1].why
    assert "tried 9 times, risk fell within 10 minutes in 7" in found[1].why and "no record yet" in found[2].why
    assert advice((), "e", [], [], lambda r: (0, 0)) == []


@pytest.fixture(scope="module")
def run():
    rng = np.random.default_rng(4)
    settings = EngineSettings(
        horizons_ms=(5 * MINUTE, 10 * MINUTE, 30 * MINUTE), label_delay_ms=0, kinds=(), explained_max=0
    )
    engine = Engine("1m", MINUTE, MINUTE, settings, Periods())
    values = rng.normal(0, 0.5, (900, 4)) + np.array([10, 50, 1, 40])
    kinds = list(CAUSES)
    starts = {at: kinds[i % 2] for i, at in enumerate(range(150, 880, 60))}
    told = []
    for at, kind in starts.items():
        column, resolution = CAUSES[kind]
        values[at : at + 10, column] += 25
        begin, end = START + at * MINUTE, START + (at + 10) * MINUTE
        told.append((at + 12, Incident(id=f"{at}", entity="e", start_ms=begin, end_ms=end, resolution=resolution)))
    flagged = {}
    for minute, value in enumerate(values):
        for when, incident in told:
            if when == minute:
                engine.incident(incident)
        engine.refresh()
        frame = Frame(
            "1m", START + minute * MINUTE, START + (minute + 1) * MINUTE, ["e"], METRICS, {"mean": value[None]}
        )
        for verdict in engine.step(frame):
            if verdict.flag:
                flagged[minute] = verdict
    return engine, starts, flagged


def test_what_ended_the_same_kind_before_is_named_also_where_incidents_are_told_afterwards(run):
    _, starts, flagged = run
    asked = [(at, kind) for i, (at, kind) in enumerate(starts.items()) if i >= 8]
    named = {at: [v.actions[0].title for m, v in flagged.items() if at <= m < at + 10 and v.actions] for at, _ in asked}
    right = [bool(named[at]) and named[at][0] == CAUSES[kind][1] for at, kind in asked]
    assert np.mean(right) >= 0.8, named


def test_a_record_counts_what_came_of_it(run):
    engine, _, _ = run
    tried, fell = engine.signatures.record("restart it", engine.labels)
    assert tried >= 4 and tried / 2 <= fell <= tried
    assert engine.signatures.record("never tried", engine.labels) == (0, 0)


def test_no_evidence_is_said(run):
    _, starts, flagged = run
    without = [v for m, v in flagged.items() if not v.actions]
    assert all(v.actions_note.startswith("no evidence") for v in without)
    assert all(not v.actions_note for v in flagged.values() if v.actions)


def test_signatures_come_back_as_they_were(run):
    engine, _, _ = run
    again = Signatures()
    again.restore(unpack(pack(engine.signatures.state())))
    assert pack(again.state()) == pack(engine.signatures.state())
