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


class RemoteWrite:
    """Parses requests; bounded by KNOWN_MAX series that it remembers."""

    def __init__(self) -> None:
        self._known: dict[bytes, Series] = {}

    def parse(self, body: bytes, door: Door) -> Parsed:
        """Return the samples of a WriteRequest; staleness markers are understood and add none. Raises DataError."""
        at, series, ends = self._known_run(body)
        if series:
            values, times_ms = _columns(body, np.array(ends))
            live = values.view(np.uint64) != _STALE
            if not live.all():
                series = [one for one, alive in zip(series, live.tolist(), strict=True) if alive]
            door.add_columns(series, times_ms[live], values[live])
        for number, wire, start, end in _fields(body, at, len(body)):
            if number == 1 and wire == 2:
                self._series(body, start, end, door)
        return door.parsed

    def _known_run(self, body: bytes) -> tuple[int, list[Series], list[int]]:
        """Return (position behind it, series, where each ends) of the run of known series that the body begins with.

        Only series whose labels are known byte for byte, with one sample of today's length behind them: what every
        scrape of the same target looks like. All else is read field by field.
        """
        known, series, ends = self._known.get, [], []
        at, size = 0, len(body)
        while at + 2 < size and body[at] == 0x0A:
            length, start = body[at + 1], at + 2
            if length > 127:
                if body[start] > 127:
                    break
                length, start = (length & 127) | body[start] << 7, start + 1
            end = start + length
            if end > size or length < _SAMPLE_SIZE or body[end - 7] != 0x10 or body[end - 1] > 127:
                break
            if body[end - 18 : end - 15] != b"\x12\x10\x09" or min(body[end - 6 : end - 1]) < 128:
                break
            one = known(body[start : end - _SAMPLE_SIZE])
            if one is None:
                break
            series.append(one)
            ends.append(end)
            at = end
        return at, series, ends

    def _series(self, body: bytes, start: int, end: int, door: Door) -> None:
        labels_end, samples = start, []
        for number, wire, a, b in _fields(body, start, end):
            if number == 1 and wire == 2:
                labels_end = b
            elif number == 2 and wire == 2:
                samples.append((a, b))
        key = body[start:labels_end]
        series = self._known.get(key)
        if series is None:
            try:
                series = _define(body, start, labels_end, door)
            except DataError as error:
                for _ in samples or (0,):
                    door.refuse(str(error))
                return
            if len(self._known) >= KNOWN_MAX:
                self._known.clear()
            self._known[key] = series
        for a, b in samples:
            value, at_ms, stale = _sample(body, a, b)
            if not stale:
                door.add(series, at_ms, value)


def _columns(body: bytes, ends: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return (float64 values, int64 ms) of samples of the usual length that end at these positions."""
    octets = np.frombuffer(body, np.uint8)
    values = octets[(ends - 15)[:, None] + np.arange(8)].copy().view("<f8")[:, 0]
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
