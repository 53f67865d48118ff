"""Each protocol's parser: reads what its clients write, and refuses the rest without harm."""

import gzip
import struct

import cramjam
import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from starlette.exceptions import HTTPException

from api.ingest.body import decompressed
from api.ingest.collectd import parse_collectd
from api.ingest.influx import parse_influx
from api.ingest.json_samples import parse_json_events, parse_json_samples
from api.ingest.otlp import parse_otlp
from api.ingest.parsed import MS_MIN, Door
from api.ingest.remote_write import RemoteWrite
from schemas.catalogue import Catalogue
from schemas.errors import DataError

NOW_MS = 1_800_000_000_000


def door():
    return Door(entity_labels=("host", "instance"), now_ms=NOW_MS, future_ms=600_000)


def varint(number):
    number &= 2**64 - 1
    out = b""
    while number > 127:
        out += bytes([number & 127 | 128])
        number >>= 7
    return out + bytes([number])


def field(number, data):
    return varint(number << 3 | 2) + varint(len(data)) + data


def write_request(series):
    """Return a WriteRequest of (labels, [(ms, value)]), as Prometheus encodes it."""
    out = b""
    for labels, samples in series:
        body = b"".join(field(1, field(1, k.encode()) + field(2, v.encode())) for k, v in labels.items())
        for at_ms, value in samples:
            body += field(2, b"\x09" + struct.pack("<d", value) + b"\x10" + varint(at_ms))
        out += field(1, body)
    return out


names = st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=20)


@given(
    st.lists(
        st.tuples(
            st.dictionaries(names, names, max_size=4),
            st.lists(st.tuples(st.integers(-(10**12), NOW_MS), st.floats(allow_nan=False, allow_infinity=False))),
        ),
        max_size=5,
    )
)
@settings(max_examples=100, deadline=None)
def test_remote_write_comes_back_as_it_was_written(series):
    series = [({"__name__": "m"} | labels, samples) for labels, samples in series]
    parser = RemoteWrite(Catalogue())
    for _ in range(2):  # the second time from memory
        parsed = parser.parse(write_request(series), door())
        assert not parsed.rejected
        want = [(at, value) for _, samples in series for at, value in samples]
        assert list(zip(parsed.times, parsed.values, strict=True)) == want


class FieldByField(RemoteWrite):
    """Knows no short cut."""

    def __init__(self):
        super().__init__(Catalogue())

    def _chained(self, body, octets, words, at, door):
        return at


def read_by(parser, body):
    try:
        parsed = parser.parse(body, door())
    except DataError:
        return "refused"
    columns = zip(parsed.series, list(parsed.times), list(parsed.values), strict=True)
    samples = [(s.entity, s.key, int(at_ms), struct.pack("<d", value)) for s, at_ms, value in columns]
    assert parsed.series_ids().tolist() == [s.series_id for s in parsed.series]
    return samples, [one["error"] for one in parsed.rejected]


STALE = struct.unpack("<d", struct.pack("<Q", 0x7FF0000000000002))[0]
LABELS = [{"__name__": f"m{i}", "host": f"h{i % 3}"} for i in range(30)] + [{"__name__": "c" * 150}, {"x": "no name"}]
scraped = st.builds(
    # From somewhere in the list on, as a client whose requests are cut at other series each time; some left out.
    lambda turn, without, odd, at_ms: [
        (
            LABELS[i],
            [(at_ms + 7 * i, odd.get(i, 1.5 * i + turn))]
            if i % 31
            else [(at_ms, 1.0), (at_ms + 1, 2.0)][: 1 + turn % 3],
        )
        for i in (*range(turn, len(LABELS)), *range(turn))
        if i not in without
    ],
    st.integers(0, 31),
    st.sets(st.integers(0, 31), max_size=3),
    st.dictionaries(st.integers(0, 31), st.sampled_from([0.0, STALE, -0.0]) | st.floats(), max_size=3),
    st.integers(NOW_MS - 10**11, NOW_MS + 10**5),
)


