"""Times as clients write them: epoch ms, RFC 3339, or relative to now (``now``, ``-6h``, ``+2h``)."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from schemas.errors import DataError

_UNITS_MS = {"s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}
_MS_MAX = 253_402_300_800_000  # the year 10000


def time_ms(value: object, now_ms: int) -> int:
    """Return epoch ms; raises DataError. A date without a zone is UTC.

    >>> time_ms("-1m", 100_000)
    40000
    """
    if isinstance(value, bool):
        raise DataError(f"cannot read time {value}: want epoch ms or RFC 3339", "bad_time")
    if isinstance(value, float) and value.is_integer() and abs(value) < _MS_MAX:
        return int(value)
    if isinstance(value, int) and abs(value) < _MS_MAX:
        return value
    if isinstance(value, str) and len(value) <= 40:
        if value == "now":
            return now_ms
        if found := re.fullmatch(r"([+-])(\d{1,9})([smhdw])", value):
            return now_ms + int(f"{found[1]}{found[2]}") * _UNITS_MS[found[3]]
        if re.fullmatch(r"-?\d{1,15}", value):
            return time_ms(int(value), now_ms)
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            moment = None
        if moment is not None:
            moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
            return int(moment.timestamp() * 1000)
    raise DataError(f"cannot read time {str(value)[:60]!r}: want epoch ms, RFC 3339, now or -6h", "bad_time")
