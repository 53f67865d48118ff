"""Every parser of what comes from outside, fed with what nobody meant: ``make fuzz``, ``make fuzz ARGS="influx 5000"``.

    python -m bench.fuzz [PARSER …] [INPUTS] [--seed N]

Inputs are seeded: valid bodies that are cut, spliced, repeated, and whose numbers, lengths, texts and structure are
replaced, and bytes that never were valid. A parser may refuse cleanly, or return something that can be put on the log;
anything else, or more than SECONDS_MAX for one input, is a failure, and its seed and input are printed. A million
inputs a parser are the default.
"""

from __future__ import annotations

import gzip
import json
import random
import struct
import sys
import time
from collections import Counter
from collections.abc import Callable
from typing import NamedTuple

import cramjam
import msgspec
import numpy as np
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from starlette.exceptions import HTTPException

from api.auth import Tokens, parse_token
from api.ingest.body import decompressed
from api.ingest.collectd import parse_collectd
from api.ingest.incident_hooks import HookSaid, parse_alertmanager, parse_pagerduty
from api.ingest.incidents import incident_of, parse_incidents
from api.ingest.influx import parse_influx
from api.ingest.json_samples import parse_json_events, parse_json_record, parse_json_samples
from api.ingest.otlp import parse_otlp
from api.ingest.parsed import MS_MIN, Door, Parsed
from api.ingest.remote_write import RemoteWrite
from api.live.cursor import decode_cursor, encode_cursor
from api.live.socket import _first
from api.times import time_ms
from bench.remote_write import requests
from schemas.batch import decode_batch, encode_batch, make_batch
from schemas.catalogue import Catalogue
from schemas.errors import DataError
from schemas.incident import Incident

NOW_MS, FUTURE_MS = 1_800_000_000_000, 600_000
INPUTS = 1_000_000
SECONDS_MAX = 5.0
BYTES_MAX = 200_000
_LABELS = ("host", "instance", "service")
_AT = {("samples", 0): (5, 0), ("rollups", 0): (7, 3), ("verdicts", 0): (0, 0), ("alerts", 0): (1, 0)}


class Parser(NamedTuple):
    run: Callable[[bytes], object]
    seeds: list[bytes]
    cleanly: tuple[type[Exception], ...] = (DataError,)


def _door() -> Door:
    return Door(entity_labels=_LABELS, now_ms=NOW_MS, future_ms=FUTURE_MS)


def _check(parsed: Parsed) -> None:
    """Raise AssertionError where what was taken could not be put on the log, or is not what a sample may be."""
    n = len(parsed.series)
    times, values, ids = np.asarray(parsed.times, np.int64), np.asarray(parsed.values, np.float64), parsed.series_ids()
    assert n == len(times) == len(values) == len(ids), "columns of different lengths"
    assert np.isfinite(values).all(), "a value that is not finite"
    assert not n or (times.min() >= MS_MIN and times.max() <= NOW_MS + FUTURE_MS), "a time out of bounds"
    assert ids.tolist() == [one.series_id for one in parsed.series], "ids of other series"
    batch = make_batch(list({one.series_id: one for one in parsed.series}.values()), ids, times, values)
    assert decode_batch(encode_batch(batch)) == batch
    msgspec.json.encode([parsed.rejected, [one.key for one in parsed.series]])


def _samples(parse: Callable[[bytes], Parsed]) -> Callable[[bytes], None]:
    def run(body: bytes) -> None:
        parsed = parse(body)
        _check(parsed)
        if parsed.rejected and not parsed.series:
            raise DataError("nothing in it could be used")

    return run


def _record(body: bytes) -> None:
    series, at_ms, value = parse_json_record(body, now_ms=NOW_MS, future_ms=FUTURE_MS)
    _check(Parsed([series], [at_ms], [value], [], True))


def _remote_write() -> Callable[[bytes], None]:
    """One that knows the seeds and goes on learning, beside one that knows nothing: both say the same."""
    knowing = [RemoteWrite(Catalogue())]

    def run(body: bytes) -> None:
        if len(body) % 499 == 0:
            knowing[0] = RemoteWrite(Catalogue())
        said: list[object] = []
        for parser in (knowing[0], RemoteWrite(Catalogue())):
            try:
                parsed = parser.parse(body, _door())
            except DataError:
                said.append(None)
                continue
            _check(parsed)
            said.append((parsed.content(), parsed.rejected))
        assert said[0] == said[1], "read otherwise when its series are known"
        if said[0] is None:
            raise DataError("refused")

    return run


