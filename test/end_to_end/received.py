"""What came over OTLP, in the shape of observe.Recording: the two can be compared name by name.

A line of a Recording and one of these have the same members (docs/sinks.md), and beside them the times in
nanoseconds (`time_ns`, `start_ns`). A body or value that came as bytes is bytes.
"""
import base64
import collections
import json

from observe import Recording

TEMPORALITY = {1: "delta", 2: "cumulative"}
KINDS = {1: "internal", 2: "server", 3: "client", 4: "producer", 5: "consumer"}


def any_value(value):
    """An AnyValue of OTLP/JSON."""
    if not value:
        return None
    (kind, inner), = value.items()
    if kind == "intValue":
        return int(inner)
    if kind == "doubleValue":
        return float(inner)
    if kind == "bytesValue":
        return base64.b64decode(inner)
    if kind == "arrayValue":
        return [any_value(v) for v in inner.get("values", [])]
    if kind == "kvlistValue":
        return attributes(inner.get("values", []))
    return inner


def attributes(pairs):
    out = {}
    for pair in pairs or []:
        assert pair["key"] not in out, f"attribute {pair['key']} is there twice"
        out[pair["key"]] = any_value(pair.get("value"))
    return out


def number(point):
    if "asInt" in point:
        return int(point["asInt"])
    return float(point["asDouble"]) if "asDouble" in point else None


def buckets(side):
    return {"offset": int(side.get("offset", 0)), "buckets": [int(n) for n in side.get("bucketCounts", [])]}


def point_value(point, kind):
    if kind in ("sum", "gauge"):
        return number(point)
    out = {"count": int(point.get("count", 0))}
    out.update({k: float(point[k]) for k in ("sum", "min", "max") if k in point})
    if kind == "histogram":
        out["bounds"] = [float(b) for b in point.get("explicitBounds", [])]
        out["buckets"] = [int(n) for n in point.get("bucketCounts", [])]
    elif kind == "exponentialHistogram":
        out.update(scale=int(point.get("scale", 0)), zero_count=int(point.get("zeroCount", 0)),
                   positive=buckets(point.get("positive", {})), negative=buckets(point.get("negative", {})))
    return out


def exemplar(one):
    out = {"value": number(one), "time_ns": int(one.get("timeUnixNano", 0))}
    out.update({name: one[key] for name, key in (("trace_id", "traceId"), ("span_id", "spanId")) if one.get(key)})
    return out


def metric_lines(tree):
    for resource in tree.get("resourceMetrics", []):
        about = attributes(resource.get("resource", {}).get("attributes"))
        for scope in resource.get("scopeMetrics", []):
            for metric in scope.get("metrics", []):
                kind, = {"sum", "gauge", "histogram", "exponentialHistogram", "summary"} & metric.keys()
                data = metric[kind]
                for point in data.get("dataPoints", []):
                    line = {"signal": "metric", "name": metric["name"], "unit": metric.get("unit", ""), "type": kind,
                            "attributes": attributes(point.get("attributes")), "resource": about,
                            "scope": scope.get("scope", {}).get("name"), "value": point_value(point, kind),
                            "time_ns": int(point.get("timeUnixNano", 0)), "start_ns": int(point.get("startTimeUnixNano", 0))}
                    if "aggregationTemporality" in data:
                        line["temporality"] = TEMPORALITY[data["aggregationTemporality"]]
                    if point.get("exemplars"):
                        line["exemplars"] = [exemplar(e) for e in point["exemplars"]]
                    if kind == "sum":
                        line["monotonic"] = data.get("isMonotonic", False)
                    yield line


def log_lines(tree):
    for resource in tree.get("resourceLogs", []):
        about = attributes(resource.get("resource", {}).get("attributes"))
        for scope in resource.get("scopeLogs", []):
            for record in scope.get("logRecords", []):
                line = {"signal": "log", "attributes": attributes(record.get("attributes")), "resource": about,
                        "scope": scope.get("scope", {}).get("name"), "time_ns": int(record.get("timeUnixNano", 0)),
                        "observed_ns": int(record.get("observedTimeUnixNano", 0)),
                        "severity_number": int(record.get("severityNumber", 0)), "severity_text": record.get("severityText", "")}
                if record.get("eventName"):
                    line["name"] = record["eventName"]
                if record.get("body"):
                    line["body"] = any_value(record["body"])
                for key, name in (("trace_id", "traceId"), ("span_id", "spanId")):
                    if record.get(name):
                        line[key] = record[name]
                yield line


