"""Which log a broker URL means."""

from __future__ import annotations

from log.base import Log
from log.embedded import EmbeddedLog
from log.kafka_options import KafkaOptions


def open_log(url: str, kafka: KafkaOptions | None = None) -> Log:
    """Return the log of a broker URL; ``start`` it before use. Raises ValueError for another scheme.

    kafka : how a cluster is reached; nothing of it concerns the embedded log.
    """
    if url.startswith("embedded://"):
        return EmbeddedLog.shared(url.removeprefix("embedded://"))
    if url.startswith("kafka://"):
        from log.kafka import KafkaLog

        return KafkaLog(url, kafka)
    raise ValueError(f"cannot use broker.url={url!r}: unknown scheme; want embedded:///DIR or kafka://host:9092")


def faust_url(url: str) -> str:
    """Return the URL by which Faust finds the transport of the same log."""
    if url.startswith("kafka://"):
        return ";".join(f"foreshock-kafka://{server}" for server in url.removeprefix("kafka://").split(","))
    return url
