"""This machine's vital signs by psutil: one reading of 100+ series, values ready to be put on the log."""

from __future__ import annotations

import socket
from pathlib import Path

import psutil

from schemas.series import Kind

Reading = list[tuple[str, dict[str, str], Kind, float]]  # metric, labels, kind, value

_PSEUDO = ("loop", "ram", "dm-", "zram", "sr", "fd")


def entity_name() -> str:
    return socket.gethostname() or "localhost"


class HostCollector:
    """Reads the host once a call. Processor percentages are since the call before, so the first reading lacks them."""

    def __init__(self, proc: Path = Path("/proc")) -> None:
        self._proc = proc
        self._cpu_before: list | None = None
        self._disk_usage: Reading = []
        self._calls = 0

    def read(self) -> Reading:
        out: Reading = []
        for part in (self._cpu, self._memory, self._disk, self._network, self._processes, self._pressure):
            try:
                part(out)
            except (OSError, RuntimeError, NotImplementedError):
                continue  # a kernel without this figure: the others still stand
        self._calls += 1
        return out

    def _cpu(self, out: Reading) -> None:
        now = psutil.cpu_times(percpu=True)
        before, self._cpu_before = self._cpu_before, now
        if before and len(before) == len(now):
            for core, (old, new) in enumerate(zip(before, now, strict=True)):
                total = sum(new[:8]) - sum(old[:8])
                if total <= 0:
                    continue
                label = {"core": str(core)}
                for mode in ("user", "system", "idle", "iowait", "nice", "irq", "softirq", "steal"):
                    spent = getattr(new, mode, 0.0) - getattr(old, mode, 0.0)
                    out.append(("cpu", {**label, "mode": mode}, "gauge", max(0.0, spent / total)))
                idle = (new.idle - old.idle) + (getattr(new, "iowait", 0.0) - getattr(old, "iowait", 0.0))
                out.append(("cpu_busy", label, "gauge", min(1.0, max(0.0, 1 - idle / total))))
            busy = [value for metric, _, _, value in out if metric == "cpu_busy"]
            if busy:
                out.append(("cpu", {}, "gauge", sum(busy) / len(busy)))
        for name, value in zip(("load1", "load5", "load15"), psutil.getloadavg(), strict=True):
            out.append((name, {}, "gauge", value))
        stats = psutil.cpu_stats()
        for name in ("ctx_switches", "interrupts", "soft_interrupts"):
            out.append((f"cpu_{name}_total", {}, "counter", getattr(stats, name)))

    def _memory(self, out: Reading) -> None:
        memory = psutil.virtual_memory()
        for name in memory._fields:
            if name != "percent":
                out.append((f"memory_{name}_bytes", {}, "gauge", getattr(memory, name)))
        out.append(("memory_used_ratio", {}, "gauge", memory.percent / 100))
        swap = psutil.swap_memory()
        for name in ("total", "used", "free"):
            out.append((f"swap_{name}_bytes", {}, "gauge", getattr(swap, name)))
        out.append(("swap_in_bytes_total", {}, "counter", swap.sin))
        out.append(("swap_out_bytes_total", {}, "counter", swap.sout))
        wanted = {"pgfault", "pgmajfault", "pgpgin", "pgpgout", "pswpin", "pswpout", "oom_kill"}
        for line in (self._proc / "vmstat").read_text().splitlines():
            name, _, value = line.partition(" ")
            if name in wanted:
                out.append((f"vm_{name}_total", {}, "counter", float(value)))

    def _disk(self, out: Reading) -> None:
        for disk, io in (psutil.disk_io_counters(perdisk=True) or {}).items():
            if disk.startswith(_PSEUDO):
                continue
            for name in io._fields:
                out.append((f"disk_{name}_total", {"disk": disk}, "counter", getattr(io, name)))
        if self._calls % 10 == 0:  # space moves slowly, and statvfs may block on a sick mount
            self._disk_usage = []
            for mount in {p.mountpoint for p in psutil.disk_partitions()} or {"/"}:
                try:
                    usage = psutil.disk_usage(mount)
                except OSError:
                    continue
                for name in ("used", "free"):
                    self._disk_usage.append(
                        (f"disk_space_{name}_bytes", {"mount": mount}, "gauge", getattr(usage, name))
                    )
                self._disk_usage.append(("disk_space_used_ratio", {"mount": mount}, "gauge", usage.percent / 100))
        out.extend(self._disk_usage)

    def _network(self, out: Reading) -> None:
        for interface, io in psutil.net_io_counters(pernic=True).items():
            for name in io._fields:
                out.append((f"net_{name}_total", {"interface": interface}, "counter", getattr(io, name)))
        lines = (self._proc / "net" / "snmp").read_text().splitlines()
        wanted: dict[str, tuple[str, ...]] = {
            "Tcp": ("ActiveOpens", "PassiveOpens", "CurrEstab", "RetransSegs", "OutRsts", "InErrs", "InSegs"),
            "Udp": ("InDatagrams", "OutDatagrams", "InErrors", "NoPorts"),
        }
        for heads, values in zip(lines[::2], lines[1::2], strict=False):
            protocol, *columns = heads.replace(":", "").split()
            for name, value in zip(columns, values.split()[1:], strict=False):
                if name in wanted.get(protocol, ()):
                    kind: Kind = "gauge" if name == "CurrEstab" else "counter"
                    suffix = "" if kind == "gauge" else "_total"
                    out.append((f"{protocol}_{name}{suffix}".lower(), {}, kind, float(value)))

    def _processes(self, out: Reading) -> None:
        out.append(("processes", {}, "gauge", sum(1 for p in self._proc.iterdir() if p.name.isdigit())))
        for line in (self._proc / "stat").read_text().splitlines():
            name, _, value = line.partition(" ")
            if name in ("procs_running", "procs_blocked"):
                out.append((name, {}, "gauge", float(value)))
            elif name == "processes":
                out.append(("forks_total", {}, "counter", float(value)))
        out.append(("open_files", {}, "gauge", float((self._proc / "sys/fs/file-nr").read_text().split()[0])))

    def _pressure(self, out: Reading) -> None:
        for resource in ("cpu", "memory", "io"):
            path = self._proc / "pressure" / resource
            if not path.exists():
                continue
            for line in path.read_text().splitlines():
                scope, *pairs = line.split()
                for pair in pairs:
                    name, _, value = pair.partition("=")
                    label = {"resource": resource, "scope": scope}
                    if name == "total":
                        out.append(("pressure_microseconds_total", label, "counter", float(value)))
                    else:
                        out.append((f"pressure_{name}", label, "gauge", float(value) / 100))
