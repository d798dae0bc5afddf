"""Decodes OTLP with what OpenTelemetry publishes (the package opentelemetry-proto), and looks twice.

    message = decode(path_or_bytes, "traces", "application/json")   # or "application/x-protobuf"
    for span in spans(message): ...                                 # points(), logs()

decode() refuses what a lenient receiver would swallow: fields that OTLP does not have, text that is not
UTF-8, members of JSON that are not lowerCamelCase, ids that are not hex, enums that are not numbers.
The packages are in build/venv, made by scripts/venv; any /usr/bin/python3 finds them.
"""
import base64
import json
import math
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent


def use_venv():
    """Makes the packages of build/venv importable, whichever interpreter this is."""
    subprocess.run([ROOT / "scripts" / "venv"], check=True)
    for path in sorted((ROOT / "build" / "venv" / "lib").glob("python3*/site-packages")):
        if str(path) not in sys.path:
            # Behind the system's own: its pytest is the one that runs.
            sys.path.append(str(path))


use_venv()

from google.protobuf import json_format, unknown_fields  # noqa: E402
from google.protobuf.descriptor import FieldDescriptor  # noqa: E402
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2  # noqa: E402
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2  # noqa: E402
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2  # noqa: E402
from opentelemetry.proto.logs.v1 import logs_pb2  # noqa: E402
from opentelemetry.proto.metrics.v1 import metrics_pb2  # noqa: E402
from opentelemetry.proto.trace.v1 import trace_pb2  # noqa: E402

REQUESTS = {
    "traces": trace_service_pb2.ExportTraceServiceRequest,
    "metrics": metrics_service_pb2.ExportMetricsServiceRequest,
    "logs": logs_service_pb2.ExportLogsServiceRequest,
}
RESPONSES = {
    "traces": trace_service_pb2.ExportTraceServiceResponse,
    "metrics": metrics_service_pb2.ExportMetricsServiceResponse,
    "logs": logs_service_pb2.ExportLogsServiceResponse,
}
FILES = {"traces": trace_pb2.TracesData, "metrics": metrics_pb2.MetricsData, "logs": logs_pb2.LogsData}
IDS = {"traceId": 32, "spanId": 16, "parentSpanId": 16}


class Malformed(AssertionError):
    """What was sent is not OTLP."""


def is_repeated(field):
    flag = getattr(field, "is_repeated", None)
    return flag if flag is not None else field.label == FieldDescriptor.LABEL_REPEATED


# ------------------------------------------------------------------ decoding

def decode(data, signal, content_type="application/x-protobuf", kind=REQUESTS):
    """A path or bytes as an Export...ServiceRequest (kind=FILES: as one TracesData ...)."""
    if not isinstance(data, (bytes, bytearray, memoryview)):
        data = pathlib.Path(data).read_bytes()
    data = bytes(data)
    content_type = content_type.split(";")[0].strip().lower()
    message = kind[signal]()
    if content_type in ("application/json", "json"):
        parse_json(data, message)
    elif content_type in ("application/x-protobuf", "protobuf"):
        try:
            message.ParseFromString(data)  # refuses text that is not UTF-8
        except Exception as error:
            raise Malformed(f"not protobuf: {error}") from error
    else:
        raise Malformed(f"content type {content_type!r}")
    check_known(message)
    return message


def decode_lines(data, signal):
    """The messages of a file of JSON lines."""
    if not isinstance(data, (bytes, bytearray)):
        data = pathlib.Path(data).read_bytes()
    if data and not data.endswith(b"\n"):
        raise Malformed("the last line has no end")
    return [decode(line, signal, "application/json", FILES) for line in bytes(data).split(b"\n")[:-1]]


def parse_json(data, message):
    try:
        tree = json.loads(data.decode("utf-8"), object_pairs_hook=unique,
                          parse_constant=lambda word: refuse(f"{word} is not JSON"))
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise Malformed(f"not JSON: {error}") from error
    tree = checked(tree, message.DESCRIPTOR, "$")
    try:
        json_format.ParseDict(tree, message)
    except json_format.ParseError as error:
        raise Malformed(str(error)) from error


def refuse(why):
    raise Malformed(why)


def unique(pairs):
    names = [name for name, _ in pairs]
    if len(names) != len(set(names)):
        raise Malformed(f"twice in one object: {names}")
    return dict(pairs)


