"""OTLP as it is written, read with what OpenTelemetry publishes: both protocols, lines, small units.

test/tools/otlp_sample.c encodes one batch of each signal; what is in it is said again here.
"""
import math
import pathlib
import re
import subprocess

import pytest

import otlp_decode as otlp

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
SCHEMA = "https://opentelemetry.io/schemas/1.44.0"
READ = {"traces": otlp.spans, "metrics": otlp.points, "logs": otlp.logs}
ITEMS = {"traces": 4, "metrics": 10, "logs": 4}
UNIT_MAX = 2500

BAD = "bad \\xff\\\\"  # escaped as the NDJSON sink does it, for it was not UTF-8
LIST = ["nginx", "-g", "", BAD]
LITTLE = {"url.path": "/cart"}
ALL = {
    "text": "plain", "empty": "", "nul": "a\0b", "controls": "\x01\x1f\x7f\"\\/\n", "wide": "\U0001f600\u20ac",
    "latin": "caf\\xe9 c:\\\\x", "b\\xffd": "key", "yes": True, "no": False, "zero": 0,
    "most": 2**63 - 1, "least": -2**63, "tenth": 0.1, "tiny": 5e-324, "huge": 1.7976931348623157e308,
    "nan": math.nan, "infinite": math.inf, "below": -math.inf, "list": LIST, "none": [],
}
TAGS = {"tag": "t\\xff", "url.path": "t\\xff"}  # of the configuration; what an item says itself stands
RESOURCE = {
    "resource": {"service.name": "w\u00e9b", "process.pid": 1234, "process.command_args": LIST},
    "resource_dropped": 2, "resource_schema": SCHEMA, "schema": SCHEMA,
}
HTTP = {**RESOURCE, "scope": "scope.http", "scope_version": "2.0.0"}
FILE = {**RESOURCE, "scope": "scope.file", "scope_version": "2.0.0"}
NONE = {**RESOURCE, "scope": "", "scope_version": ""}


def trace(*first, last=0):
    return (bytes(first) + bytes(15 - len(first)) + bytes([last])).hex()


def span(around, name, trace_id, span_id, **more):
    return {**around, "name": name, "trace_id": trace_id, "span_id": span_id, "parent_span_id": None,
            "trace_state": "", "flags": 0, "kind": 0, "start": 0, "end": 0, "attributes": TAGS, "dropped": 0,
            "events": [], "dropped_events": 0, "links": [], "dropped_links": 0, "status": 0,
            "status_message": "", **more}


SPANS = [
    span(HTTP, "GET", trace(0x5b, 0x8e, last=0x0c), "ee00000000000074", parent_span_id="0000000000000001",
         flags=769, trace_state="vendor=1", kind=2, start=1581452772000000321, end=1581452773000000789,
         attributes={**ALL, **TAGS}, dropped=3,
         events=[{"time": 1700000000000000001, "name": "exception", "attributes": ALL, "dropped": 1},
                 {"time": 2, "name": "e\\xff", "attributes": {}, "dropped": 0}], dropped_events=5,
         links=[{"trace_id": trace(9, 8, 7), "span_id": "0600000000000000", "flags": 0x301, "trace_state": "a=b",
                 "attributes": LITTLE, "dropped": 4},
                {"trace_id": trace(1), "span_id": "0100000000000000", "flags": 0, "trace_state": "",
                 "attributes": {}, "dropped": 0}], dropped_links=6,
         status=2, status_message="broken \\xc3"),
    span(HTTP, "POST", trace(1), "0300000000000000", kind=3, start=2**64 - 2, end=2**64 - 1,
         attributes={**TAGS, **LITTLE}, status=1),
    span(FILE, "read", trace(1), "0200000000000000", kind=1),
    span(NONE, "orphan", trace(1), "0400000000000000", kind=5),
]

EXEMPLARS = [{"time": 3, "value": 0.25, "trace_id": trace(1), "span_id": "0200000000000000", "attributes": LITTLE},
             {"time": 4, "value": 7, "trace_id": None, "span_id": None, "attributes": {}}]


