"""Real Kafka brokers (KRaft) as processes, each of which can be killed, paused and started again."""

from __future__ import annotations

import base64
import contextlib
import fcntl
import os
import random
import shutil
import signal
import socket
import subprocess
import time
import uuid
from pathlib import Path

import psutil

from tests.running import tool

HERE = Path(__file__).parent
READY_S = 300  # a Java process on a busy machine
PORTS = range(12_000, 32_000)  # below those that connections are given: one of these would be taken before Java is up


def free_port() -> int:
    for port in random.SystemRandom().sample(PORTS, 1000):
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
    raise AssertionError(f"no port of {PORTS.start} to {PORTS.stop} is free")


def wait_for_port(port: int, process: subprocess.Popen, seconds: float = READY_S) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        assert process.poll() is None, f"ended with {process.returncode} before it listened"
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.1)
    raise AssertionError(f"nothing listens on {port} after {seconds} s")


def kafka_classpath() -> str:
    """Return the broker's jars, fetched once into the build folder; skips where there is no Java or Maven."""
    tool("java")
    if folder := os.environ.get("FORESHOCK_TEST_KAFKA_LIBS"):
        return f"{folder}/*"
    libs = HERE / "kafka" / "target" / "libs"
    libs.parent.mkdir(parents=True, exist_ok=True)
    with (libs.parent / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # tests run beside each other
        if not libs.is_dir() or not any(libs.iterdir()):
            command = [tool("mvn"), "-q", "-B", "-f", str(HERE / "kafka" / "pom.xml"), "dependency:copy-dependencies"]
            subprocess.run([*command, f"-DoutputDirectory={libs}"], check=True, timeout=600)
    return f"{libs}/*"


class Brokers:
    """``with Brokers(folder, nodes=3) as brokers``: a cluster at ``brokers.url``, of brokers that are controllers too.

    secure : lines of properties for a listener CLIENT (its protocol is SASL_SSL) that ``url`` then names; the brokers
        speak plainly among themselves. scram : users to be known, as kafka-storage takes them. join_ms : so long a new
        group waits for more members before partitions are shared out; Kafka's own default is 3,000.
    """

    def __init__(
        self, folder: Path, nodes: int = 1, *, secure: str = "", scram: tuple[str, ...] = (), join_ms: int = 0
    ) -> None:
        self._folder, self._nodes, self._secure, self._scram, self._join_ms = folder, nodes, secure, scram, join_ms
        self._ports = [free_port() for _ in range(3 * nodes)]
        self._java = [tool("java"), "-Xmx320m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp", kafka_classpath()]
        self._processes: dict[int, subprocess.Popen] = {}
        client = 2 * nodes if secure else 0
        self.url = "kafka://" + ",".join(f"127.0.0.1:{port}" for port in self._ports[client : client + nodes])

    def __enter__(self) -> Brokers:
        self._folder.mkdir(parents=True)
        cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        formatting = []
        for node in range(self._nodes):
            path = self._folder / f"{node}.properties"
            path.write_text(self._properties(node))
            # In one word: of 64 ids one begins with "-", which would be taken for an option.
            command = [*self._java, "kafka.tools.StorageTool", "format", f"--cluster-id={cluster}", "-c", str(path)]
            for user in self._scram:
                command += ["--add-scram", user]
            formatting.append(subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT))
        for one in formatting:
            said, _ = one.communicate(timeout=READY_S)
            assert one.returncode == 0, said.decode()
        try:
            for node in range(self._nodes):
                self.start(node)
            for node in range(self._nodes):
                self.wait(node)
        except BaseException:
            self.__exit__()
            raise
        return self

    def _properties(self, node: int) -> str:
        n, ports = self._nodes, self._ports
        voters = ",".join(f"{i + 1}@127.0.0.1:{ports[n + i]}" for i in range(n))
        listeners = f"PLAINTEXT://127.0.0.1:{ports[node]}"
        if self._secure:
            listeners += f",CLIENT://127.0.0.1:{ports[2 * n + node]}"
        return f"""process.roles=broker,controller
node.id={node + 1}
controller.quorum.voters={voters}
listeners={listeners},CONTROLLER://127.0.0.1:{ports[n + node]}
advertised.listeners={listeners}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,CLIENT:SASL_SSL
inter.broker.listener.name=PLAINTEXT
controller.listener.names=CONTROLLER
log.dirs={self._folder}/logs-{node}
offsets.topic.replication.factor={min(3, n)}
offsets.topic.num.partitions=4
transaction.state.log.replication.factor={min(3, n)}
transaction.state.log.min.isr={1 if n < 3 else 2}
group.initial.rebalance.delay.ms={self._join_ms}
auto.create.topics.enable=false
{self._secure}
"""

    def start(self, node: int) -> None:
        """Start a broker that is not running; it goes on with what its folder holds."""
        output = (self._folder / f"{node}.log").open("a")
        command = [*self._java, "kafka.Kafka", str(self._folder / f"{node}.properties")]
        self._processes[node] = subprocess.Popen(command, stdout=output, stderr=output)
        output.close()

    def kill(self, node: int) -> None:
        process = self._processes[node]
        process.kill()
        process.wait()

    def pause(self, node: int) -> None:
        self._processes[node].send_signal(signal.SIGSTOP)

    def resume(self, node: int) -> None:
        self._processes[node].send_signal(signal.SIGCONT)

    def wait(self, node: int) -> None:
        """Wait until a broker listens to its clients, on the secure listener too where there is one."""
        for port in (self._ports[node], *self._ports[2 * self._nodes + node :][: bool(self._secure)]):
            wait_for_port(port, self._processes[node])

    def cpu_s(self) -> float:
        """Return the processor time that the brokers took until now."""
        return sum(sum(psutil.Process(one.pid).cpu_times()[:2]) for one in self._processes.values())

    def __exit__(self, *_: object) -> None:
        for process in self._processes.values():
            process.kill()
        for process in self._processes.values():
            process.wait()
        shutil.rmtree(self._folder, ignore_errors=True)
