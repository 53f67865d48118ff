"""Live push to thousands: messages a CPU-second of the server, delay, slow readers, and everybody coming back at once.

    python -m bench fanout [--subscribers N] [--seconds S]

The server is `foreshock up` as it is; subscribers are raw sockets in processes of their own. Beside it, in the same
run, a bare Starlette application sends the same messages by `send_json` to as many subscribers of the same kind.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import httpx
import numpy as np

ENTITIES, METRICS = 20, 4  # a second brings a rollup message of each entity
CLIENTS = 2  # processes
SLOW_SHARE = 0.05
COME_BACK_S = 10
IDLE_S = 6.0  # after so long without samples the last windows are closed and delivered


class Server:
    """A process, what it used so far, and the subscribers that it has."""

    def __init__(self, command: list[str], env: dict[str, str] | None = None) -> None:
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ | (env or {}))
        line = self.process.stdout.readline()  # type: ignore[union-attr]
        if not line.startswith("ready http://"):
            raise RuntimeError(f"cannot start {command}: {line!r}")
        self.url = line.split()[1]

    def cpu_s(self) -> float:
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def memory(self) -> tuple[int, int]:
        """Return bytes in use now, and the most there were."""
        lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        got = {line.split(":")[0]: int(line.split()[1]) * 1024 for line in lines if line.startswith(("VmRSS", "VmHWM"))}
        return got["VmRSS"], got["VmHWM"]

    def stop(self, number: int = signal.SIGTERM) -> None:
        self.process.send_signal(number)
        self.process.wait(30)


class Subscribers:
    """Processes that hold the websockets."""

    def __init__(self, url: str, count: int, slow: int, window: int) -> None:
        host, port = url.removeprefix("http://").split(":")
        self.count, each = count, count // CLIENTS
        self._processes = [
            subprocess.Popen(
                [sys.executable, "-m", "bench.subscribers", host, port, str(each), str(slow // CLIENTS), str(window)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            for _ in range(CLIENTS)
        ]

    def tell(self, line: str) -> None:
        for process in self._processes:
            process.stdin.write(line + "\n")  # type: ignore[union-attr]
            process.stdin.flush()  # type: ignore[union-attr]

    def report(self) -> dict:
        self.tell("report")
        reports = [json.loads(process.stdout.readline()) for process in self._processes]  # type: ignore[union-attr]
        total = reports[0]
        for other in reports[1:]:
            for key, value in other.items():
                total[key] = max(total[key], value) if key == "connected_at" else total[key] + value
        return total

    def until_connected(self, seconds: float = 120) -> dict:
        end = time.monotonic() + seconds
        while (report := self.report())["connected"] < self.count:
            if time.monotonic() > end:
                raise RuntimeError(f"only {report['connected']} of {self.count} subscribers are connected")
            time.sleep(0.25)
        return report

    def stop(self) -> None:
        self.tell("end")
        for process in self._processes:
            process.wait(10)


class Writer:
    """Writes one sample a second of every series and notes when: each closes the second before."""

    def __init__(self) -> None:
        self.second = 0
        self.closed_at: dict[int, float] = {}  # by the second that was closed

    def step(self, url: str) -> None:
        samples = [
            {"entity": f"host-{e}", "metric": f"metric_{m}", "value": e + m / 7, "timestamp": self.second * 1000}
            for e in range(ENTITIES)
            for m in range(METRICS)
        ]
        self.closed_at[self.second - 1] = time.monotonic()
        httpx.post(f"{url}/api/v1/samples", json={"samples": samples}, timeout=60).raise_for_status()
        self.second += 1

    def run(self, url: str, seconds: int) -> None:
        begin, self.second = time.monotonic(), max(self.second, int(time.time()))
        for number in range(seconds):
            time.sleep(max(0.0, begin + number - time.monotonic()))
            self.step(url)


def ours(subscribers: int, seconds: int, slow: int) -> dict:
    settings = {"FORESHOCK_WINDOWS_ROLLUPS": "1s", "FORESHOCK_WINDOWS_LATENESS": "0s"}
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-c", "from foreshock.cli import main; main()", "up", "--no-collect"]
        command += ["--data", folder]
        server = Server([*command, "--port", "0"], settings)
        port = server.url.rpartition(":")[2]
        writer, clients = Writer(), Subscribers(server.url, subscribers, slow, ENTITIES)
        try:
            writer.run(server.url, 1)
            time.sleep(IDLE_S)  # so that its last second is closed as well
            empty, _ = server.memory()
            clients.until_connected()
            filled, _ = server.memory()
            before = server.cpu_s()
            writer.run(server.url, seconds)
            time.sleep(IDLE_S)
            cpu, report = server.cpu_s() - before, clients.report()
            delays = _delays(report["times"], writer.closed_at)
            again = _come_back(server, clients, writer, [*command, "--port", port], settings)
        finally:
            clients.stop()
            again_server = locals().get("again", {}).get("server", server)
            again_server.stop()
    return {"cpu_s": cpu, "report": report, "delays": delays, "socket": (filled - empty) / subscribers, "again": again}


def _delays(times: list[list[tuple[int, float]]], closed_at: dict[int, float]) -> np.ndarray:
    """Return the seconds from writing what closed a window to its last message's arrival, by window and subscriber."""
    return np.array([at - closed_at[second] for mine in times for second, at in mine if second in closed_at])


