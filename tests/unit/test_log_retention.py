"""What of the embedded log goes, and what never does."""

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from log import embedded
from log.embedded import EmbeddedLog
from log.retention import Filled, unneeded

PLACES = [("samples", 0), ("rollups", 0), ("incidents", 0)]


@st.composite
def logs(draw):
    """Return segments of a few places, each place's in order, and what is needed of some of them."""
    segments = []
    for place in PLACES:
        base, newest = 0, draw(st.integers(0, 50))
        for _ in range(draw(st.integers(0, 6))):
            end = base + draw(st.integers(1, 9))
            segments.append(Filled(place, base, end, draw(st.integers(1, 100)), newest))
            base, newest = end, newest + draw(st.integers(0, 20))
    needed = {place: draw(st.integers(0, 60)) for place in PLACES if draw(st.booleans())}
    return segments, needed


@given(logs(), st.integers(0, 150), st.integers(-50, 600))
def test_only_what_nobody_needs_goes_and_of_that_what_is_old_or_too_much(given_log, before_ms, over):
    segments, needed = given_log
    gone = unneeded(segments, needed, before_ms=before_ms, bytes_over=over)
    removed = [s for s in segments if s.base < gone.get(s.place, 0)]
    assert all(s.end <= needed.get(s.place, 0) for s in removed)
    assert all(s.end <= gone[s.place] for s in removed), "whole segments"
    young = [s for s in removed if s.newest_ms >= before_ms]
    old = sum(s.size for s in removed if s.newest_ms < before_ms)
    assert not young or old + sum(s.size for s in young) - young[-1].size < over or over <= 0 and not young
    kept = [s for s in segments if s not in removed]
    for place in PLACES:  # nothing that is old and unneeded stays behind nothing that is needed
        first = next((s for s in kept if s.place == place), None)
        assert first is None or first.end > needed.get(place, 0) or first.newest_ms >= before_ms


def test_a_log_over_its_size_loses_its_oldest_records_but_not_what_a_restart_reads(tmp_path, monkeypatch):
    monkeypatch.setattr(embedded, "SEGMENT_BYTES", 1000)

    async def run():
        log = EmbeddedLog(str(tmp_path))
        await log.start()
        await log.create_topics({"samples": 1, "incidents": 1})
        for number in range(200):
            await log.append("samples", 0, b"%100d" % number)
            await log.append("incidents", 0, b"%100d" % number)
        dropped = await log.drop_old({("samples", 0): 150}, before_ms=0, bytes_max=5000)
        begin, end = await log.offsets("samples", 0)
        assert 100 < begin == dropped <= 150 and end == 200
        assert await log.offsets("incidents", 0) == (0, 200), "what is not named is kept whole"
        assert [int(r.value) for r in await log.read("samples", 0, 0)] == list(range(begin, 200))
        assert await log.drop_old({("samples", 0): 150}, before_ms=0, bytes_max=1 << 20) == 0
        await log.stop()
        again = EmbeddedLog(str(tmp_path))
        await again.start()
        assert await again.offsets("samples", 0) == (begin, 200)
        assert await again.append("samples", 0, b"x") == 200
        await again.stop()

    asyncio.run(run())
