"""Names nobody means well, through every door and back from every endpoint; websockets that are sent anything."""

import asyncio
import csv
import io
import json
import random
import time
from urllib.parse import quote

import cramjam
import httpx
import pyarrow
import pytest

from bench.fuzz import mutated, parsers
from bench.remote_write import _field, _varint
from tests.api.test_safety import up  # noqa: F401 - a fixture
from tests.running import eventually
from tests.unit.live.serving import Client

LONG = "1" * 1024
NAMES = [
    "'; DROP TABLE rollups; --",
    "' OR 1=1 /*",
    '" onmouseover="alert(1)',
    "<script>alert(1)</script>",
    "</td><img src=x onerror=alert(1)>",
    "back\\slash\\'",
    "\\",
    "{entity:String} {{x}} %(x)s %s ${x} $1",
    "../../../../etc/passwd",
    "..\\..\\windows",
    "line\nINJECTED 2026-01-01 ERROR foreshock.audit\r\nINJECTED again",
    "nul\0byte",
    "\x1b[31mred\x07",
    "caf\u00e9 \U0001f4a5 \u202eeert \u0301",
    " spaces at both ends ",
    "a,b=c d",
    "*",
    "web-?[0-9]",
    "__proto__",
    "constructor",
    "null",
    "NaN",
    LONG,
    "=cmd|'/c calc'!A0",
    "javascript:alert(1)",
]
INFLUX = str.maketrans({",": "\\,", "=": "\\=", " ": "\\ "})


def at_now():
    return int(time.time() * 1000) // 10_000 * 10_000 - 60_000


def write_by_every_door(http, name, door, at):
    """Write one sample of the entity and metric ``name`` by a door; return the answer, None where it cannot be said."""
    if door == "samples":
        sample = {"entity": name, "metric": name, "labels": {name: name}, "timestamp": at, "value": 1}
        return http.post("/api/v1/samples", json=sample)
    if door == "events":
        event = {"entity": name, "event": name, "timestamp": at, "attributes": {name: name}}
        return http.post("/api/v1/events", json=event)
    if door == "otlp":
        points = [{"timeUnixNano": str(at * 10**6), "asDouble": 2.0}]
        host = {"attributes": [{"key": "host", "value": {"stringValue": name}}]}
        metrics = [{"name": name, "gauge": {"dataPoints": points}}]
        document = {"resourceMetrics": [{"resource": host, "scopeMetrics": [{"metrics": metrics}]}]}
        return http.post("/v1/metrics", json=document)
    if door == "remote_write":
        labels = {"__name__": name, "host": name}
        fields = b"".join(_field(1, _field(1, k.encode()) + _field(2, v.encode())) for k, v in labels.items())
        sample = b"\x09" + bytes(6) + b"\xf0\x3f" + b"\x10" + _varint(at + 10_000)  # 1.0
        body = bytes(cramjam.snappy.compress_raw(_field(1, fields + _field(2, sample))))
        return http.post("/api/v1/write", content=body)
    if door == "collectd":
        one = {"values": [3], "dstypes": ["gauge"], "dsnames": ["value"], "time": at / 1000, "host": name}
        return http.post("/collectd", json=[one | {"plugin": name, "type": name, "interval": 10}])
    if set(name) & set("\n\r\\\0") or name.startswith("#") or name != name.strip():
        return None  # Influx lines cannot say it
    line = f"{name.translate(INFLUX)},host={name.translate(INFLUX)} value=4 {at * 10**6}"
    return http.post("/write", content=line.encode())


