"""Columns that grow."""

from __future__ import annotations

from typing import Any

import numpy as np


def grown(column: np.ndarray, size: int, value: Any) -> np.ndarray:
    """Return the column with at least so many rows, new ones of that value; a quarter more where it grows at all."""
    if size <= len(column):
        return column
    more = np.full(max(size, len(column) * 5 // 4) - len(column), value, column.dtype)
    return np.concatenate([column, more])