def _hook(parse: Callable[[bytes], HookSaid]) -> Callable[[bytes], None]:
    def run(body: bytes) -> None:
        for told in parse(body).told:
            msgspec.json.encode(incident_of(told, NOW_MS))

    return run


def _incidents(content_type: str) -> Callable[[bytes], None]:
    def run(body: bytes) -> None:
        said = parse_incidents(body, content_type, now_ms=NOW_MS)
        for one in said.incidents:
            assert abs(one.start_ms) < 2**62 and (one.end_ms is None or one.start_ms <= one.end_ms < 2**62)
        assert msgspec.json.decode(msgspec.json.encode(said.incidents), type=list[Incident]) == said.incidents
        msgspec.json.encode(said.rejected)

    return run


def _text(body: bytes) -> str:
    return body.decode("utf-8", "replace")


def _cursor(body: bytes) -> None:
    positions = decode_cursor(_text(body), _AT)
    assert positions.keys() == _AT.keys()
    assert decode_cursor(encode_cursor(positions), _AT) == positions


def _time(body: bytes) -> None:
    text = _text(body)
    values: list[object] = [text]
    try:
        values.append(msgspec.json.decode(body))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        pass
    for value in values:
        assert abs(time_ms(value, NOW_MS)) < 2**62


_KNOWN = Tokens(["reader:read:" + "0" * 64])


def _token(body: bytes) -> None:
    text = _text(body)
    assert _KNOWN.of_secret(text) is None and _KNOWN.of_session(text) is None, "let in"
    token = parse_token(text)
    assert token.scopes <= {"read", "write", "admin"}


def _compressed(body: bytes) -> None:
    read = 0
    for encoding in ("gzip", "zstd", "snappy"):
        try:
            assert len(decompressed(body, encoding, 1000)) <= 1000
            read += 1
        except (DataError, HTTPException):
            continue
    if not read:
        raise DataError("refused")


def _otlp_seeds() -> tuple[list[bytes], list[bytes]]:
    at = {"timeUnixNano": "1700000000000000000", "startTimeUnixNano": "1690000000000000000"}
    attributes = [{"key": "code", "value": {"intValue": "200"}}, {"key": "l", "value": {"arrayValue": {"values": []}}}]
    buckets = {"count": "3", "sum": 6.0, "bucketCounts": ["1", "2"], "explicitBounds": [2.0]}
    exponential = {"count": "3", "sum": 6.0, "scale": 2, "zeroCount": "1", "positive": {"bucketCounts": ["1", "1"]}}
    metrics = [
        {"name": "load", "gauge": {"dataPoints": [{**at, "asDouble": 1.5, "attributes": attributes}]}},
        {"name": "jobs", "sum": {"aggregationTemporality": 2, "isMonotonic": True, "dataPoints": [{**at, "asInt": 7}]}},
        {"name": "latency", "histogram": {"aggregationTemporality": 2, "dataPoints": [{**at, **buckets}]}},
        {"name": "e", "exponentialHistogram": {"aggregationTemporality": 2, "dataPoints": [{**at, **exponential}]}},
        {"name": "s", "summary": {"dataPoints": [{**at, "quantileValues": [{"quantile": 0.5, "value": 1.0}]}]}},
    ]
    resource = {"attributes": [{"key": "service.name", "value": {"stringValue": "shop"}}]}
    document = {"resourceMetrics": [{"resource": resource, "scopeMetrics": [{"metrics": metrics}]}]}
    from google.protobuf import json_format

    text = json.dumps(document)
    message = json_format.Parse(text, ExportMetricsServiceRequest())
    return [message.SerializeToString()], [text.encode()]


