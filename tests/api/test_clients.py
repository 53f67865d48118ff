"""The systems' own clients write to a running product; what they wrote is read back."""

import csv
import itertools
import math
import subprocess
import time

import cramjam
import httpx
import pytest

from tests.cluster.services import free_port
from tests.running import eventually, start, stop, tool


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    process, url = start(tmp_path_factory.mktemp("clients") / "data", "--no-collect")
    yield url
    stop(process)


def read(url, entity, metric, stat="max"):
    """Return one statistic of every window of a series of the last minutes."""
    query = {"entity": entity, "metric": metric, "stat": stat, "rollup": "10s", "from": "-10m", "to": "now"}
    return [row[1] for row in httpx.get(f"{url}/api/v1/range", params=query).json()["data"]]


@pytest.mark.peer
def test_prometheus_scrapes_node_exporter_and_writes_to_us(url, tmp_path):
    prometheus, exporter = tool("prometheus"), tool("prometheus-node-exporter")
    port, exported = free_port(), free_port()
    config = tmp_path / "prometheus.yml"
    config.write_text(
        f"""
global: {{scrape_interval: 1s, scrape_timeout: 1s}}
scrape_configs:
  - job_name: node
    static_configs: [{{targets: ["127.0.0.1:{exported}"]}}]
remote_write:
  - url: {url}/api/v1/write
"""
    )
    node = subprocess.Popen(
        [exporter, f"--web.listen-address=127.0.0.1:{exported}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    server = subprocess.Popen(
        [
            prometheus,
            f"--config.file={config}",
            f"--storage.tsdb.path={tmp_path / 'tsdb'}",
            f"--web.listen-address=127.0.0.1:{port}",
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    entity = f"127.0.0.1:{exported}"
    try:
        eventually(lambda: len(read(url, entity, "node_memory_MemTotal_bytes")) > 3, True, seconds=60)
        # The newest window that is closed, and every sample of it, and of a while before, that Prometheus has.
        query = {"entity": entity, "stat": "count", "rollup": "10s", "from": "-2m", "to": "now"}
        window = httpx.get(f"{url}/api/v1/range", params=query).json()["data"][-1][0]
        asked = {"query": '{job="node"}[22s]', "time": window / 1000 + 11}
        theirs = httpx.get(f"http://127.0.0.1:{port}/api/v1/query", params=asked).json()["data"]["result"]
        ours = httpx.get(f"{url}/api/v1/series", params={"entity": entity}).json()
        kinds = {one["key"]: one["kind"] for one in ours}
        assert len(kinds) > 200 and {"counter", "gauge"} <= set(kinds.values())
        want = {stat: {} for stat in ("count", "min", "max", "last", "rate")}
        for one in theirs:
            labels = {k: v for k, v in one["metric"].items() if k not in ("__name__", "instance")}
            text = ",".join(f'{name}="{labels[name]}"' for name in sorted(labels))
            key = f"{one['metric']['__name__']}{{{text}}}"
            samples = [(round(at * 1000), float(value)) for at, value in one["values"]]
            values = [value for at, value in samples if window <= at < window + 10_000]
            before = [value for at, value in samples if at < window]
            if values and all(map(math.isfinite, values)):
                want["count"][key], want["last"][key] = len(values), values[-1]
                want["min"][key], want["max"][key] = min(values), max(values)
                if kinds[key] == "counter" and before:
                    rises = [b - a if b >= a else b for a, b in itertools.pairwise([before[-1], *values])]
                    want["rate"][key] = pytest.approx(sum(rises) / 10)
        assert len(want["count"]) > 200 and len(want["rate"]) > 50
        for stat, values in want.items():
            at = {"entity": entity, "stat": stat, "rollup": "10s", "from": window, "to": window + 10_000}
            told = httpx.get(f"{url}/api/v1/range", params=at | {"format": "dygraphs"}).json()
            got = dict(zip(told[0][1:], told[1][1:], strict=True))
            assert {key: got.get(key) for key in values} == values, stat
    finally:
        for process in (server, node):
            process.terminate()
            process.wait(60)


@pytest.mark.peer
def test_the_opentelemetry_sdk_exports_to_us(url):
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
    from opentelemetry.sdk.resources import Resource

    reader = PeriodicExportingMetricReader(OTLPMetricExporter(f"{url}/v1/metrics"), export_interval_millis=3_600_000)
    provider = MeterProvider([reader], Resource.create({"service.name": "checkout"}))
    meter = provider.get_meter("test")
    meter.create_counter("orders").add(7)
    latency = meter.create_histogram("latency", explicit_bucket_boundaries_advisory=[0.1, 1.0])
    for value in (0.25, 0.05, 3.0):
        latency.record(value)
    meter.create_gauge("queue").set(41.5, {"name": 'a "b"'})
    assert provider.force_flush()
    eventually(lambda: read(url, "checkout", "orders"), [7.0], seconds=30)
    assert read(url, "checkout", "latency_sum") == [3.3] and read(url, "checkout", "latency_count") == [3.0]
    assert read(url, "checkout", "queue") == [41.5]
    query = {"entity": "checkout", "metric": "latency_bucket", "stat": "max", "rollup": "10s", "from": "-10m"}
    names, row = httpx.get(f"{url}/api/v1/range", params=query | {"format": "dygraphs"}).json()
    buckets = {name.partition('le="')[2].partition('"')[0]: value for name, value in zip(names, row, strict=True)}
    assert [buckets[le] for le in ("0.1", "1", "+Inf")] == [1.0, 2.0, 3.0]
    (queue,) = (one for one in httpx.get(f"{url}/api/v1/series").json() if one["metric"] == "queue")
    assert queue["labels"]["name"] == 'a "b"'
    provider.shutdown()


@pytest.mark.peer
def test_the_influx_client_writes_to_us(url):
    from influxdb_client import InfluxDBClient, Point, WritePrecision
    from influxdb_client.client.write_api import SYNCHRONOUS

    window = int(time.time() * 1000) // 10_000 * 10_000 - 60_000
    values = [round(20 + math.sin(i), 3) for i in range(500)]
    with InfluxDBClient(url, token="t", org="o") as client:
        writer = client.write_api(SYNCHRONOUS)
        points = [
            Point("room, no 1").tag("host", "sensor-1").tag("side", "a=b c").field("temperature", value).field("n", i)
            for i, value in enumerate(values)
        ]
        for i, point in enumerate(points):
            point.time(window + i * 10, WritePrecision.MS)
        writer.write("bucket", record=points)
        writer.write("bucket", record=Point("room, no 1").tag("host", "sensor-1").field("open", True))
    metric = "room, no 1_temperature"
    eventually(lambda: read(url, "sensor-1", metric, "count"), [500.0], seconds=30)
    want = {"min": min(values), "max": max(values), "last": values[-1], "sum": pytest.approx(sum(values))}
    assert {stat: read(url, "sensor-1", metric, stat)[0] for stat in want} == want
    assert read(url, "sensor-1", "room, no 1_n", "sum") == [sum(range(500))]
    (one,) = (one for one in httpx.get(f"{url}/api/v1/series").json() if one["metric"] == metric)
    assert one["labels"] == {"side": "a=b c"}


@pytest.mark.peer
def test_collectd_writes_to_us(url, tmp_path):
    collectd = tool("collectd")
    config = tmp_path / "collectd.conf"
    config.write_text(
        f"""
Hostname "collected-1"
FQDNLookup false
Interval 1
BaseDir "{tmp_path}"
PIDFile "{tmp_path}/pid"
LoadPlugin load
LoadPlugin csv
LoadPlugin write_http
<Plugin csv>
  DataDir "{tmp_path}/csv"
</Plugin>
<Plugin write_http>
  <Node "foreshock">
    URL "{url}/collectd"
    Format "JSON"
    BufferSize 1024
    Timeout 60000
  </Node>
</Plugin>
"""
    )
    process = subprocess.Popen(
        [collectd, "-f", "-C", str(config)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        eventually(lambda: len(read(url, "collected-1", "load_shortterm")) > 1, True, seconds=60)
    finally:
        process.terminate()
        process.wait(60)
    # What its own csv plugin wrote of the same readings; whole seconds there, so windows differ at their edges at most.
    (file,) = (tmp_path / "csv" / "collected-1" / "load").iterdir()
    rows = list(csv.DictReader(file.open()))
    for metric in ("shortterm", "midterm", "longterm"):
        values = [float(row[metric]) for row in rows]
        eventually(lambda m=metric: sum(read(url, "collected-1", f"load_{m}", "count")), len(rows), seconds=30)
        assert max(read(url, "collected-1", f"load_{metric}")) == pytest.approx(max(values))
        assert min(read(url, "collected-1", f"load_{metric}", "min")) == pytest.approx(min(values))


def test_a_request_that_a_client_sends_again_is_counted_once(url):
    at = int(time.time() * 1e9) - 60 * 10**9
    body = f"again,host=again-1 value=1 {at}"
    for _ in range(3):
        assert httpx.post(f"{url}/write", content=body).status_code == 204
    eventually(lambda: read(url, "again-1", "again", "count"), [1.0], seconds=30)


def test_a_newer_remote_write_is_asked_for_the_older_one(url):
    body = bytes(cramjam.snappy.compress_raw(b""))
    kinds = ("application/x-protobuf", "application/x-protobuf;proto=prometheus.WriteRequest")
    for kind, status in ((kinds[0], 204), (kinds[1], 204), (f"{kinds[0]};proto=io.prometheus.write.v2.Request", 415)):
        headers = {"Content-Type": kind, "Content-Encoding": "snappy"}
        assert httpx.post(f"{url}/api/v1/write", content=body, headers=headers).status_code == status


def test_what_is_refused_is_counted_and_no_figure_is_told_twice(url):
    def refused(reason):
        lines = httpx.get(f"{url}/metrics").text.splitlines()
        names = [line.rpartition(" ")[0] for line in lines if not line.startswith("#")]
        assert len(names) == len(set(names)), "Prometheus drops a scrape that tells a figure twice"
        (found,) = (line for line in lines if line.startswith(f'foreshock_refused_total{{reason="{reason}"}}'))
        return float(found.rpartition(" ")[2])

    before = refused("bad_sample"), refused("bad_request")
    assert httpx.post(f"{url}/write", content=b"m,host=h v=1\nno line\nm,host=h v=x").status_code == 204
    assert httpx.post(f"{url}/api/v1/samples", content=b"{").status_code == 400
    assert (refused("bad_sample"), refused("bad_request")) == (before[0] + 2, before[1] + 1)
