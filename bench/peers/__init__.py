"""Others on the same windows of the same samples, and the ratio of their samples a CPU-second to ours."""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

SERIES, SAMPLES = 100, 20_000  # as many samples a window and series as ours have; fewer, because they take that long
HERE = Path(__file__).parent


def compare(options: argparse.Namespace, start_s: float) -> None:
    """Print ours at 10,000 series with percentiles, and each peer's without: its start-up is not counted, ours is."""
    from bench.windows import in_process, measure
    from tests.cluster.services import kafka

    rate = options.samples / measure(10_000, options.samples)["cpu_s"]
    print(f"ours, embedded: {rate:,.0f} samples a CPU-second", flush=True)
    with tempfile.TemporaryDirectory() as folder, kafka(Path(folder) / "kafka") as broker:
        got = in_process("bench.peers.faust_tables", [broker, SERIES, SAMPLES])
    _say("faust-streaming's own windowed tables on Kafka, batches of 1,000", rate, SAMPLES / got["cpu_s"])
    python = _bytewax()
    if python is not None:
        got = in_process("bench.peers.bytewax_windows", [SERIES, SAMPLES], python)
        _say("Bytewax, batches of 1,000 in memory", rate, SAMPLES / got["cpu_s"])


def _say(name: str, ours: float, theirs: float) -> None:
    print(f"{name}: {theirs:,.0f} samples a CPU-second; ours {ours / theirs:,.0f} times that", flush=True)


def _bytewax() -> str | None:
    """Return the Python of an environment with Bytewax, made beside this file; None where it does not install."""
    folder = HERE / ".venv-bytewax"
    python = folder / "bin" / "python"
    if not (folder / ".done").exists():
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        install = [str(python), "-m", "pip", "install", "--quiet", "bytewax", "numpy", "msgspec"]
        done = subprocess.run(install, capture_output=True, text=True, check=False)
        if done.returncode:
            print(f"Bytewax does not install here: {done.stderr.strip().splitlines()[-1]}")
            return None
        (folder / ".done").touch()
    return str(python)
