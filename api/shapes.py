"""The shapes a range is answered in: our JSON, what the dygraphs constructor takes, CSV, an Arrow stream."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import msgspec
import numpy as np
from starlette.responses import Response

SHAPES = ("json", "dygraphs", "csv", "arrow")
ENCODED_AT_ONCE = 50_000  # values; an answer of more is encoded in parts of so many, beside the event loop
NARROW = 8  # values a row
_encoder = msgspec.json.Encoder()


def answer_of(
    shape: str,
    labels: list[str],
    starts_ms: np.ndarray,
    values: np.ndarray,
    about: dict[str, Any],
    more: dict[str, Any],
) -> Response:
    """Return the answer with columns ``labels``, the first of which is ``starts_ms``; NaN becomes null, or nothing.

    starts_ms : int64[n]; values : float64[n, len(labels) - 1].
    about, more : what JSON says before and after the data.
    """
    if shape == "arrow":
        return Response(_arrow(labels, starts_ms, values), media_type="application/vnd.apache.arrow.stream")
    if shape == "csv":
        lines = [",".join(map(_csv_field, labels))]
        for rows in _rows(starts_ms, values):
            lines += [",".join(repr(v) if v == v else "" for v in row) for row in rows]
        return Response("\n".join(lines) + "\n", media_type="text/csv")
    # The encoder writes NaN as null.
    parts = _encoded(starts_ms, values)
    if shape == "dygraphs":
        body = b"[" + b",".join([_encoder.encode(labels), *parts]) + b"]"
    else:
        data = msgspec.Raw(b"[" + b",".join(parts) + b"]")
        body = _encoder.encode(about | {"labels": labels, "data": data} | more)
    return Response(body, media_type="application/json")


def _encoded(starts_ms: np.ndarray, values: np.ndarray) -> list[bytes]:
    """Return the rows in JSON, some at a time.

    Many narrow rows are written as one list, each behind a mark that no value is written as: so many small lists set
    the garbage collector going.
    """
    width = values.shape[1]
    if width >= NARROW:
        return [_encoder.encode(rows)[1:-1] for rows in _rows(starts_ms, values)]
    step, parts = max(1, ENCODED_AT_ONCE // max(1, width)), []
    for at in range(0, len(starts_ms), step):
        starts = starts_ms[at : at + step].tolist()
        flat: list[float] = [True] * (len(starts) * (width + 2))
        flat[1 :: width + 2] = starts
        for column in range(width):
            flat[column + 2 :: width + 2] = values[at : at + step, column].tolist()
        parts.append(b"[" + _encoder.encode(flat)[6:-1].replace(b",true,", b"],[") + b"]")
    return parts


def _rows(starts_ms: np.ndarray, values: np.ndarray) -> Iterator[list[list[float]]]:
    """Yield the rows, start first, some at a time."""
    step = max(1, ENCODED_AT_ONCE // max(1, values.shape[1]))
    for at in range(0, len(starts_ms), step):
        pairs = zip(starts_ms[at : at + step].tolist(), values[at : at + step].tolist(), strict=True)
        yield [[start, *row] for start, row in pairs]


def _csv_field(text: str) -> str:
    """Return a label, in quotes only where it needs them: dygraphs knows none."""
    return '"' + text.replace('"', '""') + '"' if re.search(r'[",\r\n]', text) else text


def _arrow(labels: list[str], starts_ms: np.ndarray, values: np.ndarray) -> bytes:
    from store.arrow import pyarrow

    columns = [pyarrow.array(starts_ms), *(pyarrow.array(column) for column in np.ascontiguousarray(values.T))]
    table = pyarrow.Table.from_arrays(columns, names=labels)
    sink = pyarrow.BufferOutputStream()
    with pyarrow.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue().to_pybytes()
