"""What crosses the log comes back as it was; ids cannot be forged."""

import msgspec
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from schemas import series as series_module
from schemas.batch import columns, decode_batch, encode_batch, make_batch, may_define
from schemas.series import Series, SharedParts, make_series, partition_of, series_id

texts = st.text(max_size=8)


@given(texts, texts, st.dictionaries(texts, texts, max_size=3), texts, texts, st.dictionaries(texts, texts, max_size=3))
def test_series_ids_differ_when_series_differ(entity, metric, labels, entity2, metric2, labels2):
    same = (entity, metric, labels) == (entity2, metric2, labels2)
    assert (series_id(entity, metric, labels) == series_id(entity2, metric2, labels2)) == same


def test_batch_round_trip():
    series = make_series("web-1", "cpu", {"core": "0"})
    batch = make_batch([series], np.array([series.series_id]), np.array([1540555200000]), np.array([0.93]))
    read = decode_batch(encode_batch(batch))
    assert read == batch
    assert columns(read).values.tolist() == [0.93]


def test_a_record_without_definitions_is_told_without_decoding_it():
    one = np.array([1])
    for series in ([], [make_series("web-1", "cpu")], [make_series(f"h{i}", "cpu") for i in range(70_000)]):
        assert may_define(encode_batch(make_batch(series, one, one, one))) == bool(series)


def test_ids_are_those_that_are_stored_already():
    assert series_id("web-1", "cpu", {"core": "0", "é": "\ud800"}) == 2749565748379646893


def test_key_escapes_what_would_break_out_of_it():
    assert make_series("e", "m", {"a": 'x"}\n\\'}).key == 'm{a="x\\"}\\n\\\\"}'


@given(texts, st.integers(1, 64))
def test_partition_is_in_range(entity, partitions):
    assert 0 <= partition_of(entity, partitions) < partitions


def test_series_share_the_parts_they_have_in_common_and_stay_as_they_were(monkeypatch):
    monkeypatch.setattr(series_module, "SHARED_MAX", 50)

    def read(n):  # as from a record: nothing shared
        given = make_series(f"host-{n % 3}", f"metric-{n % 4}", {"core": f"{n % 5}"} if n % 2 else {}, "counter")
        return msgspec.msgpack.decode(msgspec.msgpack.encode(given), type=Series)

    shared = SharedParts()
    of = [shared.of(read(n)) for n in range(60)]
    assert of == [read(n) for n in range(60)]
    assert len({id(one.entity) for one in of}) == 3
    assert len({id(one.metric) for one in of}) == 4
    assert len({id(one.labels) for one in of}) == 6
    other = [shared.of(make_series(f"one-{n}", "m", {"id": str(n)})) for n in range(1000)]
    assert other == [make_series(f"one-{n}", "m", {"id": str(n)}) for n in range(1000)]
    assert len(shared._texts) <= 54, "names that nobody else has are not kept for ever"
    assert len(shared._labels) <= 50
