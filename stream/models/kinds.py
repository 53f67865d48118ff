"""The kinds of models there are, and why one is not."""

from __future__ import annotations

from collections.abc import Callable

from stream.models import lstm
from stream.models.base import Kind
from stream.models.knn import Knn
from stream.models.linear import Linear
from stream.models.lstm import Lstm

KINDS: dict[str, Callable[[int, int], Kind]] = {"logistic": Linear, "knn": Knn, "lstm": Lstm}
ALWAYS = "logistic"


def absent(kind: str) -> str:
    """Return why a kind cannot be had here, empty if it can."""
    return lstm.absent() if kind == "lstm" else ""


def at_hand(wanted: tuple[str, ...]) -> tuple[str, ...]:
    """Return those of the kinds that can be had here, the one that always answers first."""
    return (ALWAYS, *(kind for kind in KINDS if kind != ALWAYS and kind in wanted and not absent(kind)))
