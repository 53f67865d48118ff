"""Prometheus remote_write 1.0: a protobuf WriteRequest (prometheus/prompb/remote.proto), read field by field.

A general decoder builds an object a sample. This one slices out each series' label bytes and keeps what they mean:
the same series comes again with every scrape, byte for byte.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

import numpy as np

from api.ingest.parsed import Door, Parsed
from schemas.errors import DataError
from schemas.series import Series

KNOWN_MAX = 200_000
_STALE = 0x7FF0000000000002  # a NaN by which Prometheus says that a series ended
_SAMPLE_SIZE = 18  # tag, length, tag, double, tag, a time of six bytes: 2004 to 2109
_ZERO_SIZE = 9  # the same without the double


class RemoteWrite:
    """Parses requests; bounded by KNOWN_MAX series that it remembers."""

    def __init__(self) -> None:
        self._known: dict[bytes, Series] = {}

    def parse(self, body: bytes, door: Door) -> Parsed:
        """Return the samples of a WriteRequest; staleness markers are understood and add none. Raises DataError."""
        starts, ends, at = _chain(body)
        if len(starts):
            self._known_ones(body, starts, ends, door)
        for number, wire, start, end in _fields(body, at, len(body)):
            if number == 1 and wire == 2:
                self._series(body, start, end, door)
        return door.parsed

    def _known_ones(self, body: bytes, starts: np.ndarray, ends: np.ndarray, door: Door) -> None:
        """Take in whole columns of series whose labels are known byte for byte, with one sample behind them.

        That is what every scrape of the same target looks like. The others are read field by field.
        """
        octets = np.frombuffer(body, np.uint8)
        sizes = _sample_sizes(octets, starts, ends)
        known, label_ends = self._known, (ends - sizes).tolist()
        found = [known.get(body[a:b]) for a, b in zip(starts.tolist(), label_ends, strict=True)]
        usual = (sizes > 0) & np.fromiter((one is not None for one in found), bool, len(found))
        values, times_ms = _columns(octets, ends[usual], sizes[usual] == _SAMPLE_SIZE)
        live = values.view(np.uint64) != _STALE
        chosen = np.flatnonzero(usual)[live].tolist()
        series = [one for row in chosen if (one := found[row]) is not None]
        door.add_columns(series, times_ms[live], values[live])
        for row in np.flatnonzero(~usual).tolist():
            self._series(body, int(starts[row]), int(ends[row]), door)

    def _series(self, body: bytes, start: int, end: int, door: Door) -> None:
        labels_end, samples = start, []
        for number, wire, a, b in _fields(body, start, end):
            if number == 1 and wire == 2:
                labels_end = b
            elif number == 2 and wire == 2:
                samples.append((a, b))
        key = body[start:labels_end]
        in_order = all(a >= labels_end for a, _ in samples)
        series = self._known.get(key) if in_order else None
        if series is None:
            try:
                series = _define(body, start, labels_end, door)
            except DataError as error:
                for _ in samples or (0,):
                    door.refuse(str(error))
                return
            if in_order:
                if len(self._known) >= KNOWN_MAX:
                    self._known.clear()
                self._known[key] = series
        for a, b in samples:
            value, at_ms, stale = _sample(body, a, b)
            if not stale:
                door.add(series, at_ms, value)


def _chain(body: bytes) -> tuple[np.ndarray, np.ndarray, int]:
    """Return (starts, ends, position behind them), int64[n], of the time series that the body begins with.

    It stops at whatever is not a time series of at most 16 KiB that lies whole within the body.
    """
    starts: list[int] = []
    ends: list[int] = []
    at, size = 0, len(body)
    while at + 2 < size and body[at] == 0x0A:
        length, start = body[at + 1], at + 2
        if length > 127:
            if body[start] > 127:
                break
            length, start = (length & 127) | body[start] << 7, start + 1
        end = start + length
        if end > size:
            break
        starts.append(start)
        ends.append(end)
        at = end
    return np.array(starts, np.int64), np.array(ends, np.int64), at


def _sample_sizes(octets: np.ndarray, starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Return by time series the bytes of the sample it seems to end with, int64[n]: 18, 9 for a zero, 0 for neither.

    It ends with a sample for sure where the bytes before it are whole labels. Protobuf leaves a value of zero out.
    """

    def behind(back: int) -> np.ndarray:
        return octets[np.maximum(ends - back, 0)]

    timed = (behind(7) == 0x10) & (behind(1) < 128)
    for back in range(2, 7):
        timed &= behind(back) > 127
    sizes = np.zeros(len(starts), np.int64)
    zero = timed & (ends - starts >= _ZERO_SIZE) & (behind(9) == 0x12) & (behind(8) == 0x07)
    full = timed & (ends - starts >= _SAMPLE_SIZE) & (behind(18) == 0x12) & (behind(17) == 0x10) & (behind(16) == 0x09)
    sizes[zero] = _ZERO_SIZE
    sizes[full] = _SAMPLE_SIZE
    return sizes


