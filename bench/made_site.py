"""A seeded site: services that depend on each other, their vital signs minute by minute, and what goes wrong.

Daily and weekly rhythm, holidays and sales, deploys that change the level, sensor noise, missing samples, monitoring
that falls silent; incidents of several causes, most of which build up, one only in the order of ordinary values.
Harmless things look alike: weekend jobs fill queues and memory, sales raise load, connections and errors.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import numpy as np

from schemas.incident import Incident

MINUTE_MS = 60_000
DAY = 1440
BEGIN_MS = 1_772_409_600_000  # Monday, 2 March 2026, UTC
METRICS = ("requests", "latency", "errors", "cpu", "memory", "queue", "connections", "iowait", "lag")
REGIONS = ("east", "north", "west")
# What each service calls, in each region.
CALLS = {
    "web": ("shop", "search"),
    "shop": ("cart", "payment"),
    "search": ("db",),
    "cart": ("cache",),
    "payment": ("queue",),
    "cache": ("db",),
    "queue": ("db",),
    "db": (),
}
DEPENDS = {f"{one}-{r}": tuple(f"{other}-{r}" for other in calls) for r in REGIONS for one, calls in CALLS.items()}
# Cause → what ended it, and whether it builds up. "convoy" shows only in the order of the values of ``lag``.
CAUSES = {
    "leak": ("restart the service", True),
    "backlog": ("add consumers", True),
    "pool": ("raise the connection limit", True),
    "disk": ("purge the write-ahead log", True),
    "storm": ("enable the circuit breaker", True),
    "convoy": ("unpin the worker threads", True),
    "crash": ("roll back the deploy", False),
}
SHAPE = "convoy"


@dataclass
class Happened:
    """One injected incident, in minutes from the beginning. ``told`` : (minute, what is told then)."""

    service: int
    cause: str
    onset: int
    start: int
    end: int
    told: list[tuple[int, Incident]] = field(default_factory=list)


@dataclass
class Site:
    services: list[str]
    values: np.ndarray  # float64[minutes, services, metrics], NaN where no sample came
    happened: list[Happened]
    periods: list[dict[str, object]]  # as [[periods.named]] takes them


def make_site(seed: int, days: int = 28) -> Site:
    """Return the site of a seed; the same seed is the same site."""
    rng = np.random.default_rng(seed)
    services, minutes = list(DEPENDS), days * DAY
    sale, holiday = _special_days(rng, days)
    load = _load(rng, minutes, sale, holiday)
    happened = _schedule(rng, len(services), minutes, sale)
    x = np.stack([_quiet(rng, load, sale) for _ in services], 1)
    weekend = (np.arange(minutes) // DAY) % 7 >= 5
    for service in range(len(services)):
        _harmless(rng, x[:, service], weekend)
        for one in happened:
            if one.service == service:
                _inject(rng, x[:, service], one)
    _cascade(x, services, happened)
    lag = METRICS.index("lag")
    rest = [m for m in range(len(METRICS)) if m != lag]
    x[:, :, rest] *= np.exp(rng.normal(0, 0.02, (minutes, len(services), len(rest))))
    x = np.where(rng.random(x.shape) < 0.01, np.nan, x)
    for service in range(len(services)):
        for at in rng.integers(0, minutes, days // 7):
            x[at : at + int(rng.integers(5, 30)), service] = np.nan
    for number, one in enumerate(happened):
        one.told = _told(rng, f"s{seed}-{number}", services[one.service], one)
    named = [_named("sale", day) for day in sorted(sale)] + [_named("holiday", day) for day in sorted(holiday)]
    return Site(services, x, happened, named)


def _named(name: str, day: int) -> dict[str, object]:
    date = (datetime(2026, 3, 2, tzinfo=UTC) + timedelta(days=day)).date().isoformat()
    return {"name": name, "from": date, "to": date}


def _special_days(rng: np.random.Generator, days: int) -> tuple[set[int], set[int]]:
    """A sale of three days every other week, a holiday a fortnight."""
    sale: set[int] = set()
    holiday: set[int] = set()
    for fortnight in range(0, days, 14):
        first = fortnight + int(rng.integers(1, 9))
        sale |= set(range(first, first + 3))
        holiday.add(fortnight + int(rng.choice([d for d in range(14) if fortnight + d not in sale])))
    return sale, holiday


def _load(rng: np.random.Generator, minutes: int, sale: set[int], holiday: set[int]) -> np.ndarray:
    at = np.arange(minutes)
    day = at // DAY
    rhythm = 0.55 + 0.45 * np.sin(2 * np.pi * (at % DAY) / DAY - 2.1) + 0.1 * np.sin(4 * np.pi * (at % DAY) / DAY)
    week = np.where(day % 7 >= 5, 0.6, 1.0)
    special = np.where(np.isin(day, list(sale)), 2.2, np.where(np.isin(day, list(holiday)), 0.45, 1.0))
    return np.maximum(rhythm, 0.08) * week * special * np.exp(_drift(rng, minutes, 0.06, 90))


def _drift(rng: np.random.Generator, minutes: int, deviation: float, span: float) -> np.ndarray:
    """Return a wandering that forgets itself over ``span`` minutes."""
    keep = np.exp(-1 / span)
    step = rng.normal(0, deviation * np.sqrt(1 - keep**2), minutes)
    out = np.empty(minutes)
    level = 0.0
    for i, by in enumerate(step.tolist()):
        level = keep * level + by
        out[i] = level
    return out


def _quiet(rng: np.random.Generator, load: np.ndarray, sale: set[int]) -> np.ndarray:
    """Return [minutes, metrics] of a service of which nothing is wrong."""
    minutes = len(load)
    selling = np.isin(np.arange(minutes) // DAY, list(sale))
    share, capacity = rng.uniform(0.3, 1.0), rng.uniform(2.6, 3.4)
    use = np.clip(load * share / (capacity * share), 0, 0.95)
    level = {name: np.ones(minutes) for name in ("latency", "cpu", "memory")}
    for at in np.sort(rng.integers(0, minutes, minutes // (5 * DAY))):
        for name in level:
            level[name][at:] *= np.exp(rng.normal(0, 0.08))
    requests = 1000 * share * load * np.exp(_drift(rng, minutes, 0.05, 5))
    latency = rng.uniform(8, 40) * level["latency"] * (1 + use**2) * np.exp(_drift(rng, minutes, 0.06, 4))
    errors = requests * 0.002 * np.exp(_drift(rng, minutes, 0.25, 10)) * np.where(selling, 2.5, 1.0)
    cpu = np.clip((6 + 70 * use) * level["cpu"] + _drift(rng, minutes, 2.0, 6), 1, 100)
    memory = rng.uniform(35, 50) * level["memory"] + _drift(rng, minutes, 2.0, 240) + _drift(rng, minutes, 0.8, 3)
    queue = 4 * use / (1 - use) * np.exp(_drift(rng, minutes, 0.25, 12))
    connections = (20 + 60 * use) * np.exp(_drift(rng, minutes, 0.06, 8)) * np.where(selling, 1.4, 1.0)
    iowait = 3 * np.exp(_drift(rng, minutes, 0.25, 10)) * (1 + use)
    lag = 5 + _drift(rng, minutes, 1.0, 1.6)
    return np.stack([requests, latency, errors, cpu, memory, queue, connections, iowait, lag], 1)


def _schedule(rng: np.random.Generator, services: int, minutes: int, sale: set[int]) -> list[Happened]:
    """One in about three days a service, twice as often in a sale, never two within eight hours of one service."""
    out, last = [], np.full(services, -DAY)
    for hour in range(4, minutes // 60 - 3):
        rate = (0.32 / 24) * (2.0 if hour // 24 in sale else 1.0)
        for service in np.flatnonzero(rng.random(services) < rate).tolist():
            start = hour * 60 + int(rng.integers(0, 60))
            if start - last[service] < 480:
                continue
            cause = str(rng.choice(list(CAUSES), p=[0.14, 0.14, 0.14, 0.14, 0.13, 0.2, 0.11]))
            onset = start - int(rng.integers(45, 120)) if CAUSES[cause][1] else start
            end = start + int(rng.integers(10, 45))
            last[service] = end
            out.append(Happened(service, cause, onset, start, end))
    return sorted(out, key=lambda one: one.start)


def _harmless(rng: np.random.Generator, x: np.ndarray, weekend: np.ndarray) -> None:
    """Weekend jobs and single outliers."""
    queue, memory, iowait = (METRICS.index(m) for m in ("queue", "memory", "iowait"))
    for day in np.unique(np.flatnonzero(weekend) // DAY).tolist():
        for _ in range(2):
            at = day * DAY + int(rng.integers(0, DAY - 240))
            part = slice(at, at + int(rng.integers(60, 200)))
            bump = np.sin(np.linspace(0, np.pi, part.stop - part.start))
            x[part, queue] *= 1 + 6 * bump
            x[part, memory] += 25 * bump
            x[part, iowait] += 15 * bump
    for at in rng.integers(0, len(x), len(x) // 700).tolist():
        x[at : at + int(rng.integers(1, 4)), int(rng.integers(0, len(METRICS)))] *= 1 + rng.exponential(0.8)


def _inject(rng: np.random.Generator, x: np.ndarray, one: Happened) -> None:
    before, during = slice(one.onset, one.start), slice(one.start, one.end)
    r = np.linspace(0, 1, one.start - one.onset) ** rng.uniform(0.8, 1.4) * rng.uniform(0.8, 1.2)
    column = {name: x[:, i] for i, name in enumerate(METRICS)}

    def times(part: slice, **factors: np.ndarray | float) -> None:
        for name, factor in factors.items():
            column[name][part] *= factor

    if one.cause == "leak":
        column["memory"][before] += 28 * r
        column["cpu"][before] += 7 * r
        column["memory"][during] = 97 + rng.normal(0, 0.5, one.end - one.start)
        times(during, latency=3.0, errors=8.0, cpu=1.5)
    elif one.cause == "backlog":
        times(before, queue=1 + 6 * r, latency=1 + 0.25 * r)
        times(during, queue=14.0, latency=2.5, requests=0.8)
    elif one.cause == "pool":
        times(before, connections=1 + 1.2 * r, latency=1 + 0.3 * r)
        times(during, connections=3.0, errors=15.0, cpu=0.6)
    elif one.cause == "disk":
        column["iowait"][before] += 20 * r
        times(before, latency=1 + 0.3 * r)
        column["iowait"][during] += 60
        times(during, latency=5.0, queue=3.0)
    elif one.cause == "storm":
        times(before, errors=1 + 5 * r, requests=1 + 0.5 * r)
        times(during, errors=25.0, requests=2.2, cpu=1.8)
    elif one.cause == SHAPE:
        # The same values, in another order: high and low alternate, instead of wandering.
        values = np.sort(column["lag"][before])
        half = len(values) // 2
        low, high = rng.permutation(values[:half]), rng.permutation(values[half:])
        mixed = np.empty(len(values))
        mixed[1::2], mixed[0::2] = low, high
        column["lag"][before] = mixed
        times(during, latency=4.0, cpu=0.5, lag=3.0)
    else:
        times(during, requests=0.1, cpu=0.2, errors=30.0, connections=0.3)


def _cascade(x: np.ndarray, services: list[str], happened: list[Happened]) -> None:
    """Those who call a failed service wait for it, and fail a little."""
    latency, errors = METRICS.index("latency"), METRICS.index("errors")
    for one in happened:
        for caller, causes in DEPENDS.items():
            if services[one.service] in causes:
                part = slice(one.start, one.end)
                x[part, services.index(caller), latency] *= 1.6
                x[part, services.index(caller), errors] *= 3.0


def _told(rng: np.random.Generator, name: str, entity: str, one: Happened) -> list[tuple[int, Incident]]:
    """Most are opened some minutes after they began and closed with a resolution; some are told afterwards, a few of
    them only the next day."""
    begin, end = BEGIN_MS + one.start * MINUTE_MS, BEGIN_MS + one.end * MINUTE_MS
    first, last = one.start + int(rng.integers(2, 8)), one.end + int(rng.integers(1, 10))
    closed = Incident(
        id=name,
        entity=entity,
        start_ms=begin,
        end_ms=end,
        resolution=CAUSES[one.cause][0],
        updated_ms=BEGIN_MS + last * MINUTE_MS,
    )
    late = rng.random()
    if late < 0.2:
        return [(last + (int(rng.integers(5, 15)) if late > 0.03 else DAY), closed)]
    opened = Incident(id=name, entity=entity, start_ms=begin, updated_ms=BEGIN_MS + first * MINUTE_MS)
    return [(first, opened), (last, closed)]