def checked(tree, descriptor, where):
    """The tree as json_format wants it, hex ids in base64, once it is known to be as OTLP wants it."""
    if not isinstance(tree, dict):
        raise Malformed(f"{where}: no object")
    fields = {field.json_name: field for field in descriptor.fields}
    out = {}
    for name, value in tree.items():
        if name not in fields:
            raise Malformed(f"{where}.{name}: OTLP has no such member")
        field, at = fields[name], f"{where}.{name}"
        if is_repeated(field):
            if not isinstance(value, list) or not value:
                raise Malformed(f"{at}: no list, or an empty one")
            out[name] = [checked_value(v, field, name, f"{at}[{i}]") for i, v in enumerate(value)]
        else:
            out[name] = checked_value(value, field, name, at)
    return out


WIDE = {FieldDescriptor.CPPTYPE_INT64, FieldDescriptor.CPPTYPE_UINT64}
NARROW = {FieldDescriptor.CPPTYPE_INT32, FieldDescriptor.CPPTYPE_UINT32, FieldDescriptor.CPPTYPE_ENUM}


def checked_value(value, field, name, where):
    kind = field.cpp_type
    if kind == FieldDescriptor.CPPTYPE_MESSAGE:
        return checked(value, field.message_type, where)
    if field.type == FieldDescriptor.TYPE_BYTES and name in IDS:
        if not re.fullmatch("[0-9a-f]{%d}" % IDS[name], value):
            raise Malformed(f"{where}: {value!r} is no id")
        return base64.b64encode(bytes.fromhex(value)).decode()
    if kind in WIDE and not (isinstance(value, str) and re.fullmatch("0|-?[1-9][0-9]*", value)):
        raise Malformed(f"{where}: {value!r} is no decimal string")
    if kind in NARROW and (isinstance(value, bool) or not isinstance(value, int)):
        raise Malformed(f"{where}: {value!r} is no whole number")
    if kind == FieldDescriptor.CPPTYPE_DOUBLE and not (
            isinstance(value, (int, float)) or value in ("NaN", "Infinity", "-Infinity")):
        raise Malformed(f"{where}: {value!r} is no number")
    return value


def check_known(message, where="$"):
    """Nothing in it, at any depth, that the published definitions do not have."""
    unknown = [f"{field.field_number}" for field in unknown_fields.UnknownFieldSet(message)]
    if unknown:
        raise Malformed(f"{where}: unknown fields {', '.join(unknown)}")
    for field, value in message.ListFields():
        if field.cpp_type != FieldDescriptor.CPPTYPE_MESSAGE:
            continue
        for item in value if is_repeated(field) else [value]:
            check_known(item, f"{where}.{field.name}")


# ------------------------------------------------------------------ plain Python

def value_of(value):
    """An AnyValue; one that holds nothing is None."""
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [value_of(v) for v in value.array_value.values]
    if kind == "kvlist_value":
        return attributes_of(value.kvlist_value.values)
    return getattr(value, kind) if kind else None


def attributes_of(pairs):
    """A dict; a key that is there twice is malformed."""
    out = {}
    for pair in pairs:
        if pair.key in out:
            raise Malformed(f"attribute {pair.key!r} is there twice")
        if not pair.key:
            raise Malformed("an attribute without a key")
        out[pair.key] = value_of(pair.value)
    return out


def id_of(data, size):
    """Hex, or None where there is none; another length or all zeros is malformed."""
    if data and (len(data) != size or not any(data)):
        raise Malformed(f"id {data!r}")
    return data.hex() if data else None


def surroundings(resource, scope):
    return {
        "resource": attributes_of(resource.resource.attributes),
        "resource_dropped": resource.resource.dropped_attributes_count,
        "resource_schema": resource.schema_url,
        "scope": scope.scope.name,
        "scope_version": scope.scope.version,
        "schema": scope.schema_url,
    }


def walk(message, of_resource, of_scope, of_item):
    """Every item with its resource and scope; an empty envelope anywhere is malformed."""
    resources = getattr(message, of_resource)
    if not resources:
        raise Malformed("an empty request")
    for resource in resources:
        scopes = getattr(resource, of_scope)
        if not scopes:
            raise Malformed(f"{of_resource} without scopes")
        for scope in scopes:
            if not getattr(scope, of_item):
                raise Malformed(f"{of_scope} without items")
            for item in getattr(scope, of_item):
                yield surroundings(resource, scope), item


def messages_of(message):
    return message if isinstance(message, (list, tuple)) else [message]


