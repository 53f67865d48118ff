"""faust-streaming as its documentation has it: an agent, a tumbling and a hopping table, a batch a message.

``python -m bench.peers.faust_tables --run '["kafka://…", SERIES, SAMPLES]'`` prints the CPU-seconds as JSON.
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
import time
from typing import Any

import faust

from bench.workload import batches
from log.kafka import KafkaLog
from schemas.batch import columns, decode_batch, encode_batch

TOPIC = "peer-samples"


def windowed(app: faust.App) -> Any:
    """Return the agent's work on one sample: count, sum, min, max and sum of squares in each window."""
    tables = [
        app.Table("tumbling", default=list, partitions=1).tumbling(10.0, expires=60.0).relative_to_now(),
        app.Table("hopping", default=list, partitions=1).hopping(60.0, 10.0, expires=120.0).relative_to_now(),
    ]

    def update(key: str, value: float) -> None:
        for table in tables:
            cell = table[key].value()
            count, total, low, high, squares = cell or (0, 0.0, value, value, 0.0)
            table[key] = [count + 1, total + value, min(low, value), max(high, value), squares + value * value]

    return update


async def once(broker: str, series: int, samples: int) -> float:
    log = KafkaLog(broker)
    await log.start()
    await log.create_topics({TOPIC: 1})
    for batch in batches(series, samples):
        await log.append(TOPIC, 0, encode_batch(batch))
    await log.stop()
    with tempfile.TemporaryDirectory() as folder:
        options: dict[str, Any] = {"datadir": folder, "web_enabled": False, "topic_partitions": 1}
        options |= {"consumer_auto_offset_reset": "earliest", "topic_disable_leader": True}
        app = faust.App("peer", broker=broker.replace("kafka://", "aiokafka://"), **options)
        update, seen, done = windowed(app), 0, asyncio.Event()
        began: list[float] = []

        @app.agent(app.topic(TOPIC, value_serializer="raw", value_type=bytes))
        async def agent(stream: Any) -> None:
            nonlocal seen
            async for value in stream:
                began.append(time.process_time())
                got = columns(decode_batch(value))
                for series_id, number in zip(got.ids.tolist(), got.values.tolist(), strict=True):
                    update(str(series_id), number)
                seen += len(got.ids)
                if seen >= samples:
                    done.set()

        await app.start()
        await done.wait()
        cpu = time.process_time() - began[0]
        await app.stop()
        return cpu


if __name__ == "__main__":
    print(json.dumps({"cpu_s": asyncio.run(once(*json.loads(sys.argv[-1])))}))
