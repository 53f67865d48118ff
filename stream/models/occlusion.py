"""Each metric's share of a score of a model that is no sum: what the score loses where that metric is as usual."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from stream.features.vector import PER_METRIC, SUMMARY
from stream.models.base import Seen

LOOKED_AT = 24


def occlusion(
    logits: Callable[[Seen], np.ndarray], seen: Seen, head: int, surprise: np.ndarray
) -> tuple[np.ndarray, float]:
    """Return shares float64[metrics] and the rest, which together are the one row's logit (see ``Kind.shares``)."""
    metrics = len(surprise)
    chosen = np.sort(np.argsort(-surprise, kind="stable")[:LOOKED_AT])
    x, past = np.repeat(seen.x, len(chosen) + 1, 0), np.repeat(seen.past, len(chosen) + 1, 0)
    for i, metric in enumerate(chosen.tolist(), 1):
        at = len(SUMMARY) + PER_METRIC * metric
        x[i, at : at + PER_METRIC] = 0
        if metric < past.shape[2]:
            past[i, :, metric] = 0
    z = logits(Seen(x, past))[:, head]
    shares = np.zeros(metrics)
    shares[chosen] = z[0] - z[1:]
    return shares, float(z[0] - shares.sum())
