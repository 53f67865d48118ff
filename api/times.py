"""Times as clients write them: epoch ms, RFC 3339, or relative to now (``now``, ``-6h``, ``+2h``)."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime, timedelta

from starlette.datastructures import QueryParams

from schemas.errors import DataError

MS_MIN = -62_135_596_800_000  # the year 1
MS_MAX = 253_402_300_800_000  # the year 10000
_UNITS_MS = {"s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_UNESCAPED_ZONE = re.compile(r"(.*:.*\d) (\d\d:?\d\d)")


def time_ms(value: object, now_ms: int) -> int:
    """Return epoch ms, of the years 1 to 9999; raises DataError. A date without a zone is UTC.

    What is finer than a millisecond is left out. A leap second is the second after. A ``+`` that a client did not
    escape in an address arrives as a space, and is read as what was meant.

    >>> time_ms("-1m", 100_000)
    40000
    >>> time_ms("1970-01-01T01:00:01 01:00", 0)
    1000
    """
    at_ms = None
    if isinstance(value, int) and not isinstance(value, bool):
        at_ms = value
    elif isinstance(value, float) and math.isfinite(value):
        at_ms = math.floor(value)
    elif isinstance(value, str) and len(value) <= 40:
        at_ms = _of_text(value, now_ms)
    if at_ms is None or not MS_MIN <= at_ms < MS_MAX:
        raise DataError(
            f"cannot read time {str(value)[:60]!r}: want epoch ms, RFC 3339, now or -6h, in the years 1 to 9999",
            "bad_time",
        )
    return at_ms


def interval_ms(query: QueryParams, now_ms: int, default_from: str) -> tuple[int, int]:
    """Return ``from`` and ``to`` (default: now) of a request, epoch ms; raises DataError."""
    from_ms, to_ms = time_ms(query.get("from", default_from), now_ms), time_ms(query.get("to", "now"), now_ms)
    if from_ms > to_ms:
        given = f"from={query.get('from', default_from)[:40]!r}, to={query.get('to', 'now')[:40]!r}"
        raise DataError(f"cannot use {given}: want a from that is not after to", "bad_time")
    return from_ms, to_ms


def length_ms(text: str) -> int | None:
    """Return a length of time such as 30m, 6h or 7d in ms; None for anything else.

    >>> length_ms("30m")
    1800000
    """
    found = re.fullmatch(r"([1-9]\d{0,3})([mhd])", text, re.ASCII)
    return int(found[1]) * _UNITS_MS[found[2]] if found else None


def _of_text(text: str, now_ms: int) -> int | None:
    if text == "now":
        return now_ms
    if found := re.fullmatch(r"([ +-])(\d{1,9})([smhdw])", text, re.ASCII):
        return now_ms + int(f"{found[1].strip()}{found[2]}") * _UNITS_MS[found[3]]
    if re.fullmatch(r"-?\d{1,15}", text, re.ASCII):
        return int(text)
    text = text.upper()
    if found := _UNESCAPED_ZONE.fullmatch(text):
        text = f"{found[1]}+{found[2]}"
    leap = re.search(r":\d\d:60", text)
    if leap is not None:
        text = f"{text[: leap.end() - 2]}59{text[leap.end() :]}"
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    # By whole numbers: as float seconds some milliseconds come out one too low.
    at_ms = ((moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - _EPOCH) // timedelta(milliseconds=1)
    return at_ms + 1000 if leap is not None else at_ms
