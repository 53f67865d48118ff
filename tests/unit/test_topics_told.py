"""Brokers follow their controller one after another: until one has heard of a topic it tells no partition of it."""

import pytest

from log import kafka_topics
from log.kafka_options import KafkaOptions
from schemas.errors import SinkError
from schemas.topics import SAMPLES

SETTINGS = kafka_topics.topic_settings(SAMPLES, 3, KafkaOptions())
WHOLE = [{"replicas": [1, 2, 3]}] * 4


class LaterHeard:
    """What an administrator's client gets from a broker that hears of topics at the ``looks``-th question only."""

    def __init__(self, looks):
        self.looks = looks

    async def list_topics(self):
        return [SAMPLES]

    async def describe_configs(self, resources):
        entries = [(name, value) for name, value in SETTINGS.items()]
        return [type("Answer", (), {"resources": [(0, None, 2, SAMPLES, entries)]})]

    async def describe_topics(self, names):
        self.looks -= 1
        return [{"topic": name, "partitions": [] if self.looks > 0 else WHOLE} for name in names]


async def test_a_topic_that_a_broker_has_yet_to_hear_of_is_waited_for(monkeypatch):
    monkeypatch.setattr(kafka_topics, "_LOOK_S", 0)
    admin = LaterHeard(looks=5)
    await kafka_topics.prepare(admin, {SAMPLES: 4}, KafkaOptions())
    assert admin.looks == 0


async def test_one_that_no_broker_ever_tells_of_is_named(monkeypatch):
    monkeypatch.setattr(kafka_topics, "_LOOK_S", 0)
    with pytest.raises(SinkError, match=f"no partitions of the topics {SAMPLES}"):
        await kafka_topics.prepare(LaterHeard(looks=10**6), {SAMPLES: 4}, KafkaOptions())
