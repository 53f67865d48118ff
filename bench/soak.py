"""The whole deployment under an even load: memory, lag and errors over time, with ClickHouse away for a while if asked.

    python -m bench soak [--seconds 600] [--rate 4000] [--series 2000] [--away 0] [--without-models]

A writer puts ``rate`` samples a second on the log, in real time, for two stream workers on three brokers and a store:
some of each series every second, or, of more series than that, one in so many seconds. ``away`` is for how many
seconds, from the first minute on, the store's process is dead. Every few seconds a line of JSON tells the stream
workers' memory and lag; the last line compares the second half with the first, and counts errors that were logged.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import statistics
import tempfile
import time
from collections import Counter
from pathlib import Path

import httpx
import numpy as np
import psutil

from bench.told import standing
from log.kafka import KafkaLog
from log.kafka_options import KafkaOptions
from schemas.batch import encode_batch, make_batch
from schemas.series import make_series, partition_of
from schemas.topics import SAMPLES
from tests.cluster.deployment import PARTITIONS, Deployment, Role

METRICS, RECORD_SAMPLES = 20, 5000
LOOK_S, AWAY_FROM_S = 5.0, 60.0
CONFIG = "[models]\nrollups = [{models}]\n[limits]\nseries = {series}\n"


class Group:
    """Entities of one partition whose samples go into one record; its first record defines their series."""

    def __init__(self, partition: int, entities: list[int], each: int) -> None:
        self.partition, self._entities, self._each = partition, entities, each
        self._ids: np.ndarray | None = None

    def record(self, now_ms: int, rng: np.random.Generator) -> tuple[int, bytes]:
        """Return the record of one second, and how many samples are in it."""
        series = []
        if self._ids is None:
            series = [make_series(f"soak-{e}", f"metric_{n}") for e in self._entities for n in range(METRICS)]
            self._ids = np.repeat(np.array([one.series_id for one in series], np.uint64), self._each)
        times = now_ms + rng.integers(0, 1000, len(self._ids))
        batch = make_batch(series, self._ids, times, rng.normal(100, 5, len(self._ids)))
        return len(self._ids), encode_batch(batch)


def grouped(series: int, rate: int) -> tuple[list[Group], int]:
    """Return the groups, and in how many seconds each has its turn: one where there are as many samples as series."""
    entities, each, every = max(1, series // METRICS), max(1, rate // series), max(1, -(-series // rate))
    together = max(1, min(RECORD_SAMPLES, rate // PARTITIONS) // (METRICS * each))
    of: list[list[int]] = [[] for _ in range(PARTITIONS)]
    for entity in range(entities):
        of[partition_of(f"soak-{entity}", PARTITIONS)].append(entity)
    parts = ((p, mine[at : at + together]) for p, mine in enumerate(of) for at in range(0, len(mine), together))
    return [Group(partition, mine, each) for partition, mine in parts], every


async def write(url: str, seconds: float, series: int, rate: int) -> int:
    """Write in real time; return how many samples were acknowledged."""
    log, rng, written = KafkaLog(url, KafkaOptions()), np.random.default_rng(1), 0
    groups, every = grouped(series, rate)
    await log.start()
    try:
        begin = second = int(time.time())
        while second - begin < seconds:
            await asyncio.sleep(max(0.0, second + 1 - time.time()))
            turn = groups[second % every :: every]
            made = [(group.partition, *group.record(second * 1000, rng)) for group in turn]
            await asyncio.gather(*(log.append(SAMPLES, partition, record) for partition, _, record in made))
            written += sum(samples for _, samples, _ in made)
            second += 1
    finally:
        await log.stop()
    return written


def look(workers: list[Role]) -> dict[str, float]:
    """Return the stream workers' resident MiB, CPU seconds, lag in records and delay of the watermark in seconds."""
    used = {"rss_mib": 0.0, "cpu_s": 0.0}
    for worker in workers:
        process = psutil.Process(worker.pid)
        used["rss_mib"] += process.memory_info().rss / 2**20
        used["cpu_s"] += sum(process.cpu_times()[:2])
    out = used | standing(f"http://{worker.metrics}" for worker in workers)
    return {name: round(value, 1) for name, value in out.items()}


