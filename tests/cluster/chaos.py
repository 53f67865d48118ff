"""A campaign of faults on the whole deployment under load, and whether everything acknowledged is where it belongs.

    python -m tests.cluster.chaos --seed 7 --seconds 300

The seed chooses the faults and their order: a campaign that fails can be run again.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import random
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx

from store.base import open_store
from tests.cluster.deployment import Deployment
from tests.cluster.load import Load, differences
from tests.receiver import Receiver

ROLLUPS = (("10s", 10_000, 10_000), ("30s/10s", 30_000, 10_000), ("1m", 60_000, 60_000), ("1h", 3_600_000, 3_600_000))
CONFIG = """
[windows]
rollups = ["10s", "30s/10s", "1m", "1h"]
[models]
rollups = ["10s"]
[alerts]
for = 1
group_wait = "1s"
[[alerts.targets]]
name = "ops"
kind = "webhook"
url = "{url}"
"""
SETTLE_S, LATENESS_MS = 240, 5_000
STEADY, SICK = [f"web-{n}" for n in range(12)], ["shop-1", "shop-2"]


class Campaign:
    def __init__(self, deployment: Deployment, receiver: Receiver, seed: int) -> None:
        self._deployment, self._receiver, self._rng = deployment, receiver, random.Random(seed)
        self.faults: Counter[str] = Counter()
        self._deck: list[Callable[[], Iterator[float]]] = []

    def run(self, seconds: float) -> None:
        """Inject faults for so long, some at the same time; everything is healed at the end."""
        end, under_way = time.monotonic() + seconds, []
        while time.monotonic() < end or under_way:
            if time.monotonic() < end and len(under_way) < 2:
                fault = self._next({name for _, name, _ in under_way})
                if fault is not None:
                    name, steps = fault
                    self.faults[name] += 1
                    print(f"{time.strftime('%H:%M:%S')} {name}", file=sys.stderr, flush=True)
                    under_way.append((time.monotonic() + next(steps), name, steps))
            time.sleep(self._rng.uniform(0.2, 1.0))
            still = []
            for at, name, steps in under_way:
                if time.monotonic() >= at:
                    wait_s = next(steps, None)
                    if wait_s is None:
                        continue
                    at = time.monotonic() + wait_s
                still.append((at, name, steps))
            under_way = still

    def _next(self, taken: set[str]) -> tuple[str, Iterator[float]] | None:
        """Draw a fault; one of the same part as another that is under way waits."""
        if not self._deck:
            self._deck = [
                self._kill_worker,
                self._end_worker,
                self._pause_worker,
                self._kill_broker,
                self._pause_broker,
                self._kill_store,
                self._pause_store,
                self._store_fault,
                self._store_fault,
                self._kill_api,
                self._pause_api,
                self._kill_alerter,
                self._pause_alerter,
                self._receiver_fault,
            ]
            self._rng.shuffle(self._deck)
        fault = self._deck.pop()
        name = fault.__name__.removeprefix("_").replace("_", " ")
        part = name.split()[-1] if name not in ("store fault",) else "store"
        if any(part in other or (part == "store" and "store" in other) for other in taken):
            self._deck.insert(0, fault)
            return None
        return name, fault()

    def _role(self, role: str):
        return self._rng.choice(self._deployment.roles[role])

    def _kill_worker(self) -> Iterator[float]:
        self._role("stream").signal(signal.SIGKILL)
        yield 4

    def _end_worker(self) -> Iterator[float]:
        self._role("stream").signal(signal.SIGTERM)
        yield 4

    def _paused(self, role: str, low: float, high: float) -> Iterator[float]:
        one = self._role(role)
        one.signal(signal.SIGSTOP)
        yield self._rng.uniform(low, high)
        one.signal(signal.SIGCONT)
        yield 2

    def _pause_worker(self) -> Iterator[float]:
        return self._paused("stream", 2, 15)

    def _pause_alerter(self) -> Iterator[float]:
        return self._paused("alerts", 2, 15)

    def _pause_api(self) -> Iterator[float]:
        return self._paused("api", 2, 8)

    def _kill_api(self) -> Iterator[float]:
        self._role("api").signal(signal.SIGKILL)
        yield 3

    def _kill_alerter(self) -> Iterator[float]:
        self._role("alerts").signal(signal.SIGKILL)
        yield 3

    def _kill_broker(self) -> Iterator[float]:
        brokers, node = self._deployment.brokers, self._rng.randrange(3)
        brokers.kill(node)
        yield self._rng.uniform(1, 10)
        brokers.start(node)
        yield 10  # until it has caught up: a second one may not be away with it

    def _pause_broker(self) -> Iterator[float]:
        brokers, node = self._deployment.brokers, self._rng.randrange(3)
        brokers.pause(node)
        yield self._rng.uniform(2, 12)
        brokers.resume(node)
        yield 10

    def _kill_store(self) -> Iterator[float]:
        self._deployment.store.kill()
        yield self._rng.uniform(0.5, 8)
        self._deployment.store.start()
        yield 3

    def _pause_store(self) -> Iterator[float]:
        self._deployment.store.pause()
        yield self._rng.uniform(2, 10)
        self._deployment.store.resume()
        yield 3

    def _store_fault(self) -> Iterator[float]:
        self._deployment.store.fault(self._rng.choice(["drop", "drop-after", "error", "slow 1.5", "land 7"]))
        yield self._rng.uniform(3, 8)
        self._deployment.store.fault("")
        yield 1

    def _receiver_fault(self) -> Iterator[float]:
        self._receiver.default = self._rng.choice([500, 503, "close", (429, {"Retry-After": "1"})])
        yield self._rng.uniform(3, 8)
        self._receiver.default = 200
        yield 1


def verdicts(url: str, from_ms: int, to_ms: int) -> Counter[tuple[str, int]]:
    """Return how many verdicts there are of each (entity, window start)."""
    out: Counter[tuple[str, int]] = Counter()
    step = 120_000
    for low in range(from_ms, to_ms, step):
        query = {"from": low, "to": min(low + step, to_ms), "rollup": "10s"}
        found = httpx.get(f"{url}/api/v1/verdicts", params=query, timeout=60).raise_for_status().json()
        out.update((one["entity"], one["start"]) for one in found)
    return out


def undelivered(url: str, receiver: Receiver) -> list[str]:
    """Return what of the alerts did not arrive."""
    arrived = {body["id"] for body in receiver.taken()}
    told = {(a["fingerprint"], a["status"]) for body in receiver.taken() for a in body["data"]["alerts"]}
    wrong = []
    for alert in httpx.get(f"{url}/api/v1/alerts", timeout=60).raise_for_status().json():
        if alert["state"] == "firing" and (alert["fingerprint"], "firing") not in told:
            wrong.append(f"that {alert['entity']} fires was not told")
        for one in alert["deliveries"]:
            if one["state"] != "delivered" or one["id"] not in arrived:
                wrong.append(f"notification {one['id']} of {alert['entity']} is {one['state']}")
    return wrong


def raw_samples(url: str, acknowledged: int) -> list[str]:
    """Return how the stored raw samples differ from what was acknowledged: none is missing, none is there twice."""
    store = open_store(url)
    store.open()
    try:
        sql = "SELECT count() AS n, uniqExact(series_id, timestamp_ms, value) AS different FROM samples"
        n, different = (int(column[0]) for column in store.select(sql).values())
    finally:
        store.close()
    return (
        [] if n == different == acknowledged else [f"{n} raw samples, {different} different ones, want {acknowledged}"]
    )


def settled(ask: Callable[[], list[str]], seconds: float) -> list[str]:
    """Return what is still wrong after so long at most."""
    end, wrong = time.monotonic() + seconds, ["nothing was asked"]
    while wrong and time.monotonic() < end:
        try:
            wrong = ask()
        except httpx.HTTPError as error:
            wrong = [repr(error)]
        if wrong:
            print(
                f"{time.strftime('%H:%M:%S')} {len(wrong)} wrong still, such as {wrong[0]}", file=sys.stderr, flush=True
            )
            time.sleep(2)
    return wrong


def campaign(seed: int, seconds: float, folder: Path) -> dict:
    """Run one; return the report. ``wrong`` is empty where everything held."""
    receiver = Receiver()
    began_ms = int(time.time() * 1000)
    with Deployment(folder, CONFIG.format(url=receiver.url)) as deployment, contextlib.closing(receiver):
        load = Load(deployment.urls, STEADY + SICK, seed)
        rng = random.Random(seed)
        for url in deployment.urls:
            assert not settled(lambda: [] if httpx.get(f"{url}/readyz").status_code == 200 else [url], 90)  # noqa: B023
        hour = (began_ms // 3_600_000 - 2) * 3_600_000
        load.send(load.samples(["history-1"], hour + 600_000, hour + 1_200_000, rng), rng)
        for shop in SICK:  # its normal, so that a fault is known as one
            load.send(load.samples([shop], began_ms - 1_500_000, began_ms, rng), rng)
        load.start()
        sickness = threading.Thread(target=swing, args=(load, stopping := threading.Event()), daemon=True)
        sickness.start()
        assert not settled(lambda: [] if receiver.taken() else ["no alert yet"], 300), (
            "alerts do not work without faults"
        )
        told_before = len(receiver.taken())
        faults = Campaign(deployment, receiver, seed)
        faults.run(seconds)
        stopping.set()
        late = load.samples(["history-1"], hour + 1_200_000, hour + 1_500_000, rng)
        load.send(late, rng)
        load.stop()
        stopped = time.monotonic()
        url, wrong = deployment.urls[-1], []
        for rollup, size_ms, hop_ms in ROLLUPS:
            samples = load.acknowledged
            if rollup == "1h":
                samples = [s for s in samples if s["entity"] == "history-1"]
            left = settled(lambda: differences(url, samples, rollup, size_ms, hop_ms), SETTLE_S)  # noqa: B023
            wrong += left[:10] + ([f"… and {len(left) - 10} more"] if len(left) > 10 else [])
        wrong += settled(lambda: raw_samples(deployment.store.url, len(load.acknowledged)), 30)
        healed_s = time.monotonic() - stopped
        wrong += settled(lambda: unscored(url, load.acknowledged, began_ms)[0], 60)[:10]
        wrong += settled(lambda: undelivered(url, receiver), 90)[:10]
        ended = {role.name: role.ended for roles in deployment.roles.values() for role in roles if role.ended}
        bugs = sorted(
            {
                line
                for roles in deployment.roles.values()
                for r in roles
                for line in r.said.splitlines()
                if "BUG" in line
            }
        )
        wrong += [f"said by a process: {line}" for line in bugs[:5]]
        return {
            "seed": seed,
            "seconds": seconds,
            "faults": dict(faults.faults),
            "requests": load.requests,
            "attempts": load.attempts,
            "samples_acknowledged": len(load.acknowledged),
            "settled_after_s": round(healed_s, 1),
            "notifications": len({body["id"] for body in receiver.taken()}) - told_before,
            "windows_that_came_too_late_for_a_verdict": unscored(url, load.acknowledged, began_ms)[1],
            "exits": ended,
            "wrong": wrong,
        }


def swing(load: Load, stopping: threading.Event) -> None:
    """Make entities sick and well again by turns, so that alerts fire and resolve."""
    sick = False
    while not stopping.wait(35 if sick else 12):
        sick = not sick
        for shop in SICK:
            load.level[shop] = 8.0 if sick else 1.0


def unscored(url: str, samples: list[dict], began_ms: int) -> tuple[list[str], int]:
    """Return windows since ``began_ms`` that have not their one verdict, and how many have none because they came late.

    A window nothing of which was on the log when it closed is known by corrections alone; by then its entity's next
    window may have been scored, and a model takes an entity's windows in their order.
    """
    over = min(int(time.time() * 1000) - 20_000, max(s["timestamp"] for s in samples)) // 10_000 * 10_000 - 10_000
    begin = began_ms // 10_000 * 10_000 + 10_000
    first: dict[tuple[str, int], int] = {}
    for sample in samples:
        key = (sample["entity"], sample["timestamp"] // 10_000 * 10_000)
        if begin <= key[1] < over:
            first[key] = min(first.get(key, 2**62), sample["acknowledged_ms"])
    found = verdicts(url, begin, over)
    late = {key for key, acknowledged_ms in first.items() if acknowledged_ms > key[1] + 10_000 + LATENESS_MS}
    wrong = [key for key in sorted(first.keys() | found) if found[key] != 1 and not (key in late and found[key] == 0)]
    return [f"{found[key]} verdicts of {key}" for key in wrong], sum(found[key] == 0 for key in late)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seed", type=int, default=int(time.time()) % 100_000)
    parser.add_argument("--seconds", type=float, default=300)
    parser.add_argument("--keep", type=Path, help="A folder for the logs of all processes.")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = given.keep or Path(scratch) / "chaos"
        folder.mkdir(parents=True)
        report = campaign(given.seed, given.seconds, folder)
    print(json.dumps(report, indent=1))
    return 1 if report["wrong"] else 0


if __name__ == "__main__":
    sys.exit(main())
