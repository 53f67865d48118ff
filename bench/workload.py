"""Seeded sample batches, as ingest puts them on the log."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from schemas.batch import SampleBatch, make_batch
from schemas.series import make_series

BEGIN_MS = 1_700_000_040_000 // 600_000 * 600_000


def batches(
    series: int,
    samples: int,
    *,
    batch: int = 1000,
    metrics: int = 40,
    seed: int = 1,
    step_ms: int = 100,
    shuffled: bool = False,
) -> Iterator[SampleBatch]:
    """Yield batches of samples: every series once a step, always in the same order, values a noisy level each.

    An entity's series come together, as a scrape of it brings them; ``shuffled``: those of all entities mixed.
    """
    rng = np.random.default_rng(seed)
    known = [make_series(f"host-{i // metrics}", f"metric_{i % metrics}") for i in range(series)]
    ids = np.array([s.series_id for s in known], np.uint64)
    level = np.exp(rng.normal(3, 1, series))
    entities = rng.permutation(-(-series // metrics))
    order = (entities[:, None] * metrics + np.arange(metrics)).ravel()
    order, at, step = rng.permutation(series) if shuffled else order[order < series], 0, 0
    for start in range(0, samples, batch):
        n = min(batch, samples - start)
        picked = np.empty(n, np.int64)
        times = np.empty(n, np.int64)
        filled = 0
        while filled < n:
            take = min(n - filled, series - at)
            picked[filled : filled + take] = order[at : at + take]
            times[filled : filled + take] = BEGIN_MS + step * step_ms + (np.arange(at, at + take) * step_ms) // series
            filled, at = filled + take, at + take
            if at == series:
                at, step = 0, step + 1
        values = level[picked] * (1 + 0.1 * rng.standard_normal(n))
        first = [known[i] for i in picked.tolist()] if start < series else []
        yield make_batch(first, ids[picked], times, values)
