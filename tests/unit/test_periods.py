"""Traffic periods by configuration."""

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from stream.models.periods import Periods

PERIODS = Periods(
    "Europe/Berlin",
    "DE",
    [
        {"name": "peak", "from": "2026-11-27", "to": "2026-11-30"},
        {"name": "night", "days": ["fri", "sun"], "start": "22:00", "end": "02:00"},
        {"name": "board", "days": ["tue"]},
    ],
)


@pytest.mark.parametrize(
    ("local", "name"),
    [
        ("2026-11-26T23:59", "normal"),
        ("2026-11-27T00:00", "peak"),
        ("2026-11-30T23:59", "peak"),
        ("2026-12-01T00:00", "board"),
        ("2026-12-04T21:59", "normal"),
        ("2026-12-04T22:00", "night"),
        ("2026-12-05T01:59", "night"),
        ("2026-12-05T02:00", "weekend"),
        ("2026-12-07T01:00", "night"),
        ("2026-12-25T12:00", "holiday"),
    ],
)
def test_the_first_that_holds_a_moment_names_it(local, name):
    at = datetime.fromisoformat(local).replace(tzinfo=ZoneInfo("Europe/Berlin"))
    assert PERIODS.name(int(at.timestamp() * 1000)) == name


@pytest.mark.parametrize(
    ("table", "says"),
    [
        ({"from": "2026-01-01", "to": "2026-01-02"}, "table 1.*want a name"),
        ({"name": "x", "from": "yesterday", "to": "2026-01-02"}, "table 1.*want name with from and to"),
        ({"name": "x", "days": ["caturday"]}, "table 1"),
        ({"name": "x", "days": ["fri"], "start": "25:00"}, "25:00 is no time of day"),
        ({"name": "x"}, "got name"),
        ({"name": "x", "days": ["fri"], "entities": "shop-*"}, "table 1.*want entities as a list"),
        ({"name": "pooled", "days": ["fri"]}, "other than 'pooled'"),
    ],
)
def test_a_bad_table_is_refused(table, says):
    with pytest.raises(ValueError, match=says):
        Periods("UTC", None, [table])


def test_a_range_of_some_entities_is_theirs_alone():
    periods = Periods("UTC", None, [{"name": "sale", "from": "2026-11-27", "to": "2026-11-28", "entities": ["shop-*"]}])
    friday, saturday = (int(datetime(2026, 11, day, 12, tzinfo=ZoneInfo("UTC")).timestamp() * 1000) for day in (27, 28))
    assert [periods.name(friday, e) for e in ("shop-1", "db-1", None)] == ["sale", "normal", "normal"]
    assert [periods.name(saturday, e) for e in ("shop-1", "db-1")] == ["sale", "weekend"]
    assert periods.names() == ["normal", "sale", "weekend"]


@pytest.mark.parametrize("zone", ["UTC", "America/New_York", "Pacific/Kiritimati"])
@pytest.mark.parametrize("at_ms", [-(10**18), -62_135_596_800_000, 253_402_300_799_999, 10**18])
def test_a_moment_that_no_calendar_names_still_has_a_period(zone, at_ms):
    assert Periods(zone, "DE").name(at_ms) in ("normal", "weekend", "holiday")
