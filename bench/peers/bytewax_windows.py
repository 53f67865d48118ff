"""Bytewax: the same batches, keyed by series, folded into a tumbling and a sliding window of event time.

``python -m bench.peers.bytewax_windows --run '[SERIES, SAMPLES]'`` prints the CPU-seconds as JSON.
"""

from __future__ import annotations

import json
import sys
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import bytewax.operators as op
import bytewax.operators.windowing as win
from bytewax.dataflow import Dataflow
from bytewax.testing import TestingSink, TestingSource, run_main

from bench.workload import batches
from schemas.batch import columns, decode_batch, encode_batch

Sample = tuple[datetime, float]


def samples_of(data: bytes) -> list[tuple[str, Sample]]:
    got = columns(decode_batch(data))
    at = [datetime.fromtimestamp(ms / 1000, UTC) for ms in got.times.tolist()]
    return [
        (str(series_id), (when, value))
        for series_id, when, value in zip(got.ids.tolist(), at, got.values.tolist(), strict=True)
    ]


def fold(cell: list[float], sample: Sample) -> list[float]:
    value = sample[1]
    if not cell:
        return [1, value, value, value, value * value]
    count, total, low, high, squares = cell
    return [count + 1, total + value, min(low, value), max(high, value), squares + value * value]


def merge(a: list[float], b: list[float]) -> list[float]:
    return [a[0] + b[0], a[1] + b[1], min(a[2], b[2]), max(a[3], b[3]), a[4] + b[4]]


def main(series: int, samples: int) -> float:
    encoded = [encode_batch(batch) for batch in batches(series, samples)]
    clock = win.EventClock(ts_getter=lambda sample: sample[0], wait_for_system_duration=timedelta(seconds=5))
    begin, ten = datetime(2020, 1, 1, tzinfo=UTC), timedelta(seconds=10)
    windows: dict[str, Any] = {
        "tumbling": win.TumblingWindower(align_to=begin, length=ten),
        "hopping": win.SlidingWindower(align_to=begin, length=6 * ten, offset=ten),
    }
    out: list[Any] = []
    flow = Dataflow("peer")
    keyed = op.flat_map("samples", op.input("batches", flow, TestingSource(encoded)), samples_of)
    for name, windower in windows.items():
        closed = win.fold_window(name, keyed, clock, windower, list, fold, merge)
        op.output(f"out-{name}", closed.down, TestingSink(out))
    began = time.process_time()
    run_main(flow)
    assert out, "no window closed"
    return time.process_time() - began


if __name__ == "__main__":
    print(json.dumps({"cpu_s": main(*json.loads(sys.argv[-1]))}))