def parsers() -> dict[str, Parser]:
    """Return every parser with valid inputs of its own."""
    otlp, otlp_json = _otlp_seeds()
    scrapes = [bytes(cramjam.snappy.decompress_raw(body)) for body in requests(12, 3, 1000, NOW_MS, 0)]
    sample = {"entity": "w", "metric": "cpu", "labels": {"core": "0"}, "timestamp": 1540555200000, "value": 0.93}
    event = {"entity": "w", "event": "deploy", "timestamp": "2026-01-01T00:00:00Z", "attributes": {"by": "me"}}
    incident = {"entity": "w", "start": "-10m", "end": "-5m", "title": "t", "severity": "minor", "external_id": "x"}
    alert = {"status": "resolved", "labels": {"alertname": "A", "instance": "w"}, "startsAt": "2026-01-01T00:00:00Z"}
    alert |= {"endsAt": "2026-01-01T01:00:00Z", "annotations": {"summary": "s"}, "fingerprint": "f"}
    data = {
        "id": "P1",
        "title": "t",
        "created_at": "2026-01-01T10:00:00Z",
        "urgency": "high",
        "service": {"summary": "s"},
    }
    paged = {"event": {"event_type": "incident.resolved", "occurred_at": "2026-01-01T11:00:00Z", "data": data}}
    values = {
        "values": [3, 4.5],
        "dstypes": ["derive", "gauge"],
        "dsnames": ["rx", "value"],
        "time": 1.7e9,
        "host": "h",
    }
    values |= {
        "plugin": "interface",
        "plugin_instance": "eth0",
        "type": "if_octets",
        "type_instance": "",
        "interval": 10,
    }
    line = b'disk,host=web-1,path=/a\\,b used=12u,free=1.5e3,label="a b, c=d",ok=true 1700000000000000000\n'
    csv = b'entity,start,end,title,severity\nw,2026-01-01T00:00:00Z,1767229200000,"a, ""b""",minor\nx,-10m,,,\n'
    first = {"subscribe": {"entities": ["web-*"], "metrics": ["*"], "rollups": ["10s"]}, "after": "samples.0=12"}

    def encoded(*documents: object) -> list[bytes]:
        return [json.dumps(one).encode() for one in documents]

    now: dict[str, int] = {"now_ms": NOW_MS, "future_ms": FUTURE_MS}
    lines = b"\n".join(encoded(sample, sample))
    return {
        "remote_write": Parser(_remote_write(), scrapes),
        "otlp": Parser(_samples(lambda body: parse_otlp(body, _door(), as_json=False)), otlp),
        "otlp_json": Parser(_samples(lambda body: parse_otlp(body, _door(), as_json=True)), otlp_json),
        "influx": Parser(_samples(lambda body: parse_influx(body, _door())), [line, line * 2]),
        "collectd": Parser(_samples(lambda body: parse_collectd(body, _door())), encoded([values], [values, values])),
        "samples": Parser(
            _samples(lambda body: parse_json_samples(body, **now)), [*encoded({"samples": [sample, sample]}), lines]
        ),
        "events": Parser(_samples(lambda body: parse_json_events(body, **now)), encoded({"events": [event]}, event)),
        "events_topic": Parser(_record, encoded(sample, event)),
        "incidents": Parser(
            _incidents("application/json"),
            [*encoded(incident, [incident, incident], {"incidents": [incident]}), b"\n".join(encoded(incident) * 2)],
        ),
        "incidents_csv": Parser(_incidents("text/csv; charset=utf-8"), [csv]),
        "alertmanager": Parser(_hook(lambda body: parse_alertmanager(body, _LABELS)), encoded({"alerts": [alert]})),
        "pagerduty": Parser(_hook(parse_pagerduty), encoded(paged)),
        "live": Parser(lambda body: _first(_text(body), _AT), encoded(first, {"subscribe": {}, "recent": 3})),
        "cursor": Parser(_cursor, [b"samples.0=12,rollups.0=3+40", b"alerts.0=0"]),
        "token": Parser(_token, [b"a:read+write:" + b"ab" * 32, b"a:1900000000:" + b"0" * 64], (DataError, ValueError)),
        "time": Parser(_time, [b"1540555200000", b"2026-01-01T00:00:00.5+01:00", b"-6h", b"now", b"1e12"]),
        "compressed": Parser(
            _compressed,
            [
                gzip.compress(b"x" * 50),
                bytes(cramjam.zstd.compress(b"x" * 50)),
                bytes(cramjam.snappy.compress_raw(b"x" * 50)),
            ],
        ),
    }


_PIECES = (
    b"", b"\0", b"\xff", b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", b"\xc3\x28", b"\xed\xa0\x80",
    b"\xf0\x9f\x92\xa5", b"NaN", b"Infinity", b"-1", b"1e999", b"-0", b"9223372036854775808", b"18446744073709551616",
    b"0.1e-400", b"null", b"true", b"{}", b"[]", b'""', b'"\\ud800"', b"[" * 3000, b'{"a":' * 3000, b"9" * 400, b"\\",
    b'"', b",", b" ", b"\n", b"=", b":", b"+", b"\r\n", b"\x0a\xff\x7f", b"\x12\x10\x09",
    b"\x00\x00\x00\x00\x00\x00\xf0\x7f", b"\x02\x00\x00\x00\x00\x00\xf0\x7f", b"9999-12-31T23:59:59.999999+23:59",
    b"0001-01-01T00:00:00+14:00", b"-999999999w",
)  # fmt: skip
_VALUES: tuple[object, ...] = (
    None, True, 0, -1, 2**31, 2**63, 2**64, -(2**63), 1e308, 5e-324, "", "x", "é", "\ud800", "x" * 2000, [], {}, [[]],
    {"a": {}}, "NaN", "1", "now", "-1h", "<script>", "'; DROP", "a\0b", 0.1, "0001-01-01T00:00:00Z", 10**400,
)  # fmt: skip


