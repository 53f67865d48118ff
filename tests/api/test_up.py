"""The whole product as a process: samples in over HTTP, killed, started again, every one counted once."""

import os
import random
import signal
import subprocess

import httpx
import numpy as np
import pytest

from tests.running import CLI, PATIENCE, eventually, start, stop


@pytest.fixture
def data(tmp_path):
    return tmp_path / "data"


def test_rollups_equal_numpy_and_survive_kill_9(data, deployment):
    rng = random.Random(7)
    start_ms = 1_700_000_000_000 // 600_000 * 600_000
    samples = [
        {
            "entity": "web-1",
            "metric": "cpu",
            "timestamp": start_ms + i * 1000 + rng.randrange(1000),
            "value": rng.random(),
        }
        for i in range(600)
    ]
    process, url = start(data, "--no-collect", env=deployment)
    for at in range(0, 600, 50):
        if at == 300:
            process.kill()
            process.wait()
            process, url = start(data, "--no-collect", env=deployment)
            # The client cannot know whether its last request was taken, and sends it again.
            again = httpx.post(f"{url}/api/v1/samples", json={"samples": samples[250:300]})
            assert again.status_code == 202
        answer = httpx.post(f"{url}/api/v1/samples", json={"samples": samples[at : at + 50]})
        assert (answer.status_code, answer.json()) == (202, {"accepted": 50, "rejected": []})
    times, values = np.array([s["timestamp"] for s in samples]), np.array([s["value"] for s in samples])
    for rollup, size_ms, hop_ms in (("10s", 10_000, 10_000), ("1m", 60_000, 60_000), ("5m/1m", 300_000, 60_000)):
        windows = range(start_ms - size_ms + hop_ms, start_ms + 600_000, hop_ms)
        inside = {w: values[(times >= w) & (times < w + size_ms)] for w in windows}
        for stat, exact in (("count", len), ("min", np.min), ("max", np.max)):
            want = [[w, float(exact(v))] for w, v in inside.items()]
            query = {"from": start_ms - 600_000, "to": start_ms + 600_000, "stat": stat, "rollup": rollup}
            query |= {"entity": "web-1", "metric": "cpu"}
            eventually(lambda: httpx.get(f"{url}/api/v1/range", params=query).json()["data"], want)  # noqa: B023
        for stat, q in (("p50", 0.5), ("p99", 0.99)):
            got = httpx.get(f"{url}/api/v1/range", params={**query, "stat": stat}).json()["data"]
            want_q = [np.quantile(v, q, method="inverted_cdf") for v in inside.values()]
            np.testing.assert_allclose([row[1] for row in got], want_q, rtol=0.0101)
    assert stop(process) < 5 * PATIENCE


def test_this_machine_is_collected_and_a_second_instance_refused(data):
    process, url = start(data)
    second = subprocess.run([*CLI, "up", "--data", str(data), "--port", "0"], capture_output=True, text=True)
    assert second.returncode == 1 and f"pid {process.pid}" in second.stderr
    query = {"from": "-5m", "rollup": "10s", "format": "dygraphs", "metric": "load*"}
    eventually(lambda: len(httpx.get(f"{url}/api/v1/range", params=query).json()) > 1, True, 30)
    assert httpx.get(f"{url}/api/v1/range", params=query).json()[0] == ["timestamp", "load1", "load15", "load5"]
    assert len(httpx.get(f"{url}/api/v1/series").json()) > 100
    assert stop(process, signal.SIGINT) < 5 * PATIENCE


HOSTILE = [
    b"",
    b"\xff\xfe",
    b"nonsense",
    b"[" * 100_000,
    b'{"samples": 3}',
    b'{"samples": [{"entity": "a", "metric": "b", "value": NaN}]}',
    b'{"samples": [{"entity": "a", "metric": "b", "value": "1"}]}',
    b'{"samples": [{"entity": "a", "metric": "b", "value": true}]}',
    b'{"samples": [{"entity": "a", "metric": "b", "value": 1' + b"0" * 400 + b"}]}",
    b'{"samples": [{"entity": "", "metric": "b", "value": 1}]}',
    b'{"samples": [{"entity": "a", "metric": "b", "value": 1, "timestamp": "9999-01-01T00:00:00Z"}]}',
    b'{"samples": [{"entity": "a", "metric": "b", "value": 1, "labels": {"x": 1}}]}',
]


def test_bad_input_is_refused_and_harms_nothing(data):
    process, url = start(data, "--no-collect")
    for body in HOSTILE:
        answer = httpx.post(f"{url}/api/v1/samples", content=body)
        assert answer.status_code in (202, 400), (body[:60], answer.text)
        if answer.status_code == 202:
            assert answer.json()["accepted"] == 0
        else:
            assert answer.headers["content-type"] == "application/problem+json"
    good = {"entity": "it's\n\"<b>", "metric": "m{}", "value": 1, "timestamp": 1_700_000_000_000}
    mixed = httpx.post(f"{url}/api/v1/samples", json={"samples": [good, {**good, "value": None}]})
    assert mixed.json()["accepted"] == 1 and mixed.json()["rejected"][0]["index"] == 1
    query = {"from": 1_699_999_000_000, "to": 1_700_000_100_000, "rollup": "10s", "entity": good["entity"]}
    eventually(lambda: httpx.get(f"{url}/api/v1/range", params=query).json()["data"], [[1_700_000_000_000, 1.0]])
    for path in ("/api/v1/range?stat=x", "/api/v1/range?from=yesterday", "/api/v1/range?points=0"):
        assert httpx.get(url + path).status_code == 400
    assert httpx.get(f"{url}/nothing").headers["content-type"] == "application/problem+json"
    assert stop(process) < 5 * PATIENCE


def test_an_unknown_key_is_refused_by_name(data, tmp_path):
    path = tmp_path / "foreshock.toml"
    path.write_text("[limits]\nbodie = 1\n")
    done = subprocess.run(
        [*CLI, "up", "--data", str(data), "--config", str(path)], capture_output=True, text=True, env=dict(os.environ)
    )
    assert done.returncode == 1 and "limits.bodie (line 2)" in done.stderr
