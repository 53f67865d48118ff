"""How much a second worker costs: samples a CPU-second of one stream worker and of two, on real brokers and a store.

    python -m bench cluster [--records 20000] [--series 10000] [--step-ms 100]

The log is filled first; then the workers start together, and their own CPU time until no record waits counts, less what
as many took to start on an empty log. Brokers are told apart; the store is not counted, as the server used here decodes
blocks in Python.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil

from bench.told import figures
from bench.workload import batches
from log.kafka import KafkaLog
from log.kafka_options import KafkaOptions
from schemas.batch import encode_batch
from schemas.topics import ALL, PARTITIONED, SAMPLES
from tests.cluster.brokers import Brokers, free_port
from tests.cluster.services import ClickhouseServer
from tests.running import start, stop

PARTITIONS = 4
JOIN_MS = 3000


async def fill(url: str, records: int, series: int, step_ms: int) -> int:
    """Put batches of 1,000 samples on each partition of the log; return how many samples."""
    log = KafkaLog(url, KafkaOptions())
    await log.start()
    await log.create_topics({t: PARTITIONS if t in PARTITIONED else 1 for t in ALL})
    try:
        waiting: set[asyncio.Task] = set()
        parts = [
            batches(series // PARTITIONS, records * 1000 // PARTITIONS, step_ms=step_ms) for _ in range(PARTITIONS)
        ]
        for row in zip(*parts, strict=True):
            for number, batch in enumerate(row):
                waiting.add(asyncio.create_task(log.append(SAMPLES, number, encode_batch(batch))))
            if len(waiting) > 200:
                _, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        await asyncio.gather(*waiting)
    finally:
        await log.stop()
    return records * 1000


def run(folder: Path, workers: int, records: int, series: int, step_ms: int) -> dict[str, float]:
    """Return samples a CPU-second of all workers together, and what the brokers took for a million."""
    with (
        Brokers(folder / "kafka", nodes=3, join_ms=JOIN_MS) as brokers,
        ClickhouseServer(folder / "clickhouse") as store,
    ):
        asyncio.run(fill(brokers.url, 0, series, step_ms))
        environment = {
            "FORESHOCK_BROKER_URL": brokers.url,
            "FORESHOCK_BROKER_PARTITIONS": str(PARTITIONS),
            "FORESHOCK_STORE_URL": store.url,
            "FORESHOCK_WINDOWS_ROLLUPS": "10s,1m",
            "FORESHOCK_MODELS_ROLLUPS": "",
            "FORESHOCK_WINDOWS_RETENTION": "samples=none",
        }
        starting_s = _work(folder, workers, environment, 0)
        samples = asyncio.run(fill(brokers.url, records, series, step_ms))
        brokers_s = brokers.cpu_s()
        used_s = _work(folder, workers, environment, samples)
        brokers_s = brokers.cpu_s() - brokers_s
    return {
        "workers": workers,
        "samples_a_cpu_second": round(samples / (used_s - starting_s)),
        "starting_cpu_s": round(starting_s, 1),
        "brokers_cpu_s_a_million": round(brokers_s / samples * 1e6, 3),
    }


def _work(folder: Path, workers: int, environment: dict[str, str], samples: int) -> float:
    """Start all workers at once, wait until they have read so many samples, stop them; return their CPU-seconds."""
    ports = [free_port() for _ in range(workers)]
    at = [environment | {"FORESHOCK_METRICS_ADDRESS": f"127.0.0.1:{port}"} for port in ports]
    with ThreadPoolExecutor(workers) as pool:
        begun = [
            pool.submit(start, folder / f"w{port}", env=one, role="stream") for port, one in zip(ports, at, strict=True)
        ]
        processes = [one.result()[0] for one in begun]
    try:
        _until(ports, 'foreshock_partitions_owned{topic="samples"}', [PARTITIONS // workers] * workers)
        _until(ports, "foreshock_samples_total", samples)
        used_s = _cpu_s(processes)
        for process in processes:
            stop(process)
    finally:
        for process in processes:
            process.kill()
            process.wait()
    return used_s


def _cpu_s(processes: list[subprocess.Popen]) -> float:
    return sum(sum(psutil.Process(one.pid).cpu_times()[:2]) for one in processes)


def _until(ports: list[int], name: str, wanted: int | list[int]) -> None:
    """Wait until the workers tell what is wanted of a figure: of each, or in all."""
    end = time.monotonic() + 900
    while time.monotonic() < end:
        got = [int(value) for port in ports for told, value in figures(f"http://127.0.0.1:{port}") if told == name]
        if got == wanted or sum(got) == wanted:
            return
        time.sleep(0.5)
    raise RuntimeError(f"{name} is {got} after 15 minutes, not {wanted}")


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--records", type=int, default=20_000, help="of 1,000 samples each")
    parser.add_argument("--series", type=int, default=10_000)
    parser.add_argument("--step-ms", type=int, default=100, help="between two samples of a series")
    given = parser.parse_args(arguments)
    best: dict[int, float] = {}
    with tempfile.TemporaryDirectory() as scratch:
        for number, workers in enumerate((1, 2, 1, 2)):
            seen = run(Path(scratch) / str(number), workers, given.records, given.series, given.step_ms)
            print(json.dumps(seen), flush=True)
            best[workers] = max(best.get(workers, 0.0), seen["samples_a_cpu_second"])
    print(json.dumps({"two_against_one": round(best[2] / best[1], 3)}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
