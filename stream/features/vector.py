"""The features of an entity's window, as the logistic model sees them."""

from __future__ import annotations

import numpy as np

from stream.models.unusual import Residuals

SUMMARY = ("surprise", "surprise_top", "missing", "unusual")
METRIC_SCALE = 0.15  # keeps the length of a vector near 1 for tens of metrics, so that one rate of learning does
PER_METRIC = 3  # how far off in units of the usual deviation, its size, and how far off the last minutes' level


def squeeze(z: np.ndarray) -> np.ndarray:
    """Return z with its size on a logarithmic scale: far off and very far off differ, but do not drown the rest."""
    return np.sign(z) * np.log1p(np.abs(z))


def features(residuals: Residuals, seen: np.ndarray) -> np.ndarray:
    """Return float16[n, 4 + 3 M]: the summary, then three a metric, so that new metrics only ever append.

    seen : float64[n, M], how many windows of each metric were learned; a metric usually there and missing now counts.
    """
    n, metrics = residuals.value.shape
    out = np.zeros((n, len(SUMMARY) + PER_METRIC * metrics))
    usual = seen > 10
    absent = usual & ~np.isfinite(residuals.value)
    if metrics:
        top = min(5, metrics)
        out[:, 0] = np.log1p(residuals.surprise.mean(1))
        out[:, 1] = np.log1p(np.partition(residuals.surprise, metrics - top, 1)[:, -top:].mean(1))
        out[:, 2] = absent.sum(1) / np.maximum(usual.sum(1), 1)
    out[:, 3] = residuals.score
    long, short = squeeze(residuals.long), squeeze(residuals.short)
    body = out[:, len(SUMMARY) :].reshape(n, metrics, PER_METRIC)
    body[:, :, 0], body[:, :, 1], body[:, :, 2] = long, np.abs(long), short
    body *= METRIC_SCALE
    return out.astype(np.float16)