def point(around, name, unit, kind, value, **more):
    return {**around, "name": name, "unit": unit, "description": "", "type": kind, "temporality": None,
            "monotonic": None, "start": 0, "time": 5, "attributes": TAGS, "flags": 0, "value": value,
            "exemplars": [], **more}


def total(value, **more):
    return point(FILE, "scope.file.io", "By", "sum", value, description="Bytes \\xff.", temporality=2,
                 monotonic=True, **more)


FIRST_SUM = {"start": 1700000000000000001, "time": 1700000010500000000, "attributes": {**ALL, **TAGS},
             "exemplars": EXEMPLARS}
LITTLE_TAGGED = {**TAGS, **LITTLE}
POINTS = [
    total(2**63 - 1, **FIRST_SUM),
    total(0, attributes=LITTLE_TAGGED),
    total(-2**63),
    point(FILE, "duration", "s", "histogram",
          {"count": 2**32 + 2, "sum": 1.5, "min": 0.0, "max": 1.0, "bounds": [0.005, 0.5, 10.0],
           "buckets": [1, 0, 2, 2**32 - 1]},
          temporality=1, start=1, time=2, attributes=LITTLE_TAGGED, exemplars=EXEMPLARS[:1]),
    point(FILE, "duration", "s", "histogram",
          {"count": 9, "sum": 0.0, "min": None, "max": None, "bounds": [], "buckets": []}, temporality=1, time=2),
    point(HTTP, "open", "{file}", "sum", 2**63 - 1, temporality=1, monotonic=False, **FIRST_SUM),
    point(HTTP, "exponential", "s", "exponential_histogram",
          {"count": 308, "sum": 12.5, "min": 0.001, "max": 3.0, "scale": -3, "zero_count": 5, "zero_threshold": 0.0,
           "offset": -7, "buckets": [1, 0, 300, 2], "negative_offset": 0, "negative_buckets": []},
          temporality=2, start=1, time=2, exemplars=EXEMPLARS[:1]),
    point(HTTP, "exponential", "s", "exponential_histogram",
          {"count": 1, "sum": 0.0, "min": None, "max": None, "scale": 20, "zero_count": 1, "zero_threshold": 0.0,
           "offset": 0, "buckets": [], "negative_offset": 0, "negative_buckets": []}, temporality=2, time=2),
    point(NONE, "gauge", "1", "gauge", math.nan),
    point(NONE, "gauge", "1", "gauge", 0.0, time=6, attributes=LITTLE_TAGGED),
]


def record(around, **more):
    return {**around, "time": 0, "observed": 0, "severity": 0, "severity_text": "", "event_name": "", "body": None,
            "attributes": TAGS, "dropped": 0, "flags": 0, "trace_id": None, "span_id": None, **more}


LOGS = [
    record(FILE, time=1700000000000000001, observed=1700000000000000002, body="GET /caf\\xe9 \\\\ 200", severity=17,
           severity_text="err", attributes={**ALL, **TAGS}, dropped=3, trace_id=trace(0x5b, last=1),
           span_id="ee00000000000000", flags=1),
    record(FILE, observed=5, body=""),
    record(HTTP, time=6, observed=6, event_name="scope.connection.open", attributes=LITTLE_TAGGED),
    record(NONE, time=7, event_name="named", body="and said", severity=24),
]
EXPECTED = {"traces": SPANS, "metrics": POINTS, "logs": LOGS}


@pytest.fixture(scope="module")
def sample(tmp_path_factory):
    directory = tmp_path_factory.mktemp("otlp")
    done = subprocess.run([ROOT / "build" / "release" / "tools" / "otlp_sample", directory], capture_output=True,
                          text=True, check=True, timeout=60)
    return directory, done.stdout.splitlines()


def decoded(path, signal, ending):
    if ending == "jsonl":
        return otlp.decode_lines(path, signal)
    return [otlp.decode(path, signal, "application/json" if ending == "json" else "application/x-protobuf")]


def unlike(got, expected):
    """What differs, one line a member; == would say that NaN does."""
    out = [f"{len(got)} items, not {len(expected)}"] if len(got) != len(expected) else []
    for i, (a, b) in enumerate(zip(got, expected)):
        out += [f"{i} {key}: {a.get(key)!r}, not {b.get(key)!r}" for key in {**a, **b}
                if not otlp.same(a.get(key), b.get(key))]
    return out