async def watch(deployment: Deployment, seconds: float, away_s: float) -> list[dict[str, float]]:
    """Look again and again, and take the store away in between."""
    begin, seen, away = time.monotonic(), [], False
    while (at := time.monotonic() - begin) < seconds:
        if away_s and not away and AWAY_FROM_S <= at < AWAY_FROM_S + away_s:
            deployment.store.kill()
            away = True
        elif away and at >= AWAY_FROM_S + away_s:
            await asyncio.to_thread(deployment.store.start)
            away, away_s = False, 0.0
        seen.append({"at_s": round(at, 1), "away": away} | await asyncio.to_thread(look, deployment.roles["stream"]))
        print(json.dumps(seen[-1]), flush=True)
        await asyncio.sleep(LOOK_S)
    if away:
        await asyncio.to_thread(deployment.store.start)
    return seen


async def settle(deployment: Deployment, written: int) -> float:
    """Return after how many seconds everything that was written has been taken in."""
    begin = time.monotonic()
    while (seen := await asyncio.to_thread(look, deployment.roles["stream"]))["samples"] < written or seen["lag"]:
        if time.monotonic() - begin > 600:
            raise RuntimeError(f"not everything was taken in within ten minutes: {seen} of {written} samples")
        await asyncio.sleep(0.5)
    return round(time.monotonic() - begin, 1)


async def soak(deployment: Deployment, seconds: float, away_s: float, series: int, rate: int) -> None:
    url = deployment.brokers.url
    written, seen = await asyncio.gather(write(url, seconds, series, rate), watch(deployment, seconds, away_s))
    settled_s = await settle(deployment, written)
    half = len(seen) // 2
    parts = {"first_half": seen[half // 4 : half], "second_half": seen[half:]}  # without the start
    out: dict[str, object] = {"samples": written, "settled_after_s": settled_s}
    for name, part in parts.items():
        out[name] = {key: statistics.median(one[key] for one in part) for key in ("rss_mib", "lag", "delay_s")}
    out["cpu_us_a_sample"] = round((seen[-1]["cpu_s"] - seen[0]["cpu_s"]) * 1e6 / max(1, seen[-1]["samples"]), 2)
    out["rss_mib_max"] = max(one["rss_mib"] for one in seen)
    kinds = Counter(kind for roles in deployment.roles.values() for role in roles for kind in errors_in(role.said))
    out |= {"errors_logged": kinds.total(), "most": kinds.most_common(5)}
    print(json.dumps(out), flush=True)


def errors_in(said: str) -> list[str]:
    """Return the errors in a role's log, without times and numbers; of a traceback what it ends with."""
    out, inside = [], False
    for line in said.splitlines():
        if inside and not line.startswith((" ", "Traceback")) and line.strip():
            out.append(line)
            inside = False
        elif line.startswith("Traceback"):
            inside = True
        elif " ERROR " in line or " CRITICAL " in line:
            out.append(line.partition(",")[2])
    return [re.sub(r"\d+", "#", one)[:200] for one in out]


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--rate", type=int, default=4000, help="samples a second")
    parser.add_argument("--series", type=int, default=2000)
    parser.add_argument("--away", type=float, default=0, help="seconds without a store")
    parser.add_argument("--without-models", action="store_true")
    given = parser.parse_args(arguments)
    if given.away and given.seconds <= AWAY_FROM_S:
        parser.error(f"--away begins after {AWAY_FROM_S:.0f} s: want more --seconds")
    config = CONFIG.format(models="" if given.without_models else "'10s'", series=2 * given.series)
    with tempfile.TemporaryDirectory() as scratch, Deployment(Path(scratch), config) as deployment:
        for url in [*deployment.urls, *(f"http://{worker.metrics}" for worker in deployment.roles["stream"])]:
            _until_ready(url)
        asyncio.run(soak(deployment, given.seconds, given.away, given.series, given.rate))


def _until_ready(url: str) -> None:
    end = time.monotonic() + 120
    while time.monotonic() < end:
        try:
            if httpx.get(f"{url}/readyz", timeout=5).status_code == 200:
                return
        except httpx.HTTPError:
            pass
        time.sleep(0.5)
    raise RuntimeError(f"{url} is not ready after two minutes")
