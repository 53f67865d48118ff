"""How early and how rightly the engine warns on a seeded simulated site (made_site.py), and what each kind adds.

The engine is the live one: it gets a frame a window's close, and incidents when they would be told. The first half of
the days is to learn from, the second is judged. Every figure is of verdicts made at the close.
"""

from __future__ import annotations

import argparse
import json
from typing import Any, NamedTuple

import numpy as np

from bench.made_site import BEGIN_MS, CAUSES, DAY, DEPENDS, METRICS, MINUTE_MS, SHAPE, Happened, Site, make_site
from schemas.verdict import Verdict
from stream.features.frame import Frame
from stream.models.bank import OWN
from stream.models.engine import Engine, EngineSettings
from stream.models.figures import Figures
from stream.models.periods import POOLED, Periods

HORIZON = 30  # minutes, that of p_incident
LEAD = 10
HOLD = 60  # an alarm holds for so long
SEEN = 2  # so often a cause was seen before its action is asked for


class Run(NamedTuple):
    """What the engine said: [minutes, services], and what each candidate says of the middle horizon."""

    flag: np.ndarray
    p: np.ndarray
    by: dict[str, np.ndarray]  # candidate → [minutes, services], that one begins or is under way
    period: list[str]
    flagged: dict[int, list[tuple[int, Verdict]]]  # service → (minute, verdict), flagged ones
    cards: list[dict[str, Any]]


def run(site: Site, kinds: tuple[str, ...]) -> Run:
    minutes, services = site.values.shape[:2]
    settings = EngineSettings(kinds=kinds, explained_max=0, ring_bytes_max=16 << 20, depends=DEPENDS)
    engine = Engine("1m", MINUTE_MS, MINUTE_MS, settings, Periods("UTC", None, site.periods))
    told: dict[int, list] = {}
    for one in site.happened:
        for minute, incident in one.told:
            told.setdefault(minute, []).append(incident)
    candidates = [f"{scope}.{kind}" for scope in (POOLED, OWN) for kind in engine.ring.banks[""].kinds]
    out = Run(
        np.zeros((minutes, services), bool),
        np.full((minutes, services), np.nan),
        {name: np.full((minutes, services), np.nan) for name in candidates},
        [],
        {service: [] for service in range(services)},
        [],
    )
    number = {name: i for i, name in enumerate(site.services)}
    for minute in range(minutes):
        for incident in told.get(minute, ()):
            engine.incident(incident)
        engine.refresh()
        x = site.values[minute]
        there = np.flatnonzero(np.isfinite(x).any(1))
        start_ms = BEGIN_MS + minute * MINUTE_MS
        names = [site.services[i] for i in there.tolist()]
        frame = Frame("1m", start_ms, start_ms + MINUTE_MS, names, list(METRICS), {"mean": x[there]})
        for verdict in engine.step(frame):
            service = number[verdict.entity]
            out.flag[minute, service], out.p[minute, service] = verdict.flag, verdict.p_incident
            if verdict.flag:
                out.flagged[service].append((minute, verdict))
        out.period.append(engine._periods.name(start_ms))
        entry = engine.ring.entries[-1]
        bank = engine.ring.banks[entry.group]
        for i, name in enumerate(bank.candidates):
            _, within = bank.probabilities(name, entry.z[i].astype(float))
            out.by[name][minute, [number[e] for e in entry.entities]] = within[:, engine.settings.middle]
    out.cards.extend(engine.model_cards())
    return out


