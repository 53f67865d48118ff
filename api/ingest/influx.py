"""InfluxDB line protocol, as Telegraf writes it: ``measurement,tag=value field=1,other=2i timestamp``.

Quotes mean something in the values of fields alone; a text in quotes may hold commas, spaces and ends of lines.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator

from api.ingest.parsed import Door, Parsed
from schemas.errors import DataError

_PRECISION_NS = {"ns": 1, "n": 1, "us": 1000, "u": 1000, "ms": 1_000_000, "s": 1_000_000_000}
_PRECISION_NS |= {"m": 60_000_000_000, "h": 3_600_000_000_000}  # of the older /write
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?[iu]?", re.ASCII)
_TEXT = re.compile(r'"(?:[^"\\]|\\.)*"', re.S)
_KEY = re.compile(rb"(?:[^ \\]|\\.?)*", re.S)  # measurement and tags of a line
_QUOTE = re.compile(rb'\\.|(")', re.S)
# What stands between marks that are neither escaped nor, of fields, in quotes.
_TAGS = re.compile(r"(?:[^,\\]|\\.?)+", re.S)
_FIELDS = re.compile(r'(?:[^,"\\]|\\.?|"(?:[^"\\]|\\.?)*(?:"|\Z))+', re.S)
_WORDS = re.compile(r'(?:[^ "\\]|\\.?|"(?:[^"\\]|\\.?)*(?:"|\Z))+', re.S)


def parse_influx(body: bytes, door: Door, *, precision: str = "ns") -> Parsed:
    """Return a sample a numeric field, metric ``measurement_field``; text fields are left out. Raises DataError."""
    if precision not in _PRECISION_NS:
        raise DataError(f"cannot use precision={precision[:10]!r}: want one of {', '.join(_PRECISION_NS)}")
    for number, raw in _lines(body):
        line = raw.strip()
        if not line or line.startswith(b"#"):
            continue
        try:
            door.all_timed &= _line(line, door, _PRECISION_NS[precision])
        except (DataError, UnicodeDecodeError) as error:
            door.refuse(f"line {number}: {error}")
    return door.parsed


def _lines(body: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield each line with its number: one whose last text has no end goes on up to the line that ends it."""
    lines = body.split(b"\n")
    odd = [at for at, line in enumerate(lines) if _odd(line)] if b'"' in body else []
    at = 0
    while at < len(lines):
        begin, line, at = at, lines[at], at + 1
        start = line.lstrip()
        if odd and not start.startswith(b"#") and _odd(start[_key_end(start) :]):
            follower = bisect_right(odd, begin)
            if follower < len(odd):
                at = odd[follower] + 1
                line = b"\n".join(lines[begin:at])
        yield begin + 1, line


def _key_end(line: bytes) -> int:
    found = _KEY.match(line)
    return found.end() if found is not None else 0


def _odd(text: bytes) -> bool:
    """Return whether the number of quotes that are not escaped is odd."""
    return b'"' in text and sum(map(bool, _QUOTE.findall(text))) % 2 == 1


def _line(line: bytes, door: Door, unit_ns: int) -> bool:
    """Take the samples of a line; return whether it says its time."""
    end = _key_end(line)
    key, words = line[:end].decode(), _WORDS.findall(line[end:].decode())
    if not key or len(words) not in (1, 2):
        raise DataError(f"cannot read {line[:60].decode(errors='replace')!r}: want measurement,tags fields timestamp")
    measurement, *tags = _TAGS.findall(key) or [""]
    labels = {}
    for tag in tags:
        name, equals, value = _pair(tag)
        if not equals:
            raise DataError(f"cannot read tag {tag[:40]!r}: want name=value")
        labels[name] = _plain(value)
    at_ms = door.now_ms
    if len(words) == 2:
        if not re.fullmatch(r"-?\d{1,19}", words[1], re.ASCII):
            raise DataError(f"cannot read timestamp {words[1][:30]!r}: want a whole number")
        at_ms = int(words[1]) * unit_ns // 1_000_000
    name = _plain(measurement)
    for field in _FIELDS.findall(words[0]):
        key, equals, text = _pair(field)
        if not equals:
            raise DataError(f"cannot read field {field[:40]!r}: want name=value")
        if text in ("t", "T", "true", "True", "TRUE", "f", "F", "false", "False", "FALSE"):
            number = float(text[0] in "tT")
        elif _NUMBER.fullmatch(text):
            number = float(text.rstrip("iu"))
        elif _TEXT.fullmatch(text):
            continue
        else:
            raise DataError(f"cannot read field {field[:40]!r}: want a number, or a text in quotes")
        door.add(door.series(name if key == "value" else f"{name}_{key}", labels), at_ms, number)
    return len(words) == 2


def _pair(text: str) -> tuple[str, str, str]:
    found = re.match(r"((?:[^=\\]|\\.)+)=(.*)", text, re.S)
    return (_plain(found[1]), "=", found[2]) if found else (text, "", "")


def _plain(text: str) -> str:
    return re.sub(r"\\([,= ])", r"\1", text)
