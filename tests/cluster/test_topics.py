"""Topics on real brokers: as they are made, and what is said of an administrator's."""

import os

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from log.kafka import KafkaLog
from log.kafka_options import KafkaOptions
from log.kafka_topics import FETCH_BYTES, described
from schemas.errors import SinkError


async def config_of(admin, name):
    answers = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, name)])
    return {entry[0]: entry[1] for entry in answers[0].resources[0][4]}


@pytest.mark.cluster
async def test_topics_are_made_for_three_brokers_and_an_administrators_wrong_ones_are_refused_by_name(services):
    url = services["FORESHOCK_BROKER_URL"]
    log = KafkaLog(url, KafkaOptions(retention_ms=86_400_000))
    admin = AIOKafkaAdminClient(bootstrap_servers=url.removeprefix("kafka://"))
    await admin.start()
    try:
        await log.create_topics({"made.by.us": 2})
        (topic,) = await described(admin, ["made.by.us"])  # another broker may answer this client
        assert [len(p["replicas"]) for p in topic["partitions"]] == [3, 3]
        made = await config_of(admin, "made.by.us")
        assert made["min.insync.replicas"] == "2" and made["retention.ms"] == "86400000"
        await log.create_topics({"made.by.us": 2})  # again: well

        loses = {"min.insync.replicas": "1", "cleanup.policy": "compact", "retention.ms": "60000"}
        await admin.create_topics([NewTopic("loses", 1, 3, topic_configs=loses | {"max.message.bytes": "1048576"})])
        await admin.create_topics([NewTopic("stops", 2, 2, topic_configs={"min.insync.replicas": "2"})])
        await described(admin, ["loses", "stops"])
        with pytest.raises(SinkError) as refused:
            await log.create_topics({"loses": 1, "stops": 4, "made.by.us": 2})
        said = str(refused.value)
        assert "made.by.us" not in said
        for part in (
            "min.insync.replicas=1",
            "cleanup.policy=compact",
            "retention.ms=60000",
            "max.message.bytes=1048576",
        ):
            assert f"topic 'loses': {part}" in said, part
        assert "topic 'stops': it has 2 partitions; want 4" in said and "min.insync.replicas=2 of 2" in said
    finally:
        await admin.close()


@pytest.mark.cluster
async def test_a_record_larger_than_a_fetch_is_read_whole_between_small_ones(services):
    log = KafkaLog(services["FORESHOCK_BROKER_URL"])
    await log.start()
    try:
        await log.create_topics({"large": 1})
        large = os.urandom(3 * FETCH_BYTES)
        sent = [b"before", large, b"after"]
        for value in sent:
            await log.append("large", 0, value)
        read, tailed = [], []
        while len(read) < len(sent):
            read += [record.value for record in await log.read("large", 0, len(read))]
        async for records in log.tail({("large", 0): 0}):
            tailed += [record.value for record in records]
            if len(tailed) == len(sent):
                break
        assert read == tailed == sent
    finally:
        await log.stop()
