"""A shop's site: hosts with thirty-odd metrics each, faults that rise and end, incidents told with what ended them.

``python -m bench.shop URL`` writes the past hours and then a step a second until it is stopped; the last fault is under
way. The page's tests and figures use the same site.
"""

from __future__ import annotations

import argparse
import math
import random
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import httpx

HOUR_MS = 3_600_000
BODY_SAMPLES = 5000


class Metric(NamedTuple):
    name: str
    level: float
    noise: float  # share of the level
    daily: float  # how much the time of day moves it, share of the level
    fault: float  # how many times its level at the height of a fault; 1: the fault does not touch it
    labels: tuple[tuple[str, str], ...] = ()


METRICS = (
    Metric("cpu_user_ratio", 0.22, 0.10, 0.30, 3.2),
    Metric("cpu_system_ratio", 0.06, 0.12, 0.20, 2.0),
    Metric("cpu_iowait_ratio", 0.02, 0.25, 0.10, 4.0),
    Metric("load1", 1.4, 0.12, 0.35, 5.0),
    Metric("context_switches_per_s", 5200, 0.06, 0.25, 1.6),
    Metric("memory_used_ratio", 0.48, 0.01, 0.02, 1.5),
    Metric("memory_cached_bytes", 6.1e9, 0.01, 0.01, 0.8),
    Metric("swap_used_bytes", 2.1e8, 0.02, 0.0, 1.4),
    Metric("disk_read_bytes_per_s", 2.2e6, 0.30, 0.25, 1.0, (("disk", "nvme0"),)),
    Metric("disk_read_bytes_per_s", 0.9e6, 0.30, 0.25, 1.0, (("disk", "nvme1"),)),
    Metric("disk_write_bytes_per_s", 4.8e6, 0.25, 0.25, 1.3, (("disk", "nvme0"),)),
    Metric("disk_write_bytes_per_s", 1.7e6, 0.25, 0.25, 1.3, (("disk", "nvme1"),)),
    Metric("disk_queue_length", 0.8, 0.30, 0.10, 3.0),
    Metric("disk_used_ratio", 0.61, 0.001, 0.0, 1.0),
    Metric("net_receive_bytes_per_s", 8.5e6, 0.12, 0.45, 0.7),
    Metric("net_transmit_bytes_per_s", 2.6e7, 0.12, 0.45, 0.6),
    Metric("net_drops_per_s", 0.4, 0.50, 0.10, 6.0),
    Metric("tcp_retransmits_per_s", 2.0, 0.30, 0.20, 5.0),
    Metric("tcp_established", 840, 0.03, 0.40, 1.9),
    Metric("requests_per_s", 410, 0.05, 0.50, 0.7),
    Metric("request_errors_per_s", 0.9, 0.40, 0.30, 14.0),
    Metric("request_latency_p50_seconds", 0.042, 0.06, 0.10, 3.0),
    Metric("request_latency_p99_seconds", 0.21, 0.10, 0.15, 6.0),
    Metric("requests_in_flight", 18, 0.10, 0.45, 7.0),
    Metric("queue_depth", 35, 0.12, 0.30, 12.0),
    Metric("queue_oldest_seconds", 1.2, 0.15, 0.10, 15.0),
    Metric("cache_hit_ratio", 0.93, 0.005, 0.01, 0.75),
    Metric("db_connections_used", 42, 0.06, 0.35, 2.2),
    Metric("db_query_seconds", 0.011, 0.10, 0.10, 4.0),
    Metric("gc_pause_seconds", 0.018, 0.25, 0.10, 3.5),
    Metric("threads", 212, 0.01, 0.05, 1.5),
    Metric("processes", 134, 0.01, 0.01, 1.0),
    Metric("open_files", 3900, 0.02, 0.10, 1.8),
    Metric("temperature_celsius", 51, 0.01, 0.05, 1.2),
)
HOSTS = {
    "web-1": ("shop", "eu-central"),
    "web-2": ("shop", "eu-central"),
    "web-3": ("shop", "us-east"),
    "db-1": ("orders", "eu-central"),
    "queue-1": ("orders", "eu-central"),
    "cache-1": ("shop", "us-east"),
}
CAUSES = (
    ("queue full, consumers stuck", "critical", "restart the queue's consumers"),
    ("checkout slow", "major", "roll back the deployment"),
    ("connections used up", "major", "raise the pool to 80 and recycle it"),
)


