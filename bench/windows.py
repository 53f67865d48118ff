"""Log → slices → closed rollups in the store: samples a CPU-second of the whole process, and what else that depends on.

    python -m bench windows [--samples N] [--kafka URL]

Every line is a run in a process of its own; its CPU is counted from the worker's start until the last window is stored.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from bench.workload import batches
from schemas.batch import CLOSE_ALL, SampleBatch, columns, decode_batch, encode_batch
from schemas.topics import ALL, SAMPLES

ROLLUPS = ("10s", "60s/10s")
MANY = ("10s", "20s", "30s", "1m", "2m", "5m") + tuple(f"{n}s/10s" for n in range(20, 160, 10))


async def once(series: int, samples: int, rollups: tuple[str, ...], broker: str, folder: Path, step_ms: int) -> dict:
    """Return the figures of one run on the log at ``broker`` ("" for embedded) and chDB."""
    from log.open import open_log
    from store.base import open_store
    from store.repository import Repository
    from stream.settings import StreamSettings
    from stream.worker import StreamWorker

    url = broker or f"embedded://{folder / 'log'}"
    log = open_log(url)
    await log.start()
    await log.create_topics({topic: 1 for topic in ALL})
    for batch in batches(series, samples, step_ms=step_ms):
        await log.append(SAMPLES, 0, encode_batch(batch))
    await log.append(SAMPLES, 0, encode_batch(SampleBatch([], b"", b"", b"", [], CLOSE_ALL)))
    repository = Repository(open_store(f"embedded://{folder / 'store'}"))
    await repository.open()
    settings = StreamSettings(rollups=rollups, lateness_ms=5000, partitions=1, keep_samples=False)
    clock = lambda: time.time_ns() // 1_000_000  # noqa: E731
    worker = StreamWorker(
        broker_url=url, log=log, repository=repository, settings=settings, now_ms=clock, datadir=str(folder / "faust")
    )
    began_cpu, began, rss = time.process_time(), time.monotonic(), _rss()
    await worker.start()
    _, end = await log.offsets(SAMPLES, 0)
    stalls, last = [0.0], time.monotonic()
    while (await repository.checkpoint(SAMPLES, 0) or {"resume_offset": -1})["resume_offset"] < end:
        for _ in range(50):
            await asyncio.sleep(0.005)
            now = time.monotonic()
            stalls.append(now - last - 0.005)
            last = now
        last = time.monotonic()
    cpu, wall = time.process_time() - began_cpu, time.monotonic() - began
    counted = await repository.thread.run(
        repository.store.select, "SELECT rollup, sum(count) AS n FROM rollups FINAL GROUP BY start_ms * 0, rollup"
    )
    await worker.stop()
    await repository.close()
    await log.stop()
    counts = dict(zip(counted["rollup"], counted["n"].tolist(), strict=True))
    assert counts["10s"] == samples, f"cannot trust this run: {counts} of {samples} samples are in the store"

    stall_ms = round(1000 * max(stalls))
    return {"cpu_s": cpu, "wall_s": wall, "rss_mib": (_rss() - rss) / 2**20, "stall_ms": stall_ms}


def _rss() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def bare(series: int, samples: int) -> float:
    """Return the CPU seconds of decoding the same batches and adding them up by bincount: the NumPy ceiling."""
    encoded = [encode_batch(batch) for batch in batches(series, samples)]
    begin, total = time.process_time(), np.zeros(series)
    for data in encoded:
        got = columns(decode_batch(data))
        total += np.bincount(got.ids.view(np.int64) % series, weights=got.values, minlength=series)
    return time.process_time() - begin


def plain_python(series: int, samples: int) -> float:
    """Return the CPU seconds of the same windows in dictionaries, a sample at a time, no transport and no store."""
    encoded = list(batches(series, samples))
    begin = time.process_time()
    state: dict[tuple[int, int, int], list[float]] = {}
    for batch in encoded:
        got = columns(batch)
        for series_id, at, value in zip(got.ids.tolist(), got.times.tolist(), got.values.tolist(), strict=True):
            for size, hop in ((10_000, 10_000), (60_000, 10_000)):
                start = at // hop * hop
                while start + size > at:
                    cell = state.get((series_id, size, start))
                    if cell is None:
                        state[series_id, size, start] = [1, value, value, value, value * value]
                    else:
                        cell[0] += 1
                        cell[1] += value
                        cell[2] = min(cell[2], value)
                        cell[3] = max(cell[3], value)
                        cell[4] += value * value
                    start -= hop
    return time.process_time() - begin


def measure(
    series: int, samples: int, rollups: tuple[str, ...] = ROLLUPS, broker: str = "", step_ms: int = 100
) -> dict:
    """Return the figures of a run in a process of its own."""
    arguments = json.dumps([series, samples, list(rollups), broker, step_ms])
    done = subprocess.run(
        [sys.executable, "-m", "bench.windows", "--run", arguments], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    return json.loads(done.stdout.splitlines()[-1])


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench windows")
    parser.add_argument("--samples", type=int, default=6_000_000)
    parser.add_argument("--kafka", default="")
    parser.add_argument("--run", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.run:
        series, samples, rollups, broker, step_ms = json.loads(options.run)
        with tempfile.TemporaryDirectory() as folder:
            print(json.dumps(asyncio.run(once(series, samples, tuple(rollups), broker, Path(folder), step_ms))))
        return
    n = options.samples
    base = measure(10_000, n)
    rate = n / base["cpu_s"]
    more = f"{base['rss_mib']:.0f} MiB more, longest stall of the loop {base['stall_ms']} ms"
    print(f"10,000 series, 100,000 samples a second, 10s and 60s/10s, embedded: {rate:,.0f} a CPU-second; {more}")
    ceiling = n / bare(10_000, n)
    print(f"bare bincount over the decoded columns: {ceiling:,.0f}, {ceiling / rate:.1f} times ours")
    python = (n // 20) / plain_python(10_000, n // 20)
    print(f"in Python dictionaries, no transport, no store: {python:,.0f}; ours {rate / python:.0f} times that")
    if options.kafka:
        kafka = n / measure(10_000, n, broker=options.kafka)["cpu_s"]
        print(f"on Kafka: {kafka:,.0f}, {kafka / rate:.2f} of embedded")
    sparse = n / measure(10_000, n, step_ms=1000)["cpu_s"]
    print(f"at 10,000 samples a second (a tenth of the samples a window): {sparse / rate:.2f} of that")
    # As many samples a window and series each, so that only the number of series differs; starting costs taken off.
    start = measure(10, 1000)["cpu_s"]
    each = {}
    for series in (10_000, 100_000, 300_000):
        got = measure(series, 100 * series)
        each[series] = (got["cpu_s"] - start) / (100 * series)
        more = f"{got['rss_mib'] * 2**20 / series:,.0f} bytes of memory a series at the most"
        print(f"{series:,} series for ten seconds: {each[series] / each[10_000]:.2f} times the cost a sample; {more}")
    got = measure(10_000, n, rollups=MANY)
    print(f"{len(MANY)} definitions: {(got['cpu_s'] - start) / (base['cpu_s'] - start):.2f} times the cost of two")


if __name__ == "__main__":
    main(sys.argv[1:])
