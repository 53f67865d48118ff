"""What late samples of counters, and the stored rows around them, rise by, against plain Python over all samples."""

from itertools import pairwise

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.window_spec import parse_rollup
from stream.window.counters import LOOK_BACK_MS
from stream.window.part import Part
from stream.window.rises import COLUMNS, rises_of

BEGIN = 1_700_000_000_000
# Of each sample: ms and rise since the one before, and whether it comes late.
samples = st.lists(st.tuples(st.integers(1, 400_000), st.integers(1, 9), st.booleans()), min_size=1, max_size=40)


def rises(samples):
    """Return what each of (ms, value) in order rises by."""
    first = {samples[0]: 0.0} if samples else {}
    return first | {b: b[1] - a[1] if b[0] - a[0] <= LOOK_BACK_MS else 0.0 for a, b in pairwise(samples)}


def windows_of(spec, samples):
    """Return the samples of each window, by series and start."""
    out = {}
    for one, of in samples.items():
        for at, value in of:
            newest = at // spec.hop_ms * spec.hop_ms
            for start in range(newest, at - spec.size_ms, -spec.hop_ms):
                out.setdefault((one, start), []).append((at, value))
    return out


@settings(max_examples=200, deadline=None)
@given(st.lists(samples, min_size=1, max_size=3), st.sampled_from(["10s", "1m", "5m/1m"]))
def test_windows_rise_by_what_all_samples_do_whichever_come_late(series, rollup):
    spec, every, early, late = parse_rollup(rollup), {}, {}, {}
    for one, steps in enumerate(series):
        at, value = BEGIN, 1000.0
        for wait, rise, is_late in steps:
            at, value = at + wait, value + rise
            every.setdefault(one, []).append((at, value))
            (late if is_late else early).setdefault(one, []).append((at, value))
    known = {one: rises(of) for one, of in early.items()}
    rows = [
        (one, start, held[0][1], held[0][0], held[-1][1], held[-1][0], sum(known[one][sample] for sample in held))
        for (one, start), held in windows_of(spec, early).items()
    ]
    stored = {name: np.array([row[n] for row in rows]) for n, name in enumerate(COLUMNS)}
    owed = [(one, start, *s) for (one, start), held in windows_of(spec, late).items() for s in held]
    ids, starts, times, values = (np.array([row[n] for row in owed]) for n in range(4))
    part = Part(ids.astype(np.uint64), times.astype(np.int64), values.astype(float), np.zeros(len(owed), np.int64))
    found = rises_of(spec, part, starts.astype(np.int64), stored)

    got = {(row[0], row[1]): row[-1] for row in rows}
    got |= {rows[row][:2]: more for row, more in zip(found.rows.tolist(), found.increase.tolist(), strict=True)}
    for (one, start, *_), rise in zip(owed, found.late.tolist(), strict=True):
        got[one, start] = got.get((one, start), 0.0) + rise
    all_rises = {one: rises(of) for one, of in every.items()}
    want = {key: sum(all_rises[key[0]][s] for s in held) for key, held in windows_of(spec, every).items()}
    assert got == want
