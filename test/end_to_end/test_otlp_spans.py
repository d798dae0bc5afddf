"""Spans over OTLP: decoded strictly with what OpenTelemetry publishes, equal to NDJSON's of the same run, delivered once,
and what switches and presets do with them. (The form of each field is test_otlp_encoding.py's.)"""
import collections
import decimal
import json

import otlp_decode
import pytest
from hostile_server import JSON, OK, Answer, HostileServer, always, partial_success, script
from observe import Recording, bare, scope_environment
from otlp_run import NO_EVENTS, exported, otlp_environment
from received import KINDS

T, S = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"

# Both ends of some requests, one of which names its parent; one fails, and one has no answer.
PROGRAM = """
import http.client, http.server, os, socket, threading
class Answer(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        if self.path == "/silent":
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        os.write(1, f"at {self.path}\\n".encode())
        self.send_response(500 if self.path == "/bad" else 200); self.send_header("Content-Length", "2"); self.end_headers()
        self.wfile.write(b"ok")
    def log_message(self, *about): pass
class Many(http.server.ThreadingHTTPServer):
    daemon_threads = False
with Many(("127.0.0.1", 0), Answer) as server:
    threading.Thread(target=server.serve_forever, args=(0.05,)).start()
    def ask(*paths):
        connection = http.client.HTTPConnection("localhost", server.server_port)
        for path in paths:
            about = {"traceparent": "00-%s-%s-01", "tracestate": "vendor=x:1"} if path == "/told" else {}
            try:
                connection.request("GET", path, headers=about); connection.getresponse().read()
            except http.client.RemoteDisconnected: pass
        connection.close()
    for i in range(8): ask("/a?token=1", "/told", "/bad")
    ask("/silent")
    server.shutdown()
""" % (T, S)
REQUESTS = 25


def environment(url, extra=None, sets=None):
    return otlp_environment(url, {"SCOPE_OTLP_TRACES_INTERVAL": "50ms", **(extra or {})}, {**NO_EVENTS, **(sets or {})})


def run(url, extra=None, sets=None):
    done = bare(["/usr/bin/python3", "-c", PROGRAM], env=environment(url, extra, sets))
    assert (done.status, done.stderr) == (0, b""), done
    return done


def served(answers=always(OK), extra=None, sets=None):
    with HostileServer(answers) as server:
        run(server.url, extra, sets)
    return server


def http_spans(lines):
    return [s for s in lines if s["signal"] == "span" and s["scope"] == "scope.http"]


@pytest.mark.parametrize("protocol", ["protobuf", "json"])
def test_same_run_ndjson(protocol, tmp_path):
    """Span by span: ids, parents, kinds, times to the nanosecond, attributes, state, status, resource."""
    to = tmp_path / "lines"
    with HostileServer(always(OK)) as server:
        run(server.url, {"SCOPE_OTLP_PROTOCOL": protocol, "SCOPE_NDJSON_TO": str(to), "SCOPE_CONFIG": "/dev/null"})
    spans = [s for r in server.of("traces") for s in otlp_decode.spans(r.message())]
    theirs = {s["span_id"]: s for s in spans}
    assert len(theirs) == len(spans) and not server.received().drops() and not Recording(to).drops()
    # As decimals: a double has no room for nanoseconds since 1970.
    lines = [json.loads(l, parse_float=decimal.Decimal) for l in to.read_text().splitlines()]
    mine = {l["span_id"]: l for l in lines if l["signal"] == "span"}
    assert theirs.keys() == mine.keys() and len(http_spans(mine.values())) == 2 * REQUESTS
    for key, line in mine.items():
        span = theirs[key]
        for name in ("trace_id", "name", "scope", "attributes", "resource"):
            assert span[name] == line[name], name
        assert (span["parent_span_id"], span["trace_state"]) == (line.get("parent_span_id"), line.get("trace_state", ""))
        assert KINDS[span["kind"]] == line["kind"]
        assert {0: None, 2: "error"}[span["status"]] == line.get("status")
        assert span["start"] == int(line["time"] * 10**9)
        assert span["end"] - span["start"] == int(line["duration"] * 10**9)
        assert span["scope_version"] and span["schema"] == span["resource_schema"] == "https://opentelemetry.io/schemas/1.44.0"
        assert not span["dropped"] and span["flags"] & 0x101 == 0x101


