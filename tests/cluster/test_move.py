"""An embedded folder moves to a cluster, cut off once and begun again: every rollup and incident is there, once."""

import os
import subprocess
import time

import httpx
import pytest

from tests.cluster.load import differences
from tests.running import CLI, eventually, start, stop


@pytest.mark.cluster
def test_a_stopped_folder_moves_to_a_cluster_and_twice_is_once(services, tmp_path):
    began = int(time.time() * 1000) // 60_000 * 60_000 - 600_000
    samples = [
        {"entity": f"moved-{n}", "metric": "m", "timestamp": began + second * 1000, "value": float(second * n)}
        for second in range(180)
        for n in range(6)
    ]
    process, url = start(tmp_path / "old", "--no-collect")
    try:
        for at in range(0, len(samples), 200):
            assert httpx.post(f"{url}/api/v1/samples", json={"samples": samples[at : at + 200]}).status_code == 202
        incident = {"entity": "moved-1", "start": began, "end": began + 60_000, "title": "it moved"}
        assert httpx.post(f"{url}/api/v1/incidents", json=incident).status_code == 201
        move = [*CLI, "replay", "--from-data", str(tmp_path / "old")]
        refused = subprocess.run(move, capture_output=True, text=True, env=os.environ | services, timeout=120)
        assert refused.returncode == 1 and "another foreshock" in refused.stderr, refused.stderr
        stop(process)
    finally:
        process.kill()
        process.wait()
    for _ in range(2):
        moved = subprocess.run(move, capture_output=True, text=True, env=os.environ | services, timeout=120)
        assert moved.returncode == 0 and f"moved {len(samples)} samples and 1 incidents" in moved.stderr, moved.stderr
    worker, _ = start(tmp_path / "w", env=services, role="stream")
    api, url = start(tmp_path / "api", env=services, role="api")
    try:
        eventually(lambda: differences(url, samples, "10s", 10_000, 10_000)[:3], [], seconds=90)
        eventually(lambda: differences(url, samples, "1m", 60_000, 60_000)[:3], [], seconds=60)
        titles = [one["title"] for one in httpx.get(f"{url}/api/v1/incidents").json() if one["entity"] == "moved-1"]
        assert titles == ["it moved"]
    finally:
        for one in (worker, api):
            one.kill()
            one.wait()
