"""Every place of the page: it shows what it should, is accessible, and names from outside stay text."""

import json
import os
import random
import subprocess
import time
from pathlib import Path

import httpx
import pytest

from tests.browser.test_page import HERE
from tests.running import eventually, start, stop, tool

HOSTILE = '<img src=x onerror="alert(1)"> __proto__ \'"&'


@pytest.mark.browser
def test_every_place_shows_what_there_is_and_names_stay_text(tmp_path):
    chromium, node = tool("chromium", "chromium-browser", "google-chrome"), tool("node")
    shots = Path(os.environ.get("FORESHOCK_TEST_ARTEFACTS", tmp_path))
    shots.mkdir(parents=True, exist_ok=True)
    process, url = start(tmp_path / "data")
    try:
        now, rng = int(time.time()) * 1000, random.Random(4)
        samples = [{"entity": HOSTILE, "metric": "<script>alert(2)</script>", "value": 1, "labels": {"a": "</td>"}}]
        samples += [
            {"entity": "history", "metric": "load", "timestamp": at, "value": 5 + rng.gauss(0, 1)}
            for at in range(now - 6 * 3_600_000, now, 30_000)
        ]
        # Two thousand entities: only those in sight are in the document.
        samples += [{"entity": f"host-{i:04d}", "metric": "cpu", "value": rng.random()} for i in range(2000)]
        for at in range(0, len(samples), 1000):
            answer = httpx.post(f"{url}/api/v1/samples", json={"samples": samples[at : at + 1000]})
            assert answer.status_code == 202 and not answer.json()["rejected"]
        query = {"entity": "history", "rollup": "1m", "from": now - 6 * 3_600_000, "stat": "count"}
        eventually(lambda: len(httpx.get(f"{url}/api/v1/range", params=query).json()["data"]) > 300, True, 60)
        eventually(lambda: len(httpx.get(f"{url}/api/v1/entities").json()) > 2000, True, 30)
        arguments = [node, str(HERE / "views.mjs"), url, chromium, str(shots), HOSTILE]
        done = json.loads(subprocess.run(arguments, capture_output=True, text=True, timeout=240).stdout)
        assert "error" not in done, done
        assert done["refused"] == [] and done["findings"] == [], done
        seen = done["seen"]
        assert 5 < seen["rows"] < 60
        assert seen["hostile"] == HOSTILE and seen["metric"] == "<script>alert(2)</script>"
        assert seen["incident"][0] == HOSTILE and seen["incident"][5] == "<b>restart</b>"
        assert seen["csv"] == '"timestamp","load"' and "entity=history" in seen["address"]
        assert stop(process) < 5
    finally:
        process.kill()
        process.wait()
