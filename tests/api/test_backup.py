"""A backup brings an embedded folder back elsewhere: it answers the same, and goes on as the first would have."""

import random
import subprocess
import time

import httpx
import pytest

from tests.cluster.load import differences
from tests.running import CLI, PATIENCE, eventually, start, stop

ENTITIES, ROUND_S = 2, 600
ENVIRONMENT = {"FORESHOCK_MODELS_KINDS": "logistic,knn"}


def foreshock(*arguments):
    return subprocess.run([*CLI, *map(str, arguments)], capture_output=True, text=True, timeout=120)


def requests_of(began_ms, number):
    """Return the bodies of one round, a minute each; every fifth minute is unlike the others."""
    rng = random.Random(number)
    return [
        [
            {
                "entity": f"web-{entity}",
                "metric": "cpu",
                "timestamp": began_ms + (number * ROUND_S + minute * 60 + second) * 1000,
                "value": rng.gauss(50 if minute % 5 else 90, 2),
            }
            for second in range(60)
            for entity in range(ENTITIES)
        ]
        for minute in range(ROUND_S // 60)
    ]


def send(url, bodies):
    for samples in bodies:
        answer = httpx.post(f"{url}/api/v1/samples", json={"samples": samples})
        assert (answer.status_code, answer.json()["accepted"]) == (202, len(samples))


def answers(url, from_ms, to_ms):
    """Return what the folder says of a span: statistics, verdicts, and incidents."""
    out = {"incidents": httpx.get(f"{url}/api/v1/incidents").json()}
    for stat in ("count", "sum", "p99"):
        for rollup in ("10s", "1m", "5m"):
            query = {"from": from_ms, "to": to_ms, "rollup": rollup, "stat": stat}
            out[stat, rollup] = httpx.get(f"{url}/api/v1/range", params=query).json()["data"]
    verdicts = httpx.get(f"{url}/api/v1/verdicts", params={"from": from_ms, "to": to_ms}).json()
    verdicts = verdicts["verdicts"] if isinstance(verdicts, dict) else verdicts
    # A version is an offset on the log, and how many windows share a record depends on when they were read.
    out["verdicts"] = [one | {"version": 0} for one in sorted(verdicts, key=lambda one: one["id"])]
    return out


def models(url):
    """Return what the models say of themselves, which is written now and then and at a stop."""
    return {card["id"]: card for card in httpx.get(f"{url}/api/v1/models").json()}


def settled(url, from_ms, to_ms, seconds):
    """Return the answers once every window of so many seconds of samples has its verdict, and they stay the same."""
    before, end = None, time.monotonic() + 60 * PATIENCE
    wanted = ENTITIES * (seconds // 10 + seconds // 60)
    while (now := answers(url, from_ms, to_ms)) != before or len(now["verdicts"]) != wanted:
        assert time.monotonic() < end, (len(now["verdicts"]), wanted)
        before = now
        time.sleep(1)
    return now


def test_a_restored_folder_answers_as_before_and_goes_on_as_the_first_would(tmp_path):
    first, archive = tmp_path / "first", tmp_path / "foreshock.tar.gz"
    began_ms = int(time.time() * 1000) // 600_000 * 600_000 - 2_400_000
    span = began_ms - 600_000, began_ms + 2 * ROUND_S * 1000
    rounds = [requests_of(began_ms, number) for number in range(2)]
    process, url = start(first, "--no-collect", env=ENVIRONMENT)
    try:
        send(url, rounds[0])
        incident = {"entity": "web-1", "start": began_ms + 240_000, "end": began_ms + 300_000, "title": "queue full"}
        assert httpx.post(f"{url}/api/v1/incidents", json=incident).status_code == 201
        before = settled(url, *span, ROUND_S)
        refused = foreshock("backup", archive, "--data", first)
        assert refused.returncode == 1 and f"pid {process.pid}" in refused.stderr and "stop it" in refused.stderr
        assert not archive.exists()
        stop(process)
    finally:
        process.kill()
        process.wait()
    made = foreshock("backup", archive, "--data", first)
    assert made.returncode == 0, made.stderr
    restored = foreshock("restore", archive, "--data", tmp_path / "second")
    assert restored.returncode == 0, restored.stderr
    after, cards = {}, {}
    for name in ("first", "second"):
        process, url = start(tmp_path / name, "--no-collect", env=ENVIRONMENT)
        try:
            assert answers(url, *span) == before
            cards[name] = models(url)
            # The client cannot know that its last request was taken before the folder was moved, and sends it again.
            send(url, [rounds[0][-1], *rounds[1]])
            acknowledged = [sample for one in rounds for body in one for sample in body]
            for rollup, size_ms, hop_ms in (
                ("10s", 10_000, 10_000),
                ("1m", 60_000, 60_000),
                ("5m/1m", 300_000, 60_000),
            ):
                eventually(lambda: differences(url, acknowledged, rollup, size_ms, hop_ms)[:3], [], 60)  # noqa: B023
            after[name] = settled(url, *span, 2 * ROUND_S)
            stop(process)
        finally:
            process.kill()
            process.wait()
    assert cards["second"] == cards["first"] and cards["first"]
    assert after["second"] == after["first"]


@pytest.mark.parametrize("wrong", ["nothing", "no data folder", "inside"])
def test_what_cannot_be_backed_up_is_refused_and_left_as_it_was(tmp_path, wrong):
    folder = tmp_path / "data"
    if wrong != "nothing":
        folder.mkdir()
    if wrong == "inside":
        (folder / "log").mkdir()
        (folder / "store").mkdir()
    before = sorted(tmp_path.rglob("*"))
    done = foreshock("backup", (folder if wrong == "inside" else tmp_path) / "b.tar.gz", "--data", folder)
    assert done.returncode == 1 and done.stderr.startswith("foreshock: cannot back up"), done.stderr
    assert sorted(tmp_path.rglob("*")) == before