def spans(message):
    """Dicts of one message or of a list of them. Times in ns; kind and status as numbers; ids in hex or None."""
    out = []
    for one in messages_of(message):
        for around, span in walk(one, "resource_spans", "scope_spans", "spans"):
            out.append({
                **around,
                "trace_id": id_of(span.trace_id, 16), "span_id": id_of(span.span_id, 8),
                "parent_span_id": id_of(span.parent_span_id, 8), "trace_state": span.trace_state,
                "flags": span.flags, "name": span.name, "kind": span.kind,
                "start": span.start_time_unix_nano, "end": span.end_time_unix_nano,
                "attributes": attributes_of(span.attributes), "dropped": span.dropped_attributes_count,
                "events": [{"time": e.time_unix_nano, "name": e.name, "attributes": attributes_of(e.attributes),
                            "dropped": e.dropped_attributes_count} for e in span.events],
                "dropped_events": span.dropped_events_count,
                "links": [{"trace_id": id_of(k.trace_id, 16), "span_id": id_of(k.span_id, 8), "flags": k.flags,
                           "trace_state": k.trace_state, "attributes": attributes_of(k.attributes),
                           "dropped": k.dropped_attributes_count} for k in span.links],
                "dropped_links": span.dropped_links_count,
                "status": span.status.code, "status_message": span.status.message,
            })
    return out


def exemplars_of(point):
    return [{"time": e.time_unix_nano, "value": getattr(e, e.WhichOneof("value")),
             "trace_id": id_of(e.trace_id, 16), "span_id": id_of(e.span_id, 8),
             "attributes": attributes_of(e.filtered_attributes)} for e in point.exemplars]


def totals_of(point):
    """The members that both kinds of histograms have; None: absent."""
    return {"count": point.count, **{name: getattr(point, name) if point.HasField(name) else None
                                     for name in ("sum", "min", "max")}}


def histogram_of(point):
    bounds, buckets = list(point.explicit_bounds), list(point.bucket_counts)
    if buckets and (len(buckets) != len(bounds) + 1 or sum(buckets) != point.count):
        raise Malformed(f"buckets {buckets} of {point.count}, bounds {bounds}")
    if bounds != sorted(set(bounds)):
        raise Malformed(f"bounds {bounds}")
    return {**totals_of(point), "bounds": bounds, "buckets": buckets}


def exponential_of(point):
    positive, negative = list(point.positive.bucket_counts), list(point.negative.bucket_counts)
    if sum(positive) + sum(negative) + point.zero_count != point.count:
        raise Malformed(f"buckets {positive} {negative} zero {point.zero_count} of {point.count}")
    return {**totals_of(point), "scale": point.scale, "zero_count": point.zero_count,
            "zero_threshold": point.zero_threshold, "offset": point.positive.offset, "buckets": positive,
            "negative_offset": point.negative.offset, "negative_buckets": negative}


def point_value(point, kind):
    if kind == "histogram":
        return histogram_of(point)
    if kind == "exponential_histogram":
        return exponential_of(point)
    which = point.WhichOneof("value")
    return getattr(point, which) if which else None


def points(message):
    """One dict a point, its metric's members with it; value: a number or, of histograms, a dict."""
    out = []
    for one in messages_of(message):
        for around, metric in walk(one, "resource_metrics", "scope_metrics", "metrics"):
            kind = metric.WhichOneof("data") or refuse(f"metric {metric.name!r} without data")
            data = getattr(metric, kind)
            if not data.data_points:
                raise Malformed(f"metric {metric.name!r} without points")
            for point in data.data_points:
                out.append({
                    **around, "name": metric.name, "unit": metric.unit, "description": metric.description,
                    "type": kind, "temporality": getattr(data, "aggregation_temporality", None),
                    "monotonic": getattr(data, "is_monotonic", None),
                    "start": point.start_time_unix_nano, "time": point.time_unix_nano,
                    "attributes": attributes_of(point.attributes), "flags": point.flags,
                    "value": point_value(point, kind), "exemplars": exemplars_of(point),
                })
    return out


def logs(message):
    """One dict a record; body None: absent."""
    out = []
    for one in messages_of(message):
        for around, record in walk(one, "resource_logs", "scope_logs", "log_records"):
            out.append({
                **around, "time": record.time_unix_nano, "observed": record.observed_time_unix_nano,
                "severity": record.severity_number, "severity_text": record.severity_text,
                "event_name": record.event_name,
                "body": value_of(record.body) if record.HasField("body") else None,
                "attributes": attributes_of(record.attributes), "dropped": record.dropped_attributes_count,
                "flags": record.flags, "trace_id": id_of(record.trace_id, 16), "span_id": id_of(record.span_id, 8),
            })
    return out


def same(a, b):
    """Equality where NaN is itself."""
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, float) and isinstance(b, float) and math.isnan(a):
        return math.isnan(b)
    return a == b
