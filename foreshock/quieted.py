"""Clients of a broker that is away say the same a hundred times a second: the log gets each line now and then."""

from __future__ import annotations

import logging

EVERY_S = 10.0
KINDS_MAX = 500


class Quieted(logging.Filter):
    """Lets lines of one kind (logger, level and unfilled text) pass ``times`` in EVERY_S, and counts the others."""

    def __init__(self, times: int = 3) -> None:
        super().__init__()
        self._times = times
        self._seen: dict[tuple[str, int, str], list[float]] = {}  # kind → since when, how many then

    def filter(self, record: logging.LogRecord) -> bool:
        kind = (record.name, record.levelno, str(record.msg)[:200])
        seen = self._seen.get(kind)
        if seen is None or record.created - seen[0] >= EVERY_S:
            held_back = max(0, int(seen[1]) - self._times) if seen else 0
            if len(self._seen) >= KINDS_MAX:
                self._seen.clear()
            self._seen[kind] = [record.created, 1]
            if held_back:
                record.msg, record.args = f"{record.getMessage()} (and {held_back} more like it)", None
            return True
        seen[1] += 1
        return seen[1] <= self._times


class Retried(logging.Filter):
    """Makes a warning of an error that the broker's client itself tries again: a broker that has only just begun."""

    def filter(self, record: logging.LogRecord) -> bool:
        told = record.args if isinstance(record.args, tuple) and record.name.startswith("aiokafka") else ()
        if record.levelno == logging.ERROR and any(getattr(one, "retriable", False) for one in told):
            record.levelno, record.levelname = logging.WARNING, "WARNING"
        return True
