"""Samples between the log and the windows."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Part(NamedTuple):
    """Samples as columns, in the order they came."""

    ids: np.ndarray  # uint64[n]
    times: np.ndarray  # int64[n]
    values: np.ndarray  # float64[n]
    offsets: np.ndarray  # int64[n], the log offset each sample came with

    def where(self, mask: np.ndarray) -> Part:
        return Part(self.ids[mask], self.times[mask], self.values[mask], self.offsets[mask])


def joined(parts: list[Part]) -> Part:
    """Return the samples of several parts, one after the other; at least one part."""
    return parts[0] if len(parts) == 1 else Part(*(np.concatenate(column) for column in zip(*parts, strict=True)))
