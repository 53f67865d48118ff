"""Topics on Kafka: made as Foreshock needs them, or held to it where an administrator made them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Mapping
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from log.kafka_options import KafkaOptions
from schemas.errors import SinkError
from schemas.topics import INCIDENTS

logger = logging.getLogger("foreshock.log")

# The rollups of one window of one partition are one record; the broker's own default is 1 MiB.
RECORD_BYTES_MAX = 64 << 20
# Of a partition at a time. A broker gives at least one batch of records, however large. Answers of 64 MiB were copied
# between buffers that leave the processor's caches: a worker took 1.6 times the CPU it takes with these.
FETCH_BYTES = 1 << 20
BATCH_BYTES = 512 << 10  # records that wait together are compressed together: smaller, and three times faster to read
RETENTION_MS_MIN = 3_600_000  # what the store has not taken in is only on the log
_UNKNOWN, _EXISTS = 3, 36  # UNKNOWN_TOPIC_OR_PARTITION, TOPIC_ALREADY_EXISTS
_LOOKS, _LOOK_S = 100, 0.1  # so often, and so far apart, a broker is asked for topics that it has yet to hear of
_MINE = "the administrator may change it with kafka-configs.sh --alter --entity-type topics"


async def prepare(admin: AIOKafkaAdminClient, topics: Mapping[str, int], options: KafkaOptions) -> None:
    """Make the topics that do not exist, name → partitions, and check those that do; returns once brokers tell of them.

    Raises SinkError, which names every topic that cannot be used, why, and what would be right.
    """
    existing = set(await admin.list_topics())
    missing = {name: count for name, count in topics.items() if name not in existing}
    if missing:
        replicas = options.replication or min(3, len((await admin.describe_cluster())["brokers"]))
        wanted = [
            NewTopic(name, count, replicas, topic_configs=topic_settings(name, replicas, options))
            for name, count in missing.items()
        ]
        answer = await admin.create_topics(wanted)
        for name, code, *rest in answer.topic_errors:
            if code not in (0, _EXISTS):
                raise SinkError(f"cannot create topic {name!r} with {replicas} replicas: the broker says {code} {rest}")
        await described(admin, missing)
    await check(admin, {name: count for name, count in topics.items() if name in existing}, options)


async def described(admin: AIOKafkaAdminClient, names: Collection[str]) -> list[dict[str, Any]]:
    """Return what a broker tells of topics; waits for one that it has yet to hear of, which it gives no partition.

    A topic is made by the controller; the brokers, one after another, follow. Raises SinkError after ten seconds.
    """
    for _ in range(_LOOKS):
        topics = await admin.describe_topics(list(names))
        codes = {topic["topic"]: topic.get("error_code") for topic in topics}
        unknown = sorted(set(names) - {topic["topic"] for topic in topics if topic["partitions"]})
        if not unknown:
            return topics
        await asyncio.sleep(_LOOK_S)
    named = ", ".join(f"{name} (error {codes.get(name)})" for name in unknown)
    raise SinkError(f"the broker tells no partitions of the topics {named} within {_LOOKS * _LOOK_S:.0f} s")


async def _configured(admin: AIOKafkaAdminClient, names: Collection[str]) -> dict[str, dict[str, str]]:
    """Return the topics' configurations, name → text, of those that may be read; waits as ``described`` does."""
    resources = [ConfigResource(ConfigResourceType.TOPIC, name) for name in names]
    for _ in range(_LOOKS):
        told = [one for answer in await admin.describe_configs(resources) for one in answer.resources]
        if not any(code == _UNKNOWN for code, *_ in told):
            break
        await asyncio.sleep(_LOOK_S)
    return {name: {entry[0]: entry[1] for entry in entries} for _, _, _, name, entries in told}


def topic_settings(name: str, replicas: int, options: KafkaOptions) -> dict[str, str]:
    """Return the configuration of a topic that is made.

    A record is acknowledged by all replicas in sync: with three, one broker may be away and one more may be lost.
    """
    return {
        "max.message.bytes": str(RECORD_BYTES_MAX),
        # Labels are few and never grow old.
        "retention.ms": "-1" if name == INCIDENTS else str(options.retention_ms),
        "min.insync.replicas": str(max(1, replicas - 1)),
        "cleanup.policy": "delete",
    }


async def check(admin: AIOKafkaAdminClient, topics: Mapping[str, int], options: KafkaOptions) -> None:
    """Raise SinkError for topics that lose, mix up or refuse records."""
    if not topics:
        return
    told = await described(admin, topics)
    configured = await _configured(admin, topics)
    wrong: list[str] = []
    for topic in told:
        name, partitions = topic["topic"], topic["partitions"]
        replicas = min((len(p["replicas"]) for p in partitions), default=0)
        faults = faults_of(name, topics[name], len(partitions), replicas, configured.get(name, {}), options)
        wrong += [f"topic {name!r}: {fault}" for fault in faults]
    if wrong:
        raise SinkError(f"cannot use the topics on the broker: {'; '.join(wrong)}")


def faults_of(
    name: str, want: int, partitions: int, replicas: int, config: Mapping[str, Any], options: KafkaOptions
) -> list[str]:
    """Return what is wrong with a topic, in words that say what would be right. Pure.

    config : as the broker gives it, name → text; what it does not tell is not judged.
    """
    faults = []
    if partitions != want:
        faults.append(f"it has {partitions} partitions; want {want} (set broker.partitions to what the topics have)")
    if options.replication and replicas < options.replication:
        faults.append(f"it has {replicas} replicas; want broker.replication={options.replication} or more")
    least = int(config.get("min.insync.replicas", max(1, replicas - 1)))
    if replicas > 2 and least < 2:
        faults.append(f"min.insync.replicas={least}: what one broker acknowledged is lost with it; want 2; {_MINE}")
    if replicas > 1 and least >= replicas:
        faults.append(f"min.insync.replicas={least} of {replicas}: one broker away stops it; want one less; {_MINE}")
    if (size := int(config.get("max.message.bytes", RECORD_BYTES_MAX))) < RECORD_BYTES_MAX:
        faults.append(f"max.message.bytes={size}: a window's rollups are one record; want {RECORD_BYTES_MAX}; {_MINE}")
    if (policy := config.get("cleanup.policy", "delete")) != "delete":
        faults.append(f"cleanup.policy={policy}: it would drop samples of the same key; want delete; {_MINE}")
    retention = int(config.get("retention.ms", -1))
    if name == INCIDENTS and retention != -1:
        faults.append(f"retention.ms={retention}: models learn from every incident; want -1; {_MINE}")
    elif 0 <= retention < RETENTION_MS_MIN:
        faults.append(
            f"retention.ms={retention}: what the store has not taken in is gone; want {RETENTION_MS_MIN} or more; "
            + _MINE
        )
    return faults
