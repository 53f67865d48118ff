"""Raw samples in a store: the table ``raw_samples``, which the view ``samples`` shows each of once.

A sample is known by its place in its partition's log. So whoever stores it again, an owner that died, or one that was
paused and wrote on, stores the same row (ReplacingMergeTree), and samples that are equal stay as many as they were.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from store.base import Store

SAMPLES_AT_ONCE = 500_000
SAMPLES_A_RECORD = 1 << 22  # more than fit into a record of the log


class RawSamples(NamedTuple):
    """Samples as columns."""

    ids: np.ndarray  # uint64[n]
    times: np.ndarray  # int64[n], epoch ms
    values: np.ndarray  # float64[n]
    places: np.ndarray  # int64[n], log offset * SAMPLES_A_RECORD + which of its record's samples it is

    @property
    def nbytes(self) -> int:
        return sum(column.nbytes for column in self)


def place(offset: int, numbers: np.ndarray) -> np.ndarray:
    """Return int64[n] places of samples in the record at a log offset. numbers : int64[n], which of its samples."""
    assert not len(numbers) or numbers[-1] < SAMPLES_A_RECORD, "BUG: more samples than a record can hold"
    return offset * SAMPLES_A_RECORD + numbers


def write(store: Store, raw: list[RawSamples]) -> None:
    """Write them in a few large blocks; what is written is taken off the list, so that trying again adds it no more."""
    while raw:
        sizes = np.cumsum([len(part.ids) for part in raw])
        n = min(len(raw), int(np.searchsorted(sizes, SAMPLES_AT_ONCE)) + 1)  # of those there are now: more may come
        ids, times, values, places = (np.concatenate(column) for column in zip(*raw[:n], strict=True))
        store.insert("raw_samples", {"series_id": ids, "timestamp_ms": times, "value": values, "place": places})
        del raw[:n]
