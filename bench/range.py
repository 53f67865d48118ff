"""Latencies of range queries over HTTP, against a running ``foreshock up`` on a store that bench.year made.

    python -m bench.range DATA [--requests 40]

Starts the product on DATA, asks each question for another entity each time, one client and one connection, and prints
milliseconds: median and 99th percentile, and the processor time of the server a request. At the end the short question
is asked again while two other clients ask long ones without a pause.
"""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx

QUESTIONS: dict[str, dict[str, str | int]] = {
    "30 days, 40 metrics, auto": {"from": "-30d", "points": 1000},
    "30 days, 40 metrics, auto, p95": {"from": "-30d", "points": 1000, "stat": "p95"},
    "30 days, 40 metrics, dygraphs": {"from": "-30d", "points": 1000, "format": "dygraphs"},
    "1 year, 40 metrics, auto": {"from": "-365d", "points": 1000},
    "1 day, 1 metric, 10s": {"from": "-1d", "rollup": "10s", "metric": "metric_7"},
    "1 day, 40 metrics, auto": {"from": "-1d", "points": 1000},
    "1 hour, 40 metrics, 10s (live)": {"from": "-1h", "rollup": "10s"},
}
SHORT_ENTITIES = 10  # of which short windows are made (bench.year --keep)
LONG: dict[str, str | int] = {"from": "-365d", "rollup": "1h", "entity": "host-1*"}


def asked(client: httpx.Client, query: dict[str, str | int], n: int, entities: int) -> tuple[list[float], int]:
    """Return the milliseconds of each request, and the rows of the last answer."""
    took, rows = [], 0
    entities = min(entities, SHORT_ENTITIES) if query["from"] in ("-1d", "-1h") else entities
    for number in range(n + 3):
        began = time.perf_counter()
        answer = client.get("/api/v1/range", params={"entity": f"host-{random.randrange(entities)}"} | query)
        if number >= 3:  # the first ones warm up
            took.append(1000 * (time.perf_counter() - began))
        assert answer.status_code == 200, answer.text
        rows = len(answer.json()["data"]) if "format" not in query else len(answer.json()) - 1
    assert rows, f"cannot trust this run: nothing was answered to {query}"
    return sorted(took), rows


def percentiles(took: list[float]) -> str:
    return f"p50 {took[len(took) // 2]:6.1f} ms, p99 {took[min(len(took) - 1, int(len(took) * 0.99))]:6.1f} ms"


def cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / 100


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.range", description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--requests", type=int, default=40)
    options = parser.parse_args(arguments)
    command = [sys.executable, "-c", "from foreshock.cli import main; main()", "up", "--data", str(options.data)]
    command += ["--port", "0", "--no-collect"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout
        url = process.stdout.readline().split()[1]
        with httpx.Client(base_url=url, timeout=120) as client:
            entities = len(client.get("/api/v1/series", params={"metric": "metric_0"}).json())
            for name, query in QUESTIONS.items():
                before = cpu_s(process.pid)
                took, rows = asked(client, query, options.requests, entities)
                each = 1000 * (cpu_s(process.pid) - before) / (options.requests + 3)
                print(f"{name:34} {percentiles(took)}, {each:5.0f} ms of CPU, {rows} rows", flush=True)
            for path in ("/api/v1/entities", "/api/v1/series?entity=host-1"):
                began = time.perf_counter()
                assert client.get(path).status_code == 200
                print(f"{path:34} {1000 * (time.perf_counter() - began):10.1f} ms once", flush=True)
            _beside_long_ones(url, client, options.requests, entities)
    finally:
        process.terminate()
        process.wait(20)


def _beside_long_ones(url: str, client: httpx.Client, n: int, entities: int) -> None:
    stop, long_ms = threading.Event(), []

    def ask() -> None:
        with httpx.Client(base_url=url, timeout=300) as other:
            while not stop.is_set():
                began = time.perf_counter()
                answer = other.get("/api/v1/range", params=LONG)
                assert answer.status_code in (200, 400), answer.text
                long_ms.append(1000 * (time.perf_counter() - began))

    clients = [threading.Thread(target=ask) for _ in range(2)]
    for one in clients:
        one.start()
    time.sleep(1)
    took, _ = asked(client, QUESTIONS["1 day, 1 metric, 10s"], n, entities)
    stop.set()
    for one in clients:
        one.join()
    print(
        f"{'1 day, 1 metric, beside long ones':34} {percentiles(took)}; a long one {sum(long_ms) / len(long_ms):.0f} ms"
    )


if __name__ == "__main__":
    main(sys.argv[1:])
