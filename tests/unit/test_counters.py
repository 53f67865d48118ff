"""A counter's increase, window by window, against plain Python over the whole stream."""

from unittest.mock import patch

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.batch import CLOSE_ALL, make_batch
from schemas.window_spec import parse_rollup
from stream.window import slices
from stream.window.partition import PartitionWindows

SPECS = [parse_rollup(name) for name in ("10s", "1m", "1m/20s", "5m/1m")]
steps = st.lists(st.tuples(st.integers(1, 90_000), st.integers(-40, 60)), min_size=1, max_size=60)


@settings(max_examples=150, deadline=None)
@given(steps, st.lists(st.integers(1, 5), min_size=1, max_size=20), st.booleans())
def test_rises_between_windows_are_counted_and_restarts_start_from_zero(steps, cuts, restart):
    at, value, samples = 1_700_000_000_000, 100.0, []
    for wait, rise in steps:
        at, value = at + wait, max(0.0, value + rise)
        samples.append((at, value))
    counter = {"is_counter": lambda ids: np.ones(len(ids), bool)}
    windows, got, stored, at = PartitionWindows(SPECS, 5000, **counter), {}, [], 0
    for offset, n in enumerate(cuts * len(samples)):
        part = samples[at : at + n]
        if not part:
            break
        at += n
        times, values = zip(*part, strict=True)
        windows.apply(offset, make_batch([], np.full(len(part), 7), np.array(times), np.array(values)))
        for rollup in windows.drain():
            got[rollup.rollup, int(rollup.start_ms[0])] = float(rollup.increase[0])
            if rollup.rollup == "10s":
                stored.append((int(rollup.end_ms[0]), float(rollup.last[0]), int(rollup.last_ms[0])))
        if restart:  # the log is read again from the oldest open window; the last sample before it is in the store
            resume, floor_ms, watermark_ms = windows.checkpoint()
            before = [(v, ms) for end, v, ms in stored if end <= floor_ms][-1:]
            tails = tuple(np.array(c) for c in ([7] * len(before), [v for v, _ in before], [ms for _, ms in before]))
            windows = PartitionWindows(SPECS, 5000, **counter)
            windows.restore(watermark_ms, floor_ms, tails)
            at = sum((cuts * len(samples))[:resume])
            for again in range(resume, offset + 1):
                n = (cuts * len(samples))[again]
                times, values = zip(*samples[at : at + n], strict=True)
                windows.apply(again, make_batch([], np.full(len(times), 7), np.array(times), np.array(values)))
                at += n
            assert list(windows.drain()) == []
    windows.apply(10**6, make_batch([], np.array([]), np.array([]), np.array([]), advance_ms=CLOSE_ALL))
    for rollup in windows.drain():
        got[rollup.rollup, int(rollup.start_ms[0])] = float(rollup.increase[0])
    want = {}
    for i, (at, value) in enumerate(samples):
        rise = 0.0
        if i and at - samples[i - 1][0] <= 300_000:
            rise = value - samples[i - 1][1]
            rise = value if rise < 0 else rise
        for spec in SPECS:
            for start in range(at // spec.hop_ms * spec.hop_ms, at - spec.size_ms, -spec.hop_ms):
                want[spec.name, start] = want.get((spec.name, start), 0.0) + rise
    assert got.keys() == want.keys()
    for key, rises in want.items():
        assert abs(got[key] - rises) < 1e-6, key


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 30_000), st.integers(0, 60), st.integers(0, 300_000)), min_size=2, max_size=60),
    st.lists(st.integers(1, 5), min_size=1, max_size=20),
    st.booleans(),
)
def test_what_comes_late_or_out_of_turn_is_never_taken_for_a_restart(steps, cuts, small):
    """It never falls, and rises by 60 at most each time from 10,000 on: a restart would add all of that."""
    at, value, samples = 1_700_000_000_000, 10_000.0, []
    for wait, rise, delay_ms in steps:
        at, value = at + wait, value + rise
        samples.append((at + delay_ms * (delay_ms % 3 == 0), at, value))  # a third of them come later than they should
    by_arrival, got, at = sorted(samples), {}, 0
    limits = {"FOLD_SAMPLES": 2, "FOLD_EACH": 1} if small else {"FOLD_SAMPLES": slices.FOLD_SAMPLES}
    with patch.multiple(slices, **limits):
        windows = PartitionWindows(SPECS, 5000, is_counter=lambda ids: np.ones(len(ids), bool))
        for offset, n in enumerate([*(cuts * len(samples)), 0]):
            _, times, values = zip(*by_arrival[at : at + n], strict=True) if by_arrival[at : at + n] else ((), (), ())
            at += n
            advance = {} if times else {"advance_ms": CLOSE_ALL}
            windows.apply(offset, make_batch([], np.full(len(times), 7), np.array(times), np.array(values), **advance))
            for rollup in windows.drain():
                got[rollup.rollup, int(rollup.start_ms[0])] = float(rollup.increase[0])
    assert all(-1e-6 <= rise < 2 * 60 * 60 for rise in got.values()), got
