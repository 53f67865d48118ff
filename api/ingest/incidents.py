"""Incidents as they are told: one as a JSON object; many as a list, an object a line, or CSV with a header line."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from hashlib import blake2b
from typing import Any, NamedTuple

import msgspec

from api.times import time_ms
from schemas.errors import DataError
from schemas.incident import Incident

TEXT_CHARACTERS_MAX = 10_000
SEVERITY_CHARACTERS_MAX = 40
TOLD_MAX = 20_000
_UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


class Told(msgspec.Struct, forbid_unknown_fields=True):
    """An incident as somebody tells of it. What is left out, or null, is as it was; ``end`` null: it is open."""

    entity: str
    start: int | float | str
    end: int | float | str | None | msgspec.UnsetType = msgspec.UNSET
    title: str | None | msgspec.UnsetType = msgspec.UNSET
    severity: str | None | msgspec.UnsetType = msgspec.UNSET
    resolution: str | None | msgspec.UnsetType = msgspec.UNSET
    external_id: str | None = None
    id: str | None = None
    withdrawn: bool = False


class ToldMany(NamedTuple):
    """What a body says. ``rejected`` : index and error of what could not be used, as the other doors answer it.

    unsaid : of each incident the fields that were left out, so that an update leaves them as they were.
    """

    incidents: list[Incident]
    indices: list[int]  # of the incidents in the body
    unsaid: list[tuple[str, ...]]
    rejected: list[dict[str, Any]]
    alone: bool  # one object, not a list of one


def parse_incidents(body: bytes, content_type: str, *, now_ms: int) -> ToldMany:
    """Return the incidents of a body; raises DataError where there is none that can be used."""
    kind = content_type.partition(";")[0].strip().lower()
    rows, alone = (_csv_rows(body), False) if kind in ("text/csv", "application/csv") else _json_rows(body)
    if len(rows) > TOLD_MAX:
        raise DataError(f"cannot take {len(rows)} incidents at once: want at most {TOLD_MAX}")
    out = ToldMany([], [], [], [], alone)
    for index, row in enumerate(rows):
        try:
            if isinstance(row, DataError):
                raise row
            told = msgspec.convert(row, Told)
            out.incidents.append(incident_of(told, now_ms))
            out.indices.append(index)
            out.unsaid.append(unsaid_of(told))
        except (DataError, msgspec.ValidationError) as error:
            out.rejected.append({"index": index, "error": str(error)})
    if not out.incidents:
        why = out.rejected[0]["error"] if out.rejected else "there is none"
        raise DataError(f"cannot read an incident: {why}")
    return out


def incident_of(told: Told, now_ms: int) -> Incident:
    """Return the incident; the same ``external_id``, or entity and start, gives the same id. Raises DataError."""
    start_ms = time_ms(told.start, now_ms)
    end_ms = time_ms(told.end, now_ms) if told.end is not None and told.end is not msgspec.UNSET else None
    if end_ms is not None and end_ms < start_ms:
        raise DataError(f"cannot use end={str(told.end)[:40]}: it is before start={str(told.start)[:40]}")
    title, resolution, severity = (text or "" for text in (told.title, told.resolution, told.severity))
    external_id = told.external_id or ""
    longest = max(map(len, (told.entity, title, resolution, external_id, told.id or "")))
    if not told.entity or longest > TEXT_CHARACTERS_MAX or len(severity) > SEVERITY_CHARACTERS_MAX:
        raise DataError(
            f"cannot use an incident: want an entity, a severity of at most {SEVERITY_CHARACTERS_MAX} characters, and"
            f" texts of at most {TEXT_CHARACTERS_MAX}"
        )
    key = external_id or f"{told.entity}\0{start_ms}"
    return Incident(
        id=told.id or blake2b(key.encode("utf-8", "surrogatepass"), digest_size=10).hexdigest(),
        entity=told.entity,
        start_ms=start_ms,
        end_ms=end_ms,
        title=title,
        severity=severity or "major",
        resolution=resolution,
        external_id=external_id,
        withdrawn=told.withdrawn,
        updated_ms=now_ms,
    )


def unsaid_of(told: Told) -> tuple[str, ...]:
    """Return the fields of an incident that were left out."""
    out = [name for name in ("title", "severity", "resolution") if not isinstance(getattr(told, name), str)]
    return (*out, "end_ms") if told.end is msgspec.UNSET else tuple(out)


def updated(before: Incident, said: Incident, unsaid: Sequence[str]) -> Incident:
    """Return what is known once ``said`` was told of an incident that was known already; raises DataError."""
    out = msgspec.structs.replace(said, **{name: getattr(before, name) for name in unsaid})
    if out.end_ms is not None and out.end_ms < out.start_ms:
        raise DataError(f"cannot use start={out.start_ms}: it ended before that, at {out.end_ms}; tell its end too")
    return out


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
