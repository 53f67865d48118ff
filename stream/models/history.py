"""The last windows of each entity, as the kinds that look at sequences see them."""

from __future__ import annotations

from typing import Any

import numpy as np

from stream.features.superimposed import CHANNELS as SUPERIMPOSED
from stream.features.vector import METRIC_SCALE, PER_METRIC, SUMMARY
from stream.models.base import Seen, grown

LENGTH = 24
CHANNELS = (*SUPERIMPOSED, "short")  # of each metric; the last: how far off the last minutes' level
EXCESS, DRIFT = CHANNELS.index("excess"), CHANNELS.index("drift")
# Entities beyond, by order of appearance, have no past, so kinds that need one do not see them; memory may allow fewer
# (``Ring.followed``).
ENTITIES_MAX = 1000
METRICS_MAX = 256  # those beyond, by order of appearance, are in no sequence


class History:
    """float16[entities, LENGTH, metrics, channels], the newest last, 0 where there was none."""

    def __init__(self) -> None:
        self.past = np.zeros((0, LENGTH, 0, len(CHANNELS)), np.float16)

    def push(self, rows: np.ndarray, x: np.ndarray, over: np.ndarray) -> Seen:
        """Take in a window of the entities ``rows``, with what went before it.

        x : its features [n, features]; over : it superimposed, as ``features.superimposed`` gives it.
        """
        now = channels_of(x, over)[:, :METRICS_MAX]
        shape = (max(len(self.past), int(rows.max(initial=-1)) + 1), LENGTH)
        self.past = grown(self.past, (*shape, max(self.past.shape[2], now.shape[1]), len(CHANNELS)), 0)
        out = np.zeros((len(x), *self.past.shape[1:]), np.float16)
        out[:, :-1] = self.past[rows, 1:]
        out[:, -1, : now.shape[1]] = now
        self.past[rows] = out
        return Seen(x, out)

    def state(self) -> dict[str, Any]:
        return {"past": self.past}

    @classmethod
    def of(cls, state: dict[str, Any]) -> History:
        history = cls()
        history.past = state["past"].copy()
        return history


def alone(x: np.ndarray, over: np.ndarray) -> Seen:
    """Return a window of entities of which no past is kept, as the models see it."""
    return Seen(x, channels_of(x, over)[:, None])


def channels_of(x: np.ndarray, over: np.ndarray) -> np.ndarray:
    """Return float16[n, metrics, channels] of a window's features and its superimposition."""
    metrics = over.shape[1] // len(SUPERIMPOSED)
    short = x[:, len(SUMMARY) :].reshape(len(x), metrics, PER_METRIC)[:, :, 2:3] / np.float16(METRIC_SCALE)
    return np.concatenate([over.reshape(len(over), metrics, len(SUPERIMPOSED)), short], 2)
