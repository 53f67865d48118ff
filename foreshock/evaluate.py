"""Streams labelled corpora through the same engine as live, a window at a time, without looking ahead."""

from __future__ import annotations

import csv
import math
import zipfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import numpy as np

from schemas.errors import DataError
from schemas.incident import Incident
from stream.features.frame import Frame
from stream.models.engine import Engine, EngineSettings
from stream.models.hold import Hold
from stream.models.periods import Periods

MACHINE_STEP_MS = 60_000
PROVISIONAL_STEP_MS = 300_000
STEP_ROWS = 100
MACHINE_START_MS = 1_700_000_040_000 // 86_400_000 * 86_400_000  # the source has no times
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def evaluate_nab(folder: Path, out: Path) -> Iterator[str]:
    """Write ``out/<relative path>`` with timestamp, anomaly_score for every CSV below.

    Yields each path when it is done, and what could not be read of it.
    """
    paths = [path for path in sorted(folder.rglob("*.csv")) if out.resolve() not in path.resolve().parents]
    if not paths:
        raise DataError(f"cannot evaluate {folder}: there is no CSV file below it")
    for path in paths:
        rows = read_series(path)
        if rows is None:
            yield f"{path.relative_to(folder)}: left out, it has no columns timestamp and value"
            continue
        target = out / path.relative_to(folder)
        target.parent.mkdir(parents=True, exist_ok=True)
        scores = score_series(rows.times_ms, rows.values)
        with target.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(["timestamp", "anomaly_score"])
            writer.writerows([text, repr(score)] for text, score in zip(rows.timestamps, scores, strict=True))
        found = f"; {rows.unreadable} of its rows have no time or no value that can be read" if rows.unreadable else ""
        yield f"{path.relative_to(folder)}{found}"


class Rows(NamedTuple):
    """A series as its file has it, a row a row."""

    timestamps: list[str]  # as written
    times_ms: list[int]
    values: list[float]  # NaN where there is none
    unreadable: int  # rows without a time or a value that can be read


def read_series(path: Path) -> Rows | None:
    """Return the rows of a file, None for a file of another kind.

    A row whose value cannot be read has none, one whose time cannot is a step after the one before, so that every row
    gets a score.
    """
    csv.field_size_limit(1 << 30)  # a field is as long as its file at the most
    with path.open(newline="", encoding="utf-8-sig", errors="replace") as file:
        reader = csv.reader(file)
        header = [name.strip().lower() for name in next(reader, [])]
        if not {"timestamp", "value"} <= set(header):
            return None
        time_at, value_at = header.index("timestamp"), header.index("value")
        rows = Rows([], [], [], 0)
        unreadable, last_ms = 0, 0
        for row in filter(None, reader):
            text = row[time_at] if time_at < len(row) else ""
            at_ms, value = _read_time(text), _read_value(row[value_at] if value_at < len(row) else "")
            unreadable += at_ms is None or value is None
            last_ms = last_ms + PROVISIONAL_STEP_MS if at_ms is None else at_ms
            rows.timestamps.append(text)
            rows.times_ms.append(last_ms)
            rows.values.append(math.nan if value is None else value)
    return rows._replace(unreadable=unreadable)


def _read_time(text: str) -> int | None:
    try:
        at = datetime.fromisoformat(text.strip())
    except ValueError:
        return None
    at = at if at.tzinfo else at.replace(tzinfo=UTC)  # a wall clock without a zone
    return round((at - _EPOCH).total_seconds() * 1000)


