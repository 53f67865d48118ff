"""The page in a real headless Chromium, on a running product."""

import json
import os
import random
import subprocess
import threading
import time
from pathlib import Path

import httpx
import pytest

from tests.running import PATIENCE, start, stop, tool

HERE = Path(__file__).parent


def shop(url, from_ms, to_ms, *, level=1.0):
    """Write one second steps of a shop's two metrics."""
    rng = random.Random(from_ms)
    samples = [
        {"entity": "shop-1", "metric": metric, "timestamp": at, "value": level * base * (1 + 0.05 * rng.gauss(0, 1))}
        for at in range(from_ms, to_ms, 1000)
        for metric, base in (("latency", 0.2), ("queue", 40))
    ]
    assert httpx.post(f"{url}/api/v1/samples", json={"samples": samples}).status_code == 202


class Writer(threading.Thread):
    """Writes each second until told to stop; a server that is away is tried again."""

    def __init__(self, url):
        super().__init__(daemon=True)
        self.url, self.level, self.stopping = url, 1.0, threading.Event()

    def run(self):
        at = int(time.time()) * 1000
        while not self.stopping.wait(1):
            now = int(time.time()) * 1000
            try:
                shop(self.url, at, now, level=self.level)
                at = now
            except httpx.TransportError:
                continue


@pytest.mark.browser
def test_an_sre_sees_a_fault_begin_and_a_restart_pass(tmp_path, deployment):
    chromium, node = tool("chromium", "chromium-browser", "google-chrome"), tool("node")
    shots = Path(os.environ.get("FORESHOCK_TEST_ARTEFACTS", tmp_path))
    process, url = start(tmp_path / "data", env=deployment)
    now = int(time.time()) * 1000
    shop(url, now - 1_500_000, now)
    writer = Writer(url)
    writer.start()
    time.sleep(8)
    page = subprocess.Popen(
        [node, str(HERE / "page.mjs"), url, chromium, str(shots)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )

    def step(name):
        seen = json.loads(page.stdout.readline())
        assert seen["step"] == name, seen
        return seen

    def answer():
        page.stdin.write("go\n")
        page.stdin.flush()

    try:
        moves = step("moves")
        assert moves["painted"] and moves["connection"] == "live"
        step("fault")
        writer.level = 6.0
        answer()
        assert step("flagged") == {"step": "flagged", "flags": pytest.approx(1, abs=3), "risk": "1"}
        zoomed = step("zoomed")
        assert zoomed["rows"] > 3 and "from=" in zoomed["address"]
        assert "What to do" in step("why")["text"]
        step("restart")
        assert stop(process) < 5 * PATIENCE  # with a browser and a writer connected
        process, _ = start(tmp_path / "data", "--port", url.rpartition(":")[2], env=deployment)
        answer()
        step("back")
        answer()
        assert step("survived")["refused"] == []
    finally:
        writer.stopping.set()
        page.kill()
        page.wait()
        process.kill()
        process.wait()
