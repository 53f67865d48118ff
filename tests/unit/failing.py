"""A real store and a real log that fail for a while, as a seeded campaign has it."""

import contextlib
import random

from schemas.errors import SinkError


@contextlib.contextmanager
def failing(rng: random.Random, store, log, calls):
    """Of what is written within, all but fewer than ``calls`` fail, each before or after it has been taken."""
    insert, append, left = store.insert, log.append, [rng.randrange(calls)]

    def fails():
        left[0] -= 1
        return left[0] < 0

    def insert_or_fail(table, columns, **more):
        if after := rng.random() < 0.5:
            insert(table, columns, **more)
        if fails():
            raise SinkError(f"cannot insert into {table}")
        if not after:
            insert(table, columns, **more)

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
