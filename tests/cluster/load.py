"""Writers that try again until they are acknowledged, and what the rollups must hold of it."""

from __future__ import annotations

import random
import threading
import time
from collections import defaultdict
from typing import Any

import httpx
import numpy as np

METRICS = ("latency", "queue", "errors")


class Load:
    """Entities that are written to any API process once a second, each request again and again until it is taken."""

    def __init__(self, urls: list[str], entities: list[str], seed: int) -> None:
        self._urls, self._rng, self._entities = urls, random.Random(seed), entities
        self.acknowledged: list[dict[str, Any]] = []
        self.attempts = self.requests = 0
        self.level: dict[str, float] = defaultdict(lambda: 1.0)
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._threads = [
            threading.Thread(target=self._write, args=(part, seed + i), daemon=True)
            for i, part in enumerate(np.array_split(np.array(entities), 4))
            if len(part)
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Return once everything that was begun is acknowledged."""
        self._stopping.set()
        for thread in self._threads:
            thread.join(120)
            assert not thread.is_alive(), "a request was not acknowledged within two minutes of quiet"

    def latest_s(self) -> float:
        """Return how old a sample was at most when it was acknowledged, seconds."""
        return max(one["acknowledged_ms"] - one["timestamp"] for one in self.acknowledged) / 1000

    def samples(self, entities: list[str], from_ms: int, to_ms: int, rng: random.Random) -> list[dict[str, Any]]:
        return [
            {
                "entity": entity,
                "metric": metric,
                "timestamp": at + rng.randrange(1000),
                "value": self._value(entity, rng),
            }
            for at in range(from_ms, to_ms, 1000)
            for entity in entities
            for metric in METRICS
        ]

    def _value(self, entity: str, rng: random.Random) -> float:
        return self.level[entity] * (1 + 0.05 * rng.gauss(0, 1))

    def send(self, samples: list[dict[str, Any]], rng: random.Random) -> None:
        """Write one request until it is acknowledged."""
        self.requests += 1
        while True:
            self.attempts += 1
            try:
                answer = httpx.post(f"{rng.choice(self._urls)}/api/v1/samples", json={"samples": samples}, timeout=10)
            except httpx.TransportError:
                time.sleep(0.3)
                continue
            if answer.status_code == 202:
                assert answer.json() == {"accepted": len(samples), "rejected": []}, answer.text
                break
            assert answer.status_code in (429, 500, 503), (answer.status_code, answer.text)
            time.sleep(0.3)
        acknowledged_ms = int(time.time() * 1000)
        with self._lock:
            self.acknowledged += [sample | {"acknowledged_ms": acknowledged_ms} for sample in samples]

    def _write(self, entities: np.ndarray, seed: int) -> None:
        rng, at = random.Random(seed), int(time.time()) * 1000
        while not self._stopping.wait(1):
            now = int(time.time()) * 1000
            if now > at:
                self.send(self.samples(entities.tolist(), at, now, rng), rng)
                at = now


def expected(samples: list[dict[str, Any]], size_ms: int, hop_ms: int) -> dict[tuple[str, str, int], np.ndarray]:
    """Return (entity, metric, window start) → the values that lie in it."""
    out: dict[tuple[str, str, int], list[float]] = defaultdict(list)
    for sample in samples:
        start = sample["timestamp"] // hop_ms * hop_ms
        while start + size_ms > sample["timestamp"]:
            out[sample["entity"], sample["metric"], start].append(sample["value"])
            start -= hop_ms
    return {key: np.array(values) for key, values in out.items()}


def read(url: str, rollup: str, stat: str, from_ms: int, to_ms: int) -> dict[tuple[str, str, int], float]:
    """Return (entity, metric, window start) → one statistic, as the range query answers it."""
    query = {"from": from_ms, "to": to_ms, "rollup": rollup, "stat": stat}
    answer = httpx.get(f"{url}/api/v1/range", params=query, timeout=60)
    answer.raise_for_status()
    body = answer.json()
    names = [label.split(" ", 1) for label in body["labels"][1:]]
    out = {}
    for start, *values in body["data"]:
        for (entity, metric), value in zip(names, values, strict=True):
            if value is not None:
                out[entity, metric, start] = value
    return out


EXACT = {"count": len, "sum": np.sum, "min": np.min, "max": np.max}


def differences(url: str, samples: list[dict[str, Any]], rollup: str, size_ms: int, hop_ms: int) -> list[str]:
    """Return how the stored rollups differ from what was acknowledged; windows that are not over are left out."""
    over = int(time.time() * 1000) - 10_000
    if size_ms < 3_600_000:  # longer ones close by our clock, not by the samples'
        over = min(over, max(s["timestamp"] for s in samples))
    want = {key: values for key, values in expected(samples, size_ms, hop_ms).items() if key[2] + size_ms <= over}
    low, high = min(start for _, _, start in want), max(start for _, _, start in want) + 1
    wrong, entities = [], {entity for entity, _, _ in want}
    for stat, exact in EXACT.items():
        got = {key: value for key, value in read(url, rollup, stat, low, high).items() if key[0] in entities}
        for key in sorted(want.keys() | {k for k in got if k[2] + size_ms <= over}):
            right = float(exact(want[key])) if key in want else None
            value = got.get(key)
            if right is None or value is None or not np.isclose(value, right, rtol=1e-9, atol=1e-9):
                wrong.append(f"{stat} of {rollup} {key}: {value}, want {right}")
    return wrong
