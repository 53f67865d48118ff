"""From a window's end to its rollups on a websocket, under load, through the running product.

    python -m bench latency [--samples N] [--seconds S]

Prometheus remote_write requests of 1,000 series bring N samples a second with event time now to `foreshock up` with its
default windows. A subscriber in a process of its own notes when each `10s` message comes; what is beyond the window's
end and the lateness is the delay. The machine's own delays are measured beside it: how late a process wakes up that
does nothing but sleep.
"""

from __future__ import annotations

import argparse
import http.client
import json
import subprocess
import sys
import tempfile
import threading
import time

import cramjam
import numpy as np

from bench.fanout import Server
from bench.subscribers import masked

SERIES, A_REQUEST, METRICS = 10_000, 1000, 40
LATENESS_S = 5.0
ROLLUP = "10s"


class Load:
    """Requests that differ in their times and values only, so that making them costs little."""

    def __init__(self, samples_per_s: int, series: int = SERIES) -> None:
        self._interval_s = A_REQUEST / samples_per_s
        self._requests = [_template(first) for first in range(0, series, A_REQUEST)]
        self.sent = self.late = 0
        self.stopped = threading.Event()

    def run(self, port: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        headers = {"Content-Type": "application/x-protobuf", "Content-Encoding": "snappy"}
        begin, number = time.monotonic(), 0
        while not self.stopped.is_set():
            pause = begin + number * self._interval_s - time.monotonic()
            if pause > 0:
                time.sleep(pause)
            elif pause < -1:
                self.late += 1
            octets, times_at, values_at = self._requests[number % len(self._requests)]
            octets[values_at + 6] = number & 15  # a byte of the mantissa
            octets[times_at] = np.frombuffer(_varint(time.time_ns() // 1_000_000), np.uint8)
            connection.request("POST", "/api/v1/write", bytes(cramjam.snappy.compress_raw(octets.tobytes())), headers)
            answer = connection.getresponse()
            answer.read()
            if answer.status != 204:
                raise RuntimeError(f"cannot write: {answer.status}")
            self.sent += A_REQUEST
            number += 1


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes((*out, number))


def _field(number: int, payload: bytes) -> bytes:
    return bytes((number << 3 | 2,)) + _varint(len(payload)) + payload


def _template(first: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the octets of a request, the positions of the octets of its times (n × 6), and where its values begin."""
    out, times_at, values_at = bytearray(), [], []
    for number in range(first, first + A_REQUEST):
        names = (("__name__", f"metric_{number % METRICS}"), ("host", f"host-{number // METRICS}"))
        labels = b"".join(_field(1, _field(1, k.encode()) + _field(2, v.encode())) for k, v in names)
        sample = b"\x09" + np.float64(number + 1.5).tobytes() + b"\x10" + _varint(time.time_ns() // 1_000_000)
        out += _field(1, labels + _field(2, sample))
        times_at.append(np.arange(len(out) - 6, len(out)))
        values_at.append(len(out) - 15)
    return np.frombuffer(bytes(out), np.uint8).copy(), np.array(times_at), np.array(values_at)


def subscribe(port: int) -> None:
    """Print a line a message: its window's end in ms, and how many ms after it came. In a process of its own."""
    import socket

    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(
            b"GET /api/v1/live HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        )
        first = {"subscribe": {"entities": ["*"], "metrics": ["*"], "rollups": [ROLLUP], "types": ["rollup"]}}
        connection.recv(4096)
        connection.sendall(masked(json.dumps(first).encode()))
        data, late = bytearray(), 0.0
        while True:
            data += (got := connection.recv(1 << 20))
            now_ms, at = time.time_ns() / 1e6, 0
            if not got:
                return
            while len(data) - at >= 10:
                size, start = data[at + 1], at + 2
                if size > 125:
                    width = 2 if size == 126 else 8
                    size, start = int.from_bytes(data[start : start + width], "big"), start + width
                if start + size > len(data):
                    break
                end = data.find(b'"end":', start, start + 400)
                if end > 0 and b'"late":true' not in data[end : end + 40]:
                    end_ms = int(data[end + 6 : end + 19])
                    print(end_ms, round(now_ms - end_ms, 2), flush=True)
                elif end > 0:
                    late += 1
                at = start + size
            del data[:at]


def _wakes(stopped: threading.Event, out: list[float]) -> None:
    while not stopped.is_set():
        began = time.monotonic()
        time.sleep(0.01)
        out.append(1000 * (time.monotonic() - began - 0.01))


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench latency")
    parser.add_argument("--samples", type=int, default=100_000)
    parser.add_argument("--seconds", type=int, default=125)
    parser.add_argument("--subscribe", type=int, default=0, help=argparse.SUPPRESS)
    parser.add_argument("--wakes", type=float, default=0, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.subscribe:
        subscribe(options.subscribe)
        return
    if options.wakes:
        wakes: list[float] = []
        stopped = threading.Event()
        threading.Timer(options.wakes, stopped.set).start()
        _wakes(stopped, wakes)
        print(*np.quantile(wakes, (0.5, 0.99)).tolist())
        return
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-c", "from foreshock.cli import main; main()", "up", "--no-collect"]
        server = Server([*command, "--data", folder, "--port", "0"])
        port = int(server.url.rpartition(":")[2])
        load = Load(options.samples)
        sending = threading.Thread(target=load.run, args=(port,), daemon=True)
        sending.start()
        time.sleep(20)  # the first windows are of new series: everything about them is new
        here = [sys.executable, "-m", "bench.latency"]
        subscriber = subprocess.Popen([*here, "--subscribe", str(port)], stdout=subprocess.PIPE, text=True)
        sleeper = subprocess.Popen([*here, "--wakes", str(options.seconds)], stdout=subprocess.PIPE, text=True)
        cpu, sent = server.cpu_s(), load.sent
        time.sleep(options.seconds)
        cpu, sent = server.cpu_s() - cpu, load.sent - sent
        load.stopped.set()
        sending.join(10)
        subscriber.terminate()
        lines = [line.split() for line in subscriber.communicate()[0].splitlines()]
        slept = [float(text) for text in sleeper.communicate()[0].split()]
        server.stop()
    ends = np.array([int(end) for end, _ in lines])
    delays = np.array([float(delay) for _, delay in lines]) - 1000 * LATENESS_S
    p50, p99 = np.quantile(delays, (0.5, 0.99))
    print(
        f"{sent / options.seconds:,.0f} samples a second of {SERIES:,} series, {cpu / options.seconds:.2f} cores used"
    )
    print(f"window end and lateness → websocket: p50 {p50:.0f} ms, p99 {p99:.0f} ms, {len(delays)} messages")
    for end in np.unique(ends).tolist():
        mine = delays[ends == end]
        print(f"  window that ends at …{end % 3_600_000 // 1000} s: {mine.min():.0f} to {mine.max():.0f} ms")
    print(f"a process that only sleeps woke up late by p50 {slept[0]:.1f} ms, p99 {slept[1]:.1f} ms in the same run")


if __name__ == "__main__":
    main(sys.argv[1:])
