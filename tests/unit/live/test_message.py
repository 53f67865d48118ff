"""What a record of rollups becomes, against the plain reading of its rows."""

import json

import msgspec
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from api.live.message import Filter, kind_of, messages_of
from log.base import Record
from schemas.names import encode_names, names_of
from schemas.rollup import STATS
from schemas.series import make_series
from schemas.topics import ROLLUPS, VERDICTS
from schemas.verdict import Verdict, encode_verdicts

EVERYTHING = Filter(("*",), ("*",), ("*",), ("rollup", "verdict"))
rows_of = st.lists(
    st.tuples(st.integers(0, 2), st.integers(0, 3), st.integers(0, 3), st.booleans()),
    max_size=25,
    unique_by=lambda r: r[:3],
)


def record(rows, late):
    """Return a record of rows (window, entity, metric, is counter)."""
    known = [make_series(f"e{e}", f"m{m}") for e in range(4) for m in range(4)]
    n = len(rows)
    starts = np.array([10_000 * w for w, _, _, _ in rows], np.int64)
    columns = {stat: np.arange(n, dtype=float) + number / 100 for number, stat in enumerate(STATS)}
    columns["rate"] = np.array([1.5 if counter else np.nan for *_, counter in rows], float)
    message = {"rollup": "10s", "version": 1, "late": late, "series": encode_names(names_of(known))}
    message |= {"starts": starts.tobytes(), "ends": (starts + 10_000).tobytes()}
    message |= {"rows": np.array([4 * e + m for _, e, m, _ in rows], np.int64).tobytes()}
    message |= {"count": np.arange(1, n + 1, dtype=np.uint64).tobytes()}
    body = msgspec.msgpack.encode(message | {"columns": {stat: column.tobytes() for stat, column in columns.items()}})
    return Record(ROLLUPS, 0, 7, 0, None, body), columns


@settings(max_examples=200, deadline=None)
@given(rows_of, st.booleans())
def test_every_row_is_told_once_with_its_entity_and_window(rows, late):
    made, columns = record(rows, late)
    assert kind_of(made) == ("rollup", "10s")
    messages = messages_of(made, lambda _: None)
    assert [message.row for message in messages] == sorted(message.row for message in messages)
    told = {}
    for message in messages:
        said = json.loads(message.text(message.metrics_of(EVERYTHING), "c=1"))
        assert (said["type"], said["cursor"], said["rollup"], said.get("late", False)) == ("rollup", "c=1", "10s", late)
        assert said["end"] == said["start"] + 10_000
        first = rows[message.row]
        assert (said["entity"], said["start"]) == (f"e{first[1]}", 10_000 * first[0])
        for metric, values in said["metrics"].items():
            told[said["start"] // 10_000, said["entity"], metric] = values
    want = {}
    for row, (window, entity, metric, counter) in enumerate(rows):
        names = ("sum", "min", "max", "mean", "stddev", "p50", "p95", "p99", "last")
        values = {"count": row + 1} | {stat: columns[stat][row] for stat in names}
        want[window, f"e{entity}", f"m{metric}"] = values | ({"rate": 1.5} if counter else {})
    assert told == want


def test_a_verdict_is_told_as_the_reading_api_gives_it():
    verdict = Verdict(
        id="x", entity="e", rollup="1m", period="normal", start=0, end=60, anomaly_score=0.5, p_incident=0.1, flag=0
    )
    (message,) = messages_of(Record(VERDICTS, 0, 0, 0, None, encode_verdicts([verdict])), lambda _: None)
    said = json.loads(message.text(message.metrics_of(EVERYTHING), "c=1"))
    assert said == {"type": "verdict", "cursor": "c=1"} | json.loads(msgspec.json.encode(verdict))
