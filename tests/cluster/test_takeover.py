"""What a user sees when a worker dies: how long its windows do not come, and that none is lost or doubled."""

import json
import signal
import threading
import time

import httpx
import numpy as np
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from tests.cluster.brokers import free_port
from tests.cluster.load import Load, differences
from tests.running import eventually, start

TAKEOVER_S = 10
BIT = 1.25  # of the time that is allowed: the machine of a test may be busy


class Watch(threading.Thread):
    """Notes of each window of 10s that is pushed how long after its end it came, and whether as a correction."""

    def __init__(self, url):
        super().__init__(daemon=True)
        self.rollups, self.stopping = [], threading.Event()
        self._url = url.replace("http", "ws") + "/api/v1/live"
        self.start()

    def run(self):
        with connect(self._url) as live:
            wanted = {"entities": ["*"], "metrics": ["latency"], "rollups": ["1s"], "types": ["rollup"]}
            live.send(json.dumps({"subscribe": wanted}))
            while not self.stopping.is_set():
                try:
                    message = json.loads(live.recv(timeout=1))
                except TimeoutError:
                    continue
                except ConnectionClosed:
                    return
                if message["type"] == "rollup":
                    late = message.get("late", False)
                    self.rollups.append((time.time(), message["end"] / 1000, message["entity"], late))


@pytest.fixture
def topology(services, tmp_path):
    """Two stream workers with windows of a second, an API, and load: yields (workers, url, load, watch, entities)."""
    environment = services | {"FORESHOCK_WINDOWS_ROLLUPS": "1s,10s", "FORESHOCK_MODELS_ROLLUPS": "10s"}
    entities = [f"taken-{tmp_path.name[-8:]}-{n}" for n in range(8)]

    def worker(number):
        at = f"127.0.0.1:{free_port()}"
        process, _ = start(tmp_path / f"w{number}", env=environment | {"FORESHOCK_METRICS_ADDRESS": at}, role="stream")
        return process, at

    workers = [worker(0), worker(1)]
    api, url = start(tmp_path / "api", env=environment, role="api")
    load, watch = Load([url], entities, seed=1), Watch(url)
    try:
        eventually(lambda: sum(owned(at) for _, at in workers), 2, seconds=60)
        load.start()
        eventually(lambda: {e for _, _, e, _ in watch.rollups} >= set(entities), True, seconds=60)
        time.sleep(3)
        yield workers, url, load, watch, entities
    finally:
        watch.stopping.set()
        load.stop()
        for process in [api, *(process for process, _ in workers)]:
            process.send_signal(signal.SIGCONT)
            process.kill()
            process.wait()


def owned(at):
    """Return how many partitions of ``samples`` a worker has, 0 where it does not answer."""
    try:
        text = httpx.get(f"http://{at}/metrics", timeout=2).text
    except httpx.HTTPError:
        return 0
    lines = [line for line in text.splitlines() if line.startswith('foreshock_partitions_owned{topic="samples"}')]
    return int(float(lines[0].split()[-1])) if lines else 0


def silence(watch, entities, since, until):
    """Return the longest time that an entity's windows did not come, seconds."""
    longest = 0.0
    for entity in entities:
        times = [since, *(at for at, _, of, _ in watch.rollups if of == entity and since < at < until), until]
        longest = max(longest, float(np.diff(times).max()))
    return longest


@pytest.mark.cluster
def test_after_kill_9_another_worker_goes_on_within_ten_seconds(topology):
    workers, url, load, watch, entities = topology
    began = time.time()
    workers[0][0].kill()
    eventually(lambda: owned(workers[1][1]), 2, seconds=60)
    took = time.time() - began
    time.sleep(8)
    assert took < TAKEOVER_S * BIT, took
    assert silence(watch, entities, began, time.time()) < (TAKEOVER_S + 3) * BIT
    load.stop()
    eventually(lambda: differences(url, load.acknowledged, "10s", 10_000, 10_000), [], seconds=60)
