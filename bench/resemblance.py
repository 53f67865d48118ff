"""How soon traffic that looks like another period than the calendar says is noticed on a simulated site, and how often
wrongly.

Each site (made_site.py) runs twice: with the calendar that its traffic follows, and with one that says of its second
sale that it begins two days later than it does.
"""

from __future__ import annotations

import argparse
from datetime import UTC, date, datetime, timedelta

import numpy as np

from bench.made_site import BEGIN_MS, DAY, MINUTE_MS, Site, make_site
from stream.features.superimposed import DAY_MS, Superimposed
from stream.models.periods import Periods
from stream.models.resemblance import Resemblance

EARLY_DAYS = 2
FORTNIGHT = 14  # a sale each, see made_site.py


def run(site: Site, periods: Periods) -> np.ndarray:
    """Return str[minutes, services], what traffic is said to look like; incidents count as known while they last."""
    minutes, services, metrics = site.values.shape
    over, one, rows = Superimposed(MINUTE_MS), Resemblance(MINUTE_MS), np.arange(services)
    over.grow(services, metrics)
    failing = np.zeros((minutes, services), bool)
    for incident in site.happened:
        failing[incident.start : incident.end, incident.service] = True
    said = []
    for minute in range(minutes):
        start_ms = BEGIN_MS + minute * MINUTE_MS
        x, fails, day_ms = site.values[minute], failing[minute], start_ms % DAY_MS
        over.step(rows, x, start_ms, day_ms, fails)
        said.append(one.step(rows, site.services, x, over, start_ms, day_ms, periods, fails))
    return np.array(said)


def late(site: Site) -> tuple[list[dict[str, object]], int]:
    """Return the periods with the second sale moved back, and the day on which its traffic begins."""
    begin = datetime.fromtimestamp(BEGIN_MS / 1000, UTC).date()
    days = [(date.fromisoformat(str(one["from"])) - begin).days for one in site.periods]
    first = min(day for one, day in zip(site.periods, days, strict=True) if one["name"] == "sale" and day >= FORTNIGHT)
    out = []
    for one, day in zip(site.periods, days, strict=True):
        moved = one["name"] == "sale" and first <= day < first + FORTNIGHT - 1
        to = (begin + timedelta(days=day + EARLY_DAYS * moved)).isoformat()
        out.append({**one, "from": to, "to": to})
    return out, first


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="make bench ARGS='resemblance …'")
    parser.add_argument("--seed", type=int, action="append", help="may be given again; default 101 and 102")
    parser.add_argument("--days", type=int, default=28)
    given = parser.parse_args(arguments)
    for seed in given.seed or [101, 102]:
        site = make_site(seed, given.days)
        said = run(site, Periods("UTC", None, site.periods))
        begun = (said != "") & (np.vstack([np.full(said.shape[1], ""), said[:-1]]) != said)
        notices, days = int(begun.sum()), said.size / DAY
        print(f"seed {seed}: {notices} wrong notices in {days:.0f} service days, {(said != '').mean():.2%} of windows")
        moved, first = late(site)
        early = run(site, Periods("UTC", None, moved))[first * DAY : (first + EARLY_DAYS) * DAY] == "sale"
        after = np.where(early.any(0), early.argmax(0), EARLY_DAYS * DAY)
        share = early[int(np.median(after)) :].mean()
        shown = ", ".join(f"{int((after <= m).sum())} within {m} minutes" for m in (60, 120, 180))
        print(f"  a sale {EARLY_DAYS} days early, of {len(after)} services: {shown}; then of {share:.1%} of windows")
