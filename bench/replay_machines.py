"""Replays machines with labelled incidents through a running server and checks every rollup against NumPy.

    python -m bench.replay_machines FOLDER [--url URL] [--machines machine-1-2,…]

FOLDER holds ``<machine>.npz`` (train, test: float32[rows, metrics]; label: int8[rows of test]) and ``columns.json``.
The incidents are posted first, as of the end of each. Prints a line a machine: samples a second of ours and of the
clock, windows checked, and at the end each model's ROC AUC.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import httpx
import numpy as np

STEP_MS = 60_000
START_MS = 1_700_000_040_000 // 600_000 * 600_000
ROLLUPS = {"10s": (10_000, 10_000), "1m": (60_000, 60_000), "5m/1m": (300_000, 60_000)}
ROWS_A_REQUEST = 150


def incidents_of(label: np.ndarray) -> list[tuple[int, int]]:
    """Return [first, after last) of each unbroken run of 1."""
    edge = np.diff(np.concatenate([[0], label, [0]]))
    return list(zip(np.flatnonzero(edge == 1).tolist(), np.flatnonzero(edge == -1).tolist(), strict=True))


def replay(client: httpx.Client, machine: str, x: np.ndarray, columns: list[str]) -> None:
    for at in range(0, len(x), ROWS_A_REQUEST):
        lines = [
            json.dumps({"entity": machine, "metric": m, "timestamp": START_MS + (at + i) * STEP_MS, "value": v})
            for i, row in enumerate(x[at : at + ROWS_A_REQUEST].tolist())
            for m, v in zip(columns, row, strict=True)
        ]
        answer = client.post("/api/v1/samples", content="\n".join(lines))
        assert answer.status_code == 202 and not answer.json()["rejected"], answer.text


def wanted(x: np.ndarray, rollup: str, stat: str) -> tuple[np.ndarray, np.ndarray]:
    """Return int64[windows] starts and float64[windows, metrics], of samples a minute apart."""
    size_ms, hop_ms = ROLLUPS[rollup]
    width = max(1, size_ms // STEP_MS)
    padded = np.full((len(x) + 2 * (width - 1), x.shape[1]), np.nan)
    padded[width - 1 : width - 1 + len(x)] = x
    windows = np.lib.stride_tricks.sliding_window_view(padded, width, axis=0)
    starts = START_MS + (np.arange(len(windows)) - (width - 1)) * STEP_MS
    calls = {
        "count": lambda w: np.isfinite(w).sum(-1).astype(float),
        "sum": lambda w: np.nansum(w, -1),
        "min": lambda w: np.nanmin(w, -1),
        "max": lambda w: np.nanmax(w, -1),
        "p50": lambda w: np.nanquantile(w, 0.5, axis=-1, method="inverted_cdf"),
        "p95": lambda w: np.nanquantile(w, 0.95, axis=-1, method="inverted_cdf"),
    }
    return starts, calls[stat](windows)


def answered(client: httpx.Client, machine: str, rollup: str, stat: str, columns: list[str], until_ms: int):
    starts, values = [], []
    day = 86_400_000
    for low in range(START_MS - day, until_ms + day, 2 * day):
        query = {"entity": machine, "rollup": rollup, "stat": stat, "from": low, "to": low + 2 * day}
        answer = client.get("/api/v1/range", params=query).json()
        order = [answer["labels"].index(f"{machine} {name}") for name in columns]
        starts += [row[0] for row in answer["data"]]
        values += [[row[i] for i in order] for row in answer["data"]]
    return np.array(starts), np.array(values, float)


def check(client: httpx.Client, machine: str, x: np.ndarray, columns: list[str]) -> int:
    """Return how many values were compared; raises AssertionError on the first that differs."""
    compared = 0
    until_ms = START_MS + len(x) * STEP_MS
    for rollup in ROLLUPS:
        for stat in ("count", "sum", "min", "max", "p50", "p95"):
            starts, want = wanted(x, rollup, stat)
            got_starts, got = answered(client, machine, rollup, stat, columns, until_ms)
            np.testing.assert_array_equal(got_starts, starts, f"{machine} {rollup} {stat}")
            if stat.startswith("p"):
                np.testing.assert_allclose(got, want, rtol=0.01 + 1e-9, atol=0, err_msg=f"{machine} {rollup} {stat}")
            else:
                np.testing.assert_array_equal(got, want, f"{machine} {rollup} {stat}")
            compared += got.size
    return compared


def settle(client: httpx.Client) -> None:
    """Wait until nothing more is corrected or judged."""
    before = None
    while True:
        lines = client.get("/metrics").text.splitlines()
        lines = [line for line in lines if line.startswith(("foreshock_late_rows", "foreshock_verdicts"))]
        if lines == before:
            return
        before = lines
        time.sleep(5)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--url", default="http://127.0.0.1:8080")
    parser.add_argument("--machines", default="")
    given = parser.parse_args()
    columns = json.loads((given.folder / "columns.json").read_text())
    paths = sorted(given.folder.glob("*.npz"))
    with httpx.Client(base_url=given.url, timeout=300) as client:
        for path in [p for p in paths if not given.machines or p.stem in given.machines.split(",")]:
            data = np.load(path)
            x = np.concatenate([data["train"], data["test"]]).astype(float)
            offset = len(data["train"])
            for first, after in incidents_of(data["label"]):
                start, end = (START_MS + (offset + at) * STEP_MS for at in (first, after))
                body = {"entity": path.stem, "start": start, "end": end, "external_id": f"{path.stem}-{first}"}
                assert client.post("/api/v1/incidents", json=body).status_code in (200, 201)
            began = time.monotonic()
            replay(client, path.stem, x, columns)
            sent = time.monotonic() - began
            settle(client)
            settled = time.monotonic() - began
            compared = check(client, path.stem, x, columns)
            print(
                f"{path.stem}: {x.size} samples sent in {sent:.0f} s, settled after {settled:.0f} s; "
                f"{compared} rollup values equal NumPy's",
                flush=True,
            )
        time.sleep(6)
        for card in client.get("/api/v1/models").json():
            print(f"{card['id']}: {card['windows']} windows, {card['incidents']} incidents, ROC AUC {card['roc_auc']}")


if __name__ == "__main__":
    main()
