"""The doors that other systems' own clients write to: each answers as its protocol says."""

from __future__ import annotations

from collections.abc import Callable

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceResponse
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from api.context import Context, json_response
from api.ingest.body import decompressed
from api.ingest.collectd import parse_collectd
from api.ingest.influx import parse_influx
from api.ingest.otlp import parse_otlp
from api.ingest.parsed import Door, Parsed
from api.ingest.remote_write import RemoteWrite
from schemas.errors import DataError


class DoorRoutes:
    def __init__(self, context: Context) -> None:
        self._context = context
        self._remote_write = RemoteWrite(context.repository.series)

    async def _take(
        self, request: Request, parse: Callable[[bytes, Door], Parsed], encoding: str, *, by_content: bool = False
    ) -> Parsed:
        """Read, parse, and put on the log what could be read; it is durable when this returns.

        by_content : a request of the same samples is a repeat, not only one of the same bytes.
        """
        settings = self._context.settings
        now_ms = self._context.now_ms()
        async with self._context.admitted(request) as raw:
            body = decompressed(raw, encoding, settings.body_max)
            door = Door(entity_labels=settings.entity_labels, now_ms=now_ms, future_ms=settings.future_ms)
            parsed = parse(body, door)
            return await self._context.publish(request, parsed, parsed.content() if by_content else body)

    async def remote_write(self, request: Request) -> Response:
        """204; 400 where nothing could be taken, so that Prometheus does not send it for ever.

        415 for another message than that of 1.0, as its specification says: a sender of 2.0 then sends 1.0.
        """
        kind = request.headers.get("content-type", "")
        if "proto=" in kind and "prometheus.WriteRequest" not in kind:
            raise HTTPException(415, f"cannot read {kind[:80]!r}: want remote_write 1.0 (prometheus.WriteRequest)")
        parsed = await self._take(
            request,
            self._remote_write.parse,
            request.headers.get("content-encoding", "snappy"),
            by_content=True,  # all of it is in the samples, which are a fraction of the bytes
        )
        _refuse_if_empty(parsed)
        return Response(status_code=204)

    async def influx(self, request: Request) -> Response:
        precision = request.query_params.get("precision", "ns")
        encoding = request.headers.get("content-encoding", "")
        parsed = await self._take(request, lambda body, door: parse_influx(body, door, precision=precision), encoding)
        _refuse_if_empty(parsed)
        return Response(status_code=204)

    async def collectd(self, request: Request) -> Response:
        parsed = await self._take(request, parse_collectd, request.headers.get("content-encoding", ""))
        return json_response({"accepted": len(parsed.series), "rejected": parsed.rejected})

    async def otlp(self, request: Request) -> Response:
        """The specification's partial success: what was refused is counted, with the first reason."""
        as_json = request.headers.get("content-type", "").startswith("application/json")
        encoding = request.headers.get("content-encoding", "")
        parsed = await self._take(request, lambda body, door: parse_otlp(body, door, as_json=as_json), encoding)
        first = parsed.rejected[0]["error"] if parsed.rejected else ""
        if as_json:
            partial = {"rejectedDataPoints": str(len(parsed.rejected)), "errorMessage": first}
            return json_response({"partialSuccess": partial} if parsed.rejected else {})
        answer = ExportMetricsServiceResponse()
        if parsed.rejected:
            answer.partial_success.rejected_data_points = len(parsed.rejected)
            answer.partial_success.error_message = first
        return Response(answer.SerializeToString(), media_type="application/x-protobuf")


def _refuse_if_empty(parsed: Parsed) -> None:
    if parsed.rejected and not parsed.series:
        raise DataError(f"cannot take any of {len(parsed.rejected)} samples; the first: {parsed.rejected[0]['error']}")
