"""A real store and a real log that fail for a while, as a seeded campaign has it."""

import contextlib
import random
from copy import deepcopy

from schemas.errors import SinkError


class Wire:
    """Inserts that were sent to a store and neither taken nor refused, as by a server that stands still."""

    def __init__(self, rng: random.Random, store) -> None:
        self._rng, self._insert, self._sent = rng, store.insert, []

    def send(self, table, columns):
        self._sent.append((table, deepcopy(columns)))

    def land(self, *, everything: bool = False):
        """Have some of them taken now, long after whoever sent them gave up."""
        sent, self._sent = self._sent, []
        for one in sent:
            if everything or self._rng.random() < 0.4:
                self._insert(*one)
            else:
                self._sent.append(one)


@contextlib.contextmanager
def failing(rng: random.Random, store, log, calls, wire: Wire | None = None):
    """Of what is written within, all but fewer than ``calls`` fail, each before or after it has been taken, or, where
    there is a wire, long before.
    """
    insert, append, left = store.insert, log.append, [rng.randrange(calls)]

    def fails():
        left[0] -= 1
        return left[0] < 0

    def insert_or_fail(table, columns):
        if after := rng.random() < 0.5:
            insert(table, columns)
        if fails():
            if wire is not None and not after:
                wire.send(table, columns)
            raise SinkError(f"cannot insert into {table}")
        if not after:
            insert(table, columns)

    async def append_or_fail(*args):
        at = await append(*args) if (after := rng.random() < 0.5) else None
        if fails():
            raise SinkError("cannot append")
        return at if after else await append(*args)

    store.insert, log.append = insert_or_fail, append_or_fail
    try:
        yield
    finally:
        del store.insert, log.append
