"""The present release on a data folder that the one before wrote: all of it is there, once, and goes on."""

import io
import os
import subprocess
import tarfile
import time
from pathlib import Path

import httpx
import pytest

from foreshock.backup import back_up
from tests.api.test_backup import requests_of, send, settled
from tests.cluster.load import differences
from tests.running import eventually, start, stop

PREVIOUS = "1fb5aa7f0549e9668a0f770d58ffeec22b8cc8e1"
ROOT = Path(__file__).parents[2]
BEGIN_ANEW = "begin anew: their snapshot is of an earlier release"
PRESENT = {"FORESHOCK_MODELS_KINDS": "logistic,knn"}


@pytest.fixture(scope="module")
def previous(tmp_path_factory):
    """The environment in which ``foreshock`` is the previous release, taken from the repository's history."""
    folder = tmp_path_factory.mktemp("previous")
    made = subprocess.run(["git", "-C", str(ROOT), "archive", PREVIOUS], capture_output=True)
    if made.returncode:
        pytest.skip(
            f"no commit {PREVIOUS[:7]} in this checkout: {made.stderr.decode().strip()}; want the whole history"
        )
    with tarfile.open(fileobj=io.BytesIO(made.stdout)) as tar:
        tar.extractall(folder, filter="data")
    return os.environ | {"PYTHONPATH": str(folder), "PYTHONSAFEPATH": "1"}


def test_a_folder_of_the_previous_release_is_carried_over_and_counted_once(previous, tmp_path, capfd):
    data = tmp_path / "data"
    began_ms = int(time.time() * 1000) // 600_000 * 600_000 - 2_400_000
    span = began_ms - 600_000, began_ms + 1_200_000
    first, second = requests_of(began_ms, 0), requests_of(began_ms, 1)
    incident = {"entity": "web-1", "start": began_ms + 240_000, "end": began_ms + 300_000, "title": "queue full"}
    process, url = start(data, "--no-collect", env=previous)
    try:
        send(url, first)
        assert httpx.post(f"{url}/api/v1/incidents", json=incident).status_code == 201
        old = settled(url, *span, 600)
        stop(process)
        process, url = start(data, "--no-collect", env=previous)
        send(url, second[:4])
    finally:
        process.kill()  # what it had not stored is on the log alone
        process.wait()
    capfd.readouterr()
    assert back_up(data, tmp_path / "before.tar.gz").migrations == [], "not a folder of the previous release"
    for turn in range(2):
        process, url = start(data, "--no-collect", env=PRESENT)
        try:
            send(url, second[4:8] if turn == 0 else second[8:])
            acknowledged = [one for body in first + second[: 8 if turn == 0 else None] for one in body]
            for rollup, size_ms, hop_ms in (("10s", 10_000, 10_000), ("1m", 60_000, 60_000)):
                eventually(lambda: differences(url, acknowledged, rollup, size_ms, hop_ms)[:3], [], 60)  # noqa: B023
            new = settled(url, *span, 1080 if turn == 0 else 1200)
            stop(process)
        finally:
            process.kill()
            process.wait()
        assert (capfd.readouterr().err.count(BEGIN_ANEW) > 0) == (turn == 0)
        assert [one["title"] for one in new["incidents"]] == ["queue full"]
        scores = {one["id"]: one["anomaly_score"] for one in new["verdicts"]}
        kept = {one["id"]: one["anomaly_score"] for one in old["verdicts"]}
        assert kept and {name: scores.get(name) for name in kept} == kept
        assert len(scores) > len(kept)
        old = new
