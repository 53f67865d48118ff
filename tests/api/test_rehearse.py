"""``foreshock rehearse`` and ``replay --verdicts`` against a running product."""

import json
import random
import subprocess
import time

import httpx
import pytest

from tests.running import CLI, eventually, start, stop

MINUTE = 60_000
NOW = int(time.time() * 1000) // MINUTE * MINUTE
BEGIN = NOW - 400 * MINUTE
FAILED = range(340, 348)  # minutes from BEGIN


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rehearsal")
    config = folder / "foreshock.toml"
    config.write_text('[windows]\nrollups = ["1m"]\n[models]\nrollups = ["1m"]\nkinds = ["logistic"]\n')
    given = (folder / "data", "--no-collect", "--config", str(config))
    process, url = start(*given)
    rng = random.Random(1)
    lines = [
        {"entity": e, "metric": "queue", "timestamp": BEGIN + i * MINUTE, "value": rng.gauss(50, 3) + more}
        for i in range(400)
        for e in ("web-1", "web-2")
        for more in [60 if i in FAILED and e == "web-1" else 0]
    ]
    assert httpx.post(f"{url}/api/v1/samples", json={"samples": lines}, timeout=120).status_code == 202
    told = {"entity": "web-1", "start": BEGIN + FAILED[0] * MINUTE, "end": BEGIN + (FAILED[-1] + 1) * MINUTE}
    assert httpx.post(f"{url}/api/v1/incidents", json=told).status_code == 201
    span = {"from": BEGIN, "to": NOW, "rollup": "1m"}
    eventually(lambda: len(httpx.get(f"{url}/api/v1/scores", params=span).json()) > 700, True, seconds=60)
    stop(process)  # which stores the models
    process, url = start(*given)
    yield url
    stop(process)


def run(url, *arguments):
    return subprocess.run([*CLI, *arguments, "--url", url], capture_output=True, timeout=120, check=False)


def test_the_table_says_what_would_have_been_flagged_and_counts_it(url):
    made = run(url, "rehearse", str(BEGIN + 300 * MINUTE), str(BEGIN + 380 * MINUTE), "--period", "weekend")
    assert made.returncode == 0, made.stderr
    rows = made.stdout.decode().splitlines()
    assert any("web-1" in row and "queue" in row for row in rows[1:-1])
    assert rows[-1].startswith("160 windows, ") and "1 caught, 0 missed" in rows[-1]


def test_verdicts_of_an_interval_are_the_same_bytes_twice(url):
    interval = (str(BEGIN + 200 * MINUTE), str(BEGIN + 260 * MINUTE))
    made = [run(url, "replay", "--model", "1m.pooled.logistic", "--verdicts", *interval).stdout for _ in range(2)]
    assert made[0] == made[1]
    said = [json.loads(line) for line in made[0].splitlines()]
    assert len(said) == 120 and {one["model"] for one in said} == {"1m.pooled.logistic"}
    assert {one["entity"] for one in said} == {"web-1", "web-2"}


def test_a_version_is_kept_of_each_day_and_answers_by_its_time(url):
    interval = (str(BEGIN + 200 * MINUTE), str(BEGIN + 260 * MINUTE))
    (kept,) = httpx.get(f"{url}/api/v1/models/1m.pooled.logistic", timeout=60).json()["versions"]
    assert NOW <= kept <= time.time() * 1000
    asked = ("replay", "--model", "1m.pooled.logistic", "--verdicts", *interval, "--as-of")
    said = run(url, *asked, str(kept)).stdout
    assert len(said.splitlines()) == 120 and said == run(url, *asked, "now").stdout
    earlier = run(url, *asked, str(kept - 1))
    assert earlier.returncode == 1 and b"of this time or earlier" in earlier.stderr


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ({"model": "1m.none.logistic"}, 404),
        ({"model": "1m.pooled.logistic", "period": "weekend"}, 400),
        ({"period": "none"}, 400),
        ({"rollup": "1h"}, 400),
        ({"warmup": "1y"}, 400),
        ({"as_of": "yesterday"}, 400),
        ({"as_of": "2001-01-01"}, 409),
        ({"warmup": "9999d"}, 400),
        ({"from": "now", "to": "-1h"}, 400),
    ],
)
def test_what_cannot_be_rehearsed_is_refused(url, query, status):
    assert httpx.get(f"{url}/api/v1/rehearsal", params=query, timeout=120).status_code == status


def test_wrong_usage_is_said(url):
    assert run(url, "replay").returncode == 2
