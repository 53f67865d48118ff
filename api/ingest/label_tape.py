"""What the last requests looked like: their time series end to end, so that the next is compared, not read.

The same client sends the same series in the same order, byte for byte but for values and times. Where that is so, one
comparison of bytes under a mask stands for reading every label of thousands of series.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

TAPE_BYTES_MAX = 12 << 20
VALUED, ZERO = 18, 9  # bytes of a sample with a value, and of one whose value is left out because it is zero
_FIRST_LOOK = 4096  # bytes; a series that is not as expected should not cost the comparison of all behind it
_LOOK_MAX = 65536
# Tag, length, tag, eight octets of value, tag, six octets of time: what must be so, and which bits of it are fixed.
_SAMPLES = {
    VALUED: (
        b"\x12\x10\x09" + bytes(8) + b"\x10" + b"\x80" * 5 + b"\0",
        b"\xff" * 3 + bytes(8) + b"\xff" + b"\x80" * 6,
    ),
    ZERO: (b"\x12\x07\x10" + b"\x80" * 5 + b"\0", b"\xff" * 3 + b"\x80" * 6),
}


class Run(NamedTuple):
    """Consecutive time series of a body that are as they were."""

    ids: np.ndarray  # uint64[n]
    ends: np.ndarray  # int64[n], positions in the body
    valued: np.ndarray  # bool[n]


class LabelTape:
    """Holds at most TAPE_BYTES_MAX bytes of time series, as many of mask, and 17 bytes an entry."""

    def __init__(self) -> None:
        self._size = self._count = 0
        self._octets = np.zeros(1 << 16, np.uint8)
        self._mask = np.zeros(1 << 16, np.uint8)
        self._bounds = np.zeros(1024, np.int64)  # entry i lies in [bounds[i], bounds[i + 1])
        self._valued = np.zeros(1024, bool)
        self._ids = np.zeros(1024, np.uint64)
        self._room = TAPE_BYTES_MAX

    def __len__(self) -> int:
        return self._count

    def clear(self) -> None:
        self._size = self._count = 0

    def follow(self, octets: np.ndarray, at: int, entry: int) -> Run:
        """Return the time series of a body, from ``at`` on, that are the same as those from an entry on.

        octets : uint8, the body. Values and times may differ; labels, order and the way a sample is written may not.
        """
        begin = int(self._bounds[entry])
        most, done, look = min(len(octets) - at, self._size - begin), 0, _FIRST_LOOK
        while done < most:
            step = min(look, most - done)
            here, there = at + done, begin + done
            differs = octets[here : here + step] ^ self._octets[there : there + step]
            differs &= self._mask[there : there + step]
            if differs.any():
                done += int(differs.astype(bool).argmax())
                break
            done += step
            look = min(2 * look, _LOOK_MAX)
        bounds = self._bounds[entry + 1 : self._count + 1]
        end = entry + int(np.searchsorted(bounds, begin + done, "right"))
        self._room = min(TAPE_BYTES_MAX, self._room + int(self._bounds[end]) - begin)
        return Run(
            self._ids[entry:end].copy(),
            self._bounds[entry + 1 : end + 1] + (at - begin),
            self._valued[entry:end],
        )

    def learn(self, octets: np.ndarray, run: Run, begin: int) -> int | None:
        """Append the time series of a body from ``begin`` on; return the first one's entry.

        None where that does not pay: what was learned before was hardly ever met again. A tape that is full begins
        anew, so the caller forgets the entries it knows when this returns 0.
        """
        size, n = int(run.ends[-1]) - begin, len(run.ends)
        if size > self._room:
            self._room = min(TAPE_BYTES_MAX, self._room + size // 16)
            return None
        self._room -= size
        if self._size + size > TAPE_BYTES_MAX:
            self.clear()
        self._grow(self._size + size, self._count + n)
        entry, at = self._count, self._size
        ends = run.ends + (at - begin)
        self._octets[at : at + size] = octets[begin : begin + size]
        self._mask[at : at + size] = 255
        for length, chosen in ((VALUED, ends[run.valued]), (ZERO, ends[~run.valued])):
            fixed, mask = (np.frombuffer(part, np.uint8) for part in _SAMPLES[length])
            spans = (chosen - length)[:, None] + np.arange(length)
            self._octets[spans], self._mask[spans] = fixed, mask
        self._bounds[entry + 1 : entry + 1 + n] = ends
        self._valued[entry : entry + n], self._ids[entry : entry + n] = run.valued, run.ids
        self._size, self._count = at + size, entry + n
        return entry

    def _grow(self, size: int, count: int) -> None:
        if size > len(self._octets):
            more = max(size, min(TAPE_BYTES_MAX, 2 * len(self._octets))) - len(self._octets)
            self._octets, self._mask = (np.append(a, np.zeros(more, np.uint8)) for a in (self._octets, self._mask))
        if count + 1 > len(self._bounds):
            more = max(count + 1, 2 * len(self._bounds)) - len(self._bounds)
            self._bounds = np.append(self._bounds, np.zeros(more, np.int64))
            self._valued = np.append(self._valued, np.zeros(more, bool))
            self._ids = np.append(self._ids, np.zeros(more, np.uint64))
