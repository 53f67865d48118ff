"""The features of an entity's window, as the logistic model sees them."""

from __future__ import annotations

import numpy as np

from stream.models.unusual import Residuals

# The share of the usual metrics that is missing; how far the metric has drifted that has furthest (features.drift); the
# log-odds of the score, now and over the last minutes; likeness to a past incident; that the entity's last incident
# ended in the last half hour, in the last two hours; how much of the last minutes it was silent (models.context).
SUMMARY = ("missing", "drifting", "unusual", "lingering", "similar", "recovering", "recovered", "silent")
# Believed before any incident was told, by reasoning: the odder, the longer so, the further a metric has drifted, and
# the more like a past incident, the likelier a window belongs to one; an entity that has just recovered is odd for a
# while without a new one. Silence may be a deploy as well as a crash: what it means is left to be learned.
PRIOR = (0.0, 6.0, 2.0, 4.0, 2.0, -1.0, -2.0, 0.0)
PRIOR_BIAS = -1.0
DRIFT_SCALE = 0.25  # as what the odds of the score are divided by
METRIC_SCALE = 0.15  # keeps the length of a vector near 1 for tens of metrics, so that one rate of learning does
PER_METRIC = 3  # how far off in units of the usual deviation, its size, and how far off the last minutes' level


def squeeze(z: np.ndarray) -> np.ndarray:
    """Return z with its size on a logarithmic scale: far off and very far off differ, but do not drown the rest."""
    return np.sign(z) * np.log1p(np.abs(z))


def body(residuals: Residuals) -> np.ndarray:
    """Return float64[n, 3 M], three a metric."""
    n, metrics = residuals.value.shape
    out = np.empty((n, metrics, PER_METRIC))
    long, short = squeeze(residuals.long), squeeze(residuals.short)
    out[:, :, 0], out[:, :, 1], out[:, :, 2] = long, np.abs(long), short
    return (out * METRIC_SCALE).reshape(n, metrics * PER_METRIC)


def features(
    residuals: Residuals, seen: np.ndarray, body: np.ndarray, drift: np.ndarray, context: np.ndarray
) -> np.ndarray:
    """Return float16[n, 8 + 3 M]: the summary, then three a metric, so that new metrics only ever append.

    seen : float64[n, M], how many windows of each metric were learned; a metric usually there and missing now counts.
    drift : float[n, M], of each metric, squeezed; context : float64[n, 6], the rest of the summary.
    """
    usual = seen > 10
    absent = usual & ~np.isfinite(residuals.value)
    missing = absent.sum(1) / np.maximum(usual.sum(1), 1)
    furthest = np.abs(drift.astype(float)).max(1, initial=0.0) * DRIFT_SCALE
    return np.concatenate([np.stack([missing, furthest], 1), context, body], 1).astype(np.float16)