def _come_back(server: Server, clients: Subscribers, writer: Writer, command: list[str], env: dict[str, str]) -> dict:
    """Kill the server and start it again under the same load: everybody comes back with a cursor."""
    clients.tell(f"again {COME_BACK_S}")
    server.stop(signal.SIGKILL)
    server = Server(command, env)
    began, before = time.monotonic(), server.cpu_s()
    writer.run(server.url, COME_BACK_S + 5)
    report = clients.until_connected()
    time.sleep(IDLE_S)
    report = clients.report()
    return {
        "server": server,
        "seconds": report["connected_at"] - began,
        "cpu_s": server.cpu_s() - before,
        "peak": server.memory()[1],
        "report": report,
        "windows": len(writer.closed_at),
    }


def starlette(subscribers: int, rounds: int) -> dict:
    server = Server([sys.executable, "-m", "bench.fanout", "--starlette", str(rounds)])
    clients = Subscribers(server.url, subscribers, 0, ENTITIES)
    try:
        clients.until_connected()
        before = server.cpu_s()
        httpx.post(f"{server.url}/go", timeout=None)
        while (report := clients.report())["received"] < subscribers * rounds * ENTITIES:
            time.sleep(0.2)
        return {"cpu_s": server.cpu_s() - before, "received": report["received"]}
    finally:
        clients.stop()
        server.stop(signal.SIGKILL)


def serve_starlette(rounds: int) -> None:
    """Serve the bare loop: whoever connects is sent every message by ``send_json``."""
    import asyncio
    import socket

    import uvicorn
    from starlette.applications import Starlette
    from starlette.responses import Response
    from starlette.routing import Route, WebSocketRoute

    statistics = ("count", "sum", "min", "max", "mean", "stddev", "p50", "p95", "p99", "last")
    metrics = {f"metric_{m}": {name: 1 + m / 7 for name in statistics} for m in range(METRICS)}
    cursor = "samples.0=1234,rollups.0=123+12,verdicts.0=0,alerts.0=0"
    messages = [
        {"type": "rollup", "cursor": cursor, "entity": f"host-{e}", "rollup": "1s", "start": 0, "end": 1000}
        | {"metrics": metrics}
        for e in range(ENTITIES)
    ]
    go = asyncio.Event()

    async def live(websocket) -> None:
        await websocket.accept()
        await websocket.receive_text()
        await websocket.send_json({"type": "subscribed"})
        await go.wait()
        for _ in range(rounds):
            for message in messages:
                await websocket.send_json(message)
        await asyncio.sleep(3600)

    async def start(_) -> Response:
        go.set()
        return Response()

    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    routes = [WebSocketRoute("/api/v1/live", live), Route("/go", start, methods=["POST"])]
    listener = socket.create_server(("127.0.0.1", 0), backlog=4096)
    print(f"ready http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
    uvicorn.Server(uvicorn.Config(Starlette(routes=routes), log_level="warning")).run(sockets=[listener])


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench fanout")
    parser.add_argument("--subscribers", type=int, default=5000)
    parser.add_argument("--seconds", type=int, default=30)
    parser.add_argument("--starlette", type=int, default=0, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.starlette:
        serve_starlette(options.starlette)
        return
    n = options.subscribers
    slow = int(n * SLOW_SHARE) // CLIENTS * CLIENTS
    bare = starlette(n, 2)
    bare_rate = bare["received"] / bare["cpu_s"]
    print(
        f"bare Starlette send_json, {n} subscribers: {bare_rate:,.0f} messages a CPU-second of the server", flush=True
    )
    got = ours(n, options.seconds, slow)
    report, again = got["report"], got["again"]
    rate = report["received"] / got["cpu_s"]
    print(
        f"foreshock up, {n} subscribers, {ENTITIES} rollup messages a second each: {rate:,.0f}, {rate / bare_rate:.1f}x"
    )
    p50, p99 = np.quantile(got["delays"], (0.5, 0.99)) * 1000
    print(f"from the request that closes a window to its last message: p50 {p50:.0f} ms, p99 {p99:.0f} ms")
    print(f"each of {n - slow} received {report['fast']}, with {report['fast_gaps']} gaps")
    sent = options.seconds * ENTITIES
    print(
        f"{report['slow_with_gap']} of {slow} slow readers were told of a gap: {report['slow_missed']:,} messages, "
        f"received and missed at most {max(report['slow_accounted'])} of {sent}"
    )
    print(f"{got['socket'] / 1024:.1f} KiB of memory a websocket")
    print(
        f"killed and started again: all back {again['seconds']:.1f} s after it was ready (they spread over "
        f"{COME_BACK_S} s), {again['cpu_s']:.1f} CPU-s, {again['peak'] / 2**20:.0f} MiB at the most"
    )
    back = again["report"]
    print(f"of the messages of {again['windows']} seconds each of the others received {back['fast']}")


if __name__ == "__main__":
    main(sys.argv[1:])
