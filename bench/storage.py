"""Bytes on disk a raw sample, column by column: machines replayed through log, windows and store, then merged.

    python -m bench storage [--machines FOLDER [--take machine-1-2,…] [--decimals 6]]

Without a folder it is a made machine, of which a third of the metrics hardly ever moves. FOLDER holds
``<machine>.npz`` (train, test: float32[rows, metrics]) and ``columns.json``; a row is a minute. Values are float32 as
stored there, or the decimal numbers they stand for (``--decimals``), as a client that formats them sends. The last row
is now, so that no retention applies. Counted after every part was merged (system.parts, system.parts_columns): data,
marks and indexes; columns of small parts that are one file each are not told apart.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from schemas.batch import CLOSE_ALL, SampleBatch, encode_batch, make_batch
from schemas.series import make_series
from schemas.topics import ALL, SAMPLES
from store.base import Store

STEP_MS = 60_000
ROLLUPS = ("10s", "1m", "5m", "5m/1m", "1h", "1d", "1w", "1mo")
ROWS_A_BATCH = 26  # some thousand samples of 38 metrics


def _read(path: Path, decimals: int | None) -> np.ndarray:
    data = np.load(path)
    values = np.concatenate([data["train"], data["test"]]).astype(float)
    return values if decimals is None else np.round(values, decimals)


def made(rows: int = 20_000, metrics: int = 38, seed: int = 1) -> np.ndarray:
    """Return float64[rows, metrics] of six decimals: levels that wander with noise, and ones that hardly ever move."""
    rng = np.random.default_rng(seed)
    x = 0.3 + 0.001 * np.cumsum(rng.standard_normal((rows, metrics)), 0) + 0.02 * rng.standard_normal((rows, metrics))
    x[:, ::3] = np.where(rng.random((rows, len(range(0, metrics, 3)))) < 0.002, 1.0, 0.0)
    return np.round(np.clip(x, 0, 1), 6)


async def fill(folder: Path, machines: dict[str, np.ndarray], metrics: list[str], now_ms: int) -> int:
    """Put every machine's samples through the product's own path into ``folder``; return how many."""
    from log.open import open_log
    from store.base import open_store
    from store.repository import Repository
    from stream.settings import StreamSettings
    from stream.window.calendar import long_windows
    from stream.worker import StreamWorker

    url = f"embedded://{folder / 'log'}"
    log = open_log(url)
    await log.start()
    await log.create_topics({topic: 1 for topic in ALL})
    rows = max(len(x) for x in machines.values())
    begin_ms = (now_ms - rows * STEP_MS) // STEP_MS * STEP_MS
    series = {machine: [make_series(machine, metric) for metric in metrics] for machine in machines}
    for at in range(0, rows, ROWS_A_BATCH):
        for machine, x in machines.items():
            part = x[at : at + ROWS_A_BATCH]
            times = np.repeat(begin_ms + (at + np.arange(len(part))) * STEP_MS, len(metrics))
            ids = np.tile(np.array([s.series_id for s in series[machine]], np.uint64), len(part))
            batch = make_batch(series[machine] if at == 0 else [], ids, times, part.ravel())
            await log.append(SAMPLES, 0, encode_batch(batch))
    await log.append(SAMPLES, 0, encode_batch(SampleBatch([], b"", b"", b"", [], CLOSE_ALL)))
    repository = Repository(open_store(f"embedded://{folder / 'store'}"))
    await repository.open()
    settings = StreamSettings(
        rollups=ROLLUPS,
        lateness_ms=5000,
        partitions=1,
        long_windows=tuple(long_windows(ROLLUPS, "UTC")),
        long_interval_s=1,
        retention_s=dict.fromkeys(("samples", *ROLLUPS)),
    )
    worker = StreamWorker(
        broker_url=url,
        log=log,
        repository=repository,
        settings=settings,
        now_ms=lambda: time.time_ns() // 1_000_000,
        datadir=str(folder / "faust"),
        agents=frozenset({"window"}),
    )
    await worker.start()
    _, end = await log.offsets(SAMPLES, 0)
    while (await repository.checkpoint(SAMPLES, 0) or {"resume_offset": -1})["resume_offset"] < end:
        await asyncio.sleep(0.5)
    merged = -1
    while merged != worker.status()["longer_windows"]:  # until no longer window is due any more
        merged = worker.status()["longer_windows"]
        await asyncio.sleep(6)
    await worker.stop()
    await repository.close()
    await log.stop()
    return sum(x.size for x in machines.values())


def sizes(store: Store, table: str) -> tuple[int, int, dict[str, int]]:
    """Return rows, bytes on disk, and compressed bytes by column, of a table whose parts are merged."""
    store.execute(f"OPTIMIZE TABLE {table} FINAL")
    active = "WHERE active AND database = currentDatabase() AND table = {table:String}"
    whole = f"SELECT sum(rows) AS n, sum(bytes_on_disk) AS b FROM system.parts {active}"  # noqa: S608 - of ours
    parts = store.select(whole, {"table": table})
    each = "SELECT column, sum(column_data_compressed_bytes) AS b FROM system.parts_columns"
    columns = store.select(f"{each} {active} GROUP BY column", {"table": table})
    found = dict(zip(columns["column"], columns["b"].tolist(), strict=True))
    return int(parts["n"][0]), int(parts["b"][0]), found


def report(store: Store, samples: int) -> None:
    for table in ("raw_samples", "rollups"):
        rows, size, columns = sizes(store, table)
        print(f"{table}: {rows:,} rows, {size / rows:.2f} bytes a row, {size / samples:.3f} bytes a raw sample")
        for name, compressed in sorted(columns.items(), key=lambda item: -item[1]):
            print(f"    {name:15} {compressed / rows:.3f} bytes a row, {compressed / samples:.3f} a raw sample")
    counts = store.select("SELECT rollup, count() AS n FROM rollups FINAL GROUP BY size_s, rollup")
    print("rows by rollup:", dict(zip(counts["rollup"], counts["n"].tolist(), strict=True)))


def main(arguments: list[str]) -> None:
    from store.base import open_store

    parser = argparse.ArgumentParser(prog="python -m bench storage")
    parser.add_argument("--machines", type=Path)
    parser.add_argument("--take", default="")
    parser.add_argument("--decimals", type=int)
    parser.add_argument("--folder", type=Path, help="kept; default: a temporary one")
    options = parser.parse_args(arguments)
    if options.machines:
        metrics = json.loads((options.machines / "columns.json").read_text())
        chosen = options.take.split(",") if options.take else [p.stem for p in sorted(options.machines.glob("*.npz"))]
        machines = {name: _read(options.machines / f"{name}.npz", options.decimals) for name in chosen}
    else:
        metrics, machines = [f"metric_{i}" for i in range(38)], {"made": made()}
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        samples = asyncio.run(fill(folder, machines, metrics, time.time_ns() // 1_000_000))
        store = open_store(f"embedded://{folder / 'store'}")
        store.open()
        report(store, samples)
        store.close()


if __name__ == "__main__":
    main(sys.argv[1:])
