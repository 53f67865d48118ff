"""One record on the ``samples`` topic: a batch of samples of one partition, columnar."""

from __future__ import annotations

from typing import NamedTuple

import msgspec
import numpy as np

from schemas.series import Series

NO_ADVANCE = -(2**62)
CLOSE_ALL = 2**62


class SampleBatch(msgspec.Struct, array_like=True):
    """Samples as raw little-endian columns.

    series : definitions that the writer is not sure this partition has seen; a repeated definition is harmless.
    ids, times, values : uint64 series ids, int64 epoch ms, float64 values; equally long.
    requests : (digest, samples) per client request in this batch, in order, so that a request that a client sent again
        is counted once; digest 0 means "never a repeat".
    advance_ms : the writer says that this partition is complete up to this event time (NO_ADVANCE: says nothing,
        CLOSE_ALL: nothing more is expected, close every window of the history lane). Put on the log by the
        partition's owner when it is idle, so that a replay sees the same.
    sent_ms : our clock at the writer.
    """

    series: list[Series]
    ids: bytes
    times: bytes
    values: bytes
    requests: list[tuple[int, int]]
    advance_ms: int = NO_ADVANCE
    sent_ms: int = 0


class Columns(NamedTuple):
    ids: np.ndarray  # uint64[n]
    times: np.ndarray  # int64[n], epoch ms
    values: np.ndarray  # float64[n]


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(SampleBatch)


def encode_batch(batch: SampleBatch) -> bytes:
    return _encoder.encode(batch)


def decode_batch(data: bytes) -> SampleBatch:
    """Return the batch; raises msgspec.DecodeError/ValidationError on anything else."""
    return _decoder.decode(data)


def may_define(data: bytes) -> bool:
    """Whether a record may hold definitions of series: told by its second byte, the length of its first list."""
    return data[1:2] != b"\x90"


def columns(batch: SampleBatch) -> Columns:
    """Return the columns as read-only arrays; raises ValueError when their lengths differ."""
    ids = np.frombuffer(batch.ids, "<u8")
    times = np.frombuffer(batch.times, "<i8")
    values = np.frombuffer(batch.values, "<f8")
    if not len(ids) == len(times) == len(values):
        raise ValueError(f"cannot read a batch: {len(ids)} ids, {len(times)} times, {len(values)} values; want as many")
    return Columns(ids, times, values)


def make_batch(
    series: list[Series],
    ids: np.ndarray,
    times: np.ndarray,
    values: np.ndarray,
    *,
    requests: list[tuple[int, int]] | None = None,
    sent_ms: int = 0,
    advance_ms: int = NO_ADVANCE,
) -> SampleBatch:
    """Return a batch from arrays; without ``requests`` the samples count as one request that is never a repeat."""
    return SampleBatch(
        series,
        np.ascontiguousarray(ids, "<u8").tobytes(),
        np.ascontiguousarray(times, "<i8").tobytes(),
        np.ascontiguousarray(values, "<f8").tobytes(),
        [(0, len(ids))] if requests is None else requests,
        advance_ms,
        sent_ms,
    )
