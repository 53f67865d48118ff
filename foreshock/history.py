"""Reads histories from files: CSV, NDJSON and Parquet become samples as ``POST /api/v1/samples`` takes them."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

FIELDS = ("entity", "metric", "timestamp", "value", "labels")
Sample = dict[str, Any] | msgspec.Raw
TEXT_LINES = (".ndjson", ".jsonl", ".json")


def samples_of(path: Path, progress: Callable[[int], None]) -> Iterator[Sample]:
    """Yield the samples of a file, in its order; ``.parquet``, ``.ndjson`` and ``.jsonl``, anything else is CSV.

    Columns that a sample has no field for are labels. What cannot be a sample is passed on as it is: the server says
    what is wrong with it. ``progress`` is told how many bytes of the file were read, from time to time.
    """
    if path.suffix == ".parquet":
        return _parquet(path, progress)
    return _json_lines(path, progress) if path.suffix in TEXT_LINES else _csv(path, progress)


def _json_lines(path: Path, progress: Callable[[int], None]) -> Iterator[Sample]:
    with path.open("rb") as file:
        for line in file:
            progress(len(line))
            if line.strip():
                yield msgspec.Raw(line.strip())


def _csv(path: Path, progress: Callable[[int], None]) -> Iterator[Sample]:
    with path.open("rb") as file:

        def lines() -> Iterator[str]:
            for line in file:
                progress(len(line))
                yield line.decode("utf-8-sig", "replace")

        for row in csv.DictReader(lines()):
            row.pop(None, None)  # fields beyond the header
            yield _sample(row)


def _parquet(path: Path, progress: Callable[[int], None]) -> Iterator[Sample]:
    import pyarrow
    import pyarrow.parquet

    with pyarrow.parquet.ParquetFile(path) as file:
        rows, size = max(1, file.metadata.num_rows), path.stat().st_size
        for part in file.iter_batches(20_000):
            table = pyarrow.Table.from_batches([part])
            for name in table.column_names:
                if pyarrow.types.is_timestamp(table.schema.field(name).type):
                    kind = pyarrow.timestamp("ms", table.schema.field(name).type.tz)
                    at = table.column_names.index(name)
                    table = table.set_column(at, name, table.column(name).cast(kind, safe=False).cast(pyarrow.int64()))
            for row in table.to_pylist():
                yield _sample(row)
            progress(size * part.num_rows // rows)


def _sample(row: dict[str, Any]) -> dict[str, Any]:
    sample = {name: row.pop(name) for name in FIELDS[:4] if row.get(name) not in (None, "")}
    labels = row.pop("labels", None) or {}
    if not isinstance(labels, str):
        labels = dict(labels)  # a Parquet map is a list of pairs
        labels |= {name: str(text) for name, text in row.items() if text not in (None, "") and name not in FIELDS}
    return sample | {"labels": labels} | _numbers(sample)


def _numbers(sample: dict[str, Any]) -> dict[str, Any]:
    """Return value and timestamp as numbers where CSV has them as digits; what is none stays as it is."""
    out: dict[str, Any] = {}
    value, at = sample.get("value"), sample.get("timestamp")
    if isinstance(value, str):
        try:
            out["value"] = float(value)
        except ValueError:
            out["value"] = value
    if isinstance(at, str) and at.removeprefix("-").isdigit():
        out["timestamp"] = int(at)
    return out


def time_of(sample: Sample) -> int | None:
    """Return the event time, epoch ms; None where it cannot be read. A time without a zone is UTC, as the server's."""
    if isinstance(sample, msgspec.Raw):
        try:
            sample = msgspec.json.decode(sample)
        except msgspec.DecodeError:
            return None
    at = sample.get("timestamp") if isinstance(sample, dict) else None
    if isinstance(at, str) and not at.removeprefix("-").isdigit():
        try:
            moment = datetime.fromisoformat(at)
        except ValueError:
            return None
        return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)
    try:
        return None if at is None else int(at)
    except (ValueError, TypeError, OverflowError):
        return None
