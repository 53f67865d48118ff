"""A stop is one within seconds, whatever is away meanwhile: what could not be written is read from the log again."""

import os
import signal
import subprocess
import time

import httpx
import pytest

from tests.cluster.brokers import Brokers
from tests.running import CLI, eventually, start, stop

STOP_S = 5  # what the product promises


@pytest.fixture
def broker(tmp_path):
    with Brokers(tmp_path / "kafka") as one:
        yield one


@pytest.mark.cluster
def test_a_broker_that_died_does_not_hold_up_the_stop_and_what_was_accepted_is_there_afterwards(broker, tmp_path):
    environment = {"FORESHOCK_BROKER_URL": broker.url, "FORESHOCK_BROKER_PARTITIONS": "2"}
    process, url = start(tmp_path / "data", "--no-collect", env=environment)
    now_ms = int(time.time() * 1000)
    body = {"samples": [{"entity": "stopping", "metric": "cpu", "value": 1.0, "ts": now_ms}]}
    try:
        assert httpx.post(f"{url}/api/v1/samples", json=body).status_code == 202
        broker.kill(0)
        time.sleep(3)  # until its clients notice
        stop(process, seconds=STOP_S)
    finally:
        process.kill()
    broker.start(0)
    broker.wait(0)
    process, url = start(tmp_path / "data", "--no-collect", env=environment)
    try:
        asked = {"entities": "stopping", "metrics": "cpu", "from": now_ms - 20_000, "to": now_ms + 20_000}
        asked |= {"rollup": "10s", "stat": "count"}

        def counted():
            found = httpx.get(f"{url}/api/v1/range", params=asked).json()
            return sum(row[1] or 0 for row in found.get("data", []))

        eventually(counted, 1, seconds=60)
    finally:
        process.kill()
        process.wait()


@pytest.mark.cluster
def test_a_start_that_waits_for_its_broker_can_be_stopped(broker, tmp_path):
    broker.pause(0)
    environment = os.environ | {"FORESHOCK_BROKER_URL": broker.url}
    process = subprocess.Popen([*CLI, "up", "--data", str(tmp_path / "data"), "--port", "0"], env=environment)
    try:
        eventually(lambda: catches(process.pid, signal.SIGTERM), True, seconds=30)
        time.sleep(1)
        stop(process, seconds=STOP_S)
    finally:
        process.kill()


def catches(pid, number):
    with open(f"/proc/{pid}/status") as status:
        mask = next(line.split()[1] for line in status if line.startswith("SigCgt"))
    return bool(int(mask, 16) >> (number - 1) & 1)
