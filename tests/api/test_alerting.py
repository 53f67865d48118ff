"""A fault raises an alert that reaches real receivers, whatever is killed; other systems' alerts become incidents."""

import hashlib
import hmac
import subprocess
import time

import httpx
import pytest

from tests.browser.test_page import Writer, shop
from tests.cluster.services import free_port
from tests.receiver import Receiver
from tests.running import eventually, start, tool

SECRET = "not to be guessed"


@pytest.fixture
def alertmanager(tmp_path):
    """A real Alertmanager that tells us of what it holds; its address and ours."""
    program, port, ours = tool("prometheus-alertmanager"), free_port(), free_port()
    config = tmp_path / "alertmanager.yml"
    config.write_text(
        f"""
route: {{receiver: us, group_by: [alertname, entity], group_wait: 1s, group_interval: 1s}}
receivers:
  - name: us
    webhook_configs: [{{url: "http://127.0.0.1:{ours}/api/v1/incidents/alertmanager"}}]
"""
    )
    arguments = [f"--config.file={config}", f"--storage.path={tmp_path / 'am'}", "--cluster.listen-address="]
    address = f"--web.listen-address=127.0.0.1:{port}"
    process = subprocess.Popen([program, *arguments, address], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    yield f"http://127.0.0.1:{port}", ours
    process.kill()
    process.wait()


@pytest.mark.peer
def test_a_fault_is_told_to_everybody_whatever_is_killed(tmp_path, alertmanager):
    theirs, port = alertmanager
    receiver = Receiver([500, "close", (429, {"Retry-After": "1"})])
    config = tmp_path / "foreshock.toml"
    config.write_text(
        f"""
[alerts]
for = 1
group_wait = "1s"
[[alerts.targets]]
name = "ops"
kind = "webhook"
url = "{receiver.url}/ops"
secret = "{SECRET}"
[[alerts.targets]]
name = "am"
kind = "alertmanager"
url = "{theirs}"
[[alerts.targets]]
name = "pager"
kind = "pagerduty"
url = "{receiver.url}/pager"
routing_key = "k"
"""
    )
    options = ("--no-collect", "--config", str(config), "--port", str(port))
    process, url = start(tmp_path / "data", *options)
    now = int(time.time()) * 1000
    shop(url, now - 1_500_000, now)
    writer = Writer(url)
    writer.start()
    try:
        time.sleep(8)
        writer.level = 6.0
        eventually(lambda: len(receiver.requests) > 0, True, seconds=90)
        process.kill()  # in the middle of telling
        process.wait()
        process, url = start(tmp_path / "data", *options)
        eventually(lambda: len(receiver.taken("/ops")) > 0 and len(receiver.taken("/pager")) > 0, True, seconds=60)
        event = receiver.taken("/ops")[0]
        assert event["specversion"] == "1.0" and event["type"] == "foreshock.alert.firing"
        assert event["data"]["alerts"][0]["entity"] == "shop-1"
        for path, headers, body, _ in receiver.requests:
            if path == "/ops":
                sign = hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
                assert headers["X-Foreshock-Signature"] == f"sha256={sign}"
        assert receiver.taken("/pager")[0]["event_action"] == "trigger"

        def shown():
            (alert, *_) = httpx.get(f"{url}/api/v1/alerts?state=firing").json()
            return alert["entity"], {d["target"] for d in alert["deliveries"] if d["state"] == "delivered"}

        eventually(shown, ("shop-1", {"ops", "am", "pager"}), seconds=30)
        (held, *_) = httpx.get(f"{theirs}/api/v2/alerts").json()
        assert held["labels"]["entity"] == "shop-1" and held["labels"]["alertname"] == "Foreshock"

        other = [
            {"labels": {"alertname": "DiskFull", "host": "db-1", "severity": "page"}, "annotations": {"summary": "s"}}
        ]
        assert httpx.post(f"{theirs}/api/v2/alerts", json=other).status_code == 200

        def incidents():
            found = httpx.get(f"{url}/api/v1/incidents").json()
            return [(i["entity"], i["source"], i["severity"], i["end"] is None) for i in found]

        # Our own alert came back with it, and is no evidence.
        eventually(incidents, [("db-1", "alertmanager", "critical", True)], seconds=30)
    finally:
        writer.stopping.set()
        receiver.close()
        process.kill()
        process.wait()


def test_silences_and_webhooks_refuse_what_cannot_be_meant(tmp_path):
    process, url = start(tmp_path / "data", "--no-collect")
    try:
        good = {"matchers": [{"name": "entity", "value": "web-.*", "isRegex": True}], "end": "+2h", "comment": "<b>"}
        made = httpx.post(f"{url}/api/v1/silences", json=good)
        assert made.status_code == 201 and made.json()["state"] == "active", made.text
        for bad in (
            {},
            good | {"end": "-1h"},
            good | {"matchers": []},
            good | {"matchers": [{"name": "entity", "value": "(", "isRegex": True}]},
            good | {"matchers": [{"name": "entity", "value": ".*", "isRegex": True}]},
            good | {"end": "+9999d"},
            [1],
        ):
            assert httpx.post(f"{url}/api/v1/silences", json=bad).status_code == 400, bad
        ended = httpx.delete(f"{url}/api/v1/silences/{made.json()['id']}").json()
        assert ended["state"] == "expired"
        assert httpx.delete(f"{url}/api/v1/silences/nope").status_code == 404
        assert [s["state"] for s in httpx.get(f"{url}/api/v1/silences").json()] == ["expired"]
        assert httpx.get(f"{url}/api/v1/alerts").json() == []
        assert httpx.get(f"{url}/api/v1/alerts?state=loud").status_code == 400

        event = {"event_type": "incident.triggered", "occurred_at": "2026-01-01T10:00:00Z"}
        data = {"id": "P1", "title": "shop is down", "created_at": "2026-01-01T10:00:00Z", "urgency": "high"}
        data["service"] = {"summary": "shop"}
        hook = f"{url}/api/v1/incidents/pagerduty"
        assert httpx.post(hook, json={"event": event | {"data": data}}).json()["skipped"] == 0
        over = {"event_type": "incident.resolved", "occurred_at": "2026-01-01T10:30:00Z"}
        httpx.post(hook, json={"event": over | {"data": data}})
        (one,) = httpx.get(f"{url}/api/v1/incidents").json()
        assert (one["entity"], one["end"] - one["start"], one["title"]) == ("shop", 1_800_000, "shop is down")
        assert httpx.post(hook, json={"event": {"event_type": "pagey.ping", "data": {}}}).json()["skipped"] == 1
        for path in ("pagerduty", "alertmanager"):
            for body in (b"", b"[]", b"{", b'{"event":[],"alerts":{}}', b"[" * 100_000, b"\xff"):
                assert httpx.post(f"{url}/api/v1/incidents/{path}", content=body).status_code == 400, (path, body[:20])
        odd = {"alerts": [None, 7, {"labels": 3}, {"startsAt": [], "labels": {"host": {}}}]}
        assert httpx.post(f"{url}/api/v1/incidents/alertmanager", json=odd).status_code == 400
    finally:
        process.kill()
        process.wait()
