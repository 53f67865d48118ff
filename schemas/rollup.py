"""The rollups of one closed window: columnar, one row a series."""

from __future__ import annotations

import msgspec
import numpy as np

from schemas.series import Series

# Mergeable columns, in order, then the quantiles read off the sketch.
FLOATS = ("sum", "min", "max", "sumsq", "first", "last", "increase", "p50", "p95", "p99")


class Rollup(msgspec.Struct):
    """All series of one partition in one window ``[start_ms, end_ms)``.

    Arrays have one row a series (n rows). ``sumsq`` is the sum of squared deviations from the mean (Welford's M2, so
    that mean and stddev stay exact for large values); stddev = sqrt(sumsq/count), the population's.
    ``increase`` is NaN but for counters; rate = increase / window seconds.
    The sketch has log buckets, relative error 1 %. Row i's buckets are
    sketch_keys[sketch_offsets[i]:sketch_offsets[i+1]],
    int16, and sketch_counts likewise, uint32.
    ``version`` : the highest log offset whose samples may be in it: the row holds exactly all samples of that series
    and window at offsets <= version.
    ``late`` : a correction of a window that had been closed before.
    """

    rollup: str
    start_ms: int
    end_ms: int
    ids: np.ndarray  # uint64[n]
    count: np.ndarray  # uint64[n]
    sum: np.ndarray  # float64[n] …
    min: np.ndarray
    max: np.ndarray
    sumsq: np.ndarray
    first: np.ndarray
    last: np.ndarray
    first_ms: np.ndarray  # int64[n]
    last_ms: np.ndarray  # int64[n]
    increase: np.ndarray
    p50: np.ndarray
    p95: np.ndarray
    p99: np.ndarray
    sketch_offsets: np.ndarray  # int64[n + 1]
    sketch_keys: np.ndarray  # int16
    sketch_counts: np.ndarray  # uint32
    version: int
    late: bool = False

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def mean(self) -> np.ndarray:
        return self.sum / self.count

    @property
    def stddev(self) -> np.ndarray:
        return np.sqrt(self.sumsq / self.count)

    @property
    def rate(self) -> np.ndarray:
        """Increase per second, NaN but for counters."""
        return self.increase / ((self.end_ms - self.start_ms) / 1000)


class RollupMessage(msgspec.Struct):
    """A Rollup as it crosses the log (topic ``rollups``), with the series that its rows name; no sketch."""

    rollup: str
    start_ms: int
    end_ms: int
    version: int
    late: bool
    ids: bytes
    count: bytes
    columns: dict[str, bytes]  # float64 each, names from STATS
    series: list[Series]  # same order as ids: a reader needs no other source


STATS = ("sum", "min", "max", "mean", "stddev", "first", "last", "p50", "p95", "p99", "rate", "increase")

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(RollupMessage)


def encode_rollup(rollup: Rollup, series: list[Series]) -> bytes:
    """Return the message for the log; ``series`` in row order."""
    columns = {stat: np.ascontiguousarray(getattr(rollup, stat), "<f8").tobytes() for stat in STATS}
    return _encoder.encode(
        RollupMessage(
            rollup.rollup,
            rollup.start_ms,
            rollup.end_ms,
            rollup.version,
            rollup.late,
            rollup.ids.astype("<u8").tobytes(),
            rollup.count.astype("<u8").tobytes(),
            columns,
            series,
        )
    )


def decode_rollup(data: bytes) -> RollupMessage:
    return _decoder.decode(data)
