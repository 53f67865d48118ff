"""Many series, each with a sample every ten seconds in real time: memory a series, lag, and what it costs.

    python -m bench many [--series 10000 100000] [--seconds 120] [--models]

Prometheus remote_write requests of 1,000 series to `foreshock up` with its default windows, without models unless asked
for, on an empty folder each. A line of JSON a run: the most memory that the process had in the second half, how far the
watermark was behind at worst, processor time a sample. The last line: bytes a series beyond the first run.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import threading
import time

from bench.fanout import Server
from bench.latency import Load
from bench.told import standing

EVERY_S, LOOK_S = 10, 2.0


def run(series: int, seconds: float, models: bool) -> dict[str, float]:
    load = Load(series // EVERY_S, series)
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-c", "from foreshock.cli import main; main()", "up", "--no-collect"]
        env = {"FORESHOCK_LIMITS_SERIES": str(2 * series)} | ({} if models else {"FORESHOCK_MODELS_ROLLUPS": ""})
        server = Server([*command, "--data", folder, "--port", "0"], env)
        sending = threading.Thread(target=load.run, args=(int(server.url.rpartition(":")[2]),), daemon=True)
        sending.start()
        begin, seen = time.monotonic(), []
        while (at := time.monotonic() - begin) < seconds:
            rss, _ = server.memory()
            seen.append(standing([server.url]) | {"at_s": at, "rss": rss, "cpu_s": server.cpu_s()})
            time.sleep(LOOK_S)
        load.stopped.set()
        sending.join(60)
        server.stop()
    half = [one for one in seen if one["at_s"] > seconds / 2]
    first, last = half[0], half[-1]
    return {
        "series": series,
        "sent": load.sent,
        "sender_late": load.late,
        "rss_mib": round(max(one["rss"] for one in half) / 2**20),
        "delay_s": round(max(one["delay_s"] for one in half), 1),
        "lag_records": max(one["lag"] for one in half),
        "cores": round((last["cpu_s"] - first["cpu_s"]) / (last["at_s"] - first["at_s"]), 2),
        "cpu_us_a_sample": round((last["cpu_s"] - first["cpu_s"]) * 1e6 / (last["samples"] - first["samples"]), 1),
    }


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench many", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--series", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--seconds", type=float, default=120)
    parser.add_argument("--models", action="store_true")
    given = parser.parse_args(arguments)
    runs = []
    for series in given.series:
        runs.append(run(series, given.seconds, given.models))
        print(json.dumps(runs[-1]), flush=True)
    for one in runs[1:]:
        more = (one["rss_mib"] - runs[0]["rss_mib"]) * 2**20 / (one["series"] - runs[0]["series"])
        print(f"{one['series']:,} series: {more:,.0f} bytes a series beyond {runs[0]['series']:,}")


if __name__ == "__main__":
    main(sys.argv[1:])
