"""Messages of rollups: every row once, entities whole, none too large for a record of the log."""

from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from log.kafka_topics import RECORD_BYTES_MAX
from schemas.catalogue import Catalogue, columns_by
from schemas.rollup import decode_rollup
from schemas.series import make_series
from stream.rollup import message as module
from stream.rollup.aggregate import aggregate
from stream.rollup.message import MESSAGE_BYTES_MAX, messages_of

MINUTE = 60_000


def rollup_of(series, windows, *, late):
    ids = np.array([one.series_id for one in series], np.uint64)
    starts = np.repeat(np.arange(windows) * MINUTE, len(ids))
    every = np.tile(ids, windows)
    values = np.arange(len(every), dtype=float)
    none = np.zeros(len(every), bool)
    return aggregate("1m", MINUTE, starts, every, starts, values, counters=none, version=1, late=late)


def rows_of(messages):
    """Return (start, series id, sum) of each row, and the entities of each message and window."""
    rows, entities = [], []
    for one in map(decode_rollup, messages):
        starts, at = np.frombuffer(one.starts, "<i8"), np.frombuffer(one.rows, "<i8")
        names, sums = one.names, np.frombuffer(one.columns["sum"], "<f8")
        rows += zip(starts.tolist(), names.ids[at].tolist(), sums.tolist(), strict=True)
        whose = (names.entities[i] for i in names.entity_of[at].tolist())
        entities.append(set(zip(starts.tolist(), whose, strict=True)))
        assert {*at.tolist()} == {*range(len(names.ids))}, "no definition that no row needs"
    return rows, entities


def check(rollup, series):
    known = Catalogue()
    known.add(series)
    messages = messages_of(rollup, lambda ids: columns_by([known], ids))
    rows, entities = rows_of(messages)
    assert sorted(rows) == sorted(zip(rollup.start_ms.tolist(), rollup.ids.tolist(), rollup.sum.tolist(), strict=True))
    return messages, entities


@given(
    st.lists(st.integers(1, 6), min_size=1, max_size=8), st.integers(1, 4), st.booleans(), st.integers(1, 12), st.data()
)
def test_every_row_is_in_one_message_and_an_entity_is_never_in_two(metrics, windows, late, rows_max, data):
    series = [make_series(f"e{e}", f"m{m}", {"pad": "x" * 40}) for e, n in enumerate(metrics) for m in range(n)]
    rollup = rollup_of(data.draw(st.permutations(series)), windows if late else 1, late=late)
    with patch.multiple(module, ROWS_MAX=rows_max, MESSAGE_ROWS=rows_max):
        _, entities = check(rollup, series)
    if max(metrics) <= rows_max:
        assert sum(map(len, entities)) == len(set().union(*entities))


@pytest.mark.parametrize(
    ("series", "label_bytes", "windows", "late"),
    [(200_000, 60, 1, True), (20_000, 8_000, 1, False), (3_000, 9, 40, True)],
)
def test_no_message_is_too_large_for_a_record(series, label_bytes, windows, late):
    made = [make_series(f"host-{n // 4}", f"metric_{n % 4}", {"l": f"{n:0{label_bytes}}"}) for n in range(series)]
    messages, _ = check(rollup_of(made, windows, late=late), made)
    assert max(map(len, messages)) < MESSAGE_BYTES_MAX * 1.1 < RECORD_BYTES_MAX / 2
