"""Every place of the page: it shows what it should, is accessible, and names from outside stay text."""

import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from tests.browser.test_page import HERE
from tests.running import eventually, start, stop, tool

HOSTILE = '<img src=x onerror="alert(1)"> __proto__ \'"&'
METRIC = "<script>alert(2)</script>"


def fill(url):
    now, rng = int(time.time()) * 1000, random.Random(4)
    samples = [
        {"entity": HOSTILE, "metric": METRIC, "timestamp": at, "value": rng.random(), "labels": {"a": "</td>"}}
        for at in range(now - 600_000, now, 5000)
    ]
    # Two thousand entities: only those in sight are in the document.
    samples += [{"entity": f"host-{i:04d}", "metric": "cpu", "value": rng.random()} for i in range(2000)]
    for at in range(0, len(samples), 1000):
        answer = httpx.post(f"{url}/api/v1/samples", json={"samples": samples[at : at + 1000]})
        assert answer.status_code == 202 and not answer.json()["rejected"]
    eventually(lambda: len(httpx.get(f"{url}/api/v1/entities").json()) > 2000, True, 30)


@pytest.mark.browser
def test_every_place_shows_what_there_is_and_names_stay_text(tmp_path):
    chromium, node = tool("chromium", "chromium-browser", "google-chrome"), tool("node")
    shots = Path(os.environ.get("FORESHOCK_TEST_ARTEFACTS", HERE.parent.parent / "artefacts" / "browser"))
    shots.mkdir(parents=True, exist_ok=True)
    made = [sys.executable, "-c", "from foreshock.cli import main; main()", "token", "sre", "--scope", "read,write"]
    token = subprocess.run(made, capture_output=True, text=True)
    secret, line = token.stdout.strip(), token.stderr.split('"')[1]
    process, url = start(tmp_path / "data", "--no-collect")
    guarded = None
    arguments = [node, str(HERE / "views.mjs"), url, chromium, str(shots), HOSTILE, secret]
    page = subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def step(wanted):
        got = page.stdout.readline().strip()
        assert got == wanted, got

    def answer(text):
        page.stdin.write(text + "\n")
        page.stdin.flush()

    try:
        step("empty")
        fill(url)
        answer("filled")
        step("guarded")
        guarded, address = start(tmp_path / "guarded", env={"FORESHOCK_AUTH_TOKENS": line})
        answer(address)
        done = json.loads(page.stdout.readline())
        assert "error" not in done, f"{done['error']}\n{done}"
        assert done["refused"] == [] and done["findings"] == [], done
        seen = done["seen"]
        assert 5 < seen["rows"] < 60
        assert seen["hostile"] == HOSTILE and seen["metric"] == METRIC
        assert seen["incident"][0] == HOSTILE and seen["incident"][5] == "<b>restart</b>"
        assert seen["wide-dark-390"] == 0
        assert seen["nameless"] == ["", 0, True], "an address without an entity shows the riskiest"
        assert seen["cookie"] == [[True, "Strict"]] and seen["scriptSees"] == ""
        stop(process)
    finally:
        page.kill()
        for one in (process, guarded):
            if one is not None:
                one.kill()
                one.wait()