def span_lines(tree):
    for resource in tree.get("resourceSpans", []):
        about = attributes(resource.get("resource", {}).get("attributes"))
        for scope in resource.get("scopeSpans", []):
            for span in scope.get("spans", []):
                line = {"signal": "span", "name": span.get("name", ""), "kind": KINDS.get(span.get("kind"), 0), "resource": about,
                        "scope": scope.get("scope", {}).get("name"), "attributes": attributes(span.get("attributes")),
                        "start_ns": int(span.get("startTimeUnixNano", 0)), "end_ns": int(span.get("endTimeUnixNano", 0)),
                        "flags": span.get("flags", 0)}
                if span.get("status", {}).get("code"):
                    line["status"] = {1: "ok", 2: "error"}[span["status"]["code"]]
                for key, name in (("trace_id", "traceId"), ("span_id", "spanId"), ("parent_span_id", "parentSpanId"),
                                  ("trace_state", "traceState")):
                    if span.get(name):
                        line[key] = span[name]
                yield line


def tree_lines(tree):
    """The lines of one OTLP/JSON message, whatever its signal."""
    yield from metric_lines(tree)
    yield from log_lines(tree)
    yield from span_lines(tree)


def message_lines(message):
    """The lines of one decoded protobuf message (otlp_decode.decode)."""
    from google.protobuf import json_format
    tree = json_format.MessageToDict(message, use_integers_for_enums=True)
    for line in tree_lines(tree):
        # Protobuf's own JSON has ids in base64, where OTLP's has hex.
        for key in ("trace_id", "span_id", "parent_span_id"):
            if key in line:
                line[key] = base64.b64decode(line[key]).hex()
        for one in line.get("exemplars", []):
            one.update({key: base64.b64decode(one[key]).hex() for key in ("trace_id", "span_id") if key in one})
        yield line


class Received(Recording):
    """Lines that came over OTLP."""

    def __init__(self, lines=()):
        super().__init__()
        self.lines = list(lines)

    @classmethod
    def of_files(cls, *paths):
        """Files of OTLP's JSON lines; the last line may still be being written."""
        out = cls()
        for path in paths:
            if path.exists():
                for line in path.read_bytes().split(b"\n")[:-1]:
                    out.lines.extend(tree_lines(json.loads(line)))
        return out

    def spans(self, name=None):
        return [l for l in self.lines if l["signal"] == "span" and (name is None or l["name"] == name)]

    def total(self, name, pid=None, **attributes):
        """What was counted: deltas added up, of each cumulative series its latest point."""
        return total(self.metrics(name, pid, **attributes))

    def drops(self):
        out = collections.Counter()
        for cause, points in by(self.metrics("scope.dropped"), lambda p: p["attributes"]["scope.drop.cause"]).items():
            out[cause] += total(points)
        return out

    def names(self):
        return {l["name"] for l in self.lines if l["signal"] == "metric"}


def by(lines, key):
    out = {}
    for line in lines:
        out.setdefault(key(line), []).append(line)
    return out


def series_of(line):
    return (line["resource"].get("service.instance.id"), line["name"], json.dumps(line["attributes"], sort_keys=True, default=str))


def counted(point):
    return point["value"]["count"] if isinstance(point["value"], dict) else point["value"]


def total(points):
    """The sum over series; the points are of sums or histograms, of a Recording or of this."""
    out = 0
    for points_of_one in by(points, series_of).values():
        if points_of_one[0].get("temporality") == "cumulative":
            out += counted(max(points_of_one, key=lambda p: p["time_ns"] if "time_ns" in p else p["time"]))
        else:
            out += sum(counted(p) for p in points_of_one)
    return out