@given(
    st.lists(scraped, min_size=1, max_size=6),
    st.lists(st.tuples(st.integers(0, 1500), st.integers(0, 255)), max_size=3),
    st.integers(0, 400),
)
@settings(max_examples=300, deadline=None)
def test_remote_write_reads_what_it_knows_as_it_reads_field_by_field(scrapes, flips, cut):
    stored = Catalogue()
    knowing = RemoteWrite(stored)
    bodies = [write_request(scrape) for scrape in scrapes]
    harmed = bytearray(bodies[-1])
    for at, octet in flips:
        if at < len(harmed):
            harmed[at] = octet
    for body in (*bodies, bodies[0], bytes(harmed[: len(harmed) - cut // 40]), *bodies[:2]):
        got = read_by(knowing, body)
        assert got == read_by(FieldByField(), body)
        if got != "refused":
            stored.add(one for one in FieldByField().parse(body, door()).series if one.series_id % 3)
            knowing._labels.series.let_go()


def test_the_same_scrape_is_compared_with_the_tape_and_forgotten_ones_are_learned_again(monkeypatch):
    monkeypatch.setattr("api.ingest.label_tape.TAPE_BYTES_MAX", 20_000)
    parser = RemoteWrite(Catalogue())
    scrapes = [[({"__name__": f"m{i}", "host": f"{n}-{i}"}, [(NOW_MS, 1.0 + i)]) for i in range(100)] for n in range(9)]
    for n in (*range(9), *range(9), 3, 3, 3, 5):
        assert read_by(parser, write_request(scrapes[n])) == read_by(FieldByField(), write_request(scrapes[n]))
        assert parser._tape._size <= 20_000
    before = parser._chained
    parser._chained = lambda *_: pytest.fail("read series by series")
    read_by(parser, write_request(scrapes[5]))
    parser._chained = before


def test_native_histograms_are_refused_by_name_and_the_rest_is_taken():
    labels = field(1, field(1, b"__name__") + field(2, b"latency"))
    body = field(1, labels + field(4, b"\x08\x01")) + write_request([({"__name__": "up"}, [(1000, 1.0)])])
    for _ in range(2):
        parsed = RemoteWrite(Catalogue()).parse(body, door())
        assert [s.metric for s in parsed.series] == ["up"]
        assert "native histograms ('latency')" in parsed.rejected[0]["error"]


def test_remote_write_knows_entities_counters_and_stale_markers():
    stale = struct.unpack("<d", struct.pack("<Q", 0x7FF0000000000002))[0]
    labels = {"__name__": "http_requests_total", "instance": "web-1:9090", "code": "200"}
    parsed = RemoteWrite(Catalogue()).parse(write_request([(labels, [(1000, 5.0), (2000, stale)])]), door())
    (one,) = parsed.series
    assert (one.entity, one.key, one.kind) == ("web-1:9090", 'http_requests_total{code="200"}', "counter")
    assert parsed.values == [5.0] and not parsed.rejected


def test_a_label_that_is_there_twice_is_refused():
    pair = field(1, field(1, b"a") + field(2, b"1"))
    name = field(1, field(1, b"__name__") + field(2, b"m"))
    body = field(1, name + pair + pair + field(2, b"\x09" + struct.pack("<d", 1.0)))
    assert "twice" in RemoteWrite(Catalogue()).parse(body, door()).rejected[0]["error"]


def test_influx_lines_as_telegraf_writes_them():
    text = rb"""
# a comment
cpu,host=web-1,cpu=cpu\ total usage_idle=98.5,usage_user=1i 1700000000000000000
disk,host=web-1,path=/a\,b used=12u,label="a b, c=d",ok=true 1700000000000000000
temperature value=21.5
broken
cpu,host=web-1 x=abc 1
"""
    parsed = parse_influx(text, door())
    got = [(s.entity, s.key, v) for s, v in zip(parsed.series, parsed.values, strict=True)]
    assert got == [
        ("web-1", 'cpu_usage_idle{cpu="cpu total"}', 98.5),
        ("web-1", 'cpu_usage_user{cpu="cpu total"}', 1.0),
        ("web-1", 'disk_used{path="/a,b"}', 12.0),
        ("web-1", 'disk_ok{path="/a,b"}', 1.0),
        ("unknown", "temperature", 21.5),
    ]
    assert parsed.times[0] == 1_700_000_000_000 and parsed.times[-1] == NOW_MS and not parsed.all_timed
    assert len(parsed.rejected) == 2


def test_influx_quotes_mean_something_in_the_values_of_fields_alone():
    text = rb"""disk,host=5"disk used=12.5 1700000000000000000
disk,host=a msg="c:\\",used=1 1700000000000000000
disk,host=b msg="two
lines, a=1 \"and\" more",used=2 1700000000000000000
# it"s a comment
disk,host=c used=3 1700000000000000000
disk,host=d msg="no end,used=4 1700000000000000000
disk,host=e used=5 1700000000000000000"""
    parsed = parse_influx(text, door())
    got = [(s.entity, s.key, v) for s, v in zip(parsed.series, parsed.values, strict=True)]
    assert got == [
        (host, "disk_used", v) for host, v in (('5"disk', 12.5), ("a", 1.0), ("b", 2.0), ("c", 3.0), ("e", 5.0))
    ]
    assert set(parsed.times) == {1_700_000_000_000} and [r["error"][:6] for r in parsed.rejected] == ["line 7"]


def test_collectd_values():
    body = [
        {
            "values": [3, 4.5],
            "dstypes": ["derive", "gauge"],
            "dsnames": ["rx", "value"],
            "time": 1700000000.5,
            "interval": 10,
            "host": "db-1",
            "plugin": "interface",
            "plugin_instance": "eth0",
            "type": "if_octets",
            "type_instance": "",
        }
    ]
    parsed = parse_collectd(msgspec.json.encode(body), door())
    got = [(s.entity, s.key, s.kind) for s in parsed.series]
    assert got == [
        ("db-1", 'interface_if_octets_rx{instance="eth0"}', "counter"),
        ("db-1", 'interface_if_octets{instance="eth0"}', "gauge"),
    ]
    assert parsed.times == [1_700_000_000_500] * 2


def test_otlp_json():
    at = {"timeUnixNano": "1700000000000000000"}
    metrics = [
        {"name": "load", "gauge": {"dataPoints": [{**at, "asDouble": 1.5}]}},
        {
            "name": "jobs",
            "sum": {"aggregationTemporality": 2, "isMonotonic": True, "dataPoints": [{**at, "asInt": "7"}]},
        },
        {
            "name": "latency",
            "histogram": {
                "aggregationTemporality": 2,
                "dataPoints": [{**at, "count": "3", "sum": 6.0, "bucketCounts": ["1", "2"], "explicitBounds": [2.0]}],
            },
        },
    ]
    resource = {"attributes": [{"key": "host.name", "value": {"stringValue": "h1"}}]}
    body = {"resourceMetrics": [{"resource": resource, "scopeMetrics": [{"metrics": metrics}]}]}
    parsed = parse_otlp(msgspec.json.encode(body), door(), as_json=True)
    got = {(s.entity, s.key, s.kind): v for s, v in zip(parsed.series, parsed.values, strict=True)}
    assert got == {
        ("h1", "load", "gauge"): 1.5,
        ("h1", "jobs", "counter"): 7.0,
        ("h1", "latency_count", "counter"): 3.0,
        ("h1", "latency_sum", "counter"): 6.0,
        ("h1", 'latency_bucket{le="2"}', "counter"): 1.0,
        ("h1", 'latency_bucket{le="+Inf"}', "counter"): 3.0,
    }


def test_otlp_deltas_gaps_and_exponential_histograms():
    at = {"timeUnixNano": "1700000000000000000"}
    metrics = [
        {"name": "d", "sum": {"aggregationTemporality": 1, "isMonotonic": True, "dataPoints": [{**at, "asInt": "7"}]}},
        {"name": "h", "histogram": {"aggregationTemporality": 1, "dataPoints": [{**at, "count": "3"}]}},
        {"name": "gone", "gauge": {"dataPoints": [{**at, "flags": 1}]}},
        {"name": "empty", "gauge": {"dataPoints": [at]}},
        {"name": "e", "exponentialHistogram": {"aggregationTemporality": 2, "dataPoints": [{**at, "count": "2"}]}},
    ]
    body = {"resourceMetrics": [{"scopeMetrics": [{"metrics": metrics}]}]}
    parsed = parse_otlp(msgspec.json.encode(body), door(), as_json=True)
    got = {(s.key, s.kind): v for s, v in zip(parsed.series, parsed.values, strict=True)}
    assert got == {("d", "gauge"): 7.0, ("h_count", "gauge"): 3.0, ("e_count", "counter"): 2.0}
    assert [("no value" in r["error"], "'e'" in r["error"]) for r in parsed.rejected] == [(True, False), (False, True)]


def test_influx_precisions_of_both_interfaces():
    second = 10**9
    for precision, ns in (
        ("ns", 1),
        ("u", 1000),
        ("ms", 10**6),
        ("s", second),
        ("m", 60 * second),
        ("h", 3600 * second),
    ):
        at = 1_700_000_000_000_000_000 // ns
        assert parse_influx(b"m v=1 %d" % at, door(), precision=precision).times == [at * ns // 1_000_000]
    with pytest.raises(DataError, match="want one of ns"):
        parse_influx(b"m v=1", door(), precision="fortnight")


@pytest.mark.parametrize("parse", [parse_json_samples, parse_json_events])
def test_a_time_that_no_calendar_names_is_refused(parse):
    item = {"entity": "e", "metric": "m", "event": "x", "value": 1}
    for at in (-200_000_000_000_000, MS_MIN - 1, "1899-12-31T23:59:59Z", "-999999999w"):
        with pytest.raises(DataError, match="cannot (use timestamp|read time)"):
            parse(msgspec.json.encode(item | {"timestamp": at}), now_ms=NOW_MS, future_ms=0)
    assert parse(msgspec.json.encode(item | {"timestamp": MS_MIN}), now_ms=NOW_MS, future_ms=0).times == [MS_MIN]


def test_json_comes_as_an_object_a_list_or_lines_but_not_empty():
    one = {"entity": "e", "metric": "m", "value": 1.0, "timestamp": 1}
    line = msgspec.json.encode(one)
    for body in (msgspec.json.encode({"samples": [one, one]}), msgspec.json.encode([one, one]), line + b"\n" + line):
        assert parse_json_samples(body, now_ms=NOW_MS, future_ms=0).values == [1.0, 1.0]
    for body in (b"", b" \r\n\n"):
        with pytest.raises(DataError, match="it is empty"):
            parse_json_samples(body, now_ms=NOW_MS, future_ms=0)


PARSERS = {
    "remote_write": lambda body: RemoteWrite(Catalogue()).parse(body, door()),
    "influx": lambda body: parse_influx(body, door()),
    "collectd": lambda body: parse_collectd(body, door()),
    "otlp": lambda body: parse_otlp(body, door(), as_json=False),
    "otlp json": lambda body: parse_otlp(body, door(), as_json=True),
    "samples": lambda body: parse_json_samples(body, now_ms=NOW_MS, future_ms=0),
    "events": lambda body: parse_json_events(body, now_ms=NOW_MS, future_ms=0),
}
PIECES = st.one_of(
    st.binary(max_size=60),
    st.sampled_from([b"{", b"[", b'"', b"\\", b"=", b",", b" ", b"\n", b"1e999", b"NaN", b"\x0a\xff\xff\xff\xff\x0f"]),
)


@pytest.mark.parametrize("name", PARSERS)
@given(body=st.lists(PIECES, max_size=8).map(b"".join))
@example(body=b"[" * 100_000)
@example(body=b"\x0a" * 50)
@example(body=b'{"a":' * 50_000)
@settings(max_examples=400, deadline=None)
def test_whatever_comes_is_read_or_refused_cleanly(name, body):
    try:
        parsed = PARSERS[name](body)
    except DataError:
        return
    assert len(parsed.series) == len(parsed.times) == len(parsed.values)


def test_bodies_are_bounded_after_decompression():
    plain = b"x" * 1000
    for encoding, packed in (
        ("gzip", gzip.compress(plain)),
        ("snappy", bytes(cramjam.snappy.compress_raw(plain))),
        ("zstd", bytes(cramjam.zstd.compress(plain))),
    ):
        assert decompressed(packed, encoding, 1000) == plain
        with pytest.raises(HTTPException) as refused:
            decompressed(packed, encoding, 999)
        assert refused.value.status_code == 413, encoding
        with pytest.raises(DataError):
            decompressed(packed[: len(packed) // 2], encoding, 1000)
        with pytest.raises(DataError):
            decompressed(b"\xff\xff\xff\xff\xff\xff not this", encoding, 1000)
    with pytest.raises(HTTPException):
        decompressed(plain, "br", 1000)


def test_every_member_of_a_gzip_stream_is_read_and_no_hoard_of_them():
    member = gzip.compress(b"ab")
    assert decompressed(member * 3, "gzip", 6) == b"ababab"
    large = bytes(range(256)) * 1000
    assert decompressed(gzip.compress(large) + gzip.compress(large), "gzip", 512_000) == large * 2
    for wrong in (member + b"no gzip", member * 2 + member[:-3], gzip.compress(b"") * 2000):
        with pytest.raises(DataError):
            decompressed(wrong, "gzip", 1000)
    with pytest.raises(HTTPException):
        decompressed(member * 3, "gzip", 5)


def _one(labels, sample, *, sample_first=False):
    """A time series, by hand: protobuf writers leave a value of zero out, and fields may come in any order."""

    def field(number, payload):
        return bytes([number << 3 | 2, len(payload)]) + payload

    pairs = b"".join(field(1, field(1, k.encode()) + field(2, v.encode())) for k, v in labels.items())
    parts = (field(2, sample), pairs) if sample_first else (pairs, field(2, sample))
    return field(1, b"".join(parts))


def test_remote_write_reads_zeros_without_a_value_and_samples_before_labels_every_time():
    at = bytes([0x10, 0x88, 0xA7, 0xB1, 0xA2, 0xA7, 0x33])
    five = b"\x09" + struct.pack("<d", 5.0)
    labels = {"__name__": "up", "host": "web-1"}
    body = _one(labels, at) + _one(labels | {"job": "a"}, five + at) + _one(labels, five + at, sample_first=True)
    parser = RemoteWrite(Catalogue())
    for _ in range(3):
        late = door()
        late._latest_ms = 2**60
        parsed = parser.parse(body, late)
        assert sorted(map(float, parsed.values)) == [0.0, 5.0, 5.0]
        assert not parsed.rejected and len(set(map(int, parsed.times))) == 1


def test_remote_write_refuses_single_values_of_known_series_and_takes_the_rest():
    bodies = [
        write_request([({"__name__": f"m{i}"}, [(1_000, v)]) for i, v in enumerate(values)])
        for values in ([1.0, 2.0, 3.0], [1.0, float("inf"), 3.0])
    ]
    parser = RemoteWrite(Catalogue())
    parser.parse(bodies[0], door())
    parsed = parser.parse(bodies[1], door())
    assert list(map(float, parsed.values)) == [1.0, 3.0] and len(parsed.rejected) == 1
