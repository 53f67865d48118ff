"""Everything the page shows and does, one after the other, on a shop's site with a fault under way."""

import json
import os
import subprocess
import threading
import time
from pathlib import Path

import httpx
import pytest

from bench.shop import HOSTS, METRICS, Site, Writer, write_history
from tests.browser.test_page import HERE
from tests.running import eventually, start, stop, tool

CONFIGURATION = """
[alerts]
for = 3
[[alerts.targets]]
name = "nobody"
kind = "webhook"
url = "http://127.0.0.1:9/hook"
[[periods.named]]
name = "sale"
days = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
start = "{start}"
end = "{end}"
"""


def live(url, site, stopping):
    """Go on with the site, a step a second."""
    writer, at_ms = Writer(url), site.now_ms
    while not stopping.wait(1):
        now_ms = int(time.time() * 1000)
        for at in range(at_ms, now_ms, 1000):
            for entity in HOSTS:
                writer.add(site.step(entity, at))
            at_ms = at + 1000
        writer.flush()


def gappy(url, base_ms):
    """Twenty minutes with a hole of five in them."""
    samples = [
        {"entity": "gappy", "metric": "depth", "timestamp": at, "value": 10}
        for at in range(base_ms, base_ms + 1_200_000, 5000)
        if not 600_000 <= at - base_ms < 900_000
    ]
    assert httpx.post(f"{url}/api/v1/samples", json={"samples": samples}).status_code == 202


@pytest.mark.browser
def test_everything_that_the_page_shows_and_does(tmp_path):
    chromium, node = tool("chromium", "chromium-browser", "google-chrome"), tool("node")
    shots = Path(os.environ.get("FORESHOCK_TEST_ARTEFACTS", HERE.parent.parent / "artefacts" / "browser"))
    shots.mkdir(parents=True, exist_ok=True)
    hour = time.gmtime(time.time() - 3600)
    configuration = tmp_path / "foreshock.toml"
    times = {"start": f"{hour.tm_hour:02}:00", "end": f"{hour.tm_hour:02}:30"}
    configuration.write_text(CONFIGURATION.format(**times))
    file = tmp_path / "incidents.csv"
    file.write_text(
        "entity,start,end,title,resolution\n"
        'cache-1,2026-10-01T10:00:00Z,2026-10-01T10:20:00Z,"imported, with a comma",flushed\n'
        "cache-1,soon,,,\n"
        ",2026-10-01T10:00:00Z,,,\n"
    )
    process, url = start(tmp_path / "data", "--no-collect", "--config", str(configuration))
    stopping, site = threading.Event(), Site(int(time.time() * 1000), 5)
    writer = threading.Thread(target=live, args=(url, site, stopping), daemon=True)
    try:
        write_history(url, site)
        base_ms = (site.now_ms - 3_000_000) // 10_000 * 10_000
        gappy(url, base_ms)
        writer.start()
        eventually(lambda: bool(httpx.get(f"{url}/api/v1/alerts?state=firing").json()), True, 90)
        arguments = [node, str(HERE / "items.mjs"), url, chromium, str(shots), str(file), str(base_ms)]
        done = subprocess.run(arguments, capture_output=True, text=True, timeout=300)
        told = json.loads(done.stdout)
        (shots / "items.json").write_text(done.stdout)
        assert "error" not in told, f"{told['error']}\n{told}"
        assert told["refused"] == [] and told["findings"] == [], told
        check(told["seen"])
        stop(process)
    finally:
        stopping.set()
        process.kill()
        process.wait()


def check(seen):
    """Each item of the page, as it was seen."""
    risky = [(flag, float(p.split()[0])) for _, flag, p, *_ in seen["order"] if p != "–"]
    assert risky == sorted(risky, reverse=True), seen["order"]
    first = seen["order"][0]
    assert first[0] == "web-2" and first[1] == "1" and "usually" in first[3] and first[4], first
    assert seen["filtered"] == ["db-1", "queue-1"] and set(seen["groups"]) >= {"orders", "shop"}
    assert seen["folded"] < len(HOSTS) + 1 and "group=service" in seen["groupAddress"]

    assert seen["families"][:5] == ["CPU", "memory", "disk", "network", "requests"]
    assert seen["charts"] == len({metric.name for metric in METRICS})
    assert "region=eu-central" in seen["head"] and "web-2" in seen["head"]
    assert seen["resolution"] == "windows of 1m" and seen["spread"] == ["spread"]
    assert "ended by" in seen["pins"]["incident"] and "usually" in seen["pins"]["alert"]
    assert "sale" in seen["pins"]["period"]
    assert seen["cursors"] and seen["read"]
    assert "What to do" in seen["underCursor"] and "Similar past incidents" in seen["underCursor"]

    assert any("pool" in action or "consumers" in action or "roll back" in action for action in seen["actions"])
    assert any("ended by" in one for one in seen["similar"]) and "at=" in seen["atAddress"]
    assert seen["feedback"] == 200

    assert seen["zoomTogether"] and seen["panned"] and seen["back"]
    assert seen["tokyo"] == [0, 1_800_000] and "zone=Asia%2FTokyo" in seen["zoneAddress"]
    assert seen["sameMoment"] and seen["years"][1] - seen["years"][0] == 5 * 365 * 86_400_000
    assert "beside=1d" in seen["beside"] and "forecast=1" in seen["beside"]
    assert seen["gap"] == 1 and seen["corrected"][0] == 10 and seen["corrected"][1] > 100

    assert seen["marked"][0] == "web-3" and seen["marked"][1] < seen["marked"][2]
    assert ["seen on a chart", True] in seen["stored"]
    assert seen["import"][0] == "Not done: 2 of 3 rows were refused; 1 were taken"
    assert [row.split(":")[0] for row in seen["import"][1]] == ["row 3", "row 4"]

    assert seen["models"]["cards"] >= 2 and seen["models"]["curves"] >= 2
    assert "champion" in seen["models"]["text"] and "median" in seen["models"]["text"]
    assert "nobody" in seen["attempts"] and "attempt" in seen["attempts"]
    assert "windows.lateness" in seen["setting"] and "5s" in seen["setting"]

    assert seen["png"][0] == "PNG" and seen["png"][1] and seen["png"][2] > 300
    assert seen["csv"][0].startswith('"timestamp","context_switches_per_s') and seen["csv"][1] > 100
    assert seen["queryAnswers"].startswith("web-2 context_switches_per_s") and seen["csvLink"] > 30
    assert {"?", "o", "c", "i", "a", "m", "s", "l", "f", "n", "←", "+", "-", "/"} <= {"?", *seen["keys"]}
    assert seen["shift"] < 0.01 and seen["moves"] > 1000
    assert seen["phoneWidth"] == 390 and len(set(seen["schemes"])) == 2
