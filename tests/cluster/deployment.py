"""The deployment of compose.yaml as processes: each can be killed or paused, and is started again when it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from pathlib import Path

from tests.cluster.brokers import Brokers, free_port
from tests.cluster.services import ClickhouseServer
from tests.running import CLI

RESTART_S = 0.5
PARTITIONS = 4


class Role:
    """A process of the product, started again whenever it ends, until ``close``."""

    def __init__(self, name: str, arguments: list[str], environment: dict[str, str], log: Path) -> None:
        self.name, self._arguments, self._environment, self._log = name, arguments, environment, log
        self.metrics = environment.get("FORESHOCK_METRICS_ADDRESS", "")
        self.ended: list[int] = []  # exit codes
        self._closing = False
        self._start()
        threading.Thread(target=self._supervise, daemon=True).start()

    def _start(self) -> None:
        with self._log.open("a") as output:
            self._process = subprocess.Popen(
                [*CLI, *self._arguments], stdout=output, stderr=output, env=dict(os.environ) | self._environment
            )

    def _supervise(self) -> None:
        while not self._closing:
            code = self._process.wait()
            if self._closing:
                return
            self.ended.append(code)
            time.sleep(RESTART_S)
            if not self._closing:
                self._start()

    def signal(self, number: int) -> None:
        self._process.send_signal(number)

    def close(self) -> None:
        self._closing = True
        self._process.send_signal(signal.SIGCONT)
        self._process.kill()
        self._process.wait()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def said(self) -> str:
        return self._log.read_text()


class Deployment:
    """Three brokers, a store, and ``workers`` stream workers, alert workers and API processes of each kind."""

    def __init__(self, folder: Path, config: str = "", *, workers: int = 2, apis: int = 2, alerters: int = 2) -> None:
        self.folder = folder
        self.brokers = Brokers(folder / "kafka", nodes=3)
        self.store = ClickhouseServer(folder / "clickhouse")
        self._config, self._counts = folder / "foreshock.toml", {"stream": workers, "alerts": alerters, "api": apis}
        self._config.write_text(config)
        self.roles: dict[str, list[Role]] = {}
        self.urls: list[str] = []

    def __enter__(self) -> Deployment:
        self.brokers.__enter__()
        try:
            self.store.__enter__()
            self._start()
        except BaseException:
            self.__exit__()
            raise
        return self

    @property
    def environment(self) -> dict[str, str]:
        return {
            "FORESHOCK_BROKER_URL": self.brokers.url,
            "FORESHOCK_BROKER_PARTITIONS": str(PARTITIONS),
            "FORESHOCK_BROKER_REPLICATION": "3",
            "FORESHOCK_STORE_URL": self.store.url,
        }

    def _start(self) -> None:
        for role, count in self._counts.items():
            self.roles[role] = [self.start(role, number) for number in range(count)]

    def start(self, role: str, number: int) -> Role:
        """Start one process of a role; it is not among ``roles`` unless the caller puts it there."""
        name = f"{role}-{number}"
        arguments = [role, "--config", str(self._config), "--data", str(self.folder / name)]
        if role == "api":
            port = free_port()
            arguments += ["--port", str(port)]
            self.urls.append(f"http://127.0.0.1:{port}")
        environment = self.environment
        if role == "stream":
            environment |= {"FORESHOCK_METRICS_ADDRESS": f"127.0.0.1:{free_port()}"}
        return Role(name, arguments, environment, self.folder / f"{name}.log")

    def __exit__(self, *_: object) -> None:
        for roles in self.roles.values():
            for role in roles:
                role.close()
        if self.store._process is not None:
            self.store.__exit__()
        self.brokers.__exit__()
