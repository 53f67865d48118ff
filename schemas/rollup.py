"""The rollups of closed windows: columnar, one row a series and window."""

from __future__ import annotations

import msgspec
import numpy as np

from schemas.names import Names, decode_names

# Mergeable columns, in order, then the quantiles read off the sketch.
FLOATS = ("sum", "min", "max", "sumsq", "first", "last", "increase", "p50", "p95", "p99")


class Rollup(msgspec.Struct):
    """Series of one partition in windows ``[start_ms, end_ms)`` of one definition.

    Arrays have one row a window and series (n rows); a window that closes on time comes alone, corrections by the many.
    ``sumsq`` is the sum of squared deviations from the mean (Welford's M2, so that mean and stddev stay exact for large
    values); stddev = sqrt(sumsq/count), the population's. ``increase`` is NaN but for counters; rate = increase /
    window seconds. The sketch has log buckets, relative error 1 %. Row i's buckets are
    sketch_keys[sketch_offsets[i]:sketch_offsets[i+1]], int16, and sketch_counts likewise, uint32.
    ``version`` : the highest log offset whose samples may be in it: the row holds exactly all samples of that series
    and window at offsets <= version.
    ``late`` : a correction of windows that had been closed before.
    """

    rollup: str
    start_ms: np.ndarray  # int64[n]
    end_ms: np.ndarray  # int64[n]
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

    def where(self, rows: np.ndarray) -> Rollup:
        """Return some of the rows, without their sketches."""
        columns = {name: getattr(self, name)[rows] for name in _ROW_COLUMNS}
        return Rollup(
            rollup=self.rollup,
            sketch_offsets=np.zeros(len(rows) + 1, np.int64),
            sketch_keys=np.zeros(0, np.int16),
            sketch_counts=np.zeros(0, np.uint32),
            version=self.version,
            late=self.late,
            **columns,
        )

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def nbytes(self) -> int:
        """Return how much memory the columns take."""
        return sum(
            value.nbytes for value in (getattr(self, f) for f in self.__struct_fields__) if hasattr(value, "nbytes")
        )

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


_ROW_COLUMNS = ("start_ms", "end_ms", "ids", "count", "first_ms", "last_ms", *FLOATS)


class RollupMessage(msgspec.Struct):
    """A Rollup as it crosses the log (topic ``rollups``), with the series that its rows name; no sketch."""

    rollup: str
    version: int
    late: bool
    starts: bytes  # int64 each
    ends: bytes
    rows: bytes  # int64 each, which of ``series`` a row is of
    count: bytes  # uint64 each
    columns: dict[str, bytes]  # float64 each, names from STATS
    definitions: msgspec.Raw = msgspec.field(name="series")  # so a reader needs no other source

    @property
    def names(self) -> Names:
        """Return what ``rows`` point to; raises as ``decode_names``."""
        return decode_names(self.definitions)


STATS = ("sum", "min", "max", "mean", "stddev", "first", "last", "p50", "p95", "p99", "rate", "increase")

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(RollupMessage)


def encode_rollup(rollup: Rollup, part: slice | np.ndarray, rows: np.ndarray, names: msgspec.Raw) -> bytes:
    """Return the message for the log, of some rows.

    rows : which of ``names``, encoded by ``encode_names``, each row of the part is of.
    """
    columns = {stat: np.ascontiguousarray(getattr(rollup, stat)[part], "<f8").tobytes() for stat in STATS}
    message = {
        "rollup": rollup.rollup,
        "version": rollup.version,
        "late": rollup.late,
        "starts": rollup.start_ms[part].astype("<i8").tobytes(),
        "ends": rollup.end_ms[part].astype("<i8").tobytes(),
        "rows": rows.astype("<i8").tobytes(),
        "count": rollup.count[part].astype("<u8").tobytes(),
        "columns": columns,
        "series": names,
    }
    return _encoder.encode(message)


def decode_rollup(data: bytes) -> RollupMessage:
    return _decoder.decode(data)
