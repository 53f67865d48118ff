"""What the page's overview, strip of risk and settings place read, on a running product."""

import time

import httpx
import pytest

from bench.shop import HOSTS, Site, write_history
from tests.running import eventually, start, stop


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """An hour and a half of a shop's site, one fault under way."""
    process, url = start(tmp_path_factory.mktemp("overview") / "data", "--no-collect")
    made = Site(time.time_ns() // 1_000_000, 1.5)
    write_history(url, made)

    def standing():
        rows = {row["entity"]: row for row in httpx.get(f"{url}/api/v1/overview").json()["entities"]}
        verdicts = rows.get("web-2", {}).get("verdicts", [])
        recent = made.now_ms - 120_000
        return {v["rollup"] for v in verdicts if v["end"] > recent} == {"10s", "1m"}

    eventually(standing, True, 60)
    yield url, made
    stop(process)


def test_the_overview_says_of_each_entity_how_it_stands(site):
    url, _ = site
    answer = httpx.get(f"{url}/api/v1/overview").json()
    rows = {row["entity"]: row for row in answer["entities"]}
    assert set(rows) == set(HOSTS)
    assert rows["web-2"]["labels"]["region"] == ["eu-central"] and set(rows["web-2"]["labels"]["disk"]) == {
        "nvme0",
        "nvme1",
    }
    assert all(len(row["line"]) == 60 for row in rows.values())
    assert {v["rollup"] for v in rows["web-2"]["verdicts"]} == {"10s", "1m"}
    newest = {entity: max(v["anomaly_score"] for v in row["verdicts"]) for entity, row in rows.items()}
    assert max(newest, key=newest.get) == "web-2" and "usually" in rows["web-2"]["reason"], rows
    highest = {entity: max(s for s in row["line"] if s is not None) for entity, row in rows.items()}
    assert highest["web-2"] == max(highest.values()) > 0


def test_the_strip_is_the_worst_of_all_rollups_bucket_by_bucket(site):
    url, made = site
    low, high = made.begin_ms // 60_000 * 60_000, made.now_ms // 60_000 * 60_000
    asked = {"entity": "web-2", "from": low, "to": high, "points": 30}
    answer = httpx.get(f"{url}/api/v1/risk", params=asked).json()
    step = answer["step"]
    assert step % 10_000 == 0 and len(answer["data"]) <= 31
    scores = httpx.get(f"{url}/api/v1/scores", params={"entity": "web-2", "from": low - 3_600_000, "to": high}).json()
    begin = low // step * step
    wanted = {}
    for one in scores:
        for bucket in range(
            (max(one["start"], begin) - begin) // step, (min(one["end"], high) - 1 - begin) // step + 1
        ):
            if one["end"] > begin:
                old = wanted.get(begin + bucket * step, (0, 0, 0))
                new = (one["p_incident"], one["anomaly_score"], one["flag"])
                wanted[begin + bucket * step] = tuple(map(max, old, new))
    assert {row[0]: tuple(row[1:]) for row in answer["data"]} == wanted


@pytest.mark.parametrize(
    "path",
    ["risk", "risk?entity=x&points=0", "risk?entity=x&points=9999", "overview?points=x", "overview?from=now&to=-1h"],
)
def test_what_cannot_be_meant_is_refused(site, path):
    assert httpx.get(f"{site[0]}/api/v1/{path}").status_code == 400


def test_an_entity_nobody_knows_has_no_risk(site):
    answer = httpx.get(f"{site[0]}/api/v1/risk", params={"entity": "'; DROP TABLE verdicts; --"}).json()
    assert answer["data"] == []


def test_settings_are_read_with_what_they_mean(site):
    rows = {row["key"]: row for row in httpx.get(f"{site[0]}/api/v1/settings").json()}
    assert rows["windows.lateness"]["value"] == "5s" and "correct" in rows["windows.lateness"]["means"]


def test_the_page_is_sent_compressed_and_only_when_it_changed(site):
    url = site[0]
    first = httpx.get(f"{url}/ui/main.js")
    assert first.status_code == 200 and first.headers["content-encoding"] == "gzip"
    assert "default-src 'none'" in first.headers["content-security-policy"]
    again = httpx.get(f"{url}/ui/main.js", headers={"If-None-Match": first.headers["etag"]})
    assert again.status_code == 304 and not again.content
    plain = httpx.get(f"{url}/ui/main.js", headers={"Accept-Encoding": "identity"})
    assert "content-encoding" not in plain.headers and plain.text == first.text
    assert httpx.get(f"{url}/ui/..%2f..%2fpyproject.toml").status_code == 404
