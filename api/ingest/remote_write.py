"""Prometheus remote_write 1.0: a protobuf WriteRequest (prometheus/prompb/remote.proto), read field by field.

A general decoder builds an object a sample. Here the same series comes again with every scrape, byte for byte: where
they come in the same order as well, a whole request is compared with what it was (``api.ingest.label_tape``); where
not, each series' label bytes are sliced out and looked up; only what is new or unusual is read field by field.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator

import numpy as np

from api.ingest.known_labels import KnownLabels
from api.ingest.label_tape import VALUED, ZERO, LabelTape, Run
from api.ingest.parsed import Door, Parsed
from schemas.catalogue import Catalogue
from schemas.errors import DataError
from schemas.series import Series, define_series

KNOWN_BYTES_MAX = 320 << 20  # of series that are remembered: a million of which each has labels of its own
_STALE = 0x7FF0000000000002  # a NaN by which Prometheus says that a series ended
_TRIES = 16  # series that are not where they were, before a request is read without the tape
_LEARNED_MIN = 8  # series in a row


class RemoteWrite:
    """Parses requests; bounded by KNOWN_BYTES_MAX of series that it remembers, and the tape of what they were like."""

    def __init__(self, stored: Catalogue) -> None:
        """stored : the definitions of series that need not be remembered here."""
        self._stored = stored
        self._labels = KnownLabels(stored)
        self._tape = LabelTape()

    def parse(self, body: bytes, door: Door) -> Parsed:
        """Return the samples of a WriteRequest; staleness markers are understood and add none. Raises DataError."""
        self._labels.settle()
        if self._labels.nbytes > KNOWN_BYTES_MAX:
            self._labels = KnownLabels(self._stored)
            self._tape.clear()
        octets, words, alone = np.frombuffer(body, np.uint8), _words(body), True
        at, expected, tries = 0, -1, _TRIES
        while at < len(body) and tries > 0:
            tries -= 1
            entry, run = self._run(body, octets, at, expected)
            if run is not None:
                self._add(run, words, door)
                at, expected, tries = int(run.ends[-1]), entry + len(run.ends), tries + len(run.ends) // 16
                alone = True
            elif expected >= 0 and alone:  # one that is new, or whose value is zero now, or was
                at, expected, alone = self._one(body, at, door), expected + 1, False
            else:
                break
        if at < len(body):
            at = self._chained(body, octets, words, at, door)
        while at < len(body):
            at = self._one(body, at, door)
        return door.parsed

    def _run(self, body: bytes, octets: np.ndarray, at: int, expected: int) -> tuple[int, Run | None]:
        """Return the series at a position that are as they were, and where on the tape: as expected, or anywhere."""
        if 0 <= expected < len(self._tape) and len((run := self._tape.follow(octets, at, expected)).ends):
            return expected, run
        starts, ends, _ = _chain(body, at, 1)
        if starts:
            size = VALUED if body[ends[0] - VALUED : ends[0] - VALUED + 2] == b"\x12\x10" else ZERO
            entry = self._labels.entry(body[starts[0] : ends[0] - size])
            if entry not in (-1, expected) and len((run := self._tape.follow(octets, at, entry)).ends):
                return entry, run
        return -1, None

    def _one(self, body: bytes, at: int, door: Door) -> int:
        """Read one field of the request; return the position behind it."""
        number, wire, start, end = next(_fields(body, at, len(body)))
        if number == 1 and wire == 2:
            self._series(body, start, end, door)
        return end

    def _chained(self, body: bytes, octets: np.ndarray, words: np.ndarray, at: int, door: Door) -> int:
        """Take in whole columns of series whose labels are known byte for byte, with one sample behind them.

        That is what every scrape of the same target looks like. The others are read field by field. Return the position
        behind the last one.
        """
        listed, list_ends, behind = _chain(body, at)
        if not listed:
            return at
        starts, ends = np.array(listed), np.array(list_ends)
        sizes = _sample_sizes(words, starts, ends)
        keys = [body[a:b] for a, b in zip(listed, (ends - sizes).tolist(), strict=True)]
        found = self._labels.find(keys)
        unknown = np.flatnonzero((found < 0) & (sizes > 0)).tolist()
        if unknown:
            for row in unknown:
                self._meet(keys[row], door)
            self._labels.settle()
            found[unknown] = self._labels.find([keys[row] for row in unknown])
        usual = (found >= 0) & (sizes > 0)
        done = 0
        for row in [*np.flatnonzero(~usual).tolist(), len(found)]:
            if row > done:
                some = found[done:row]
                run = Run(self._labels.ids(some), ends[done:row], sizes[done:row] == VALUED)
                self._add(run, words, door)
                self._learn(octets, run, at if done == 0 else list_ends[done - 1], some)
            if row < len(found):
                self._series(body, listed[row], list_ends[row], door)
            done = row + 1
        return behind

    def _learn(self, octets: np.ndarray, run: Run, begin: int, rows: np.ndarray) -> None:
        if len(rows) < _LEARNED_MIN:
            return
        entry = self._tape.learn(octets, run, begin)
        if entry is not None:
            self._labels.set_entries(rows, entry)

    def _add(self, run: Run, words: np.ndarray, door: Door) -> None:
        """Take in the samples at the ends of these series; staleness markers add none."""
        values, times_ms = _columns(words, run.ends, run.valued)
        live = values.view(np.uint64) != _STALE
        if not live.all():
            chosen = np.flatnonzero(live)
            run, times_ms, values = run._replace(ids=run.ids[chosen]), times_ms[chosen], values[chosen]
        door.add_columns(self._labels.series, run.ids, times_ms, values)

    def _meet(self, labels: bytes, door: Door) -> None:
        """Get to know the series of these bytes, where they are labels alone and good ones."""
        try:
            pairs: Iterable[tuple[str, str]] | None = _short_labels(labels, 0, len(labels))
            if pairs is None:
                if any(number != 1 or wire != 2 for number, wire, _, _ in _fields(labels, 0, len(labels))):
                    return
                pairs = _any_labels(labels, 0, len(labels))
            self._labels.add(labels, _define(pairs, door))
        except DataError:
            return

    def _series(self, body: bytes, start: int, end: int, door: Door) -> None:
        labels_end, samples, histograms = start, [], 0
        for number, wire, a, b in _fields(body, start, end):
            if number == 1 and wire == 2:
                labels_end = b
            elif number == 2 and wire == 2:
                samples.append((a, b))
            elif number == 4 and wire == 2:
                histograms += 1
        key = body[start:labels_end]
        in_order = all(a >= labels_end for a, _ in samples)
        series = self._labels.get(key) if in_order else None
        if series is None:
            try:
                series = _define(_any_labels(body, start, labels_end), door)
            except DataError as error:
                for _ in samples or (0,):
                    door.refuse(str(error))
                return
            if in_order and not histograms:
                self._labels.add(key, series)
        for _ in range(histograms):
            door.refuse(f"cannot take native histograms ({series.metric[:80]!r}): write classic buckets as well")
        for a, b in samples:
            value, at_ms, stale = _sample(body, a, b)
            if not stale:
                door.add(series, at_ms, value)


def _chain(body: bytes, at: int, most: int = 1 << 60) -> tuple[list[int], list[int], int]:
    """Return (starts, ends, position behind them) of the time series from ``at`` on.

    It stops at whatever is not a time series of at most 16 KiB that lies whole within the body.
    """
    starts: list[int] = []
    ends: list[int] = []
    size = len(body)
    while at + 2 < size and body[at] == 0x0A and len(starts) < most:
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
    return starts, ends, at


def _words(body: bytes) -> np.ndarray:
    """Return the eight bytes from each position on as a number, uint64[len - 7], without a copy."""
    return np.ndarray((max(len(body) - 7, 0),), "<u8", body if len(body) > 7 else bytes(8), strides=(1,))


def _sample_sizes(words: np.ndarray, starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Return by time series the bytes of the sample it seems to end with, int64[n]: 18, 9 for a zero, 0 for neither.

    It ends with a sample for sure where the bytes before it are whole labels. Protobuf leaves a value of zero out.
    """
    sizes = np.zeros(len(starts), np.int64)
    for length, head in ((ZERO, 0x100712), (VALUED, 0x091012)):
        rows = np.flatnonzero(ends - starts >= length)
        last = words[ends[rows] - 8] >> np.uint64(8)  # tag and six octets of the time
        timed = (last & np.uint64(0x808080808080FF)) == 0x00808080808010
        begins = words[ends[rows] - length] & np.uint64(0xFFFFFF)
        sizes[rows[timed & (begins == head)]] = length
    return sizes


