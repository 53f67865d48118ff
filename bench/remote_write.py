"""Prometheus remote_write: the same requests to Foreshock, VictoriaMetrics and Prometheus; samples a CPU-second each.

    python -m bench remote_write [--series N] [--ticks N] [--step SECONDS] [--rounds N] [--only NAME …]

Every server is started on an empty folder and gets the same seeded requests of 2,000 series, one after the other. Its
CPU is that of its process and children, counted twice: until the last request was acknowledged, and until it has come
to rest: what was acknowledged is then on disk, and with us rolled up, stored and scored as well. ``accepting`` is our
API without the stream worker, on the embedded log: a request is acknowledged once its record is durable. The run fails
where a server did not take a request, or does not have what it took.
"""

from __future__ import annotations

import argparse
import asyncio
import http.client
import json
import random
import shutil
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import time
import urllib.parse
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import cramjam
import psutil

HEADERS = {
    "Content-Type": "application/x-protobuf",
    "Content-Encoding": "snappy",
    "X-Prometheus-Remote-Write-Version": "0.1.0",
}
PER_REQUEST = 2000
_AT_REST = 0.03  # of a processor, over two seconds
_CLI = "from foreshock.cli import main; main()"
_ACCEPT = "import sys; from bench.remote_write import accept; accept(sys.argv[1], int(sys.argv[2]))"


class Server(NamedTuple):
    command: list[str]  # with {port} and {folder}
    ready: str  # answers 200 once it is
    count: Callable[[http.client.HTTPConnection, int, int], float] | None  # samples it has of [from, to], epoch ms


def series_labels(series: int) -> list[dict[str, str]]:
    """Return the labels of so many series: hosts with fifty metrics each, some of them counters."""
    return [
        {
            "__name__": f"node_metric_{i % 50}" + ("_total" if i % 5 == 0 else ""),
            "cpu": str(i % 64),
            "host": f"host-{i // 50:05d}",
            "job": "node",
            "mode": "idle",
        }
        for i in range(series)
    ]


def requests(series: int, ticks: int, step_ms: int, end_ms: int, seed: int) -> list[bytes]:
    """Return the bodies, snappy and protobuf; every series once a tick, the last tick at ``end_ms``."""
    draw = random.Random(seed)
    labels = [
        b"".join(_field(1, _field(1, k.encode()) + _field(2, v.encode())) for k, v in one.items())
        for one in series_labels(series)
    ]
    out = []
    level = [draw.lognormvariate(3, 1) for _ in range(series)]
    for tick in range(ticks):
        time_field = b"\x10" + _varint(end_ms - (ticks - 1 - tick) * step_ms)
        for at in range(0, series, PER_REQUEST):
            body = bytearray()
            for i in range(at, min(series, at + PER_REQUEST)):
                value = level[i] * draw.uniform(0.9, 1.1) if i % 5 else level[i] * tick
                body += _field(1, labels[i] + _field(2, b"\x09" + struct.pack("<d", value) + time_field))
            out.append(bytes(cramjam.snappy.compress_raw(bytes(body))))
    return out


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes([*out, number])


def _field(number: int, data: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(data)) + data


def _in_prometheus(connection: http.client.HTTPConnection, from_ms: int, to_ms: int) -> float:
    span_s = (to_ms - from_ms) // 1000 + 1
    query = f'sum(count_over_time({{job="node"}}[{span_s}s]))'
    where = urllib.parse.urlencode({"query": query, "time": to_ms / 1000})
    connection.request("GET", f"/api/v1/query?{where}")
    found = json.loads(connection.getresponse().read())["data"]["result"]
    return float(found[0]["value"][1]) if found else 0.0


