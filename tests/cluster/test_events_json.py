"""The user's own producers: kcat writes JSON into a real broker, and it is read back over HTTP."""

import json
import subprocess
import time

import httpx
import pytest

from tests.running import eventually, start, tool


@pytest.mark.cluster
def test_what_kcat_produces_is_rolled_up_and_rubbish_goes_to_the_rejected_topic(tmp_path, services):
    kcat, broker = tool("kcat", "kafkacat"), services["FORESHOCK_BROKER_URL"].removeprefix("kafka://")
    process, url = start(tmp_path / "data", "--no-collect", env=services)
    try:
        now = int(time.time() * 1000) // 10_000 * 10_000 - 60_000
        lines = [json.dumps({"entity": "kcat-1", "metric": "m", "timestamp": now + i, "value": i}) for i in range(2000)]
        lines += ["not json", json.dumps({"entity": "kcat-1", "event": "deploy", "timestamp": now})]
        lines += [json.dumps({"entity": "kcat-1", "metric": "m", "timestamp": now + 30_000, "value": 1})]
        produced = subprocess.run([kcat, "-P", "-b", broker, "-t", "events.json"], input="\n".join(lines), text=True)
        assert produced.returncode == 0

        def read():
            query = {"entity": "kcat-1", "rollup": "10s", "stat": "count", "from": now, "to": now + 10_000}
            return httpx.get(f"{url}/api/v1/range", params=query | {"format": "dygraphs"}).json()

        eventually(read, [["timestamp", 'events{event="deploy"}', "m"], [now, 1, 2000]], seconds=60)
        asked = [kcat, "-C", "-e", "-q", "-b", broker, "-t", "events.rejected"]
        aside = subprocess.run(asked, capture_output=True, text=True, timeout=120).stdout
        assert "not json" in aside and "not JSON" in aside
    finally:
        process.kill()
        process.wait()
