"""collectd's write_http plugin, format JSON: value lists of a host, plugin and type."""

from __future__ import annotations

import msgspec

from api.ingest.parsed import Door, Parsed
from schemas.errors import DataError
from schemas.series import Kind


class _ValueList(msgspec.Struct):
    values: list[float | None]
    dstypes: list[str]
    dsnames: list[str]
    time: float
    host: str
    plugin: str
    type: str
    plugin_instance: str = ""
    type_instance: str = ""


def parse_collectd(body: bytes, door: Door) -> Parsed:
    """Return a sample a value, metric ``plugin_type`` or ``plugin_type_dsname``; raises DataError."""
    try:
        lists = msgspec.json.decode(body, type=list[_ValueList])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise DataError(f"cannot read collectd values: {error}") from error
    for one in lists:
        if not len(one.values) == len(one.dstypes) == len(one.dsnames):
            door.refuse(f"cannot read {one.plugin[:40]!r}: values, dstypes and dsnames differ in number")
            continue
        name = one.plugin if one.plugin == one.type else f"{one.plugin}_{one.type}"
        labels = {"host": one.host, "instance": one.plugin_instance, "type": one.type_instance}
        labels = {k: v for k, v in labels.items() if v}
        for value, kind, source in zip(one.values, one.dstypes, one.dsnames, strict=True):
            if value is None:  # as collectd writes a NaN
                continue
            metric = name if source == "value" else f"{name}_{source}"
            counter: Kind = "counter" if kind in ("counter", "derive", "absolute") else "gauge"
            try:
                at_ms = round(one.time * 1000) if abs(one.time) < 1e12 else 1 << 62
                door.add(door.series(metric, labels, counter), at_ms, value)
            except DataError as error:
                door.refuse(str(error))
    return door.parsed
