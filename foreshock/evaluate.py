"""Streams labelled corpora through the same engine as live, a window at a time, without looking ahead."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from schemas.errors import DataError
from schemas.incident import Incident
from stream.features.frame import Frame
from stream.models.engine import Engine, EngineSettings
from stream.models.hold import Hold
from stream.models.periods import Periods

MACHINE_STEP_MS = 60_000
MACHINE_START_MS = 1_700_000_040_000 // 86_400_000 * 86_400_000  # the source has no times
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def evaluate_nab(folder: Path, out: Path) -> Iterator[str]:
    """Write ``out/<relative path>`` with timestamp, anomaly_score for every CSV below; yield each path when done."""
    paths = [path for path in sorted(folder.rglob("*.csv")) if out.resolve() not in path.resolve().parents]
    if not paths:
        raise DataError(f"cannot evaluate {folder}: there is no CSV file below it")
    for path in paths:
        rows = _series(path)
        if rows is None:
            continue
        target = out / path.relative_to(folder)
        target.parent.mkdir(parents=True, exist_ok=True)
        scores = score_series([at for _, at, _ in rows], [value for _, _, value in rows])
        with target.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(["timestamp", "anomaly_score"])
            writer.writerows([text, repr(score)] for (text, _, _), score in zip(rows, scores, strict=True))
        yield str(path.relative_to(folder))


def _series(path: Path) -> list[tuple[str, int, float]] | None:
    """Return (timestamp as written, epoch ms, value) of each row; None for a file of another kind."""
    with path.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file)
        if not {"timestamp", "value"} <= set(reader.fieldnames or ()):
            return None
        rows = []
        for number, row in enumerate(reader, 2):
            try:
                at = datetime.fromisoformat(row["timestamp"])
                value = float(row["value"])
            except ValueError as error:
                raise DataError(f"cannot read {path} line {number}: {error}") from error
            at = at if at.tzinfo else at.replace(tzinfo=UTC)  # a wall clock without a zone
            rows.append((row["timestamp"], round((at - _EPOCH).total_seconds() * 1000), value))
    return rows


def score_series(times_ms: list[int], values: list[float]) -> list[float]:
    """Return an alarm score a row, 0…1, of one metric. Each row is a window; a repeated time follows the one before."""
    step_ms = int(np.median(np.diff(times_ms[:100]))) if len(times_ms) > 1 else MACHINE_STEP_MS
    step_ms = max(step_ms, 1000)
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
    data = {path.stem: dict(np.load(path)) for path in paths}
    series = {name: np.concatenate([part["train"], part["test"]]).astype(float) for name, part in data.items()}
    offsets = {name: len(part["train"]) for name, part in data.items()}
    engine = Engine("1m", MACHINE_STEP_MS, MACHINE_STEP_MS, EngineSettings(kinds=()), Periods())
    ends = _incident_ends(data, offsets)
    scores = {name: np.full((len(x), 2), np.nan) for name, x in series.items()}
    width = max(x.shape[1] for x in series.values())
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