def _columns(words: np.ndarray, ends: np.ndarray, valued: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return (float64 values, int64 ms) of samples of the usual lengths that end at these positions."""
    if valued.all():
        values = words[ends - 15].view(np.float64)
    else:
        values = np.zeros(len(ends))
        values[valued] = words[ends[valued] - 15].view(np.float64)
    octets = words[ends - 8] >> np.uint64(16)
    times_ms = octets & np.uint64(0x7F)
    for number in range(1, 6):
        times_ms |= (octets >> np.uint64(number)) & np.uint64(0x7F << 7 * number)
    return values, times_ms.view(np.int64)


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


def _define(pairs: Iterable[tuple[str, str]], door: Door) -> Series:
    labels: dict[str, str] = {}
    for name, value in pairs:
        if name in labels:
            raise DataError(f"cannot use label {name[:40]!r}: it is there twice")
        labels[name] = value
    return door.series(labels.pop("__name__", ""), labels, make=define_series)


def _short_labels(body: bytes, at: int, end: int) -> list[tuple[str, str]] | None:
    """Return the labels where all are as they mostly are: name, then value, together under 128 bytes."""
    out: list[tuple[str, str]] = []
    while at < end:
        if at + 6 > end or body[at] != 0x0A or body[at + 2] != 0x0A:
            return None
        behind, value_at = at + 2 + body[at + 1], at + 4 + body[at + 3]
        if body[at + 1] > 127 or behind > end or value_at + 2 > behind or body[value_at] != 0x12:
            return None
        if value_at + 2 + body[value_at + 1] != behind:
            return None
        out.append((_text(body[at + 4 : value_at]), _text(body[value_at + 2 : behind])))
        at = behind
    return out


def _any_labels(body: bytes, start: int, end: int) -> Iterator[tuple[str, str]]:
    for number, wire, a, b in _fields(body, start, end):
        if number == 1 and wire == 2:
            pair = {n: body[x:y] for n, w, x, y in _fields(body, a, b) if w == 2}
            yield _text(pair.get(1, b"")), _text(pair.get(2, b""))


def _text(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise DataError(f"cannot read a label: {error}") from error


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
