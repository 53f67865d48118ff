"""Names in columns say what a list of series says, whichever catalogues know them, and bad ones are refused."""

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.catalogue import Catalogue, columns_by
from schemas.names import KINDS, Names, decode_names, encode_names, names_of
from schemas.series import Series, make_series

few = st.sampled_from(["a", "b", "c", 'm{l="1"}', ""])
labels = st.dictionaries(st.sampled_from(["l", "k"]), st.sampled_from(["1", "2"]), max_size=2)
SERIES = st.builds(make_series, few, few, labels, st.sampled_from(KINDS))


def listed(names: Names) -> list[tuple[int, str, str, str]]:
    """Return what the columns say of each series."""
    entities = [names.entities[i] for i in names.entity_of.tolist()]
    keys = [names.keys[i] for i in names.key_of.tolist()]
    kinds = [KINDS[i] for i in names.kinds.tolist()]
    return list(zip(names.ids.tolist(), entities, keys, kinds, strict=True))


def check(names: Names, series: list[Series]) -> None:
    assert listed(names) == [(one.series_id, one.entity, one.key, one.kind) for one in series]
    for texts, which in ((names.entities, names.entity_of), (names.keys, names.key_of)):
        assert texts == list(dict.fromkeys(texts[i] for i in which.tolist())), "by first appearance, none twice"


@given(st.lists(SERIES, unique_by=lambda one: one.series_id), st.data())
def test_columns_of_catalogues_say_what_their_series_are_called(series, data):
    catalogues = [Catalogue() for _ in range(3)]
    known_by = data.draw(st.lists(st.integers(0, 3), min_size=len(series), max_size=len(series)))
    for one, which in zip(series, known_by, strict=True):
        if which < len(catalogues):
            catalogues[which].add([one])
    asked = data.draw(st.permutations(series))
    unknown = {one.series_id for one, which in zip(series, known_by, strict=True) if which == len(catalogues)}
    want = [Series(s.series_id, "", f"series-{s.series_id}", {}) if s.series_id in unknown else s for s in asked]
    names = columns_by(catalogues, np.array([one.series_id for one in asked], np.uint64))
    check(names, want)
    check(names_of(want), want)
    check(decode_names(bytes(encode_names(names))), want)


@given(st.lists(SERIES, max_size=5))
def test_a_list_of_series_as_an_older_release_wrote_it_is_read(series):
    check(decode_names(msgspec.msgpack.encode(series)), series)


@pytest.mark.parametrize(
    ("column", "numbers"),
    [("entity_of", [0, 1, 2]), ("entity_of", [0, 0, -1]), ("key_of", [0, 0]), ("key_of", [0, 0, 9]), ("ids", [1] * 4)],
)
def test_numbers_of_no_name_are_refused(column, numbers):
    good = names_of([make_series("e", "m"), make_series("f", "m"), make_series("e", "n")])
    bad = good._replace(**{column: np.array(numbers, getattr(good, column).dtype)})
    with pytest.raises(ValueError, match="cannot read names"):
        decode_names(bytes(encode_names(bad)))


@pytest.mark.parametrize("data", [b"", b"\xc1", b"\x93\x01\x02\x03", b"\x80"])
def test_what_is_no_list_and_no_columns_is_refused(data):
    with pytest.raises(msgspec.MsgspecError):
        decode_names(data)