def judge(site: Site, said: Run) -> dict[str, Any]:
    """Return the figures of the second half."""
    minutes, services = said.flag.shape
    first = minutes // 2
    ahead = np.zeros((minutes, services), bool)
    busy = np.zeros((minutes, services), bool)  # in an incident, shortly before or after, or of one it depends on
    during = np.zeros((minutes, services), bool)
    shape = np.zeros((minutes, services), bool)
    for one in site.happened:
        ahead[max(0, one.start - HORIZON) : one.start, one.service] = True
        during[one.start : one.end, one.service] = True
        busy[max(0, one.start - 120) : one.end + HOLD, one.service] = True
        if one.cause == SHAPE:
            shape[max(one.onset, one.start - HORIZON) : one.start, one.service] = True
        for service in _callers(site, one):
            busy[one.start : one.end + HOLD, service] = True
    judged = np.zeros((minutes, services), bool)
    judged[first:] = np.isfinite(said.p[first:])
    either, free = ahead | during, judged & ~busy
    out: dict[str, Any] = {"incidents": sum(one.start >= first for one in site.happened)}
    out["false_alarms_per_service_day"] = _alarms(said.flag & free) / (free.sum() / DAY)
    rng = np.random.default_rng(0)
    warned, chance, leads = [], [], []
    for one in site.happened:
        if one.start >= first and one.onset < one.start:
            hit = np.flatnonzero(said.flag[one.onset : one.start - LEAD + 1, one.service])
            warned.append(len(hit) > 0)
            leads += [one.start - one.onset - int(hit[0])] if len(hit) else []
            at = np.flatnonzero(free[:, one.service])
            for end in rng.choice(at[at > first + 120], 40):
                span = slice(end - (one.start - one.onset), end - LEAD + 1)
                if not busy[span, one.service].any():
                    chance.append(bool(said.flag[span, one.service].any()))
    out |= {"built_up": len(warned), "warned": float(np.mean(warned)), "chance": float(np.mean(chance))}
    out["median_lead_minutes"] = float(np.median(leads)) if leads else None
    figures = Figures()
    figures.add(said.p[judged], either[judged].astype(float))
    out["calibration_error"], out["roc_auc"] = figures.calibration_error(), figures.roc_auc()
    clear = judged & ~during
    for name, p in said.by.items():
        out[f"auc {name}"] = _auc(p, either, judged)
        out[f"auc ahead {name}"] = _auc(p, ahead, clear)
        out[f"auc shape {name}"] = _auc(p, shape, free | (shape & judged))
    for period in sorted(set(said.period)):
        of = judged & (np.array(said.period) == period)[:, None]
        for kind in {name.split(".")[1] for name in said.by}:
            for scope in (POOLED, OWN):
                out[f"auc {period} {scope}.{kind}"] = _auc(said.by[f"{scope}.{kind}"], either, of)
    out["actions_asked"], out["actions_matched"] = _actions(site, said)
    return out


def _callers(site: Site, one: Happened) -> list[int]:
    return [i for i, name in enumerate(site.services) if site.services[one.service] in DEPENDS[name]]


def _alarms(flag: np.ndarray) -> int:
    """Return how many alarms there are: one holds for HOLD minutes."""
    count = 0
    for service in range(flag.shape[1]):
        last = -HOLD
        for minute in np.flatnonzero(flag[:, service]).tolist():
            if minute - last >= HOLD:
                count, last = count + 1, minute
    return count


def _auc(p: np.ndarray, positive: np.ndarray, of: np.ndarray) -> float | None:
    score, y = p[of], positive[of]
    known = np.isfinite(score)
    score, y = score[known], y[known]
    if not y.any() or y.all():
        return None
    order = np.sort(score[~y])
    below, above = np.searchsorted(order, score[y], "left"), np.searchsorted(order, score[y], "right")
    return float((below + above).mean() / (2 * len(order)))


def _actions(site: Site, said: Run) -> tuple[int, int]:
    """Of incidents whose cause was told SEEN times before: how many, and for how many the first action named in the
    first ten minutes of it, or in the build-up if none is flagged then, is what ends it. Never flagged: no match."""
    asked = matched = 0
    for i, one in enumerate(site.happened):
        before = [o for o in site.happened[:i] if o.cause == one.cause and o.told[-1][0] < one.start]
        if len(before) < SEEN:
            continue
        asked += 1
        flags = [v for minute, v in said.flagged[one.service] if one.onset <= minute < one.start + LEAD]
        named = [v.actions[0].title for v in flags if v.actions]
        matched += bool(named) and named[-1] == CAUSES[one.cause][0]
    return asked, matched


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="make bench ARGS='site …'")
    parser.add_argument("--seed", type=int, action="append", help="may be given again; default 101 and 102")
    parser.add_argument("--days", type=int, default=28)
    parser.add_argument("--kinds", default="logistic,knn,lstm")
    parser.add_argument("--cards", action="store_true", help="print each model's card too")
    given = parser.parse_args(arguments)
    for seed in given.seed or [101, 102]:
        site = make_site(seed, given.days)
        said = run(site, tuple(given.kinds.split(",")))
        print(f"seed {seed}, {given.days} days, {len(site.happened)} incidents")
        for name, value in judge(site, said).items():
            print(f"  {name:42} {value if value is None or isinstance(value, int) else round(value, 4)}")
        for card in said.cards if given.cards else ():
            short = {k: v for k, v in card.items() if not k.endswith("curve") and k != "periods"}
            print("  ", json.dumps(short))
