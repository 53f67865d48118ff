"""A real Kafka broker and a ClickHouse server, started for a test and stopped by their process ids."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.cluster.brokers import Brokers, free_port

HERE = Path(__file__).parent


@contextlib.contextmanager
def kafka(folder: Path) -> Iterator[str]:
    """Run a KRaft broker of one node; yields ``kafka://127.0.0.1:PORT``."""
    with Brokers(folder) as brokers:
        yield brokers.url


class ClickhouseServer:
    """Our own server in front of chDB, which can be killed, paused and started again; what an insert meets is told
    by the content of ``fault_file``."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._port = folder, free_port()
        self.fault_file = folder.with_suffix(".fault")
        self.url = f"clickhouse://default@127.0.0.1:{self._port}/foreshock"
        self._process: subprocess.Popen | None = None

    def start(self) -> None:
        command = [sys.executable, str(HERE / "clickhouse_server.py"), "--port", str(self._port)]
        command += ["--path", str(self._folder), "--fault-file", str(self.fault_file)]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout and self._process.stdout.readline().startswith("READY")

    def fault(self, said: str) -> None:
        """``drop``, ``drop-after``, ``error`` or ``slow SECONDS``, until the next call; empty: none any more."""
        if said:
            self.fault_file.write_text(said)
        else:
            self.fault_file.unlink(missing_ok=True)

    def kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def pause(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def __enter__(self) -> ClickhouseServer:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process is not None
        self._process.terminate()
        self._process.send_signal(signal.SIGCONT)
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            self.kill()
        shutil.rmtree(self._folder, ignore_errors=True)
        self.fault_file.unlink(missing_ok=True)


@contextlib.contextmanager
def clickhouse(folder: Path) -> Iterator[str]:
    """Yield a server's address: the one that FORESHOCK_TEST_CLICKHOUSE names, or our own in front of chDB."""
    if url := os.environ.get("FORESHOCK_TEST_CLICKHOUSE"):
        yield url
        return
    with ClickhouseServer(folder) as server:
        yield server.url
