"""A real Kafka broker and a ClickHouse server, started for a test and stopped by their process ids."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from tests.running import tool

HERE = Path(__file__).parent


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def wait_for_port(port: int, process: subprocess.Popen, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        assert process.poll() is None, f"ended with {process.returncode} before it listened"
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.2)
    raise AssertionError(f"nothing listens on {port} after {seconds} s")


def kafka_classpath() -> str:
    """Return the broker's jars, fetched once into the build folder; skips where there is no Java or Maven."""
    tool("java")
    if folder := os.environ.get("FORESHOCK_TEST_KAFKA_LIBS"):
        return f"{folder}/*"
    libs = HERE / "kafka" / "target" / "libs"
    if not libs.is_dir() or not any(libs.iterdir()):
        subprocess.run(
            [
                tool("mvn"),
                "-q",
                "-B",
                "-f",
                str(HERE / "kafka" / "pom.xml"),
                "dependency:copy-dependencies",
                f"-DoutputDirectory={libs}",
            ],
            check=True,
            timeout=600,
        )
    return f"{libs}/*"


@contextlib.contextmanager
def kafka(folder: Path) -> Iterator[str]:
    """Run a KRaft broker of one node; yields ``kafka://127.0.0.1:PORT``."""
    classpath, port, controller = kafka_classpath(), free_port(), free_port()
    folder.mkdir(parents=True)
    settings = folder / "server.properties"
    settings.write_text(
        f"""process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
controller.listener.names=CONTROLLER
log.dirs={folder}/logs
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
group.initial.rebalance.delay.ms=0
auto.create.topics.enable=false
"""
    )
    java = [tool("java"), "-Xmx512m", "-cp", classpath]
    identity = subprocess.run(
        [*java, "kafka.tools.StorageTool", "random-uuid"], capture_output=True, text=True, check=True
    ).stdout.split()[-1]
    formatting = [*java, "kafka.tools.StorageTool", "format", "-t", identity, "-c", str(settings)]
    subprocess.run(formatting, capture_output=True, check=True)
    with (folder / "broker.log").open("w") as output:
        broker = subprocess.Popen([*java, "kafka.Kafka", str(settings)], stdout=output, stderr=output)
        try:
            wait_for_port(port, broker)
            yield f"kafka://127.0.0.1:{port}"
        finally:
            broker.kill()
            broker.wait()


@contextlib.contextmanager
def clickhouse(folder: Path, fault_file: Path | None = None) -> Iterator[str]:
    """Yield a server's address: the one that FORESHOCK_TEST_CLICKHOUSE names, or our own in front of chDB."""
    if url := os.environ.get("FORESHOCK_TEST_CLICKHOUSE"):
        yield url
        return
    port = free_port()
    command = [sys.executable, str(HERE / "clickhouse_server.py"), "--port", str(port), "--path", str(folder)]
    if fault_file:
        command += ["--fault-file", str(fault_file)]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout and server.stdout.readline().startswith("READY")
        yield f"clickhouse://default@127.0.0.1:{port}/foreshock"
    finally:
        server.terminate()
        try:
            server.wait(10)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()
        shutil.rmtree(folder, ignore_errors=True)
