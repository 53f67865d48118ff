"""Incidents as they are told: one as a JSON object; many as a list, an object a line, or CSV with a header line."""

from __future__ import annotations

import csv
import io
from hashlib import blake2b
from typing import Any, NamedTuple

import msgspec

from api.times import time_ms
from schemas.errors import DataError
from schemas.incident import Incident, Severity

TEXT_CHARACTERS_MAX = 10_000
TOLD_MAX = 20_000
_UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


class Told(msgspec.Struct, forbid_unknown_fields=True):
    """An incident as somebody tells of it."""

    entity: str
    start: int | float | str
    end: int | float | str | None = None
    title: str = ""
    severity: Severity = "major"
    resolution: str = ""
    external_id: str = ""
    id: str = ""
    withdrawn: bool = False


class ToldMany(NamedTuple):
    """What a body says. ``rejected`` : index and error of what could not be used, as the other doors answer it."""

    incidents: list[Incident]
    rejected: list[dict[str, Any]]
    alone: bool  # one object, not a list of one


def parse_incidents(body: bytes, content_type: str, *, now_ms: int) -> ToldMany:
    """Return the incidents of a body; raises DataError where there is none that can be used."""
    kind = content_type.partition(";")[0].strip().lower()
    rows, alone = (_csv_rows(body), False) if kind in ("text/csv", "application/csv") else _json_rows(body)
    if len(rows) > TOLD_MAX:
        raise DataError(f"cannot take {len(rows)} incidents at once: want at most {TOLD_MAX}")
    out = ToldMany([], [], alone)
    for index, row in enumerate(rows):
        try:
            if isinstance(row, DataError):
                raise row
            out.incidents.append(incident_of(msgspec.convert(row, Told), now_ms))
        except (DataError, msgspec.ValidationError) as error:
            out.rejected.append({"index": index, "error": str(error)})
    if not out.incidents:
        why = out.rejected[0]["error"] if out.rejected else "there is none"
        raise DataError(f"cannot read an incident: {why}")
    return out


def incident_of(told: Told, now_ms: int) -> Incident:
    """Return the incident; the same ``external_id``, or entity and start, gives the same id. Raises DataError."""
    start_ms = time_ms(told.start, now_ms)
    end_ms = None if told.end is None else time_ms(told.end, now_ms)
    if end_ms is not None and end_ms < start_ms:
        raise DataError(f"cannot use end={str(told.end)[:40]}: it is before start={str(told.start)[:40]}")
    texts = (told.entity, told.title, told.resolution, told.external_id, told.id)
    if not told.entity or max(map(len, texts)) > TEXT_CHARACTERS_MAX:
        raise DataError(f"cannot use an incident: want an entity, and texts of at most {TEXT_CHARACTERS_MAX}")
    key = told.external_id or f"{told.entity}\0{start_ms}"
    return Incident(
        id=told.id or blake2b(key.encode("utf-8", "surrogatepass"), digest_size=10).hexdigest(),
        entity=told.entity,
        start_ms=start_ms,
        end_ms=end_ms,
        title=told.title,
        severity=told.severity,
        resolution=told.resolution,
        external_id=told.external_id,
        withdrawn=told.withdrawn,
        updated_ms=now_ms,
    )


def _json_rows(body: bytes) -> tuple[list[Any], bool]:
    try:
        document = msgspec.json.decode(body)
    except _UNREADABLE as error:
        lines = [line for line in body.split(b"\n") if line.strip()]
        if len(lines) < 2:
            raise DataError(f"cannot read an incident: {error}") from error
        return [_json_row(line) for line in lines], False
    if isinstance(document, dict) and isinstance(document.get("incidents"), list):
        return document["incidents"], False
    return (document, False) if isinstance(document, list) else ([document], True)


def _json_row(line: bytes) -> Any:
    try:
        return msgspec.json.decode(line)
    except _UNREADABLE as error:
        return DataError(f"not JSON: {error}")


def _csv_rows(body: bytes) -> list[Any]:
    """Return a row's fields by the header's names, without those that are empty."""
    try:
        lines = list(csv.reader(io.StringIO(body.decode("utf-8-sig"), newline=""), strict=True))
    except (csv.Error, UnicodeDecodeError) as error:
        raise DataError(f"cannot read the CSV: {error}") from error
    header = [name.strip() for name in lines[0]] if lines else []
    known = Told.__struct_fields__
    if unknown := [name for name in header if name not in known]:
        raise DataError(f"cannot use column {unknown[0][:40]!r}: want a header line of {', '.join(known)}")
    if len(set(header)) < len(header) or not {"entity", "start"} <= set(header):
        raise DataError(f"cannot use the columns {', '.join(header)[:200]!r}: want entity and start, each once")
    rows: list[Any] = []
    for line in lines[1:]:
        if len(line) > len(header):
            rows.append(DataError(f"cannot read a row of {len(line)} fields: the header has {len(header)}"))
        elif line:
            row: dict[str, Any] = {name: value for name, value in zip(header, line, strict=False) if value}
            if "withdrawn" in row:
                row["withdrawn"] = row["withdrawn"].lower() in ("true", "1", "yes")
            rows.append(row)
    return rows
