"""A window definition and its name: ``10s`` tumbling, ``5m/1m`` hopping."""

from __future__ import annotations

import re
from typing import NamedTuple

_UNITS_MS = {"s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}
IN_MEMORY_MS_MAX = 600_000


class WindowSpec(NamedTuple):
    """``hop_ms`` equal to ``size_ms`` means tumbling."""

    name: str
    size_ms: int
    hop_ms: int


def parse_rollup(name: str) -> WindowSpec:
    """Return the definition of a rollup's name; raises ValueError. A month counts as 30 days: only its name matters.

    >>> parse_rollup("5m/1m")
    WindowSpec(name='5m/1m', size_ms=300000, hop_ms=60000)
    """
    found = re.fullmatch(r"([1-9]\d*)(s|m|h|d|w|mo)(?:/([1-9]\d*)(s|m|h|d))?", name)
    if not found:
        raise ValueError(f"cannot use rollup {name!r}: want a size such as 10s, or size/hop such as 5m/1m")
    size_ms = int(found[1]) * (_UNITS_MS["d"] * 30 if found[2] == "mo" else _UNITS_MS[found[2]])
    hop_ms = int(found[3]) * _UNITS_MS[found[4]] if found[3] else size_ms
    if size_ms % hop_ms:
        raise ValueError(f"cannot use rollup {name!r}: the hop must divide the size")
    return WindowSpec(name, size_ms, hop_ms)


def in_memory(spec: WindowSpec) -> bool:
    """Whether its windows are held open in memory; longer ones are merged from shorter rollups in the store."""
    return spec.size_ms <= IN_MEMORY_MS_MAX
