"""InfluxDB line protocol, as Telegraf writes it: ``measurement,tag=value field=1,other=2i timestamp``."""

from __future__ import annotations

import re

from api.ingest.parsed import Door, Parsed
from schemas.errors import DataError

_PRECISION_NS = {"ns": 1, "n": 1, "us": 1000, "u": 1000, "ms": 1_000_000, "s": 1_000_000_000}
_PRECISION_NS |= {"m": 60_000_000_000, "h": 3_600_000_000_000}  # of the older /write
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?[iu]?")


def parse_influx(body: bytes, door: Door, *, precision: str = "ns") -> Parsed:
    """Return a sample a numeric field, metric ``measurement_field``; text fields are left out. Raises DataError."""
    if precision not in _PRECISION_NS:
        raise DataError(f"cannot use precision={precision[:10]!r}: want one of {', '.join(_PRECISION_NS)}")
    for number, raw in enumerate(body.split(b"\n"), 1):
        line = raw.strip()
        if not line or line.startswith(b"#"):
            continue
        try:
            door.all_timed &= _line(line.decode(), door, _PRECISION_NS[precision])
        except (DataError, UnicodeDecodeError) as error:
            door.refuse(f"line {number}: {error}")
    return door.parsed


def _line(line: str, door: Door, unit_ns: int) -> bool:
    parts = _split(line, " ")
    if len(parts) not in (2, 3):
        raise DataError(f"cannot read {line[:60]!r}: want measurement,tags fields timestamp")
    measurement, *tags = _split(parts[0], ",") or [""]
    labels = {}
    for tag in tags:
        name, equals, value = _pair(tag)
        if not equals:
            raise DataError(f"cannot read tag {tag[:40]!r}: want name=value")
        labels[name] = value
    at_ms = door.now_ms
    if len(parts) == 3:
        if not re.fullmatch(r"-?\d{1,19}", parts[2]):
            raise DataError(f"cannot read timestamp {parts[2][:30]!r}: want a whole number")
        at_ms = int(parts[2]) * unit_ns // 1_000_000
    name = _plain(measurement)
    for field in _split(parts[1], ","):
        key, equals, text = _pair(field)
        if not equals:
            raise DataError(f"cannot read field {field[:40]!r}: want name=value")
        if text in ("t", "T", "true", "True", "TRUE", "f", "F", "false", "False", "FALSE"):
            number = float(text[0] in "tT")
        elif _NUMBER.fullmatch(text):
            number = float(text.rstrip("iu"))
        elif text.startswith('"'):
            continue
        else:
            raise DataError(f"cannot read field {field[:40]!r}: want a number")
        door.add(door.series(name if key == "value" else f"{name}_{key}", labels), at_ms, number)
    return len(parts) == 3


def _split(text: str, mark: str) -> list[str]:
    """Split at a mark that is neither escaped nor in double quotes."""
    out: list[str] = []
    current: list[str] = []
    quoted = escaped = False
    for character in text:
        if escaped:
            escaped = False
        elif character == "\\":
            escaped = True
        elif character == '"':
            quoted = not quoted
        elif character == mark and not quoted:
            out.append("".join(current))
            current = []
            continue
        current.append(character)
    out.append("".join(current))
    return [part for part in out if part]


def _pair(text: str) -> tuple[str, str, str]:
    found = re.match(r"((?:[^=\\]|\\.)+)=(.*)", text, re.S)
    return (_plain(found[1]), "=", _plain(found[2])) if found else (text, "", "")


def _plain(text: str) -> str:
    return re.sub(r"\\([,= ])", r"\1", text)
