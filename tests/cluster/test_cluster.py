"""The deployment of compose.yaml as processes: a real Kafka broker, a ClickHouse server, each role a process."""

import random
import socket
import threading
import time

import httpx
import numpy as np
import pytest

from tests.running import PATIENCE, eventually, start, stop

ROLLUPS = (("10s", 10_000, 10_000), ("1m", 60_000, 60_000), ("5m/1m", 300_000, 60_000))


def make_samples(entities, seconds, start_ms, seed=1):
    rng = random.Random(seed)
    return [
        {
            "entity": f"web-{entity}",
            "metric": metric,
            "timestamp": start_ms + i * 1000 + rng.randrange(1000),
            "value": rng.random(),
        }
        for i in range(seconds)
        for entity in range(entities)
        for metric in ("cpu", "queue")
    ]


def expected(samples, entity, metric, size_ms, hop_ms):
    mine = [s for s in samples if (s["entity"], s["metric"]) == (entity, metric)]
    times, values = np.array([s["timestamp"] for s in mine]), np.array([s["value"] for s in mine])
    out = {}
    for window_ms in range(int(times.min()) // hop_ms * hop_ms - size_ms + hop_ms, int(times.max()) + 1, hop_ms):
        inside = values[(times >= window_ms) & (times < window_ms + size_ms)]
        if len(inside):
            out[window_ms] = inside
    return out


@pytest.mark.cluster
def test_every_role_is_a_process_and_a_killed_worker_loses_and_doubles_nothing(services, tmp_path):
    workers = [start(tmp_path / f"w{i}", env=services, role="stream")[0] for i in range(2)]
    apis = [start(tmp_path / f"api{i}", env=services, role="api") for i in range(2)]
    collector, _ = start(tmp_path / "collector", env=services, role="collect")
    try:
        start_ms = int(time.time() - 3600) // 600 * 600_000
        samples = make_samples(4, 600, start_ms)
        urls = [url for _, url in apis]
        for number, at in enumerate(range(0, len(samples), 480)):
            if number == 4:
                workers[0].kill()
                workers[0].wait()
            body = {"samples": samples[at : at + 480]}
            answer = httpx.post(f"{urls[number % 2]}/api/v1/samples", json=body, timeout=120)
            assert (answer.status_code, answer.json()["accepted"]) == (202, len(body["samples"])), answer.text
            time.sleep(0.2)
        for rollup, size_ms, hop_ms in ROLLUPS:
            for entity in ("web-0", "web-3"):
                want = expected(samples, entity, "cpu", size_ms, hop_ms)
                query = {"from": start_ms - 600_000, "to": start_ms + 700_000, "rollup": rollup, "entity": entity}
                query |= {"metric": "cpu"}
                for stat, exact in (("count", len), ("min", min), ("max", max)):
                    rows = [[start_ms, float(exact(values))] for start_ms, values in want.items()]
                    for url in urls:
                        eventually(
                            lambda: httpx.get(f"{url}/api/v1/range", params=query | {"stat": stat}).json()["data"],  # noqa: B023
                            rows,
                            seconds=60,
                        )
        collected = {"entity": socket.gethostname(), "from": "-5m", "rollup": "10s"}
        eventually(
            lambda: bool(httpx.get(f"{urls[0]}/api/v1/range", params=collected).json()["data"]), True, seconds=30
        )
        for _, url in apis:
            assert httpx.get(f"{url}/readyz").status_code == 200
        assert all(stop(process) < 5 * PATIENCE for process, _ in apis)
        assert stop(collector) < 5 * PATIENCE and stop(workers[1]) < 5 * PATIENCE
    finally:
        for process in [*workers, collector, *(process for process, _ in apis)]:
            process.kill()
            process.wait()


@pytest.mark.cluster
def test_live_messages_reach_subscribers_of_any_api_process_and_after_goes_on(services, tmp_path):
    import json

    from websockets.sync.client import connect

    worker, _ = start(tmp_path / "w", env=services, role="stream")
    apis = [start(tmp_path / f"api{i}", env=services, role="api") for i in range(2)]
    subscription = {"subscribe": {"entities": ["live-*"], "metrics": ["*"], "rollups": ["10s"]}}
    stopping = threading.Event()

    def write():
        at = 0
        while not stopping.wait(0.5):
            sample = {"entity": "live-1", "metric": "m", "value": at, "timestamp": int(time.time() * 1000)}
            httpx.post(f"{apis[0][1]}/api/v1/samples", json=sample, timeout=120)
            at += 1

    def follow(live, seen, count):
        """Add points until there are so many; return where that was."""
        while len(seen) < count:
            message = json.loads(live.recv(timeout=120))
            assert message["type"] != "gap"
            seen += [value for _, _, value in message.get("points", [])]
        return message["cursor"]

    writer = threading.Thread(target=write)
    try:
        seen, cursor = [], None
        addresses = [url.replace("http", "ws") + "/api/v1/live" for _, url in apis]
        with connect(addresses[1]) as live:
            live.send(json.dumps(subscription))
            writer.start()
            types = set()
            while not {"samples", "rollup", "verdict"} <= types:
                message = json.loads(live.recv(timeout=120))
                types.add(message["type"])
                cursor = message["cursor"]
                seen += [value for _, _, value in message.get("points", [])]
        time.sleep(2)
        with connect(addresses[0]) as live:  # another process, from where the first was left
            live.send(json.dumps(subscription | {"after": cursor}))
            cursor = follow(live, seen, 45)
        apis[1][0].kill()
        apis[1][0].wait()
        time.sleep(2)
        apis[1] = start(tmp_path / "api1", env=services, role="api")
        with connect(apis[1][1].replace("http", "ws") + "/api/v1/live") as live:  # which began after the cursor
            live.send(json.dumps(subscription | {"after": cursor}))
            follow(live, seen, 60)
        assert seen == list(range(int(seen[0]), int(seen[0]) + len(seen)))
    finally:
        stopping.set()
        writer.join()
        for process in [worker, *(process for process, _ in apis)]:
            process.kill()
            process.wait()
