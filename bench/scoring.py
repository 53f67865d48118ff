"""Models at one window's close: 10,000 entities of 40 metrics scored and learned, and the regression against River's.

    python -m bench scoring [--entities N] [--metrics M] [--memory]

The first part is the whole way of a window through a scorer, from the record of the topic `rollups` to the record of
the topic `verdicts`, once horizons have passed, so that each step learns a window too. The second is the logistic
regression alone: River's `predict_proba_one` and `learn_one` a row, on the same rows in the same run. `--memory`
instead says what an engine holds a series where all entities have the same metrics, and where each has others.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from schemas.incident import Incident
from schemas.names import encode_names, names_of
from schemas.rollup import STATS, decode_rollup
from schemas.series import make_series

WINDOW_MS = 60_000
BEGIN_MS = 1_700_000_040_000 // 3_600_000 * 3_600_000
STEPS, MEASURED = 66, 5  # from the sixtieth window on entities are scored


def record(entities: int, metrics: int, step: int, names: Any, rng: np.random.Generator) -> bytes:
    """Return a record of one closed window, every series a noisy level."""
    import msgspec

    n = entities * metrics
    level = np.tile(np.arange(metrics) + 5.0, entities)
    mean = level * (1 + 0.05 * rng.standard_normal(n))
    columns = {stat: mean for stat in STATS} | {"min": mean * 0.9, "max": mean * 1.1, "stddev": np.abs(mean) * 0.05}
    columns |= {"rate": np.full(n, np.nan), "increase": np.full(n, np.nan)}
    start = BEGIN_MS + step * WINDOW_MS
    message = {"rollup": "1m", "version": step, "late": False, "series": names}
    message |= {"starts": np.full(n, start).tobytes(), "ends": np.full(n, start + WINDOW_MS).tobytes()}
    message |= {"rows": np.arange(n).tobytes(), "count": np.full(n, 60, np.uint64).tobytes()}
    return msgspec.msgpack.encode(message | {"columns": {stat: column.tobytes() for stat, column in columns.items()}})


def closes(entities: int, metrics: int) -> dict[str, list[float]]:
    """Return the CPU seconds of each stage of each measured close, and the longest pause of another thread."""
    from schemas.verdict import encode_verdicts
    from stream.features.frame import frames_from_message
    from stream.models.engine import Engine, EngineSettings
    from stream.models.periods import POOLED, Periods

    settings = EngineSettings(
        horizons_ms=(60_000, 120_000, 180_000), label_delay_ms=0, quarantine_ms=0, ring_bytes_max=1 << 30
    )
    engine = Engine("1m", WINDOW_MS, WINDOW_MS, settings, Periods("UTC"))
    for number in range(20):
        start = BEGIN_MS + (2 + number % 5) * WINDOW_MS
        engine.incident(
            Incident(id=f"i{number}", entity=f"host-{number * 7}", start_ms=start, end_ms=start + 2 * WINDOW_MS)
        )
    series = [make_series(f"host-{e}", f"metric_{m}") for e in range(entities) for m in range(metrics)]
    names, rng = encode_names(names_of(series)), np.random.default_rng(1)
    out: dict[str, list[float]] = {"read": [], "score and learn": [], "write": [], "pause": []}
    for step in range(STEPS):
        data = record(entities, metrics, step, names, rng)
        stopped, pauses = threading.Event(), [0.0]
        watching = threading.Thread(target=_watch, args=(stopped, pauses))
        watching.start()
        times = [time.thread_time()]
        frames = frames_from_message(decode_rollup(data))
        times.append(time.thread_time())
        verdicts = [verdict for frame in frames for verdict in engine.step(frame, version=step)]
        times.append(time.thread_time())
        encode_verdicts(verdicts)
        times.append(time.thread_time())
        stopped.set()
        watching.join()
        assert len(verdicts) == entities
        if step >= STEPS - MEASURED:
            for name, took in zip(out, np.diff(times).tolist(), strict=False):
                out[name].append(took)
            out["pause"].append(max(pauses))
    bank = engine.ring.banks[""]
    learned = bank.contests[POOLED].figures["pooled.logistic"].windows
    assert bank.cells[POOLED, "logistic"].trained and learned >= entities * (STEPS - 5), (
        "cannot trust this run: too little learned"
    )
    return out


def held(entities: int, metrics: int, names: int) -> dict[str, float]:
    """Return bytes a series, by part of an engine's state, where each entity has ``metrics`` of so many names."""
    from stream.features.frame import Frame
    from stream.models.engine import Engine, EngineSettings
    from stream.models.periods import Periods

    engine = Engine("1m", WINDOW_MS, WINDOW_MS, EngineSettings(kinds=("logistic", "knn")), Periods("UTC"))
    rng = np.random.default_rng(3)
    mean = np.full((entities, names), np.nan)
    for entity in range(entities):
        mean[entity, (entity * metrics + np.arange(metrics)) % names] = rng.normal(10, 1, metrics)
    of = [f"host-{e}" for e in range(entities)], [f"metric_{m}" for m in range(names)]
    for step in range(2):
        at = BEGIN_MS + step * WINDOW_MS
        engine.step(Frame("1m", at, at + WINDOW_MS, *of, {"mean": mean}))
    sizes = {name: _bytes(part) for name, part in engine.state().items()}
    sizes |= {"windows": engine.ring.bytes / 2, "frame": mean.nbytes}
    return {name: size / (entities * metrics) for name, size in sizes.items() if size > entities * metrics}


