"""Edges of long windows: they tile time, in any zone, across every clock change."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from stream.window.calendar import long_windows

ROLLUPS = ["1m", "5m", "1h", "1h/10m", "1d", "3d/1d", "1w", "1mo"]
ZONES = ["UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe", "Pacific/Apia"]


def windows(zone):
    return {w.spec.name: w for w in long_windows(ROLLUPS, zone)}


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(ZONES), st.integers(0, 4_000_000_000_000), st.sampled_from(ROLLUPS[2:]))
@example("Europe/Berlin", 1_711_846_800_000, "1d")  # the clock goes forward
@example("Pacific/Apia", 1_325_200_000_000, "1d")  # a day that was left out
def test_windows_hold_the_instant_and_follow_one_another(zone, at_ms, name):
    window = windows(zone)[name]
    holding = window.holding(at_ms)
    assert len(holding) == window.spec.size_ms // window.spec.hop_ms
    for start, end in holding:
        assert start <= at_ms < end
        assert (start, end) in window.holding(start) and (start, end) in window.holding(end - 1)
        assert (start, end) not in window.holding(end) and (start, end) not in window.holding(start - 1)
        source = windows(zone).get(window.source.name)
        if source is None:  # on the epoch's grid
            assert start % window.source.size_ms == end % window.source.size_ms == 0
        else:
            assert source.holding(start)[0][0] == start and source.holding(end)[0][0] == end


def test_local_days_weeks_and_months_are_those_of_a_calendar():
    zone = ZoneInfo("Europe/Berlin")
    at = int(datetime(2026, 3, 29, 12, tzinfo=zone).timestamp()) * 1000
    local = {
        name: [datetime.fromtimestamp(ms / 1000, zone).isoformat() for ms in window.holding(at)[0]]
        for name, window in windows("Europe/Berlin").items()
    }
    assert local["1d"] == ["2026-03-29T00:00:00+01:00", "2026-03-30T00:00:00+02:00"]  # 23 hours
    assert local["1w"] == ["2026-03-23T00:00:00+01:00", "2026-03-30T00:00:00+02:00"]
    assert local["1mo"] == ["2026-03-01T00:00:00+01:00", "2026-04-01T00:00:00+02:00"]
    assert datetime.fromtimestamp(at / 1000, UTC).day == 29


@pytest.mark.parametrize(("zone", "source"), [("UTC", "1h"), ("Europe/Berlin", "1h"), ("Asia/Kolkata", "5m")])
def test_a_day_is_merged_from_what_shares_its_midnight(zone, source):
    assert windows(zone)["1d"].source.name == source
    assert windows(zone)["1w"].source.name == windows(zone)["1mo"].source.name == "1d"
    assert windows(zone)["1h/10m"].source.name == "5m"


def test_a_rollup_with_nothing_to_be_merged_from_is_refused():
    with pytest.raises(ValueError, match="cannot build rollup '1d'.*add one such as 5m"):
        long_windows(["1d"], "UTC")
