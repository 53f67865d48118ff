"""How much a second worker costs: samples a CPU-second of one stream worker and of two, on real brokers and a store.

    python -m bench cluster [--records 2000] [--series 10000]

The log is filled first; then the workers start, and their own CPU time until no record waits counts. Starting is in
it (some two seconds a process): with few records it says more of that than of the work. Brokers and store are not
counted: they are measured by what they take, not by how many workers there are.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
import time
from pathlib import Path

import httpx
import psutil

from bench.workload import batches
from log.kafka import KafkaLog
from log.kafka_options import KafkaOptions
from schemas.batch import encode_batch
from schemas.topics import ALL, PARTITIONED, SAMPLES
from tests.cluster.brokers import Brokers, free_port
from tests.cluster.services import ClickhouseServer
from tests.running import start, stop

PARTITIONS = 4


async def fill(url: str, records: int, series: int) -> int:
    """Put batches of 1,000 samples on each partition of the log; return how many samples."""
    log = KafkaLog(url, KafkaOptions())
    await log.start()
    await log.create_topics({t: PARTITIONS if t in PARTITIONED else 1 for t in ALL})
    try:
        waiting: set[asyncio.Task] = set()
        parts = [batches(series // PARTITIONS, records * 1000 // PARTITIONS) for _ in range(PARTITIONS)]
        for row in zip(*parts, strict=True):
            for number, batch in enumerate(row):
                waiting.add(asyncio.create_task(log.append(SAMPLES, number, encode_batch(batch))))
            if len(waiting) > 200:
                _, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        await asyncio.gather(*waiting)
    finally:
        await log.stop()
    return records * 1000


def run(folder: Path, workers: int, records: int, series: int) -> float:
    """Return samples a CPU-second of all workers together."""
    with Brokers(folder / "kafka", nodes=3) as brokers, ClickhouseServer(folder / "clickhouse") as store:
        samples = asyncio.run(fill(brokers.url, records, series))
        ports = [free_port() for _ in range(workers)]
        environment = {
            "FORESHOCK_BROKER_URL": brokers.url,
            "FORESHOCK_BROKER_PARTITIONS": str(PARTITIONS),
            "FORESHOCK_STORE_URL": store.url,
            "FORESHOCK_WINDOWS_ROLLUPS": "10s,1m",
            "FORESHOCK_MODELS_ROLLUPS": "",
            "FORESHOCK_WINDOWS_RETENTION": "samples=none",
        }
        processes = [
            start(
                folder / f"w{port}", env=environment | {"FORESHOCK_METRICS_ADDRESS": f"127.0.0.1:{port}"}, role="stream"
            )[0]
            for port in ports
        ]
        try:
            _until_read(ports, samples)
            used = sum(sum(psutil.Process(p.pid).cpu_times()[:2]) for p in processes)
            for process in processes:
                stop(process)
        finally:
            for process in processes:
                process.kill()
                process.wait()
    return samples / used


def _until_read(ports: list[int], samples: int) -> None:
    end = time.monotonic() + 900
    while time.monotonic() < end:
        texts = [httpx.get(f"http://127.0.0.1:{port}/metrics", timeout=30).text for port in ports]
        lines = [line for text in texts for line in text.splitlines() if line.startswith("foreshock_samples_total ")]
        if sum(float(line.split()[1]) for line in lines) >= samples:
            return
        time.sleep(0.5)
    raise RuntimeError("the workers did not read everything within 15 minutes")


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--records", type=int, default=4000)
    parser.add_argument("--series", type=int, default=10_000)
    given = parser.parse_args(arguments)
    out: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as scratch:
        for workers in (1, 2, 1, 2):
            rate = run(Path(scratch) / f"{workers}-{len(out)}", workers, given.records, given.series)
            print(json.dumps({"workers": workers, "samples_a_cpu_second": round(rate)}), flush=True)
            out[f"{workers}"] = max(rate, out.get(f"{workers}", 0.0))
    print(json.dumps({"two_against_one": round(out["2"] / out["1"], 3)}), file=sys.stdout)


if __name__ == "__main__":
    main(sys.argv[1:])
