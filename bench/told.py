"""What processes tell of themselves in Prometheus text."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import httpx


def figures(url: str) -> Iterator[tuple[str, float]]:
    """Yield each figure of ``/metrics`` with its labels, as it is written there."""
    for line in httpx.get(f"{url}/metrics", timeout=60).text.splitlines():
        if not line.startswith("#"):
            name, _, value = line.rpartition(" ")
            yield name, float(value)


def standing(urls: Iterable[str]) -> dict[str, float]:
    """Return, over all processes, the worst delay of a watermark in seconds, records not read yet, samples taken in."""
    out = {"lag": 0.0, "delay_s": 0.0, "samples": 0.0}
    for url in urls:
        for name, value in figures(url):
            if name.startswith('foreshock_lag_records{topic="samples"'):
                out["lag"] += value
            elif name.startswith("foreshock_watermark_delay_seconds"):
                out["delay_s"] = max(out["delay_s"], value)
            elif name == "foreshock_samples_total":
                out["samples"] += value
    return out
