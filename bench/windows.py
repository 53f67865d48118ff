"""Log → slices → closed rollups in the store: samples a CPU-second of the whole process, and what else that depends on.

    python -m bench windows [--samples N] [--million] [--only transports|series|memory|definitions|peers]

Every line is a run in a process of its own; its CPU is counted from the worker's start until the last window is stored.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import resource
import subprocess
import sys
import tempfile
import time
import tracemalloc
from contextlib import ExitStack
from itertools import chain, islice
from pathlib import Path

import numpy as np

from bench import peers
from bench.workload import batches
from schemas.batch import CLOSE_ALL, SampleBatch, columns, decode_batch, encode_batch
from schemas.topics import ALL, SAMPLES
from schemas.window_spec import parse_rollup
from stream.window.partition import PartitionWindows

ROLLUPS = ("10s", "60s/10s")
DEFAULT = ("10s", "1m", "5m", "5m/1m")  # those of the default configuration that are held in memory
MANY = ("10s", "20s", "30s", "1m", "2m", "5m") + tuple(f"{n}s/10s" for n in range(20, 160, 10))


async def once(
    series: int, samples: int, rollups: tuple[str, ...], broker: str, folder: Path, step_ms: int, shuffled: bool
) -> dict:
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
    made = batches(series, samples, step_ms=step_ms, shuffled=shuffled)
    while some := list(islice(made, 20)):  # as many at once as a busy writer has
        await asyncio.gather(*(log.append(SAMPLES, 0, encode_batch(batch)) for batch in some))
    await log.append(SAMPLES, 0, encode_batch(SampleBatch([], b"", b"", b"", [], CLOSE_ALL)))
    repository = Repository(open_store(f"embedded://{folder / 'store'}"))
    await repository.open()
    settings = StreamSettings(rollups=rollups, lateness_ms=5000, partitions=1, keep_samples=False)
    clock = lambda: time.time_ns() // 1_000_000  # noqa: E731
    worker = StreamWorker(
        broker_url=url,
        log=log,
        repository=repository,
        settings=settings,
        now_ms=clock,
        datadir=str(folder / "faust"),
        agents=frozenset({"window"}),
    )
    began_cpu, began, rss = time.process_time(), time.monotonic(), _rss()
    await worker.start()
    _, end = await log.offsets(SAMPLES, 0)
    stalls, busy = [0.0], [0.0]
    while (await repository.checkpoint(SAMPLES, 0) or {"resume_offset": -1})["resume_offset"] < end:
        for _ in range(50):
            last, last_cpu = time.monotonic(), time.thread_time()
            await asyncio.sleep(0.005)
            stalls.append(time.monotonic() - last - 0.005)
            busy.append(time.thread_time() - last_cpu)
    cpu, wall = time.process_time() - began_cpu, time.monotonic() - began
    counted = await repository.thread.run(
        repository.store.select, "SELECT rollup, sum(count) AS n FROM rollups FINAL GROUP BY start_ms * 0, rollup"
    )
    await worker.stop()
    await repository.close()
    await log.stop()
    counts = dict(zip(counted["rollup"], counted["n"].tolist(), strict=True))
    assert counts["10s"] == samples, f"cannot trust this run: {counts} of {samples} samples are in the store"

    longest = {"stall_ms": round(1000 * max(stalls)), "busy_ms": round(1000 * max(busy))}
    return {"cpu_s": cpu, "wall_s": wall, "rss_mib": (_rss() - rss) / 2**20} | longest


def _stall(got: dict) -> str:
    """Say how long the loop did not turn; its own work in one turn says as much on a busy machine too."""
    return f"longest stall of the loop {got['stall_ms']} ms, its own work in one turn {got['busy_ms']} ms at most"


def windows_bytes(series: int) -> tuple[float, float]:
    """Return the most bytes a series that open windows hold between two drains, and within one."""
    windows = PartitionWindows(
        [parse_rollup(name) for name in DEFAULT],
        5000,
        is_counter=lambda ids: np.zeros(len(ids), bool),
        entity_of=lambda ids: (ids % np.uint64(max(1, series // 40))).astype(np.int64),
    )
    made, held = batches(series, 40 * series, batch=10_000, step_ms=10_000), 0
    first = next(made)  # before memory is counted: the definitions are the workload's
    gc.collect()
    tracemalloc.start()
    for offset, batch in enumerate(chain([first], made)):
        windows.apply(offset, batch)
        del batch
        for _ in windows.drain():
            pass
        held = max(held, tracemalloc.get_traced_memory()[0])
    return held / series, tracemalloc.get_traced_memory()[1] / series


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
    series: int,
    samples: int,
    rollups: tuple[str, ...] = ROLLUPS,
    *,
    kafka: bool = False,
    step_ms: int = 100,
    shuffled: bool = False,
) -> dict:
    """Return the figures of a run in a process of its own, on a broker of its own where it is on Kafka."""
    with ExitStack() as stack:
        broker = ""
        if kafka:
            from tests.cluster.services import kafka as started

            broker = stack.enter_context(started(Path(stack.enter_context(tempfile.TemporaryDirectory())) / "kafka"))
        return in_process("bench.windows", [series, samples, list(rollups), broker, step_ms, shuffled])


def in_process(module: str, arguments: list, python: str = sys.executable) -> dict:
    """Return what ``python -m module --run ARGUMENTS`` says in its last line."""
    command = [python, "-m", module, "--run", json.dumps(arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{module} ended with {done.returncode}: {done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench windows")
    parser.add_argument("--samples", type=int, default=6_000_000)
    parser.add_argument("--only", choices=sorted(PARTS), action="append", help="one part; may be repeated")
    parser.add_argument("--million", action="store_true", help="a million series as well; takes minutes")
    parser.add_argument("--run", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.run:
        series, samples, rollups, *how = json.loads(options.run)
        with tempfile.TemporaryDirectory() as folder:
            broker, step_ms, shuffled = how
            run = once(series, samples, tuple(rollups), broker, Path(folder), step_ms, shuffled)
            print(json.dumps(asyncio.run(run)))
        return
    start_s = measure(10, 1000)["cpu_s"]
    print(f"starting, on an empty log: {start_s:.2f} CPU-seconds", flush=True)
    for name, part in PARTS.items():
        if not options.only or name in options.only:
            part(options, start_s)


def transports(options: argparse.Namespace, start_s: float) -> None:
    n = options.samples
    base = measure(10_000, n)
    rate = n / base["cpu_s"]
    print(f"10,000 series, 100,000 samples a second, 10s and 60s/10s, embedded: {rate:,.0f} a CPU-second", flush=True)
    kafka = n / measure(10_000, n, kafka=True)["cpu_s"]
    print(f"on Kafka: {kafka:,.0f}, {kafka / rate:.2f} of embedded", flush=True)
    ceiling = n / bare(10_000, n)
    print(f"bare bincount over the decoded columns: {ceiling:,.0f}, {ceiling / rate:.1f} times embedded")
    python = (n // 20) / plain_python(10_000, n // 20)
    print(f"in Python dictionaries, no transport, no store: {python:,.0f}; ours {rate / python:.0f} times that")
    sparse = n / measure(10_000, n, step_ms=1000)["cpu_s"]
    print(f"at 10,000 samples a second (a tenth of the samples a window): {sparse / rate:.2f} of that", flush=True)


def by_series(options: argparse.Namespace, start_s: float) -> None:
    """As many samples a window and series each; what more of them cost, in as many windows more a sample: without what
    is once a series, its definition and the windows that hop over the beginning."""
    each = {}
    most = 1_000_000 if options.million else 300_000
    for series, shuffled in [
        *((n, False) for n in (1000, 10_000, 100_000, 300_000, 1_000_000) if n <= most),
        (most, True),
    ]:
        begun = 40 * series
        more = max(20 * series, 6_000_000)
        some, all_of_it = (measure(series, n, step_ms=500, shuffled=shuffled) for n in (begun, begun + more))
        each[series] = (all_of_it["cpu_s"] - some["cpu_s"]) / more
        line = f"{series:,} series{', mixed' if shuffled else ''}, 20 samples a window: "
        line += f"{1e9 * each[series]:,.0f} ns a sample more"
        if 10_000 in each:
            line += f", {each[series] / each[10_000]:.2f} times that of 10,000 series"
        line += f"; {1e9 * (some['cpu_s'] - start_s) / begun:,.0f} ns each of the first 40 of a series"
        print(f"{line}; {_stall(all_of_it)}", flush=True)


def memory(options: argparse.Namespace, start_s: float) -> None:
    """The default rollups, one sample in ten seconds, for more than the longest window."""
    low: dict = {}
    for series in (10_000, 100_000) + ((1_000_000,) if options.million else ()):
        got = measure(series, 40 * series, DEFAULT, step_ms=10_000)
        low = low or got
        line = f"{series:,} series, one sample in 10 s, default rollups: {1e9 * got['cpu_s'] / (40 * series):,.0f} ns"
        line += f" a sample, {_stall(got)}"
        if series > 10_000:
            more = (got["rss_mib"] - low["rss_mib"]) * 2**20 / (series - 10_000)
            line += f"; the whole process at its highest: {more:,.0f} bytes a series beyond the first 10,000"
        print(line, flush=True)
    held, most = windows_bytes(100_000)
    print(f"open windows of 100,000 series: {held:,.0f} bytes a series, {most:,.0f} while they close", flush=True)


def definitions(options: argparse.Namespace, start_s: float) -> None:
    """Twice as many samples in as many windows: what they add is the cost of samples; the rest is that of closes."""
    cost = {}
    for rollups in (ROLLUPS, MANY):
        some, more = (
            measure(10_000, n, rollups, step_ms=step)["cpu_s"] for n, step in ((3_000_000, 200), (9_000_000, 67))
        )
        a_sample = (more - some) / 6_000_000
        cost[rollups] = a_sample, (some - start_s - 3_000_000 * a_sample), more - start_s
        print(f"{len(rollups)} definitions: {1e9 * a_sample:,.0f} ns a sample more, {cost[rollups][1]:.2f} s of closes")
    few, many = cost[ROLLUPS], cost[MANY]
    print(f"{len(MANY)} definitions against two: {many[0] / few[0]:.2f} times the cost a sample more, ", end="")
    print(f"{many[2] / few[2]:.2f} times of all at 150,000 samples a second", flush=True)


PARTS = {
    "transports": transports,
    "series": by_series,
    "memory": memory,
    "definitions": definitions,
    "peers": peers.compare,
}


if __name__ == "__main__":
    main(sys.argv[1:])
