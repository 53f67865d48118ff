"""Alert workers as processes on a real broker: one is killed while it tells, another one goes on."""

import time

import httpx
import pytest

from tests.browser.test_page import Writer, shop
from tests.receiver import Receiver
from tests.running import eventually, start


@pytest.mark.cluster
def test_another_worker_tells_what_a_killed_one_could_not(services, tmp_path):
    receiver = Receiver([500] * 3)
    config = tmp_path / "foreshock.toml"
    config.write_text(
        '[alerts]\nfor = 1\ngroup_wait = "1s"\n[[alerts.targets]]\n'
        f'name = "ops"\nkind = "webhook"\nurl = "{receiver.url}"\n'
    )
    worker, _ = start(tmp_path / "w", env=services, role="stream")
    api, url = start(tmp_path / "api", env=services, role="api")
    alerters = [start(tmp_path / f"a{i}", "--config", str(config), env=services, role="alerts")[0] for i in range(2)]
    writer = Writer(url)
    try:
        now = int(time.time()) * 1000
        shop(url, now - 1_500_000, now)
        writer.start()
        time.sleep(8)
        writer.level = 6.0
        eventually(lambda: len(receiver.requests) > 0, True, seconds=120)
        alerters[0].kill()
        alerters[0].wait()
        eventually(lambda: len(receiver.taken()) > 0, True, seconds=90)
        told = receiver.taken()[0]
        assert [alert["entity"] for alert in told["data"]["alerts"]] == ["shop-1"]
        keys = {headers["Idempotency-Key"] for _, headers, _, _ in receiver.requests if headers}
        assert told["id"] in keys

        def delivered():
            found = httpx.get(f"{url}/api/v1/alerts").json()
            return any(d["id"] == told["id"] and d["state"] == "delivered" for a in found for d in a["deliveries"])

        eventually(delivered, True, seconds=30)
    finally:
        writer.stopping.set()
        receiver.close()
        for process in (worker, api, *alerters):
            process.kill()
            process.wait()