def _columns(octets: np.ndarray, ends: np.ndarray, has_value: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return (float64 values, int64 ms) of samples of the usual lengths that end at these positions."""
    values = np.zeros(len(ends))
    values[has_value] = octets[(ends[has_value] - 15)[:, None] + np.arange(8)].copy().view("<f8")[:, 0]
    sevens = octets[(ends - 6)[:, None] + np.arange(6)].astype(np.int64) & 127
    return values, (sevens << (7 * np.arange(6))).sum(1)


def _sample(body: bytes, start: int, end: int) -> tuple[float, int, bool]:
    """Return value, epoch ms, and whether it only says that the series ended."""
    value, at_ms, stale = 0.0, 0, False
    for number, wire, a, _ in _fields(body, start, end):
        if number == 1 and wire == 1:
            (value,) = struct.unpack_from("<d", body, a)
            stale = struct.unpack_from("<Q", body, a)[0] == _STALE
        elif number == 2 and wire == 0:
            at_ms = a if a < 1 << 63 else a - (1 << 64)
    return value, at_ms, stale


def _define(body: bytes, start: int, end: int, door: Door) -> Series:
    labels: dict[str, str] = {}
    for number, wire, a, b in _fields(body, start, end):
        if number != 1 or wire != 2:
            continue
        pair = {n: body[x:y] for n, w, x, y in _fields(body, a, b) if w == 2}
        try:
            name, value = pair.get(1, b"").decode(), pair.get(2, b"").decode()
        except UnicodeDecodeError as error:
            raise DataError(f"cannot read a label: {error}") from error
        if name in labels:
            raise DataError(f"cannot use label {name[:40]!r}: it is there twice")
        labels[name] = value
    return door.series(labels.pop("__name__", ""), labels)


def _fields(body: bytes, at: int, end: int) -> Iterator[tuple[int, int, int, int]]:
    """Yield (number, wire type, a, b): the span of a field's bytes, of a varint its value and the position behind."""
    while at < end:
        tag, at = _varint(body, at, end)
        number, wire = tag >> 3, tag & 7
        if wire == 0:
            value, at = _varint(body, at, end)
            yield number, wire, value, at
            continue
        if wire == 2:
            size, at = _varint(body, at, end)
        elif wire in (1, 5):
            size = 8 if wire == 1 else 4
        else:
            raise DataError(f"cannot read the protobuf message: wire type {wire} at byte {at}")
        if at + size > end:
            raise DataError(f"cannot read the protobuf message: a field at byte {at} ends behind its message")
        yield number, wire, at, at + size
        at += size


def _varint(body: bytes, at: int, end: int) -> tuple[int, int]:
    value = shift = 0
    while at < end and shift < 70:
        byte = body[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value & 0xFFFFFFFFFFFFFFFF, at
        shift += 7
    raise DataError(f"cannot read the protobuf message: a number at byte {at} does not end")