def _in_rollups(connection: http.client.HTTPConnection, from_ms: int, to_ms: int) -> float:
    total = 0.0
    metrics = sorted({labels["__name__"] for labels in series_labels(50)})
    for metric in metrics:
        where = {"from": from_ms // 10_000 * 10_000, "to": to_ms + 1, "metric": metric, "stat": "count"}
        connection.request("GET", f"/api/v1/range?{urllib.parse.urlencode(where | {'rollup': '10s'})}")
        rows = json.loads(connection.getresponse().read())["data"]
        total += sum(value or 0 for row in rows for value in row[1:])
    return total


def _on_the_log(folder: Path) -> float:
    """Return how many samples lie on the log of a process that has ended."""
    from log.embedded import EmbeddedLog
    from schemas.batch import columns, decode_batch
    from schemas.topics import SAMPLES

    log, total, at = EmbeddedLog(str(folder / "log")), 0, 0
    log.open()
    while records := log.read_now(SAMPLES, 0, at):
        at = records[-1].offset + 1
        total += sum(len(columns(decode_batch(record.value)).ids) for record in records)
    log.close()
    return total


SERVERS = {
    "foreshock": Server(
        [sys.executable, "-c", _CLI, "up", "--no-collect", "--data", "{folder}", "--port", "{port}"],
        "/readyz",
        _in_rollups,
    ),
    "accepting": Server([sys.executable, "-c", _ACCEPT, "{folder}", "{port}"], "/readyz", None),
    "victoria-metrics": Server(
        ["victoria-metrics", "-storageDataPath={folder}", "-httpListenAddr=127.0.0.1:{port}"],
        "/health",
        _in_prometheus,
    ),
    "prometheus": Server(
        [
            "prometheus",
            "--config.file={folder}/prometheus.yml",
            "--storage.tsdb.path={folder}/tsdb",
            "--web.listen-address=127.0.0.1:{port}",
            "--web.enable-remote-write-receiver",
        ],
        "/-/ready",
        _in_prometheus,
    ),
}


def accept(folder: str, port: int) -> None:
    """Serve the API alone, without the stream worker that the embedded log's one process has beside it."""
    from foreshock.roles import API, Process
    from foreshock.settings import load

    data = Path(folder)
    settings = load(None).with_data_dir(data)
    asyncio.run(Process(settings, frozenset({API}), data=data, host="127.0.0.1", port=port).run())


def _cpu_s(process: psutil.Process) -> float:
    """Return the CPU seconds of a process, its children and those of them that ended."""
    total = 0.0
    for one in [process, *process.children(recursive=True)]:
        used = one.cpu_times()
        total += used.user + used.system
    ended = process.cpu_times()
    return total + ended.children_user + ended.children_system


def _rest(process: psutil.Process, seconds: float = 120) -> None:
    """Wait until a process does next to nothing."""
    quiet, before, end = 0, _cpu_s(process), time.monotonic() + seconds
    while quiet < 2 and time.monotonic() < end:
        time.sleep(2)
        now = _cpu_s(process)
        quiet = quiet + 1 if now - before < 2 * _AT_REST else 0
        before = now


def once(name: str, bodies: list[bytes], samples: int, from_ms: int, to_ms: int, settle_s: float) -> dict[str, float]:
    """Return the CPU seconds of one run, ``acknowledged`` and ``settled``."""
    server, port = SERVERS[name], _free_port()
    with tempfile.TemporaryDirectory() as kept:
        folder = Path(kept)
        (folder / "prometheus.yml").write_text("{}")
        command = [part.format(port=port, folder=folder) for part in server.command]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
            _until_ready(connection, server.ready, process)
            watched = psutil.Process(process.pid)
            _rest(watched)
            connection.close()
            began, began_cpu = time.monotonic(), _cpu_s(watched)
            for body in bodies:
                connection.request("POST", "/api/v1/write", body, HEADERS)
                answer = connection.getresponse()
                said = answer.read()
                if answer.status // 100 != 2:
                    raise RuntimeError(f"{name} answered {answer.status}: {said[:300]!r}")
            out = {"acknowledged": _cpu_s(watched) - began_cpu, "wall": time.monotonic() - began}
            time.sleep(settle_s)
            _rest(watched)
            connection.close()  # idle for too long to be still open everywhere
            out["settled"] = _cpu_s(watched) - began_cpu
            has = server.count(connection, from_ms, to_ms) if server.count else None
        finally:
            process.terminate()
            process.wait(60)
        has = _on_the_log(folder) if has is None else has
        if has != samples:
            raise RuntimeError(f"cannot trust this run: {name} has {has:,.0f} of {samples:,} samples")
    return out


def _until_ready(connection: http.client.HTTPConnection, path: str, process: subprocess.Popen) -> None:
    end = time.monotonic() + 120
    while time.monotonic() < end and process.poll() is None:
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            answer.read()
            if answer.status == 200:
                return
        except OSError:
            connection.close()
        time.sleep(0.1)
    raise RuntimeError(f"cannot start {process.args!r}: it ended with {process.poll()}, or is not ready in 120 s")


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench remote_write")
    parser.add_argument("--series", type=int, default=10_000)
    parser.add_argument("--ticks", type=int, default=120)
    parser.add_argument("--step", type=float, default=1.0, help="seconds of event time between a series' samples")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--settle", type=float, default=10.0, help="seconds to wait before looking for rest")
    parser.add_argument("--only", nargs="*", default=list(SERVERS), choices=list(SERVERS))
    options = parser.parse_args(arguments)
    names = [name for name in options.only if shutil.which(SERVERS[name].command[0])]
    for missing in sorted(set(options.only) - set(names)):
        print(f"{missing} is not installed: left out")
    samples, step_ms = options.series * options.ticks, round(options.step * 1000)
    figures: dict[str, list[dict[str, float]]] = {name: [] for name in names}
    for number in range(options.rounds):
        end_ms = int(time.time()) * 1000
        bodies = requests(options.series, options.ticks, step_ms, end_ms, seed=number)
        for name in names:
            from_ms = end_ms - (options.ticks - 1) * step_ms
            figures[name].append(once(name, bodies, samples, from_ms, end_ms, options.settle))
    print(f"{samples:,} samples of {options.series:,} series, {options.step:g} s apart, {PER_REQUEST:,} a request")
    for name in names:
        rates = {
            until: statistics.median(samples / one[until] for one in figures[name])
            for until in ("acknowledged", "settled")
        }
        others = ", ".join(
            f"{statistics.median(b[until] / a[until] for a, b in zip(figures[name], figures[peer], strict=True)):.2f}"
            f" times {peer}'s"
            for until in ("settled",)
            for peer in ("victoria-metrics", "prometheus")
            if peer in names and peer != name
        )
        print(
            f"{name}: {rates['acknowledged']:,.0f} a CPU-second until acknowledged,"
            f" {rates['settled']:,.0f} until at rest{': ' + others if others else ''}"
        )


if __name__ == "__main__":
    main(sys.argv[1:])
