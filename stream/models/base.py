"""What every kind of model has in common, and how its state becomes bytes."""

from __future__ import annotations

from typing import Any, Protocol

import msgspec
import numpy as np


class Model(Protocol):
    """Scores rows of features at a window's close; learns them once their labels are known."""

    def logits(self, x: np.ndarray) -> np.ndarray:
        """Return float64[rows, heads]."""

    def learn(self, x: np.ndarray, y: np.ndarray) -> None:
        """``y`` float64[rows, heads] of 0 and 1; NaN: no label for this head."""

    def state(self) -> dict[str, Any]:
        """Return everything that continuing needs: scalars, lists, dicts and arrays."""


def sigmoid(z: np.ndarray) -> np.ndarray:
    return 1.0 / (1.0 + np.exp(-np.clip(z, -40, 40)))


def logit(p: np.ndarray) -> np.ndarray:
    p = np.clip(p, 1e-9, 1 - 1e-9)
    return np.log(p / (1 - p))


def grown(array: np.ndarray, shape: tuple[int, ...], fill: float) -> np.ndarray:
    """Return the array enlarged to ``shape`` at the ends, new cells ``fill``; itself if it has that shape."""
    if array.shape == shape:
        return array
    out = np.full(shape, fill, array.dtype)
    out[tuple(slice(n) for n in array.shape)] = array
    return out


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