def test_what_spans_say():
    """Names, parents and errors of each kind of request; the state that came with a parent is with its spans alone."""
    received = served().received()
    of = collections.defaultdict(list)
    for s in http_spans(received.lines):
        path = s["attributes"].get("url.path") or "/" + s["attributes"]["url.full"].split("/")[-1].split("?")[0]
        of[path, s["kind"]].append(s)
    assert {k: len(v) for k, v in of.items()} == {(p, k): 1 if p == "/silent" else 8 for p in ("/a", "/told", "/bad", "/silent")
                                                 for k in ("server", "client")}
    for (path, kind), spans in of.items():
        for s in spans:
            assert s["name"] == "GET"
            assert (s["trace_id"] == T and s.get("parent_span_id") == S) == (path == "/told")
            assert s.get("trace_state", "") == ("vendor=x:1" if path == "/told" else "")
            if path != "/told":
                assert "parent_span_id" not in s
            error = s["attributes"].get("error.type")
            assert (s.get("status") == "error") == (error is not None)
            if path == "/bad":
                assert error == "500"
            elif path == "/silent":
                assert "http.response.status_code" not in s["attributes"]
                assert kind == "server" or error in ("connection_closed", "connection_reset")
            else:
                assert error is None and s["attributes"]["http.response.status_code"] == 200
    # One service.instance.id over all signals of a process.
    assert len({l["resource"]["service.instance.id"] for l in received.lines}) == 1
    logs = [l for l in received.logs() if l["body"].startswith("at ")]
    servers = {(s["trace_id"], s["span_id"]) for s in received.spans() if s["kind"] == "server"}
    assert all((l["trace_id"], l["span_id"]) in servers for l in logs) and len(logs) == REQUESTS - 1


@pytest.mark.parametrize("choice", [None, "trace_based", "always_on", "always_off"])
def test_exemplars(choice):
    """Each names a span that arrived, of the same attributes as its point, and a value that the point has counted."""
    received = served(extra={"OTEL_METRICS_EXEMPLAR_FILTER": choice}).received()
    spans = {(s["trace_id"], s["span_id"]): s for s in received.spans()}
    for kind in ("server", "client"):
        points = received.metrics(f"http.{kind}.request.duration")
        examples = [(p, e) for p in points for e in p.get("exemplars", [])]
        assert bool(examples) == (choice != "always_off")
        for point, example in examples:
            span = spans[example["trace_id"], example["span_id"]]
            assert span["kind"] == kind
            assert span["attributes"].get("http.response.status_code") == point["attributes"].get("http.response.status_code")
            assert point["value"]["min"] <= example["value"] <= point["value"]["max"]


def test_exemplars_of_what_is_not_sampled():
    """trace_based: measured all the same, and named nowhere."""
    received = served(extra={"OTEL_TRACES_SAMPLER": "always_off"}).received()
    assert not received.spans()
    assert received.total("http.server.request.duration") == received.total("http.client.request.duration") == REQUESTS
    assert not any(p.get("exemplars") for p in received.metrics("http.server.request.duration"))


@pytest.mark.parametrize("rejected, message", [(1, "one was bad"), (3, None), (None, "a warning")])
def test_partial_success(rejected, message):
    """Never tried again; what was rejected is counted, and the next batch goes out."""
    server = served(script([Answer(body=partial_success(rejected, message))], signal="traces"))
    spans = server.received().spans()
    ids = collections.Counter(s["span_id"] for s in spans)
    assert max(ids.values()) == 1 and len(http_spans(spans)) == 2 * REQUESTS
    assert sum(server.received().drops().values()) == (rejected or 0)


def test_retried_once_each():
    server = served(script([Answer(503), Answer(429)], signal="traces"), {"SCOPE_EXIT_BOUND": "30s"})
    spans = server.received().spans()
    assert max(collections.Counter(s["span_id"] for s in spans).values()) == 1
    assert len(http_spans(spans)) == 2 * REQUESTS and not server.received().drops()
    refused = [r for r in server.of("traces") if not r.taken]
    assert len(refused) == 2 and refused[0].body == refused[1].body


