"""What a user sees when a worker dies: how long its windows do not come, and that none is lost or doubled."""

import json
import signal
import threading
import time

import httpx
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from tests.cluster.brokers import free_port
from tests.cluster.chaos import verdicts
from tests.cluster.load import Load, differences
from tests.running import PATIENCE, eventually, start

TAKEOVER_S = 10  # at the defaults of the product: sessions of 6 s, which is the least that brokers allow
RESTART_S = 5
TRIES = 3  # one within the limit is enough: the machine of a test may be busy, a slow product is slow each time
PUNCTUAL_S = 4  # who writes later than that may make a window late, whatever the workers do


class Watch(threading.Thread):
    """Notes of each window of 1s that is pushed how long after its end it came, and whether as a correction."""

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


class Topology:
    """Two stream workers with the default windows and those of a second, an API, and load."""

    def __init__(self, services, folder):
        self._folder, self._number, self.workers = folder, 0, []
        self._environment = services | {"FORESHOCK_WINDOWS_ROLLUPS": "1s,10s,1m,5m,5m/1m,1h,1d"}
        self.entities = [f"taken-{folder.name[-8:]}-{n}" for n in range(8)]
        self.api, self.url = start(folder / "api", env=self._environment, role="api")

    def begin(self):
        self.add()
        self.add()
        self.load, self.watch = Load([self.url], self.entities, seed=1), Watch(self.url)
        self.settle()
        self.load.start()
        eventually(lambda: {e for _, _, e, _ in self.watch.rollups} >= set(self.entities), True, seconds=120)

    def add(self):
        at, self._number = f"127.0.0.1:{free_port()}", self._number + 1
        folder, environment = self._folder / f"w{self._number}", self._environment | {"FORESHOCK_METRICS_ADDRESS": at}
        self.workers.append((start(folder, env=environment, role="stream")[0], at))

    def settle(self):
        """Wait until each worker has a partition, and windows come."""
        eventually(lambda: [owned(at) for _, at in self.workers], [1] * len(self.workers), seconds=120)

    def usual(self):
        """Return how long after their end windows come while nothing happens, seconds."""
        since = time.time()
        eventually(lambda: {e for at, _, e, _ in self.watch.rollups if at > since + 2} >= set(self.entities), True, 120)
        return max(at - end for at, end, _, _ in self.watch.rollups if at > since)

    def worst(self, since):
        """Return how long after its end a window came at most, of those that ended since, once all go on."""
        until = time.time()
        self.all_come(until)
        return max(at - end for at, end, _, late in self.watch.rollups if end > since and not late)

    def all_come(self, since):
        """Wait until each entity has a window that ended after ``since``."""
        eventually(lambda: {e for _, end, e, _ in self.watch.rollups if end > since} >= set(self.entities), True, 120)

    def equal(self):
        """Everything that was acknowledged is in the rollups once."""
        self.load.stop()
        same = lambda: differences(self.url, self.load.acknowledged, "10s", 10_000, 10_000)  # noqa: E731
        eventually(same, [], seconds=120)

    def close(self):
        if hasattr(self, "watch"):
            self.watch.stopping.set()
            self.load.stop()
        for process in [self.api, *(process for process, _ in self.workers)]:
            process.send_signal(signal.SIGCONT)
            process.kill()
            process.wait()


@pytest.fixture
def topology(services, tmp_path):
    one = Topology(services, tmp_path)
    try:
        one.begin()
        yield one
    finally:
        one.close()


def owned(at):
    """Return how many partitions of ``samples`` a worker has, 0 where it does not answer."""
    try:
        text = httpx.get(f"http://{at}/metrics", timeout=2).text
    except httpx.HTTPError:
        return 0
    lines = [line for line in text.splitlines() if line.startswith('foreshock_partitions_owned{topic="samples"}')]
    return int(float(lines[0].split()[-1])) if lines else 0


@pytest.mark.cluster
def test_after_kill_9_windows_come_within_ten_seconds_of_when_they_would_have(topology):
    took = []
    for _ in range(TRIES):
        usual_s, killed = topology.usual(), time.time()
        process, _ = topology.workers.pop(0)
        process.kill()
        process.wait()
        eventually(lambda: owned(topology.workers[0][1]), 2, seconds=60)
        took.append(topology.worst(killed - 10) - usual_s)
        topology.add()
        topology.settle()
        if took[-1] < TAKEOVER_S:
            break
    print(f"a dead worker's windows came later than usual by {took} s")
    assert min(took) < TAKEOVER_S * PATIENCE, took
    topology.equal()


@pytest.mark.cluster
def test_workers_that_are_restarted_one_after_the_other_leave_no_window_late(topology):
    began, took = time.time(), []
    for _ in range(TRIES):
        usual_s, asked = topology.usual(), time.time()
        process, _ = topology.workers.pop(0)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
        topology.add()
        topology.settle()
        took.append(topology.worst(asked - 10) - usual_s)
        if len(took) > 1 and min(took) < RESTART_S:  # both were restarted
            break
    print(f"a restarted worker's windows came later than usual by {took} s")
    assert min(took) < RESTART_S * PATIENCE, took
    topology.equal()
    corrected = [one for one in topology.watch.rollups if one[0] > began and one[3]]
    assert not corrected or topology.load.latest_s() > PUNCTUAL_S, f"windows were corrected: {corrected}"


@pytest.mark.cluster
def test_an_owner_that_was_paused_for_longer_than_its_session_writes_nothing_twice(topology):
    paused, at = topology.workers[0]
    paused.send_signal(signal.SIGSTOP)
    eventually(lambda: owned(topology.workers[1][1]), 2, seconds=60)
    since = time.time()
    eventually(
        lambda: {e for _, end, e, _ in topology.watch.rollups if end > since} >= set(topology.entities), True, 60
    )
    paused.send_signal(signal.SIGCONT)
    eventually(lambda: owned(at), 1, seconds=60)
    topology.settle()
    end_ms = int(time.time()) // 10 * 10_000
    topology.equal()
    mine = lambda: [  # noqa: E731
        (key, count)
        for key, count in verdicts(topology.url, int(since) // 10 * 10_000 - 60_000, end_ms).items()
        if key[0] in topology.entities and count > 1
    ]
    assert mine() == []
