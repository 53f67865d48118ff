"""Times as clients write them: what is one is read to the millisecond, what is none is refused by name."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.datastructures import QueryParams

from api.times import MS_MAX, MS_MIN, interval_ms, time_ms
from schemas.errors import DataError

NOW_MS = 1_700_000_000_000


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (1_540_555_200_000, 1_540_555_200_000),
        (1_540_555_200_000.7, 1_540_555_200_000),  # as time.time() * 1000 gives it
        ("1540555200000", 1_540_555_200_000),
        ("2018-10-26T12:00:00Z", 1_540_555_200_000),
        ("2018-10-26t12:00:00.123z", 1_540_555_200_123),  # RFC 3339 allows small letters
        ("2018-10-26T12:00:00.123456789Z", 1_540_555_200_123),
        ("2018-10-26T14:00:00+02:00", 1_540_555_200_000),
        ("2018-10-26T14:00:00 02:00", 1_540_555_200_000),  # a + that was not escaped in an address
        ("2018-10-26 12:00", 1_540_555_200_000),
        ("2016-12-31T23:59:60Z", 1_483_228_800_000),
        ("now", NOW_MS),
        ("-6h", NOW_MS - 21_600_000),
        ("+2h", NOW_MS + 7_200_000),
        (" 2h", NOW_MS + 7_200_000),
    ],
)
def test_what_is_a_time(text, wanted):
    assert time_ms(text, NOW_MS) == wanted


@pytest.mark.parametrize(
    "value",
    [
        True,
        None,
        [],
        "",
        "yesterday",
        "-6y",
        "٣h",
        float("nan"),
        float("inf"),
        10**400,
        MS_MIN - 1,
        MS_MAX,
        "-999999999w",
    ],
)
def test_what_is_none(value):
    with pytest.raises(DataError, match="cannot read time"):
        time_ms(value, NOW_MS)


@given(st.datetimes(), st.sampled_from(["Z", "+00:00", "-11:30", "+14:00"]))
@settings(max_examples=300, deadline=None)
def test_a_written_moment_is_read_to_the_millisecond(moment, zone):
    try:
        at_ms = time_ms(moment.isoformat(timespec="milliseconds") + zone, NOW_MS)
    except DataError:
        assert moment.year in (1, 9999)  # beyond the years by its zone
        return
    minutes = {"Z": 0, "+00:00": 0, "-11:30": -690, "+14:00": 840}[zone]
    days = moment.toordinal() - 719_163
    of_day = ((moment.hour * 60 + moment.minute - minutes) * 60 + moment.second) * 1000 + moment.microsecond // 1000
    assert at_ms == days * 86_400_000 + of_day


def test_an_interval_does_not_end_before_it_begins():
    assert interval_ms(QueryParams("from=-2h&to=-1h"), NOW_MS, "-1h") == (NOW_MS - 7_200_000, NOW_MS - 3_600_000)
    assert interval_ms(QueryParams("from=now"), NOW_MS, "-1h") == (NOW_MS, NOW_MS)
    with pytest.raises(DataError, match="not after"):
        interval_ms(QueryParams("to=-2h"), NOW_MS, "-1h")
