"""OTLP/HTTP metrics, protobuf and JSON (opentelemetry-proto): gauges, sums, histograms and summaries."""

from __future__ import annotations

from typing import Any

from google.protobuf import json_format
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.metrics.v1.metrics_pb2 import AggregationTemporality

from api.ingest.parsed import Door, Parsed
from schemas.errors import DataError
from schemas.series import Kind

_CUMULATIVE = AggregationTemporality.AGGREGATION_TEMPORALITY_CUMULATIVE
_NO_RECORDED_VALUE = 1  # DataPointFlags


def parse_otlp(body: bytes, door: Door, *, as_json: bool) -> Parsed:
    """Return the data points; a histogram gives ``_count``, ``_sum`` and ``_bucket{le}``. Raises DataError.

    What is cumulative and only rises is a counter; deltas are kept as they come. Of exponential histograms the buckets
    are refused by name.
    """
    request = ExportMetricsServiceRequest()
    try:
        if as_json:
            json_format.Parse(body, request, ignore_unknown_fields=True, max_recursion_depth=40)
        else:
            request.ParseFromString(body)
    except (DecodeError, json_format.ParseError, UnicodeDecodeError, RecursionError, ValueError) as error:
        raise DataError(f"cannot read OTLP metrics: {str(error)[:200]}") from error
    for resource in request.resource_metrics:
        common = {a.key: _text(a.value) for a in resource.resource.attributes}
        # The specification's names, as the ones by which entities are found; not service.instance.id, which SDKs make
        # anew with each start.
        for ours, theirs in (("service", "service.name"), ("host", "host.name")):
            if theirs in common and ours not in common:
                common[ours] = common.pop(theirs)
        for scope in resource.scope_metrics:
            for metric in scope.metrics:
                _metric(metric, common, door)
    return door.parsed


def _metric(metric: Any, common: dict[str, str], door: Door) -> None:
    shape = metric.WhichOneof("data")
    if shape is None:
        return
    data = getattr(metric, shape)
    for point in data.data_points:
        labels = common | {a.key: _text(a.value) for a in point.attributes}
        try:
            _point(metric.name, shape, data, point, labels, door)
        except DataError as error:
            door.refuse(str(error))


def _point(name: str, shape: str, data: Any, point: Any, labels: dict[str, str], door: Door) -> None:
    if point.flags & _NO_RECORDED_VALUE:
        return  # as a staleness marker: the series ended
    at_ms = point.time_unix_nano // 1_000_000 or door.now_ms
    cumulative = shape == "summary" or (shape != "gauge" and data.aggregation_temporality == _CUMULATIVE)
    counter: Kind = "counter" if cumulative else "gauge"
    if shape in ("gauge", "sum"):
        which = point.WhichOneof("value")
        if which is None:
            raise DataError(f"cannot use a data point of {name[:80]!r}: it has no value")
        kind: Kind = "gauge" if shape == "sum" and not data.is_monotonic else counter
        door.add(door.series(name, labels, kind), at_ms, float(getattr(point, which)))
        return
    door.add(door.series(f"{name}_count", labels, counter), at_ms, float(point.count))
    if shape == "summary" or point.HasField("sum"):
        door.add(door.series(f"{name}_sum", labels, counter), at_ms, point.sum)
    if shape == "histogram":
        running = 0
        for bound, count in zip([*point.explicit_bounds, float("inf")], point.bucket_counts, strict=False):
            running += count
            le = "+Inf" if bound == float("inf") else f"{bound:g}"
            door.add(door.series(f"{name}_bucket", labels | {"le": le}, counter), at_ms, float(running))
    elif shape == "summary":
        for quantile in point.quantile_values:
            series = door.series(name, labels | {"quantile": f"{quantile.quantile:g}"}, "gauge")
            door.add(series, at_ms, quantile.value)
    else:
        raise DataError(
            f"cannot take the buckets of exponential histogram {name[:80]!r}, only its count and sum: set explicit "
            "bucket bounds in the SDK"
        )


def _text(value: Any) -> str:
    kind = value.WhichOneof("value")
    return "" if kind is None else str(getattr(value, kind))
