"""Rules, dashboard and runbook name only what a running process shows, and everything that pages has its page."""

import json
import re
import subprocess
import time
from pathlib import Path

import httpx
import pytest
import yaml

from tests.cluster.brokers import free_port
from tests.running import eventually, start, stop, tool

ROOT = Path(__file__).parent.parent
RULES, DASHBOARD = ROOT / "deploy/prometheus/foreshock.rules.yml", ROOT / "deploy/grafana/foreshock.json"
SCRAPES = ROOT / "deploy/prometheus/prometheus.yml"
NAMES = re.compile(r"\bforeshock_[a-z_]+")


def expressions():
    rules = [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]
    panels = json.loads(DASHBOARD.read_text())["panels"]
    return rules, [target["expr"] for panel in panels for target in panel["targets"]]


def test_promtool_takes_the_rules_and_the_scrapes():
    promtool = tool("promtool")
    for what, path in (("rules", RULES), ("config", SCRAPES)):
        checked = subprocess.run([promtool, "check", what, str(path)], capture_output=True, text=True)
        assert checked.returncode == 0, checked.stdout + checked.stderr


def test_every_alert_has_its_place_in_the_runbook():
    runbook = (ROOT / "docs/operations.md").read_text()
    headings = set(re.findall(r"^### (Foreshock\w+)$", runbook, re.M))
    rules, _ = expressions()
    assert headings == {rule["alert"] for rule in rules}
    for rule in rules:
        assert rule["annotations"]["runbook_url"] == f"docs/operations.md#{rule['alert'].lower()}"


def test_every_metric_that_rules_and_dashboard_name_is_shown_by_a_running_process(tmp_path):
    process, url = start(tmp_path / "data", "--no-collect")
    try:
        sample = {"entity": "e", "metric": "m", "value": 1, "timestamp": int(time.time() * 1000) - 60_000}
        assert httpx.post(f"{url}/api/v1/samples", json=sample).status_code == 202
        rules, panels = expressions()
        named = {name for text in [*(rule["expr"] for rule in rules), *panels] for name in NAMES.findall(text)}
        assert len(named) > 20

        def missing():
            shown = httpx.get(f"{url}/metrics").raise_for_status().text
            return named - {name for line in shown.splitlines() if line[:1] != "#" for name in NAMES.findall(line)[:1]}

        eventually(missing, set(), seconds=60)
        checked = subprocess.run(
            [tool("promtool"), "check", "metrics"],
            input=httpx.get(f"{url}/metrics").text,
            capture_output=True,
            text=True,
        )
        assert checked.returncode == 0, checked.stdout + checked.stderr
        stop(process)
    finally:
        process.kill()
        process.wait()


@pytest.mark.cluster
def test_a_stream_worker_without_an_api_shows_its_lag(services, tmp_path):
    at = f"127.0.0.1:{free_port()}"
    process, _ = start(tmp_path / "w", env=services | {"FORESHOCK_METRICS_ADDRESS": at}, role="stream")
    try:

        def shown():
            lines = httpx.get(f"http://{at}/metrics").text.splitlines()
            return {line.split(" ")[0] for line in lines if "lag_records{" in line and 'topic="samples"' in line}

        wanted = {f'foreshock_lag_records{{topic="samples",partition="{p}"}}' for p in range(2)}
        eventually(shown, wanted, seconds=60)
        assert httpx.get(f"http://{at}/readyz").status_code == 200
        stop(process)
    finally:
        process.kill()
        process.wait()
