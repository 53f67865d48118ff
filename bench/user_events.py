"""One JSON sample a message from a user's own Kafka topic: messages a CPU-second of the whole worker process.

    python -m bench events [--messages N]

Starts a real broker (tests/cluster), or takes FORESHOCK_TEST_KAFKA=kafka://host:9092. The worker runs in a process of
its own, with the agents that read the topic, and then with those that roll it up as well.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import msgspec

from schemas.topics import ALL, EVENTS_JSON, SAMPLES


def message(number: int) -> bytes:
    """Return one of 10,000 series' samples."""
    host, metric = number % 250, number // 250 % 40
    at = 1_700_000_000_000 + number // 10_000 * 1000
    return json.dumps(
        {"entity": f"host-{host}", "metric": f"metric_{metric}", "timestamp": at, "value": number * 7919 % 1000 / 7}
    ).encode()


async def fill(broker: str, messages: int) -> None:
    from aiokafka import AIOKafkaProducer

    from log.open import open_log

    log = open_log(broker)
    await log.start()
    await log.create_topics(dict.fromkeys(ALL, 1))
    await log.stop()
    async with AIOKafkaProducer(bootstrap_servers=broker.removeprefix("kafka://"), linger_ms=20) as producer:
        for number in range(messages):
            sent = await producer.send(EVENTS_JSON, message(number), partition=0)
        await sent


async def once(broker: str, messages: int, agents: list[str]) -> float:
    """Return the CPU seconds of taking all messages in."""
    from api.ingest.json_samples import parse_json_record
    from log.open import open_log
    from store.base import open_store
    from store.repository import Repository
    from stream.settings import StreamSettings
    from stream.worker import StreamWorker

    with tempfile.TemporaryDirectory() as folder:
        log = open_log(broker)
        await log.start()
        repository = Repository(open_store(f"embedded://{folder}/store"))
        await repository.open()
        worker = StreamWorker(
            broker_url=broker,
            log=log,
            repository=repository,
            settings=StreamSettings(("10s", "1m"), 5000, 1, keep_samples=False),
            now_ms=lambda: time.time_ns() // 1_000_000,
            datadir=f"{folder}/faust",
            agents=frozenset(agents),
            group=f"bench-{'-'.join(agents)}-{time.time_ns()}",
            read_event=lambda body, at_ms: parse_json_record(body, now_ms=at_ms, future_ms=600_000),
        )
        begin = time.process_time()
        await worker.start()
        while (await repository.checkpoint(EVENTS_JSON, 0) or {"resume_offset": 0})["resume_offset"] < messages:
            await asyncio.sleep(0.2)
        if "window" in agents:
            _, end = await log.offsets(SAMPLES, 0)
            while not worker.windows or worker.windows[0].counters["samples"] < messages:
                await asyncio.sleep(0.2)
        cpu = time.process_time() - begin
        await worker.stop()
        await repository.close()
        await log.stop()
        return cpu


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench events")
    parser.add_argument("--messages", type=int, default=300_000)
    parser.add_argument("--run", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.run:
        print(asyncio.run(once(*json.loads(options.run))))
        return
    n = options.messages
    with ExitStack() as stack:
        broker = os.environ.get("FORESHOCK_TEST_KAFKA", "")
        if not broker:
            from tests.cluster.services import kafka

            broker = stack.enter_context(kafka(Path(stack.enter_context(tempfile.TemporaryDirectory())) / "kafka"))
        asyncio.run(fill(broker, n))

        def run(agents: list[str]) -> float:
            asked = json.dumps([broker, n, agents])
            command = [sys.executable, "-m", "bench.user_events", "--run", asked]
            return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()[-1])

        alone = n / run(["events"])
        every = [message(number) for number in range(n)]
        begin = time.process_time()
        for body in every:
            msgspec.json.decode(body)
        bare = n / (time.process_time() - begin)
        print(f"to batches on the log: {alone:,.0f} messages a CPU-second; decoding the JSON alone: {bare:,.0f}")
        print(f"to closed windows in the store: {n / run(['events', 'window']):,.0f}")


if __name__ == "__main__":
    main(sys.argv[1:])
