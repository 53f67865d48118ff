"""The API's description (OpenAPI 3.1), as ``GET /api/v1/openapi.json`` gives it."""

from __future__ import annotations

from typing import Any

_TIME = {"type": "string", "description": "epoch ms, RFC 3339, now, or relative such as -6h", "maxLength": 40}
_FROM = {"name": "from", "in": "query", "schema": _TIME}
_TO = {"name": "to", "in": "query", "schema": _TIME}
_TEXTS = {"type": "array", "items": {"type": "string"}}
_ID = {"name": "id", "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}


def _query(name: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "in": "query", "schema": schema}


def _json(schema: dict[str, Any]) -> dict[str, Any]:
    return {"content": {"application/json": {"schema": schema}}}


_OBJECT = {"type": "object"}
_LIST = {"type": "array", "items": _OBJECT}
_PROBLEM = {"content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}}
_REFUSALS = {
    "400": {"description": "cannot be read: detail says why", **_PROBLEM},
    "401": {"description": "no token", **_PROBLEM},
    "403": {"description": "the token lacks the scope", **_PROBLEM},
    "404": {"description": "no such thing", **_PROBLEM},
    "405": {"description": "no such method", **_PROBLEM},
    "409": {"description": "cannot be done with this one", **_PROBLEM},
    "413": {"description": "the body is over limits.body", **_PROBLEM},
    "415": {"description": "Content-Encoding is none of gzip, zstd and snappy", **_PROBLEM},
    "429": {"description": "the token's share is used up; again after Retry-After seconds", **_PROBLEM},
    "503": {"description": "a part is down; try again after Retry-After seconds", **_PROBLEM},
}

_SAMPLE = {
    "type": "object",
    "required": ["entity", "metric", "value"],
    "properties": {
        "entity": {"type": "string", "minLength": 1, "maxLength": 1024},
        "metric": {"type": "string", "minLength": 1, "maxLength": 1024},
        "labels": {"type": "object", "additionalProperties": {"type": "string"}},
        "timestamp": {"description": "epoch ms or RFC 3339; default now", "type": ["integer", "string"]},
        "value": {"type": "number"},
    },
}
_EVENT = {
    "type": "object",
    "required": ["entity", "event"],
    "properties": {
        "entity": {"type": "string", "minLength": 1, "maxLength": 1024},
        "event": {"type": "string", "minLength": 1, "maxLength": 1024},
        "timestamp": {"type": ["integer", "string"]},
        "attributes": _OBJECT,
    },
}
_INCIDENT = {
    "type": "object",
    "required": ["entity", "start"],
    "additionalProperties": False,
    "properties": {
        "entity": {"type": "string", "minLength": 1},
        "start": {"type": ["integer", "string"]},
        "end": {"type": ["integer", "string", "null"]},
        "title": {"type": "string"},
        "severity": {"type": "string", "maxLength": 40},
        "resolution": {"type": "string"},
        "external_id": {"type": "string"},
        "id": {"type": "string"},
        "withdrawn": {"type": "boolean"},
    },
}
_INTERVAL = [_FROM, _TO]
_POINTS = _query("points", {"type": "integer", "minimum": 1, "maximum": 2000})
_SCORED = [*_INTERVAL, _query("entity", _TEXTS), _query("rollup", _TEXTS), _query("flag", {"enum": ["0", "1"]})]


def _get(summary: str, schema: dict[str, Any], parameters: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    answers = {"200": {"description": "well", **_json(schema)}, **_REFUSALS}
    return {"summary": summary, "parameters": parameters or [], "responses": answers}


def _post(summary: str, body: dict[str, Any], statuses: tuple[str, ...], extra: Any = ()) -> dict[str, Any]:
    answers = {status: {"description": "well", **_json(_OBJECT)} for status in statuses}
    request = {"required": True, **_json(body)}
    return {"summary": summary, "parameters": list(extra), "requestBody": request, "responses": answers | _REFUSALS}


_BYTES = "application/octet-stream"


def _door(summary: str, media_types: tuple[str, ...], status: str, extra: Any = ()) -> dict[str, Any]:
    """A protocol of others': its bodies are described where the protocol is."""
    content = {one: {"schema": {"type": "string", "format": "binary"}} for one in media_types}
    return {
        "summary": summary,
        "parameters": list(extra),
        "requestBody": {"required": True, "content": content},
        "responses": {status: {"description": "taken, and durable"}} | _REFUSALS,
    }


_ALERT_STATES = ("firing", "pending", "resolved")
_MATCHER = {
    "type": "object",
    "required": ["name", "value"],
    "additionalProperties": False,
    "properties": {
        "name": {"type": "string"},
        "value": {"type": "string"},
        "isRegex": {"type": "boolean"},
        "isEqual": {"type": "boolean"},
    },
}
_SILENCE = {
    "type": "object",
    "required": ["matchers", "end"],
    "additionalProperties": False,
    "properties": {
        "matchers": {"type": "array", "items": _MATCHER, "minItems": 1, "maxItems": 50},
        "start": {"type": ["integer", "string"]},
        "end": {"type": ["integer", "string"]},
        "comment": {"type": "string"},
        "created_by": {"type": "string"},
    },
}


def describe() -> dict[str, Any]:
    """Return the document."""
    wrapped = {
        "type": "object",
        "required": ["samples"],
        "properties": {"samples": {"type": "array", "items": _SAMPLE}},
    }
    range_parameters = [
        *_INTERVAL,
        _query("entity", _TEXTS),
        _query("metric", _TEXTS),
        _query("stat", {"type": "string"}),
        _query("rollup", {"type": "string"}),
        _query("points", {"type": "integer", "minimum": 1, "maximum": 100_000}),
        _query("overlay", {"type": "string", "description": "1d,1w,1mo: the same interval that long ago"}),
        _query("format", {"enum": ["json", "dygraphs", "csv", "arrow"]}),
    ]
    ranged = _get("Rolled-up series of an interval", {"type": ["object", "array"]}, range_parameters)
    ranged["responses"]["200"]["content"] |= {"text/csv": {}, "application/vnd.apache.arrow.stream": {}}
    named = [_query(name, {"type": "string"}) for name in ("model", "rollup", "period")]
    warm_up = _query("warmup", {"type": "string", "pattern": "^[1-9][0-9]{0,3}[mhd]$"})
    rehearsal = _get(
        "A past interval through a stored model: a verdict a line; of the flagged windows alone with flag=1",
        _OBJECT,
        [*_INTERVAL, *named, warm_up, _query("as_of", _TIME), _query("flag", {"enum": ["0", "1"]})],
    )
    rehearsal["responses"]["200"]["content"] = {"application/x-ndjson": {}}
    paths = {
        "/api/v1/samples": {"post": _post("Write samples; 202 once durable", {"anyOf": [wrapped, _SAMPLE]}, ("202",))},
        "/api/v1/events": {"post": _post("Write events, rolled up as counts", _EVENT, ("202",))},
        "/api/v1/range": {"get": ranged},
        "/api/v1/forecast": {
            "get": _get(
                "Where a metric is going: rows of start, mean, low, high",
                _OBJECT,
                [_query(name, {"type": "string"}) for name in ("entity", "metric", "horizon", "stat")],
            )
        },
        "/api/v1/entities": {"get": _get("What is watched; last_seen may be a minute behind", _LIST)},
        "/api/v1/series": {
            "get": _get(
                "Every series; last_seen may be a minute behind",
                _LIST,
                [_query("entity", _TEXTS), _query("metric", _TEXTS)],
            )
        },
        "/api/v1/periods": {"get": _get("Traffic periods of an interval", _LIST, _INTERVAL)},
        "/api/v1/overview": {
            "get": _get("Every entity: labels, newest verdicts, a line of scores", _OBJECT, [*_INTERVAL, _POINTS])
        },
        "/api/v1/risk": {
            "get": _get(
                "Rows of start, p_incident, anomaly_score, flag: the worst of all rollups",
                _OBJECT,
                [*_INTERVAL, _POINTS, {**_query("entity", {"type": "string"}), "required": True}],
            )
        },
        "/api/v1/settings": {"get": _get("The settings and what each means; secrets are masked", _LIST)},
        "/api/v1/verdicts": {
            "get": _get(
                "What the models said", _LIST, [*_SCORED, _query("limit", {"type": "integer", "maximum": 10_000})]
            )
        },
        "/api/v1/scores": {"get": _get("The numbers of verdicts alone", _LIST, _SCORED)},
        "/api/v1/verdicts/{id}/feedback": {
            "post": _post(
                "Say whether a verdict was right",
                {
                    "type": "object",
                    "required": ["correct"],
                    "properties": {"correct": {"type": "boolean"}, "note": {"type": "string"}},
                },
                ("200",),
                [_ID],
            )
        },
        "/api/v1/models": {"get": _get("The models and how right they have been", _LIST)},
        "/api/v1/models/{id}": {"get": _get("One model with its curves", _OBJECT, [_ID])},
        "/api/v1/rehearsal": {"get": rehearsal},
        "/api/v1/write": {"post": _door("Prometheus remote_write 1.0 (protobuf, snappy)", (_BYTES,), "204")},
        "/v1/metrics": {"post": _door("OTLP/HTTP metrics, JSON or protobuf", ("application/json", _BYTES), "200")},
        "/api/v2/write": {
            "post": _door(
                "Influx line protocol", ("text/plain",), "204", [_query("precision", {"enum": ["ns", "us", "ms", "s"]})]
            )
        },
        "/write": {
            "post": _door(
                "Influx line protocol", ("text/plain",), "204", [_query("precision", {"enum": ["ns", "us", "ms", "s"]})]
            )
        },
        "/collectd": {"post": _door("collectd write_http", ("application/json",), "200")},
        "/api/v1/session": {
            "post": _post("Sign in: a token for a cookie", {"type": "object", "required": ["token"]}, ("200",))
        },
        "/api/v1/models/{id}/pin": {
            "post": _post(
                "Let this model answer for a period, or no longer; scope admin",
                {
                    "type": "object",
                    "additionalProperties": False,
                    "properties": {"pinned": {"type": "boolean"}, "period": {"type": "string"}},
                },
                ("200",),
                [_ID],
            )
        },
        "/api/v1/incidents": {
            "get": _get(
                "The incidents, the newest first; a Link header with rel=next where there are more",
                _LIST,
                [
                    _query("entity", _TEXTS),
                    _query("limit", {"type": "integer", "maximum": 10_000}),
                    _query("after", {"type": "string"}),
                ],
            ),
            "post": _post(
                "Add or update an incident, or many: a list, an object a line, or text/csv with a header line",
                {"oneOf": [_INCIDENT, {"type": "array", "items": _INCIDENT}]},
                ("200", "201"),
            ),
        },
        "/api/v1/incidents/{id}": {
            "get": _get("One incident", _OBJECT, [_ID]),
            "delete": _get("Withdraw it: it was none", _OBJECT, [_ID]),
        },
        "/api/v1/incidents/alertmanager": {"post": _post("Alertmanager's webhook, as labels", _OBJECT, ("200",))},
        "/api/v1/incidents/pagerduty": {"post": _post("PagerDuty's webhook v3, as labels", _OBJECT, ("200",))},
        "/api/v1/alerts": {
            "get": _get(
                "Alerts and what was sent of them",
                _LIST,
                [_query("entity", _TEXTS), _query("state", {"type": "array", "items": {"enum": list(_ALERT_STATES)}})],
            )
        },
        "/api/v1/silences": {
            "get": _get("Silences, ended ones too", _LIST),
            "post": _post("Hold back the alerts that all matchers match", _SILENCE, ("201",)),
        },
        "/api/v1/silences/{id}": {"delete": _get("End a silence now", _OBJECT, [_ID])},
        "/healthz": {"get": _get("Alive", _OBJECT)},
        "/readyz": {"get": _get("Ready, or what is not", _OBJECT)},
    }
    paths["/readyz"]["get"]["responses"]["503"] = {"description": "not ready", **_json(_OBJECT)}
    problem = {
        "type": "object",
        "required": ["title", "status", "detail"],
        "properties": {"title": {"type": "string"}, "status": {"type": "integer"}, "detail": {"type": "string"}},
    }
    bearer = {"type": "http", "scheme": "bearer"}
    return {
        "openapi": "3.1.0",
        "info": {"title": "Foreshock", "version": "1"},
        "paths": paths,
        "components": {"schemas": {"Problem": problem}, "securitySchemes": {"token": bearer}},
        "security": [{}, {"token": []}],
    }
