"""Reads what an evaluation wrote, beside the labels of its corpus, for the report."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import numpy as np

from foreshock.report import Scored
from schemas.errors import DataError

# Where a corpus of CSV files says when its incidents were: file → list of [from, to].
LABELS = ("windows.json", "combined_windows.json", "labels/combined_windows.json", "../labels/combined_windows.json")


def read_nab(folder: Path, out: Path) -> list[Scored]:
    """Return every series scored; without labels where the folder has no file of LABELS."""
    known = next((folder / name for name in LABELS if (folder / name).is_file()), None)
    windows = json.loads(known.read_text(encoding="utf-8")) if known else {}
    found = []
    for path in sorted(out.rglob("*.csv")):
        name = path.relative_to(out).as_posix()
        if not (folder / name).is_file():
            continue
        (score,) = _columns(path, ("anomaly_score", float))
        label = None
        if name in windows:
            (times,) = _columns(path, ("timestamp", datetime.fromisoformat))
            label = np.zeros(len(score), bool)
            for first, last in windows[name]:
                begin, end = datetime.fromisoformat(first), datetime.fromisoformat(last)
                label |= np.array([begin <= at.replace(tzinfo=None) <= end for at in times], bool)
        found.append(Scored(name, np.array(score), label))
    return found


def read_machines(folder: Path, out: Path) -> list[Scored]:
    """Return the labelled part of every machine scored."""
    found = []
    for path in sorted(folder.glob("*.npz")):
        data = np.load(path)
        risk = ("p_incident", lambda text: float(text) if text else np.nan)
        score, p = _columns(out / f"{path.stem}.csv", ("anomaly_score", float), risk)
        label = data["label"].astype(bool) if "label" in data else None
        found.append(Scored(path.stem, np.array(score), label, np.array(p)))
    return found


def _columns(path: Path, *wanted: tuple[str, Callable[[str], object]]) -> list[list]:
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        return [[read(row[name]) for row in rows] for name, read in wanted]
    except (OSError, KeyError, ValueError) as error:
        raise DataError(f"cannot read the scores in {path}: {error!r}; evaluate again") from error
