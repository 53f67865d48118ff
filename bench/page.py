"""The page in a real Chromium on a running product: main-thread CPU, heap over time, first paint, a zoom over 30 days.

    python -m bench page [busy|memory|overview|zoom …] [--data DATA]

``--data`` is a folder that bench.year made: first paint and zoom are then those of a store with a year of rollups.
CPU is the renderer's main thread's own (the protocol's TaskDuration in thread time), so other programs do not count.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from bench.shop import Writer

METRICS = 100
ENTITIES = 2000
DAY_MS = 86_400_000
HERE = Path(__file__).parent
CLI = [sys.executable, "-c", "from foreshock.cli import main; main()"]


@contextmanager
def product(data: str = "") -> Iterator[str]:
    with tempfile.TemporaryDirectory() as folder:
        command = [*CLI, "up", "--data", data or folder, "--port", "0", "--no-collect"]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        try:
            assert process.stdout is not None
            yield process.stdout.readline().split()[1]
        finally:
            process.terminate()
            process.wait(20)


def board(at_ms: int, rng: random.Random) -> Iterator[dict[str, Any]]:
    """Yield one sample of each of a hundred metrics."""
    for i in range(METRICS):
        value = 100 + 20 * math.sin(at_ms / 300_000 + i) + rng.gauss(0, 5)
        yield {"entity": "board", "metric": f"metric_{i:03d}", "timestamp": at_ms, "value": value}


def browser(*arguments: object) -> subprocess.Popen[str]:
    command = ["node", str(HERE / "page.mjs"), *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def answer(page: subprocess.Popen[str]) -> dict[str, Any]:
    assert page.stdout is not None
    line = page.stdout.readline()
    if not line:
        sys.exit(f"the browser ended with {page.wait()}")
    return json.loads(line)


class Feeder(threading.Thread):
    """Writes a step of event time each ``1 / speed`` seconds, from ``at_ms`` on."""

    def __init__(self, url: str, at_ms: int, speed: float = 1.0) -> None:
        super().__init__(daemon=True)
        self.url, self.at_ms, self.speed, self.stopping = url, at_ms, speed, threading.Event()

    def run(self) -> None:
        writer, rng, began, begin_ms = Writer(self.url), random.Random(1), time.monotonic(), self.at_ms
        while not self.stopping.wait(0.5 / self.speed):
            while self.at_ms < begin_ms + (time.monotonic() - began) * 1000 * self.speed:
                writer.add(board(self.at_ms, rng))
                self.at_ms += 1000
            writer.flush()


def fill(url: str, begin_ms: int, end_ms: int, step_ms: int) -> None:
    writer, rng = Writer(url), random.Random(2)
    for at_ms in range(begin_ms, end_ms, step_ms):
        writer.add(board(at_ms, rng))
    writer.flush()


def busy(chromium: str, _: str, seconds: int = 40) -> None:
    """100 charts with one update a second each."""
    with product() as url:
        now = int(time.time() * 1000)
        fill(url, now - 900_000, now, 1000)
        feeder = Feeder(url, now)
        feeder.start()
        for height in (900, 9000):  # an ordinary screen, then one on which all charts are in view
            page = browser("busy", url, chromium, seconds, height)
            found = answer(page)
            page.wait()
            print(
                f"{found['charts']} charts ({found['seen']} in view), {found['advanced']} moved on each second:"
                f" main thread {found['task_share']:.1%} of a core (script {found['script_share']:.1%},"
                f" style and layout {found['layout_share']:.1%})"
            )
        feeder.stopping.set()


def memory(chromium: str, _: str, minutes: int = 10, speed: int = 10) -> None:
    """Heap after collection, minute by simulated minute."""
    with product() as url:
        begin = int(time.time() * 1000) - (minutes + 10) * 60_000
        fill(url, begin - 330_000, begin, 1000)
        page = browser("memory", url, chromium, minutes, speed, begin)
        answer(page)
        feeder = Feeder(url, begin, speed)
        feeder.start()
        found = answer(page)["found"]
        feeder.stopping.set()
        for one in found:
            print(
                f"minute {one['minute']}: {one['bytes'] / 1e6:.2f} MB, {one['nodes']} nodes,"
                f" {one['points']} points, {one['draws']} draws of the first chart"
            )


def rows_of(url: str) -> list[dict[str, Any]]:
    return httpx.get(f"{url}/api/v1/overview", timeout=60).json()["entities"]


def overview(chromium: str, data: str) -> None:
    """First paint with 2,000 entities of which each has verdicts, and scrolling through them."""
    with product(data) as url:
        rng, now = random.Random(3), int(time.time() * 1000) // 10_000 * 10_000
        writer = Writer(url)
        for at_ms in range(now - 900_000, now, 10_000):
            for i in range(ENTITIES):
                for metric in ("cpu", "latency"):
                    one = {"entity": f"host-{i:04d}", "metric": metric, "timestamp": at_ms, "value": rng.random()}
                    writer.add(iter([one | {"labels": {"zone": f"z{i % 7}"}}]))
        writer.flush()
        while sum(bool(e["verdicts"]) for e in rows_of(url)) < ENTITIES:
            time.sleep(1)
        time.sleep(5)
        found = answer(browser("overview", url, chromium, 5))
        rows = sorted(one["rows"] for one in found["paints"])
        first = sorted(one["first"] for one in found["paints"] if one["first"] is not None)
        print(
            f"{found['entities']}: first paint {first[len(first) // 2]:.0f} ms,"
            f" rows painted {rows[len(rows) // 2]:.0f} ms"
            f" (median of {len(rows)}, most {rows[-1]:.0f})"
        )
        frame = found["frame_ms"]
        print(
            f"scrolling: {found['rows']} rows in the document; a frame takes {frame['median']:.1f} ms in the median,"
            f" {frame['p95']:.1f} at p95, {frame['most']:.1f} at most;"
            f" {found['script_ms_a_frame']:.1f} ms of main thread"
        )


def zoom(chromium: str, data: str, days: int = 50) -> None:
    """A zoom over 30 days, from the address to the picture: of 100 series, or of an entity of the year in ``data``."""
    with product(data) as url:
        end = int(time.time() * 1000) // DAY_MS * DAY_MS
        begin, entity = end - days * DAY_MS, "host-7" if data else "board"
        if not data:
            fill(url, begin, end, 600_000)
            query = {"entity": "board", "metric": "metric_000", "from": begin, "to": end, "rollup": "1h"}
            while len(httpx.get(f"{url}/api/v1/range", params=query, timeout=60).json()["data"]) < days * 24 - 1:
                time.sleep(2)
        found = answer(browser("zoom", url, chromium, entity, begin, begin + 30 * DAY_MS, 6))["taken"]
        times = sorted(one["ms"] for one in found)
        print(f"zoom over 30 days, {found[0]['charts']} charts in view: {times[len(times) // 2]:.0f} ms in the median,")
        print(f"{times[0]:.0f} to {times[-1]:.0f}; its requests took {found[-1]['server']} ms")


def main(arguments: list[str]) -> None:
    import shutil

    chromium = shutil.which("chromium") or shutil.which("google-chrome") or ""
    if not chromium or not (HERE.parent / "ui" / "node_modules").is_dir():
        sys.exit("cannot measure the page: want chromium, and ui/node_modules (make run installs it)")
    figures = {"busy": busy, "memory": memory, "overview": overview, "zoom": zoom}
    parser = argparse.ArgumentParser(prog="python -m bench page", description=__doc__.splitlines()[0])
    parser.add_argument("figures", nargs="*", metavar="FIGURE", help=f"of {', '.join(figures)}; all of them if none")
    parser.add_argument("--data", default="", help="a folder that bench.year made")
    options = parser.parse_args(arguments)
    for name in options.figures or figures:
        figures[name](chromium, options.data)