def _bytes(state: Any) -> int:
    if isinstance(state, dict):
        return sum(map(_bytes, state.values()))
    if isinstance(state, list):
        return sum(map(_bytes, state))
    return int(state.nbytes) if isinstance(state, np.ndarray) else 0


def _watch(stopped: threading.Event, pauses: list[float]) -> None:
    """Do what an event loop does meanwhile: note how long it could not run."""
    while not stopped.is_set():
        began = time.monotonic()
        time.sleep(0.001)
        pauses.append(time.monotonic() - began - 0.001)


def regression(rows: int, features: int) -> tuple[float, float, float, float]:
    """Return CPU seconds a row of ours and of River's, and how far probabilities and coefficients differ at most."""
    import pandas as pd
    from river import linear_model, optim

    from stream.models.logistic import Logistic

    rng = np.random.default_rng(2)
    x = rng.normal(0, 1, (rows, features))
    y = (rng.random(rows) < 1 / (1 + np.exp(-x[:, :5].sum(1)))).astype(float)
    names = [f"f{i}" for i in range(features)]
    model = lambda: linear_model.LogisticRegression(optim.SGD(0.02), intercept_lr=0.02)  # noqa: E731
    ours, many = Logistic(features, 1, 0.02, 0.02), model()
    for part in np.split(np.arange(rows), 10):
        ours.learn(x[part], y[part][:, None])
        many.learn_many(pd.DataFrame(x[part], columns=names), pd.Series(y[part].astype(bool)))
    coefficients = max(abs(ours.weights[i, 0] - many.weights[name]) for i, name in enumerate(names))
    coefficients = max(coefficients, abs(ours.bias[0] - many.intercept))
    some = [dict(zip(names, row, strict=True)) for row in x[:500].tolist()]
    theirs = np.array([many.predict_proba_one(row)[True] for row in some])
    probabilities = float(np.abs(ours.predict(x[:500])[:, 0] - theirs).max())

    one, labels = model(), y[:500].astype(bool).tolist()

    def a_row_at_a_time() -> None:
        for row, label in zip(some, labels, strict=True):
            one.predict_proba_one(row)
            one.learn_one(row, label)

    def all_at_once() -> None:
        ours.predict(x)
        ours.learn(x, y[:, None])

    return _cpu(all_at_once) / rows, _cpu(a_row_at_a_time) / len(some), probabilities, float(coefficients)


def _cpu(call: Callable[[], None], times: int = 3) -> float:
    took = []
    for _ in range(times):
        began = time.process_time()
        call()
        took.append(time.process_time() - began)
    return min(took)


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench scoring")
    parser.add_argument("--entities", type=int, default=10_000)
    parser.add_argument("--metrics", type=int, default=40)
    parser.add_argument("--run", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--memory", action="store_true")
    options = parser.parse_args(arguments)
    if options.memory:
        for names in (options.metrics, options.entities):
            parts = held(options.entities, options.metrics, max(names, options.metrics))
            said = ", ".join(f"{name} {size:,.0f}" for name, size in sorted(parts.items(), key=lambda part: -part[1]))
            print(
                f"{options.entities:,} entities of {options.metrics} metrics, {names:,} names in all: "
                f"{sum(parts.values()):,.0f} bytes a series ({said})"
            )
        return
    if not options.run:  # one core: matrix products in one thread
        threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
        command = [sys.executable, "-m", "bench.scoring", "--run", *arguments]
        sys.exit(subprocess.run(command, env=os.environ | threads, check=False).returncode)
    ours, rivers, probabilities, coefficients = regression(options.entities, 3 * options.metrics + 4)
    print(
        f"logistic regression, {3 * options.metrics + 4} features, predict and learn: {rivers / ours:,.0f} times "
        f"River's row at a time; probabilities differ by {probabilities:.1e}, coefficients by {coefficients:.1e}"
    )
    got = closes(options.entities, options.metrics)
    parts = {name: float(np.median(took)) for name, took in got.items()}
    total = sum(took for name, took in parts.items() if name != "pause")
    said = ", ".join(f"{name} {took:.2f}" for name, took in parts.items() if name != "pause")
    print(f"{options.entities:,} entities of {options.metrics} metrics at one close: {total:.2f} CPU-s ({said})")
    print(f"another thread waited at most {1000 * parts['pause']:.0f} ms meanwhile")


if __name__ == "__main__":
    main(sys.argv[1:])