def test_hostile_names_come_back_from_every_endpoint_as_they_were_written(up):  # noqa: F811
    url, said = up()
    http = httpx.Client(base_url=url, timeout=60)
    begin, kept = at_now(), {}
    for name in NAMES:
        for door in ("samples", "events", "otlp", "remote_write", "collectd", "influx"):
            answer = write_by_every_door(http, name, door, begin)
            if answer is None:
                continue
            assert answer.status_code < 500, (name, door, answer.text)
            if answer.status_code < 300 and not (answer.content and answer.json().get("rejected")):
                kept.setdefault(name, set()).add(door)
            elif answer.status_code >= 400:
                assert answer.headers["content-type"] == "application/problem+json" and answer.json()["detail"]
    assert {name for name in NAMES if "samples" not in kept.get(name, ())} <= {"nul\0byte"}
    assert sum(map(len, kept.values())) > 5 * len(NAMES) - 10, kept
    known = [name for name in NAMES if "samples" in kept.get(name, ())]

    def entities():
        return {row["entity"] for row in http.get("/api/v1/entities").json()}

    eventually(lambda: set(known) - entities(), set(), seconds=30)
    span = {"from": begin, "to": begin + 30_000}
    for name in known:
        asked = span | {"entity": name, "metric": name, "rollup": "10s", "stat": "count"}
        exact = "*" not in name

        def ranged(shape, query=asked):
            return http.get("/api/v1/range", params=query | {"format": shape})

        eventually(lambda: len(ranged("json").json()["data"]) > 0, True, seconds=30)
        labels = ranged("json").json()["labels"][1:]
        assert any(label.startswith(f"{name} {name}") for label in labels), (name, labels)
        header = ranged("dygraphs").json()[0][1:]
        rows = list(csv.reader(io.StringIO(ranged("csv").text, newline="")))
        assert rows[0][1:] == header, name
        with pyarrow.ipc.open_stream(ranged("arrow").content) as stream:
            assert stream.schema.names[1:] == header, name
        assert not exact or all(label.startswith(name) for label in header), (name, header)
        series = http.get("/api/v1/series", params={"entity": name}).json()
        assert (name, name, {name: name}) in [(one["entity"], one["metric"], one["labels"]) for one in series], name
        for path in ("verdicts", "scores", "risk", "alerts", "incidents", "forecast"):
            answer = http.get(f"/api/v1/{path}", params=span | {"entity": name, "metric": name})
            assert answer.status_code in (200, 400), (path, name, answer.text)
        (row,) = (r for r in http.get("/api/v1/overview").json()["entities"] if r["entity"] == name)
        assert row["labels"][name] == [name]
    assert told_and_read_back(http, known) == set(known) - {LONG}, "of a silence's values 500 characters are taken"
    for name in NAMES[::2]:  # where it means something else, it is refused or finds nothing
        for path in ("incidents/{}", "models/{}", "silences/{}", "models/{}/pin", "verdicts/{}/feedback", "{}"):
            where = "/api/v1/" + path.format(quote(name, safe=""))
            for method in ("GET", "POST", "DELETE"):
                body = b'{"correct":true}' if method == "POST" else None
                answer = http.request(method, where, content=body)
                assert 400 <= answer.status_code < 500, (method, path, name, answer.status_code)
    for name in NAMES[::6]:
        for key in ("from", "to", "stat", "rollup", "points", "overlay", "format", "flag", "limit", "after", "state"):
            for path in ("range", "verdicts", "scores", "overview", "incidents", "alerts", "rehearsal", "periods"):
                answer = http.get(f"/api/v1/{path}", params={key: name})
                assert answer.status_code < 500, (path, key, name, answer.text)
    assert set(known) <= entities(), "every table is still there"
    text = http.get("/metrics").text
    assert all(line.startswith(("#", "foreshock_")) for line in text.splitlines())
    http.close()
    lines = said().splitlines()
    assert not [line for line in lines if line.startswith("INJECTED")] and "\x1b" not in said()
    assert not [line for line in lines if "Traceback" in line or "BUG" in line]


def told_and_read_back(http, names):
    """Tell of an incident and a silence of each name, in its every field, and return the names that came back so."""
    for number, name in enumerate(names):
        incident = {"entity": name, "start": "-10m", "end": "-5m", "title": name, "resolution": name}
        answer = http.post("/api/v1/incidents", json=incident | {"external_id": f"{number}{name}"})
        assert answer.status_code == 201, (name, answer.text)
        silence = {"matchers": [{"name": "entity", "value": name}], "end": "+1h", "comment": name, "created_by": name}
        made = http.post("/api/v1/silences", json=silence)
        assert made.status_code in (201, 400), (name, made.text)
        alert = {"labels": {"alertname": name, "host": name}, "annotations": {"summary": name}, "status": "firing"}
        alert |= {"startsAt": "2026-01-01T00:00:00Z", "fingerprint": f"f{number}{name}"}
        assert http.post("/api/v1/incidents/alertmanager", json={"alerts": [alert]}).status_code in (200, 400)
        data = {"id": f"P{number}{name}", "title": name, "created_at": "2026-01-01T10:00:00Z", "urgency": name}
        event = {"event_type": "incident.triggered", "data": data | {"service": {"summary": name}}}
        assert http.post("/api/v1/incidents/pagerduty", json={"event": event}).status_code in (200, 400)
        rows = io.StringIO()
        csv.writer(rows).writerows([["entity", "start", "title"], [name, "2026-01-01T00:00:00Z", name]])
        headers = {"Content-Type": "text/csv"}
        sent = http.post("/api/v1/incidents", content=rows.getvalue().encode(), headers=headers)
        assert sent.status_code < 500, (name, sent.text)
    eventually(lambda: len(http.get("/api/v1/incidents").json()) >= 4 * len(names), True, seconds=30)
    found = http.get("/api/v1/incidents").json()
    silenced = {one["comment"] for one in http.get("/api/v1/silences").json()}
    titled = {
        one["entity"]
        for one in found
        if one["title"] == one["resolution"] == one["entity"] and one["external_id"].endswith(one["entity"])
    }
    for name in titled:
        mine = http.get("/api/v1/incidents", params={"entity": name}).json()
        assert {one["entity"] for one in mine} >= {name}
    return titled & silenced