def test_refused_is_counted():
    server = served(lambda r: Answer(400) if r.signal == "traces" else OK)
    received = server.received()
    assert not received.spans()
    assert received.drops()["sink_failed"] == sum(v for k, v in exported(received, "span").items() if k) > 0


@pytest.mark.parametrize("exporter, there", [("none", False), ("otlp", True), ("", True), (None, True)])
def test_exporter(exporter, there):
    """OTEL_TRACES_EXPORTER: none sends none, and nothing else goes missing."""
    server = served(extra={"OTEL_TRACES_EXPORTER": exporter})
    assert bool(server.of("traces")) == there and server.of("metrics") and server.of("logs")
    assert server.received().total("http.server.request.duration") == REQUESTS


@pytest.mark.parametrize("size", [1, 7])
def test_batches(size):
    server = served(extra={"OTEL_BSP_MAX_EXPORT_BATCH_SIZE": str(size), "SCOPE_OTLP_TRACES_INTERVAL": "10s"})
    counts = [len(otlp_decode.spans(r.message())) for r in server.of("traces")]
    assert max(counts) <= size and (size == 1 or max(counts) > 1) and len(http_spans(server.received().lines)) == 2 * REQUESTS


def test_attribute_limits():
    """OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT: what is left out is counted on the span."""
    server = served(extra={"OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT": "4", "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT": "3"})
    spans = [s for r in server.of("traces") for s in otlp_decode.spans(r.message())]
    assert any(s["dropped"] for s in spans)
    for s in spans:
        assert len(s["attributes"]) <= 4
        assert all(len(v) <= 3 for v in s["attributes"].values() if isinstance(v, str))


@pytest.mark.parametrize("preset, keys, header", [("collector", {}, None), ("newrelic", {"NEW_RELIC_LICENSE_KEY": "abc123NRAL"}, "api-key"),
                                                  ("grafana", {"GRAFANA_INSTANCE_ID": "1", "GRAFANA_API_TOKEN": "t"}, "authorization")])
def test_presets(preset, keys, header):
    with HostileServer(always(OK)) as server:
        env = environment(None, {"SCOPE_PRESET": preset, "SCOPE_OTLP_TO": server.url, **keys})
        done = bare(["/usr/bin/python3", "-c", PROGRAM], env=env)
    assert (done.status, done.stderr) == (0, b""), done
    assert server.of("traces") and len(http_spans(server.received().lines)) == 2 * REQUESTS
    for request in server.of("traces"):
        assert request.header("content-encoding") == "gzip" and (not header or request.header(header))


def test_splunk():
    """HEC has spans as events of their own sourcetype; each is NDJSON's line of it."""
    answer = Answer(200, headers=[("Content-Type", JSON)], body=b'{"text":"Success","code":0}')
    with HostileServer(always(answer)) as splunk, HostileServer(always(OK)) as otlp:
        env = scope_environment("x", {"SCOPE_NDJSON_TO": splunk.url + "/services/collector/event", "SCOPE_NDJSON_FORMAT": "splunk",
                                      "SCOPE_NDJSON_TOKEN": "0b5b0a1c", "SCOPE_OTLP_TO": otlp.url}, NO_EVENTS)
        assert bare(["/usr/bin/python3", "-c", PROGRAM], env=env).status == 0
    lines = [l for l in splunk.json_lines() if l["sourcetype"] == "scope:span"]
    mine = {l["event"]["span_id"]: l for l in lines}
    theirs = {s["span_id"]: s for s in otlp.received().spans()}
    assert len(lines) == len(mine) and mine.keys() == theirs.keys() and len(mine) >= 2 * REQUESTS
    for key, line in mine.items():
        for name in ("trace_id", "name", "kind", "attributes", "parent_span_id", "trace_state", "status"):
            assert line["event"].get(name) == theirs[key].get(name), name
        assert line["fields"]["service.instance.id"] == theirs[key]["resource"]["service.instance.id"]