def mutated(rng: random.Random, seeds: list[bytes]) -> bytes:
    """Return an input: mostly a seed with a few things wrong with it."""
    kind = rng.random()
    if kind < 0.05:
        return rng.randbytes(rng.randrange(60))
    data = rng.choice(seeds)
    if kind < 0.35 and data[:1] in (b"{", b"["):
        try:
            document = json.loads(data)
            for _ in range(rng.randint(1, 3)):
                document = _restructured(rng, document)
            return json.dumps(document, ensure_ascii=rng.random() < 0.8).encode("utf-8", "surrogatepass")
        except ValueError:
            pass
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(data) + 1)
        to = min(len(data), at + int(rng.expovariate(0.2)))
        match rng.randrange(7):
            case 0:
                data = data[:at] + rng.choice(_PIECES) + data[to:]
            case 1:
                data = data[:at] + data[to:]
            case 2:
                data = data[:at] + data[at:to] * rng.randint(2, 20) + data[to:]
            case 3:
                other = rng.choice(seeds)
                data = data[:at] + other[rng.randrange(len(other) + 1) :]
            case 4 if data:
                at = min(at, len(data) - 1)
                data = data[:at] + bytes([data[at] ^ (1 << rng.randrange(8))]) + data[at + 1 :]
            case 5:
                data = data[:at]
            case _:
                data = data[:at] + struct.pack("<Q", rng.getrandbits(64))[: rng.randint(1, 8)] + data[to:]
    return data[:BYTES_MAX]


def _restructured(rng: random.Random, value: object) -> object:
    """Return a JSON value with one thing in it replaced, left out, doubled or moved a level down."""
    if isinstance(value, dict) and value and rng.random() < 0.85:
        key = rng.choice(list(value))
        action = rng.random()
        if action < 0.1:
            return {k: v for k, v in value.items() if k != key}
        if action < 0.2:
            return value | {rng.choice(("", "x", "entity", "labels", key + "\0")): rng.choice(_VALUES)}
        return value | {key: _restructured(rng, value[key])}
    if isinstance(value, list) and value and rng.random() < 0.85:
        at = rng.randrange(len(value))
        if rng.random() < 0.1:
            return value[:at] + value[at + 1 :]
        if rng.random() < 0.1:
            return value * rng.randint(2, 30)
        return [*value[:at], _restructured(rng, value[at]), *value[at + 1 :]]
    return [value] if rng.random() < 0.05 else rng.choice(_VALUES)


def fuzz(parser: Parser, inputs: int, seed: int) -> Counter[str]:
    """Return how many inputs were ``taken`` and ``refused``; raises AssertionError with seed and input on a failure."""
    counts: Counter[str] = Counter()
    for number in range(seed, seed + inputs):
        body = mutated(random.Random(number), parser.seeds)
        began = time.process_time()
        try:
            parser.run(body)
            counts["taken"] += 1
        except parser.cleanly:
            counts["refused"] += 1
        except Exception as error:
            raise AssertionError(f"seed {number}: {type(error).__name__}: {error}\n{body[:2000]!r}") from error
        spent = time.process_time() - began
        assert spent < SECONDS_MAX, f"seed {number} took {spent:.1f} s\n{body[:2000]!r}"
    return counts


def main(arguments: list[str]) -> None:
    known = parsers()
    seed = int(arguments[arguments.index("--seed") + 1]) if "--seed" in arguments else 0
    names = [one for one in arguments if one in known] or list(known)
    numbers = [int(one) for at, one in enumerate(arguments) if one.isdigit() and arguments[at - 1] != "--seed"]
    unknown = [one for one in arguments if one not in known and not one.isdigit() and one != "--seed"]
    if unknown:
        sys.exit(f"cannot fuzz {unknown[0]!r}: want one of {', '.join(known)}")
    failed = False
    for name in names:
        began = time.process_time()
        try:
            counts = fuzz(known[name], numbers[0] if numbers else INPUTS, seed)
        except AssertionError as error:
            failed = True
            print(f"{name}: FAILED, {error}", flush=True)
            continue
        print(f"{name}: {dict(counts)}, {time.process_time() - began:.0f} CPU-seconds", flush=True)
    sys.exit(failed)


if __name__ == "__main__":
    main(sys.argv[1:])