async def test_websockets_that_are_sent_anything_break_nothing(up):  # noqa: F811
    url, said = up()
    port, rng = int(url.rpartition(":")[2]), random.Random(3)
    seeds = parsers()["live"].seeds
    hostile = [{"subscribe": {"entities": [name], "metrics": [name], "rollups": [name]}} for name in NAMES]
    texts = [json.dumps(one, ensure_ascii=False).encode() for one in hostile]

    async def one(number):
        client = await Client.open(port)
        for _ in range(rng.randint(1, 5)):
            payload = mutated(rng, seeds) if number % 2 else rng.choice(texts)
            opcode = rng.choice((1, 1, 1, 1, 0, 2, 3, 8, 9, 10, 15))
            mask = b"abcd" if rng.random() < 0.95 else b""
            length = rng.choice((None, None, None, None, len(payload) + 9, 1 << 40))
            client.send(payload, opcode, fin=rng.random() < 0.9, mask=mask, length=length)
            if rng.random() < 0.3:
                await asyncio.sleep(0)
        if rng.random() < 0.5:
            client.writer.write(rng.randbytes(rng.randint(1, 300)))
        try:
            await asyncio.wait_for(client.reader.read(200), 0.3)
        finally:
            client.close()

    for turn in range(40):
        await asyncio.wait_for(asyncio.gather(*(one(25 * turn + k) for k in range(25)), return_exceptions=True), 60)
    good = await Client.open(port)
    await good.subscribe()
    assert (await good.message(60))["type"] == "subscribed"
    name = NAMES[3]
    sample = {"entity": name, "metric": name, "value": 1}
    assert (await asyncio.to_thread(httpx.post, f"{url}/api/v1/samples", json=sample)).status_code == 202
    assert (await good.message(60))["entity"] == name
    good.close()
    text = (await asyncio.to_thread(httpx.get, f"{url}/metrics")).text
    assert "foreshock_live_failed_total 0\n" in text
    assert "Traceback" not in said() and "Fatal error" not in said() and "BUG" not in said()


@pytest.mark.parametrize("path", ["/api/v1/entities", "/api/v1/live", "/", "/api/v1/incidents/x"])
async def test_requests_that_are_no_http_are_refused(up, path):  # noqa: F811
    url, said = up()
    port = int(url.rpartition(":")[2])
    upgrade = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    heads = [b'Cookie: foreshock_session="a:\xb2:x"', b"Cookie: \xff", b"Origin: http://[", b"Origin: \xff"]
    heads += [b"Authorization: Basic \xff", b"X: " + "\u00e9\U0001f4a5".encode(), b"Sec-WebSocket-Protocol: \xff"]
    heads += [
        b"Sec-WebSocket-Extensions: ;;\xff",
        b"Content-Length: \xb2",
        b"Content-Length: -1",
        b"A" * 70_000 + b": 1",
    ]
    heads += [b"Transfer-Encoding: chunked\r\nContent-Length: 3", b"Host: evil", b" folded", b"no colon"]
    for more in heads:
        for upgraded in ("", upgrade + "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", upgrade):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n{upgraded}".encode() + more + b"\r\n\r\n")
            try:
                status = (await asyncio.wait_for(reader.read(12), 30)).split(b" ")[1:]
            except ConnectionError:
                status = []
            finally:
                writer.close()
            assert not status or int(status[0]) < 500, (more, upgraded, status)
    assert "Traceback" not in said() and "Fatal error" not in said()