class Fault(NamedTuple):
    entity: str
    start_ms: int
    end_ms: int
    cause: int

    def height(self, at_ms: int) -> float:
        """Return 0…1: it creeps up over the quarter before its start, then stands."""
        creep = (self.end_ms - self.start_ms) // 3
        if not self.start_ms - creep <= at_ms < self.end_ms:
            return 0.0
        return 1.0 if at_ms >= self.start_ms else 0.5 * (at_ms - self.start_ms + creep) / creep


class Site:
    """``faults`` every ``every_ms`` on one host after the other, the last one under way at ``now_ms``."""

    def __init__(self, now_ms: int, hours: float, *, every_ms: int = 2_700_000, seed: int = 7) -> None:
        self.now_ms, self.begin_ms = now_ms, now_ms - int(hours * HOUR_MS)
        self._rng = random.Random(seed)
        hosts = ["web-2", "queue-1", "web-1"]
        starts = list(range(now_ms - 240_000, self.begin_ms + HOUR_MS // 2, -every_ms))
        self.faults = [
            Fault(hosts[i % 3], start, start + 720_000 if i else now_ms + HOUR_MS, i % 3)
            for i, start in enumerate(starts)
        ]

    def step(self, entity: str, at_ms: int) -> Iterator[dict[str, Any]]:
        """Yield one sample of each metric."""
        service, region = HOSTS[entity]
        height = max((f.height(at_ms) for f in self.faults if f.entity == entity), default=0.0)
        day = math.sin(at_ms / 86_400_000 * 2 * math.pi)
        for metric in METRICS:
            value = metric.level * (1 + metric.daily * day + metric.noise * self._rng.gauss(0, 1))
            value *= 1 + (metric.fault - 1) * height
            value = max(0.0, min(value, 1.0) if metric.name.endswith("_ratio") else value)
            labels = {"service": service, "region": region, **dict(metric.labels)}
            yield {"entity": entity, "metric": metric.name, "labels": labels, "timestamp": at_ms, "value": value}

    def incidents(self) -> Iterator[dict[str, Any]]:
        """Yield those that are over, as the API takes them."""
        for fault in self.faults[1:]:
            title, severity, resolution = CAUSES[fault.cause]
            yield {
                "entity": fault.entity,
                "start": fault.start_ms,
                "end": fault.end_ms,
                "title": title,
                "severity": severity,
                "resolution": resolution,
                "external_id": f"site-{fault.start_ms}",
            }


class Writer:
    """Writes to a running server; samples wait until there are enough for a body."""

    def __init__(self, url: str) -> None:
        self._client, self._waiting = httpx.Client(base_url=url, timeout=60), list[dict[str, Any]]()

    def add(self, samples: Iterator[dict[str, Any]]) -> None:
        self._waiting += samples
        if len(self._waiting) >= BODY_SAMPLES:
            self.flush()

    def flush(self) -> None:
        while self._waiting:
            body, self._waiting = self._waiting[:BODY_SAMPLES], self._waiting[BODY_SAMPLES:]
            while (wait_s := self._post(body)) is not None:
                time.sleep(wait_s)

    def _post(self, body: list[dict[str, Any]]) -> float | None:
        """Return how long to wait before trying again, None when it is done."""
        try:
            answer = self._client.post("/api/v1/samples", json={"samples": body})
        except httpx.TransportError:
            return 1.0
        if answer.status_code in (429, 503):
            return float(answer.headers.get("retry-after", "1"))
        answer.raise_for_status()
        return None

    def tell(self, incident: dict[str, Any]) -> None:
        self._client.post("/api/v1/incidents", json=incident).raise_for_status()


def write_history(url: str, site: Site, *, step_ms: int = 10_000) -> None:
    """Write the site's past, time by time, incidents first, so that they are labels when their windows close."""
    writer = Writer(url)
    for incident in site.incidents():
        writer.tell(incident)
    for at_ms in range(site.begin_ms // step_ms * step_ms, site.now_ms, step_ms):
        for entity in HOSTS:
            writer.add(site.step(entity, at_ms))
    writer.flush()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("--hours", type=float, default=12)
    parser.add_argument("--seconds", type=float, default=math.inf, help="how long to go on live")
    given = parser.parse_args()
    site = Site(time.time_ns() // 1_000_000, given.hours)
    write_history(given.url, site)
    print("history written", flush=True)
    writer, at_ms, end = Writer(given.url), site.now_ms, time.monotonic() + given.seconds
    while time.monotonic() < end:
        now_ms = time.time_ns() // 1_000_000
        for entity in HOSTS:
            for at in range(at_ms, now_ms, 1000):
                writer.add(site.step(entity, at))
        writer.flush()
        at_ms += (now_ms - at_ms + 999) // 1000 * 1000
        time.sleep(1)


if __name__ == "__main__":
    main()
