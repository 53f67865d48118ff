"""JSON samples: ``{"samples": [...]}``, a list, or one object a line. What can be read is
taken, the rest named by index."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import msgspec

from api.ingest.parsed import LABELS_MAX, MS_MIN, NAME_CHARACTERS_MAX, Parsed
from api.times import time_ms
from schemas.errors import DataError
from schemas.series import COUNTER_SUFFIXES, Kind, Series, make_series

_lines = msgspec.json.Decoder()


def parse_json_samples(body: bytes, *, now_ms: int, future_ms: int) -> Parsed:
    """Return what the body holds; raises DataError if nothing in it could be read."""
    return _parse(body, "samples", _sample, now_ms, future_ms)


def parse_json_events(body: bytes, *, now_ms: int, future_ms: int) -> Parsed:
    """Return occurrences as samples of value 1 of the metric ``events{event="…"}``, so that they roll up as counts."""
    return _parse(body, "events", _event, now_ms, future_ms)


def parse_json_record(body: bytes, *, now_ms: int, future_ms: int) -> tuple[Series, int, float]:
    """Return what one message of the topic ``events.json`` says, a sample or an event; raises DataError."""
    try:
        item = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise DataError(f"not JSON: {error}") from error
    read = _event if isinstance(item, dict) and "event" in item else _sample
    return read(item, now_ms, future_ms)


def _parse(
    body: bytes, name: str, read: Callable[[Any, int, int], tuple[Series, int, float]], now_ms: int, future_ms: int
) -> Parsed:
    items, rejected = _items(body, name)
    series: list[Series] = []
    times: list[int] = []
    values: list[float] = []
    out = Parsed(
        series, times, values, rejected, all(isinstance(item, dict) and "timestamp" in item for _, item in items)
    )
    for index, item in items:
        try:
            one, at_ms, value = read(item, now_ms, future_ms)
        except DataError as error:
            rejected.append({"index": index, "error": str(error)})
            continue
        series.append(one)
        times.append(at_ms)
        values.append(value)
    if not series and rejected:
        raise DataError(f"cannot read any of {len(rejected)} {name}; the first: {rejected[0]['error']}")
    return out


def _items(body: bytes, name: str) -> tuple[list[tuple[int, Any]], list[dict[str, Any]]]:
    if not body.strip():
        raise DataError(f'cannot read any of the {name}: it is empty; want {{"{name}": […]}} or one object a line')
    try:
        document = msgspec.json.decode(body)
        if isinstance(document, dict) and isinstance(document.get(name), list):
            return list(enumerate(document[name])), []
        return list(enumerate(document if isinstance(document, list) else [document])), []
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        pass
    try:
        return list(enumerate(_lines.decode_lines(body))), []
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        pass  # a line is not JSON: the others are still taken
    items: list[tuple[int, Any]] = []
    rejected: list[dict[str, Any]] = []
    for index, line in enumerate(line for line in body.split(b"\n") if line.strip()):
        try:
            items.append((index, msgspec.json.decode(line)))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            rejected.append({"index": index, "error": f"not JSON: {error}"})
    return items, rejected


def _sample(item: Any, now_ms: int, future_ms: int) -> tuple[Series, int, float]:
    if not isinstance(item, dict):
        raise DataError("cannot read a sample: want an object with entity, metric and value")
    entity, metric = _name(item, "entity"), _name(item, "metric")
    value = item.get("value")
    if isinstance(value, bool) or not isinstance(value, int | float) or not _finite(value):
        raise DataError(f"cannot use value={str(value)[:40]}: want a finite number", "bad_value")
    labels = item.get("labels") or {}
    if not isinstance(labels, dict) or len(labels) > LABELS_MAX:
        raise DataError(f"cannot use labels: want an object of at most {LABELS_MAX} strings", "bad_labels")
    for name, text in labels.items():
        if not isinstance(text, str) or max(len(name), len(text)) > NAME_CHARACTERS_MAX:
            raise DataError(
                f"cannot use label {name[:40]!r}: want a string of at most {NAME_CHARACTERS_MAX}", "bad_labels"
            )
    kind: Kind = "counter" if metric.endswith(COUNTER_SUFFIXES) else "gauge"
    return make_series(entity, metric, labels, kind), _time(item, now_ms, future_ms), float(value)


def _event(item: Any, now_ms: int, future_ms: int) -> tuple[Series, int, float]:
    if not isinstance(item, dict):
        raise DataError("cannot read an event: want an object with entity and event")
    entity, event = _name(item, "entity"), _name(item, "event")
    if not isinstance(item.get("attributes") or {}, dict):
        raise DataError("cannot use attributes: want an object", "bad_labels")
    return make_series(entity, "events", {"event": event}, "event"), _time(item, now_ms, future_ms), 1.0


def _time(item: dict[str, Any], now_ms: int, future_ms: int) -> int:
    at_ms = time_ms(item.get("timestamp", now_ms), now_ms)
    if at_ms > now_ms + future_ms:
        raise DataError(
            f"cannot use timestamp={str(item.get('timestamp'))[:40]}: over {future_ms // 1000} s ahead of our clock "
            "(limits.future)",
            "future",
        )
    if at_ms < MS_MIN:
        raise DataError(f"cannot use timestamp={str(item.get('timestamp'))[:40]}: before the year 1900", "bad_time")
    return at_ms


def _finite(value: int | float) -> bool:
    try:
        return math.isfinite(float(value))
    except OverflowError:
        return False


def _name(item: dict[str, Any], field: str) -> str:
    name = item.get(field)
    if not isinstance(name, str) or not 0 < len(name) <= NAME_CHARACTERS_MAX:
        raise DataError(
            f"cannot use {field}={str(name)[:40]!r}: want 1 to {NAME_CHARACTERS_MAX} characters", "bad_name"
        )
    return name
