"""The systems' own clients write to a running product; what they wrote is read back."""

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
        eventually(lambda: len(read(url, entity, "node_memory_MemTotal_bytes")) > 1, True, seconds=60)
        theirs = httpx.get(f"http://127.0.0.1:{port}/api/v1/query", params={"query": "node_memory_MemTotal_bytes"})
        want = float(theirs.json()["data"]["result"][0]["value"][1])
        assert set(read(url, entity, "node_memory_MemTotal_bytes")) == {want}
        # A counter becomes a rate: idle processors give about as many seconds a second as there are.
        rates = read(url, entity, "node_cpu_seconds_total", "rate")
        assert rates and all(rate is None or rate >= 0 for rate in rates)
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
    meter.create_histogram("latency").record(0.25)
    assert provider.force_flush()
    eventually(lambda: read(url, "checkout", "orders"), [7.0], seconds=30)
    assert read(url, "checkout", "latency_sum") == [0.25]
    provider.shutdown()


@pytest.mark.peer
def test_the_influx_client_writes_to_us(url):
    from influxdb_client import InfluxDBClient, Point
    from influxdb_client.client.write_api import SYNCHRONOUS

    with InfluxDBClient(url, token="t", org="o") as client:
        writer = client.write_api(SYNCHRONOUS)
        for value in (20.0, 23.5):
            writer.write("bucket", record=Point("room").tag("host", "sensor-1").field("temperature", value))
    eventually(lambda: max(read(url, "sensor-1", "room_temperature"), default=0), 23.5, seconds=30)


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
LoadPlugin write_http
<Plugin write_http>
  <Node "foreshock">
    URL "{url}/collectd"
    Format "JSON"
    BufferSize 1024
  </Node>
</Plugin>
"""
    )
    process = subprocess.Popen(
        [collectd, "-f", "-C", str(config)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        eventually(lambda: len(read(url, "collected-1", "load_shortterm")) > 0, True, seconds=60)
    finally:
        process.terminate()
        process.wait(60)


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
