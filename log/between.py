"""Records that a client left out, read from the log: none of them is taken for trimmed that is not."""

from __future__ import annotations

import asyncio

from log.base import Log, Record
from schemas.errors import SourceError

ATTEMPTS, RETRY_S = 60, 0.5


async def between(log: Log, topic: str, partition: int, at: int, until: int) -> list[Record]:
    """Return the next of the records in [at, until), of which the last was seen already; empty: retention took them.

    A broker that was away, or has just become the leader, may for a while know of less than others were given: it is
    asked again. Raises SourceError where it still does not know after half a minute.
    """
    for _ in range(ATTEMPTS):
        found = [record for record in await log.read(topic, partition, at) if record.offset < until]
        if found or (await log.offsets(topic, partition))[0] >= until:
            return found
        await asyncio.sleep(RETRY_S)
    raise SourceError(
        f"cannot read {topic} {partition} from offset {at} on: {until} was read already, but the log has not what "
        "is before it; start again, the checkpoint knows where"
    )
