"""A verdict: what the models say of one entity in one closed window."""

from __future__ import annotations

import msgspec


class Contribution(msgspec.Struct, kw_only=True):
    """One metric's share of the score, in the model's own log-odds; together they sum to the verdict's ``logit``."""

    metric: str
    stat: str
    weight: float
    value: float | None
    expected: float | None


class HorizonProbability(msgspec.Struct, kw_only=True):
    horizon_s: int
    p_incident: float


class Action(msgspec.Struct, kw_only=True):
    title: str
    why: str
    source: str
    confidence: float


class SimilarIncident(msgspec.Struct, kw_only=True):
    incident: str
    similarity: float
    resolution: str
    start_ms: int = 0


class VerdictInShort(msgspec.Struct, kw_only=True):
    """What alerts are made of. ``anomaly_score`` 0…1: how unusual; ``p_incident``: of the horizon shown alone (the
    middle one), None before any incident was learned; ``flag`` 0/1."""

    id: str
    entity: str
    rollup: str
    period: str
    start: int
    end: int
    anomaly_score: float
    p_incident: float
    flag: int
    reason: str = ""
    actions: list[Action] = []


class Verdict(VerdictInShort, kw_only=True):
    """``confidence`` 0…1: the share of the entity's usual metrics that were there. ``looks_like`` : another traffic
    period than that of the calendar (``period``) where the traffic of the last half hour fits its days better."""

    horizons: list[HorizonProbability] = []
    model: str = ""
    confidence: float = 1.0
    looks_like: str = ""
    contributions: list[Contribution] = []
    actions_note: str = ""  # of a flagged one without actions: that there is no evidence for any
    similar: list[SimilarIncident] = []
    explains: str = ""  # which of the two the contributions sum to: its ``logit``, before calibration
    logit: float | None = None
    version: int = 0


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(list[Verdict])
_short_decoder = msgspec.msgpack.Decoder(list[VerdictInShort])


def encode_verdicts(verdicts: list[Verdict]) -> bytes:
    """Return one record of the topic ``verdicts``: those of one window's close."""
    return _encoder.encode(verdicts)


def decode_verdicts(data: bytes) -> list[Verdict]:
    return _decoder.decode(data)


def decode_verdicts_in_short(data: bytes) -> list[VerdictInShort]:
    return _short_decoder.decode(data)


def verdict_id(entity: str, rollup: str, start_ms: int) -> str:
    """Return the id of a verdict: the same window of the same entity always has the same one."""
    from hashlib import blake2b

    return blake2b(f"{entity}\0{rollup}\0{start_ms}".encode("utf-8", "surrogatepass"), digest_size=12).hexdigest()
