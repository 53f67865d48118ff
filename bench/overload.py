"""Three times what the machine takes: is memory bounded, what is accepted kept, the rest refused, the page answered?

    python -m bench overload [--seconds 30] [--connections 400] [--pending BYTES]

First 16 connections write JSON requests of 2,000 samples to `foreshock up`, each the next once the last is
acknowledged: that is what the machine takes. Then three times as many a second are begun, whether others were answered
or not, as long as connections are free, and none is sent again. Meanwhile the overview is asked for. At the end every
sample that was acknowledged is looked for in the rollups.
"""

from __future__ import annotations

import argparse
import http.client
import json
import sys
import tempfile
import threading
import time
from collections import Counter
from itertools import count

import httpx

from bench.fanout import Server

SAMPLES, METRICS, TAKERS = 2000, 50, 16
_AT = b"@" * 13  # where a body's epoch milliseconds go: the writer shares the machine, so it must cost next to nothing
_SAMPLES = [
    {"entity": f"host-{i // METRICS}", "metric": f"metric_{i % METRICS}", "timestamp": "at", "value": i / 7}
    for i in range(SAMPLES)
]
_BODY = json.dumps({"samples": _SAMPLES}).encode().replace(b'"at"', _AT)


class Load:
    """Bodies of now, in which every series has one sample; no two have the same millisecond."""

    def __init__(self, port: int) -> None:
        self._port, self._lock = port, threading.Lock()
        self.to_ms = int(time.time() * 1000)
        self.from_ms = self.to_ms // 10_000 * 10_000
        self.answers: Counter[str] = Counter()
        self.accepted = 0

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self._port, timeout=300)

    def send(self, connection: http.client.HTTPConnection) -> None:
        with self._lock:
            at_ms = self.to_ms = max(self.to_ms + 1, int(time.time() * 1000))
        connection.request("POST", "/api/v1/samples", _BODY.replace(_AT, str(at_ms).encode()))
        answer = connection.getresponse()
        answer.read()
        said = str(answer.status)
        if answer.status in (429, 503) and not int(answer.headers.get("Retry-After", 0)):
            said += " without Retry-After"
        with self._lock:
            self.answers[said] += 1
            self.accepted += SAMPLES * (answer.status == 202)


def taken(load: Load, seconds: float) -> float:
    """Return how many requests a second are acknowledged while each connection waits for its last."""
    end = time.monotonic() + seconds

    def write() -> None:
        connection = load.connect()
        while time.monotonic() < end:
            load.send(connection)

    _together([threading.Thread(target=write) for _ in range(TAKERS)])
    return load.answers["202"] / seconds


def offered(load: Load, rate: float, seconds: float, connections: int) -> float:
    """Begin ``rate`` requests a second over so many connections; return how many were begun a second."""
    begin, turns = time.monotonic(), count()
    before = sum(load.answers.values())

    def write() -> None:
        connection = load.connect()
        while (due := begin + next(turns) / rate) < begin + seconds:
            time.sleep(max(0.0, due - time.monotonic()))
            if time.monotonic() > begin + seconds:
                return
            load.send(connection)

    _together([threading.Thread(target=write) for _ in range(connections)])
    return (sum(load.answers.values()) - before) / seconds


def _together(threads: list[threading.Thread]) -> None:
    for one in threads:
        one.start()
    for one in threads:
        one.join()


def look(url: str, stopping: threading.Event, took: list[float]) -> None:
    """Ask for the overview twice a second."""
    with httpx.Client(base_url=url, timeout=120) as client:
        while not stopping.wait(0.5):
            began = time.monotonic()
            client.get("/api/v1/overview").raise_for_status()
            took.append(time.monotonic() - began)


def counted(url: str, load: Load) -> float:
    total = 0.0
    query = {"rollup": "10s", "stat": "count", "from": load.from_ms, "to": load.to_ms + 10_000}
    for number in range(METRICS):
        found = httpx.get(f"{url}/api/v1/range", params=query | {"metric": f"metric_{number}"}, timeout=300).json()
        total += sum(value or 0 for row in found["data"] for value in row[1:])
    return total


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench overload", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--connections", type=int, default=400)
    parser.add_argument("--pending", type=int, default=16 << 20, help="limits.pending; its default holds 1,500 bodies")
    given = parser.parse_args(arguments)
    command = [sys.executable, "-c", "from foreshock.cli import main; main()", "up", "--no-collect", "--port", "0"]
    with tempfile.TemporaryDirectory() as folder:
        server = Server([*command, "--data", folder], {"FORESHOCK_LIMITS_PENDING": str(given.pending)})
        load, stopping, took = Load(int(server.url.rpartition(":")[2])), threading.Event(), list[float]()
        rate = taken(load, 10)
        before, _ = server.memory()
        print(f"{TAKERS} connections that wait: {rate:.0f} requests a second, {before / 2**20:.0f} MiB", flush=True)
        looking = threading.Thread(target=look, args=(server.url, stopping, took))
        looking.start()
        begun = offered(load, 3 * rate, given.seconds, given.connections)
        stopping.set()
        looking.join()
        _, most = server.memory()
        print(
            f"{begun:.0f} a second begun of {3 * rate:.0f} wanted: {dict(load.answers)}; {most / 2**20:.0f} MiB at most"
        )
        took.sort()
        print(f"overview answered {len(took)} times: median {took[len(took) // 2]:.2f} s, longest {took[-1]:.2f} s")
        late = {"entity": "host-0", "metric": "end", "timestamp": load.to_ms + 60_000, "value": 1}
        httpx.post(f"{server.url}/api/v1/samples", json=late, timeout=60).raise_for_status()
        end = time.monotonic() + 300
        while (got := counted(server.url, load)) != load.accepted and time.monotonic() < end:
            time.sleep(2)
        print(f"acknowledged {load.accepted:,} samples, in the rollups {got:,.0f}")
        server.stop()
    if got != load.accepted or any("without" in said for said in load.answers):
        raise SystemExit("not as it should be")


if __name__ == "__main__":
    main(sys.argv[1:])