def _read_value(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def score_series(times_ms: list[int], values: list[float]) -> list[float]:
    """Return an alarm score a row, 0…1, of one metric. Each row is a window; a repeated time follows the one before.

    How long a window is, is known once STEP_ROWS rows have come; until then it is taken as PROVISIONAL_STEP_MS, so that
    no score depends on a row behind it.
    """
    first = _scores(times_ms[:STEP_ROWS], values[:STEP_ROWS], PROVISIONAL_STEP_MS)
    if len(times_ms) <= STEP_ROWS:
        return first
    step_ms = max(1000, int(np.median(np.diff(times_ms[:STEP_ROWS]))))
    return first + _scores(times_ms, values, step_ms)[STEP_ROWS:]


def _scores(times_ms: list[int], values: list[float], step_ms: int) -> list[float]:
    # Nothing is learned without labels, so the kinds that learn in the shadow of the first may stay away.
    settings = EngineSettings(ring_bytes_max=1 << 20, kinds=())
    engine = Engine(f"{step_ms // 1000}s", step_ms, step_ms, settings, Periods())
    hold, out, last = Hold(), [], -(2**62)
    for at, value in zip(times_ms, values, strict=True):
        last = max(last + 1, at)
        frame = Frame(engine.rollup, last, last + step_ms, ["series"], ["value"], {"mean": np.array([[value]])})
        engine.step(frame)
        out.append(hold.step(float(engine.last_scores[0])))
    return out


def evaluate_machines(folder: Path, out: Path) -> Iterator[str]:
    """Write, for every machine, ``<machine>.train.csv`` and ``<machine>.csv``: row, anomaly_score, p_incident.

    All machines run side by side, so that one learns from the others' incidents. An incident is told when it has ended,
    so nothing of it is known while it lasts, and ``anomaly_score`` uses no labels at all. ``p_incident`` is that of the
    kind that is always on, the logistic regression.
    """
    paths = sorted(folder.glob("*.npz"))
    if not paths:
        raise DataError(f"cannot evaluate {folder}: there is no .npz file in it")
    data = {path.stem: _machine(path) for path in paths}
    width = max(part["test"].shape[1] for part in data.values())
    series = {name: _wide(np.concatenate([part["train"], part["test"]]), width) for name, part in data.items()}
    offsets = {name: len(part["train"]) for name, part in data.items()}
    engine = Engine("1m", MACHINE_STEP_MS, MACHINE_STEP_MS, EngineSettings(kinds=()), Periods())
    ends = _incident_ends(data, offsets)
    scores = {name: np.full((len(x), 2), np.nan) for name, x in series.items()}
    metrics = [f"metric{i}" for i in range(width)]
    for row in range(max(map(len, series.values()))):
        for incident in ends.get(row, ()):
            engine.incident(incident)
        if row % 60 == 0:
            engine.refresh()
        names = [name for name, x in series.items() if row < len(x)]
        start_ms = MACHINE_START_MS + row * MACHINE_STEP_MS
        values = {"mean": np.stack([series[name][row] for name in names])}
        verdicts = engine.step(Frame("1m", start_ms, start_ms + MACHINE_STEP_MS, names, metrics, values))
        for name, verdict, score in zip(names, verdicts, engine.last_scores, strict=True):
            scores[name][row] = float(score), verdict.p_incident
    out.mkdir(parents=True, exist_ok=True)
    for name, both in scores.items():
        for suffix, part in ((".train", both[: offsets[name]]), ("", both[offsets[name] :])):
            with (out / f"{name}{suffix}.csv").open("w", newline="", encoding="utf-8") as file:
                writer = csv.writer(file)
                writer.writerow(["row", "anomaly_score", "p_incident"])
                for row, (score, p) in enumerate(part.tolist()):
                    writer.writerow([row, repr(score), "" if math.isnan(p) else repr(p)])
        yield name


def _machine(path: Path) -> dict[str, np.ndarray]:
    """Return train (no rows where the file has none), test, and label where it has one; raises DataError."""
    try:
        with np.load(path) as file:
            part = {name: file[name] for name in ("train", "test", "label") if name in file.files}
        test = part["test"] = part["test"].astype(float).reshape(len(part["test"]), -1)
        part["train"] = part["train"].astype(float).reshape(-1, test.shape[1]) if "train" in part else test[:0]
        if "label" in part:
            part["label"] = (part["label"].astype(float).reshape(len(test)) > 0).astype(int)
    except (KeyError, ValueError, OSError, zipfile.BadZipFile) as error:
        raise DataError(
            f"cannot read {path}: {error}; want arrays train, test (rows, columns) and label (rows)"
        ) from error
    return part


def _wide(values: np.ndarray, width: int) -> np.ndarray:
    """Return float64[rows, width], NaN where a machine has fewer columns than another, or no finite value."""
    out = np.full((len(values), width), np.nan)
    out[:, : values.shape[1]] = np.where(np.isfinite(values), values, np.nan)
    return out


def _incident_ends(data: dict[str, dict[str, np.ndarray]], offsets: dict[str, int]) -> dict[int, list[Incident]]:
    out: dict[int, list[Incident]] = {}
    for name, part in data.items():
        if "label" not in part:
            continue
        edge = np.diff(np.concatenate([[0], part["label"], [0]]))
        for first, after in zip(np.flatnonzero(edge == 1).tolist(), np.flatnonzero(edge == -1).tolist(), strict=True):
            start, end = (MACHINE_START_MS + (offsets[name] + at) * MACHINE_STEP_MS for at in (first, after))
            incident = Incident(id=f"{name}-{first}", entity=name, start_ms=start, end_ms=end, updated_ms=1)
            out.setdefault(offsets[name] + after, []).append(incident)
    return out
