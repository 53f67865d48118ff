"""Incidents come in as CSV, JSON and lines, by hand or from other systems' webhooks."""

import gzip
import json
import subprocess
from collections import Counter

import httpx
import pytest

from tests.running import CLI, start, stop


@pytest.fixture
def url(tmp_path):
    process, url = start(tmp_path / "data", "--no-collect")
    yield url
    stop(process)


def test_many_at_once_over_http_and_by_the_command(url, tmp_path):
    rows = 'entity,start,end,title\ni-1,2026-02-01T00:00:00Z,2026-02-01T00:10:00Z,"a, ""b"""\ni-1,soon,,\ni-2,-1h,,x\n'
    said = httpx.post(f"{url}/api/v1/incidents", content=rows, headers={"Content-Type": "text/csv"})
    assert (said.status_code, said.json()["accepted"]) == (200, 2) and said.json()["rejected"][0]["index"] == 1
    begin = 1_770_000_000_000
    many = [{"entity": "i-3", "start": begin + i * 60_000, "end": begin + i * 60_000 + 30_000} for i in range(500)]
    packed = gzip.compress(json.dumps(many).encode())
    said = httpx.post(f"{url}/api/v1/incidents", content=packed, headers={"Content-Encoding": "gzip"}, timeout=120)
    assert said.json()["accepted"] == 500 and len(set(said.json()["ids"])) == 500
    (tmp_path / "i.ndjson").write_text("\n".join(json.dumps(one | {"entity": "i-4"}) for one in many[:3]))
    (tmp_path / "i.csv").write_text(rows.replace("i-", "c-"))
    for name, status in (("i.ndjson", 0), ("i.csv", 1)):
        done = subprocess.run(
            [*CLI, "incidents", "import", "--url", url, str(tmp_path / name)], capture_output=True, text=True
        )
        assert done.returncode == status, done.stderr
    assert "imported 2" in done.stderr and "row 2" in done.stderr
    known = httpx.get(f"{url}/api/v1/incidents").json()
    counts = Counter(one["entity"] for one in known)
    assert [counts[name] for name in ("i-1", "i-2", "i-3", "i-4", "c-1", "c-2")] == [1, 1, 500, 3, 1, 1]
    assert [one["title"] for one in known if one["entity"] == "i-1"] == ['a, "b"']
    answer = httpx.get(f"{url}/api/v1/incidents", params={"limit": 200, "entity": ["i-3", "i-4"]})
    pieces = [answer.json()]
    while "next" in answer.links:
        answer = httpx.get(url + answer.links["next"]["url"])
        pieces.append(answer.json())
    assert [len(piece) for piece in pieces] == [200, 200, 103]
    assert sum(pieces, []) == [one for one in known if one["entity"] in ("i-3", "i-4")]
    for refused in ({"limit": "0"}, {"limit": "10001"}, {"after": "nobody"}):
        assert httpx.get(f"{url}/api/v1/incidents", params=refused).status_code == 400
    listed = subprocess.run([*CLI, "incidents", "list", "--url", url], capture_output=True, text=True, check=True)
    assert [json.loads(line) for line in listed.stdout.splitlines()] == known
    for body, kind in (
        (b"", "text/csv"),
        (b"a,b\n1,2", "text/csv"),
        (b"[]", "application/json"),
        (b"\xff", "text/csv"),
    ):
        refused = httpx.post(f"{url}/api/v1/incidents", content=body, headers={"Content-Type": kind})
        assert refused.status_code == 400, refused.text
    # One that cannot be used does not keep the others of a webhook out.
    good = {"labels": {"alertname": "A", "host": "h-1"}, "startsAt": "2026-01-01T00:00:00Z", "fingerprint": "f"}
    hook = {"alerts": [good | {"startsAt": "soon"}, good]}
    said = httpx.post(f"{url}/api/v1/incidents/alertmanager", json=hook)
    assert said.status_code == 200 and len(said.json()["incidents"]) == 1 and said.json()["rejected"][0]["index"] == 0


def test_an_update_leaves_as_it_was_what_it_does_not_say(url):
    begin = 1_770_000_000_000
    told = {"entity": "u-1", "start": begin, "title": "queue", "severity": "SEV1", "external_id": "x-1"}

    def tell(**fields):
        answer = httpx.post(
            f"{url}/api/v1/incidents", json={"entity": "u-1", "start": begin, "external_id": "x-1"} | fields
        )
        assert answer.status_code == 200, answer.text
        said = answer.json()
        (known,) = httpx.get(f"{url}/api/v1/incidents", params={"entity": "u-1"}).json()
        assert known == said
        return known["title"], known["severity"], known["end"], known["resolution"]

    assert httpx.post(f"{url}/api/v1/incidents", json=told).status_code == 201
    assert tell(end=begin + 60_000) == ("queue", "SEV1", begin + 60_000, "")
    assert tell(resolution="restarted", title=None) == ("queue", "SEV1", begin + 60_000, "restarted")
    assert tell(title="", end=None) == ("", "SEV1", None, "restarted")
    rows = f"entity,start,external_id,end,severity\nu-1,{begin},x-1,{begin + 5000},\nu-1,{begin + 9000},x-1,,minor\n"
    said = httpx.post(f"{url}/api/v1/incidents", content=rows, headers={"Content-Type": "text/csv"}).json()
    assert said["accepted"] == 1 and [one["index"] for one in said["rejected"]] == [1], "it would end before it began"
    assert tell() == ("", "SEV1", begin + 5000, "restarted")