@pytest.mark.parametrize("ending", ["pb", "json", "jsonl"])
@pytest.mark.parametrize("signal", sorted(READ))
def test_everything_arrives(sample, signal, ending):
    directory, _ = sample
    messages = decoded(directory / f"{signal}.{ending}", signal, ending)
    assert unlike(READ[signal](messages), EXPECTED[signal]) == []


@pytest.mark.parametrize("signal", sorted(READ))
def test_both_protocols_say_the_same(sample, signal):
    directory, _ = sample
    one = decoded(directory / f"{signal}.pb", signal, "pb")[0]
    # A NaN has no bits in JSON, so the written form may differ in them alone: compare as Python.
    for ending in "json", "jsonl":
        assert unlike(READ[signal](decoded(directory / f"{signal}.{ending}", signal, ending)),
                      READ[signal](one)) == []


@pytest.mark.parametrize("ending", ["pb", "json", "jsonl"])
@pytest.mark.parametrize("signal", sorted(READ))
def test_small_units(sample, signal, ending):
    """Each unit is a whole message within the bound; what is left out is counted, and nothing is twice."""
    directory, said = sample
    line = next(s for s in said if s.startswith(f"{signal} small {ending} "))
    units, items, left = map(int, re.search(r"units (\d+) items (\d+) left (\d+)", line).groups())
    assert items + left == ITEMS[signal]
    paths = [directory / f"{signal}-small.{i}.{ending}" for i in range(units)]
    assert all(0 < path.stat().st_size <= UNIT_MAX for path in paths)
    got = [item for path in paths for item in READ[signal](decoded(path, signal, ending))]
    assert len(got) == items
    rest = list(EXPECTED[signal])
    for item in got:
        found = [e for e in rest if otlp.same(e, item)]
        assert len(found) == 1, item
        rest.remove(found[0])
    assert len(rest) == left


def test_metrics_are_one_message_however_many(sample):
    """A metric keeps its points together, and one without any is not sent."""
    directory, _ = sample
    message = decoded(directory / "metrics.pb", "metrics", "pb")[0]
    (resource,) = message.resource_metrics
    names = [[metric.name for metric in scope.metrics] for scope in resource.scope_metrics]
    assert names == [["scope.file.io", "duration"], ["open", "exponential"], ["gauge"]]


# ------------------------------------------------------------------ the decoder itself refuses

GOOD = '{"resourceSpans":[{"scopeSpans":[{"spans":[%s]}]}]}'


@pytest.mark.parametrize("text", [
    '{"traceId":"XYZ"}', '{"traceId":"W46P/3mAONED0mmzgT/GDA=="}', '{"trace_id":"00"}', '{"kind":"SPAN_KIND_SERVER"}',
    '{"startTimeUnixNano":5}', '{"flags":"1"}', '{"name":"a","name":"b"}', '{"attributes":[]}', '{"weight":1}',
    '{"name":"\\ud800"}', '{"attributes":[{"key":"a","value":{"doubleValue":NaN}}]}',
])
def test_decoder_refuses_json(text):
    with pytest.raises(otlp.Malformed):
        otlp.decode((GOOD % text).encode(), "traces", "application/json")


@pytest.mark.parametrize("data", [
    b"\x0a\x04\x1a\x02\xff\xfe",  # a schema URL that is not UTF-8
    b"\x0a\x03\x98\x06\x01",      # field 99
    b"\x0a\x7f",                  # cut off
])
def test_decoder_refuses_protobuf(data):
    with pytest.raises(otlp.Malformed):
        otlp.decode(data, "traces")


@pytest.mark.parametrize("text", ["{}", '{"resourceSpans":[{"scopeSpans":[{"scope":{"name":"a"}}]}]}'])
def test_decoder_refuses_empty_envelopes(text):
    with pytest.raises(otlp.Malformed):
        otlp.spans(otlp.decode(text.encode(), "traces", "application/json"))
