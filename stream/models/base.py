"""What every kind of model has in common, and how its state becomes bytes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

import msgspec
import numpy as np


@dataclass(frozen=True)
class Seen:
    """Scored windows: ``x`` float[n, features], and what led to each,
    ``past`` float16[n, length, metrics, channels]. ``memo`` : what several models make of both, made once."""

    x: np.ndarray
    past: np.ndarray
    memo: dict[str, np.ndarray] = field(default_factory=dict)

    @property
    def has_past(self) -> bool:
        """Whether ``past`` holds more than the window itself."""
        return self.past.shape[1] > 1

    @classmethod
    def together(cls, parts: list[Seen]) -> Seen:
        """Return the rows of all; metrics that came up later were 0 before."""
        features = max(part.x.shape[1] for part in parts)
        shape = max(part.past.shape[1:] for part in parts)
        x = [wide(part.x, features) for part in parts]
        past = [grown(part.past, (len(part.past), *shape), 0) for part in parts]
        return cls(np.concatenate(x), np.concatenate(past))


class Learned(NamedTuple):
    """Windows whose labels are known, oldest first: ``y`` float64[n, heads] of 0 and 1, NaN: no label for this head;
    ``number`` int64[n], of the window in the stream; ``at_ms`` int64[n], its end; ``risk`` float64[n], the model's own
    ``p_incident`` at the close; ``weight`` float64[n], how many windows each stands for (see ``sampling``)."""

    seen: Seen
    y: np.ndarray
    number: np.ndarray
    at_ms: np.ndarray
    risk: np.ndarray
    weight: np.ndarray | float = 1.0

    def some(self, rows: np.ndarray) -> Learned:
        seen = Seen(self.seen.x[rows], self.seen.past[rows])
        weight = self.weight[rows] if isinstance(self.weight, np.ndarray) else self.weight
        return Learned(seen, self.y[rows], self.number[rows], self.at_ms[rows], self.risk[rows], weight)


class Kind(Protocol):
    """A kind of model: scores windows at their close; learns them once, in order, when their labels are known.

    The same windows in the same order, with a snapshot restored anywhere between, leave the same state.
    """

    needs_past: bool  # whether it sees sequences, so not entities of which none is kept
    relearns: bool  # whether it can be made anew from the windows kept, when labels change

    def logits(self, seen: Seen) -> np.ndarray:
        """Return float64[rows, heads]; changes nothing."""

    def shares(self, seen: Seen, head: int, surprise: np.ndarray) -> tuple[np.ndarray, float]:
        """Return each metric's share float64[metrics] of one row's logit, and the rest: they sum to it.

        ``surprise`` float64[metrics] says which stand out most: no more than some tens are looked at.
        """

    def learn(self, block: Learned) -> None: ...

    def borrow(self, block: Learned) -> None:
        """Take in windows before and in incidents of another traffic period, where they say something for this one."""

    def train(self, at_ms: int) -> None:
        """Begin what takes long, in a thread of its own; called after ``learn`` as event time goes on."""

    def state(self) -> dict[str, Any]:
        """Return everything that continuing needs: scalars, lists, dicts and arrays."""

    def restore(self, state: dict[str, Any]) -> None: ...

    def carry(self, before: Any) -> None:
        """Take over from the model of the same kind, before labels changed, what cannot be learned anew."""


def sigmoid(z: np.ndarray) -> np.ndarray:
    return 1.0 / (1.0 + np.exp(-np.clip(z, -40, 40)))


def logit(p: np.ndarray) -> np.ndarray:
    p = np.clip(np.asarray(p, float), 1e-9, 1 - 1e-9)
    return np.log(p / (1 - p))


def grown(array: np.ndarray, shape: tuple[int, ...], fill: float) -> np.ndarray:
    """Return the array enlarged to ``shape`` at the ends, new cells ``fill``; itself if it has that shape."""
    if array.shape == shape:
        return array
    out = np.full(shape, fill, array.dtype)
    out[tuple(slice(n) for n in array.shape)] = array
    return out


def wide(x: np.ndarray, features: int) -> np.ndarray:
    """Return rows of ``features`` columns: those that came up later were 0 before."""
    return grown(x, (len(x), features), 0.0)


def pack(state: Any) -> bytes:
    """Return state as msgpack; arrays as dtype, shape and raw little-endian bytes, so floats come back bit for bit."""
    return msgspec.msgpack.encode(state, enc_hook=_encode)


def unpack(data: bytes) -> Any:
    return msgspec.msgpack.decode(data, ext_hook=_decode)


def _encode(value: object) -> object:
    if isinstance(value, np.ndarray):
        head = [value.dtype.str, list(value.shape), np.ascontiguousarray(value).tobytes()]
        return msgspec.msgpack.Ext(1, msgspec.msgpack.encode(head))
    if isinstance(value, np.generic):
        return value.item()
    raise NotImplementedError(type(value).__name__)


def _decode(code: int, data: memoryview) -> np.ndarray:
    if code != 1:
        raise ValueError(f"unknown extension {code} in a model's snapshot")
    dtype, shape, raw = msgspec.msgpack.decode(data)
    return np.frombuffer(raw, np.dtype(dtype)).reshape(shape).copy()
