"""W3C trace context, clause by clause, over real requests: bytes on a socket, an unchanged Python server that is
watched, and the spans that came over OTLP.

Each row is one request with a path of its own. What its span must say: the caller's trace (JOINED), one of its own (NEW),
or that there is none, since the caller decided not to sample.
"""
import collections
import re
import socket
import threading

import pytest
from hostile_server import OK, HostileServer, always
from observe import Server, free_port
from otlp_run import NO_EVENTS, otlp_environment

T, S = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
TP = f"traceparent: 00-{T}-{S}-01"
JOINED, NEW, NONE = "joined", "new", "none"
SAMPLED, RANDOM = 1, 2
LONG = ",".join(f"k{i:02}={'v' * 60}" for i in range(10))  # 649 characters
MANY = ",".join(f"k{i}={i}" for i in range(32))

Row = collections.namedtuple("Row", "clause lines outcome flags state", defaults=(SAMPLED, ""))


def parent(value, outcome, flags=SAMPLED, clause=None):
    """A traceparent, and a tracestate that stands or falls with it."""
    return Row(clause or value or "empty", [f"traceparent: {value}", "tracestate: a=1"], outcome, flags, "a=1" if outcome == JOINED else "")


def state(clause, lines, kept):
    return Row(clause, [TP] + [f"tracestate: {line}" for line in lines], JOINED, SAMPLED, kept)


TRACEPARENT = [
    parent(f"00-{T}-{S}-01", JOINED, clause="<2>-<32>-<16>-<2>"),
    parent(f"00-{T}-{S}-00", NONE, clause="flags are bits: sampled"),
    parent(f"00-{T}-{S}-02", NONE, clause="random alone is not sampled"),
    parent(f"00-{T}-{S}-03", JOINED, SAMPLED | RANDOM, "the random bit is continued"),
    parent(f"00-{T}-{S}-ff", JOINED, SAMPLED | RANDOM, "other bits are sent as 0"),
    parent(f"00-{T}-{S}-fc", NONE, clause="other bits sample nothing"),
    parent(f"00-{'0' * 32}-{S}-01", NEW, clause="trace id all zero"),
    parent(f"00-{T}-{'0' * 16}-01", NEW, clause="span id all zero"),
    parent(f"ff-{T}-{S}-01", NEW, clause="version ff"),
    parent(f"cc-{T}-{S}-01", JOINED, clause="a higher version as long as this one"),
    parent(f"cc-{T}-{S}-01-what the future brings", JOINED, clause="a higher version, and more behind a dash"),
    parent(f"01-{T}-{S}-01-" + "x" * 300, JOINED, clause="a higher version, and much more"),
    parent(f"cc-{T}-{S}-01.what", NEW, clause="a higher version, no dash behind the flags"),
    parent(f"cc-{T}-{S}-0", NEW, clause="a higher version, shorter than 55"),
    parent(f"00-{T}-{S}-01-x", NEW, clause="version 00 has nothing behind the flags"),
    parent(f"00-{T}-{S}-1", NEW, clause="version 00, shorter"),
    parent(f"00-{T.upper()}-{S}-01", NEW, clause="trace id in upper case"),
    parent(f"00-{T}-{S.upper()}-01", NEW, clause="span id in upper case"),
    parent(f"00-{T}-{S}-0B", NEW, clause="flags in upper case"),
    parent(f"00-{T[:-1]}g-{S}-01", NEW, clause="no hexadecimal digit"),
    parent(f"00_{T}_{S}_01", NEW, clause="no dashes"),
    parent("", NEW),
    parent(f"  \t00-{T}-{S}-01 \t", JOINED, clause="white space around"),
    Row("twice", [TP, TP, "tracestate: a=1"], NEW, SAMPLED | RANDOM),
    Row("twice, with a bad one", [TP, "traceparent: x"], NEW, SAMPLED | RANDOM),
    Row("names in any case", [TP.replace("traceparent", "TraceParent"), "TRACESTATE: a=1"], JOINED, SAMPLED, "a=1"),
    Row("another name", [TP.replace("traceparent", "trace-parent")], NEW, SAMPLED | RANDOM),
    Row("none", [], NEW, SAMPLED | RANDOM),
    Row("behind many other fields", [f"x-{i}: {'y' * 100}" for i in range(40)] + [TP], JOINED),
    Row("baggage says nothing of the trace", [TP, "baggage: a=1;b=2,c=%20"], JOINED),
    Row("baggage alone", ["baggage: a=1"], NEW, SAMPLED | RANDOM),
    Row("B3 is not asked for", [f"b3: {T}-{S}-1"], NEW, SAMPLED | RANDOM),
]
TRACESTATE = [
    Row("alone it is discarded", ["tracestate: a=1"], NEW, SAMPLED | RANDOM),
    state("order is kept, the newest on the left", ["b=2,a=1"], "b=2,a=1"),
    state("fields are combined in order", ["a=1", "b=2,c=3", "d=4"], "a=1,b=2,c=3,d=4"),
    state("empty members", [",a=1,, b=2 ,"], "a=1,b=2"),
    state("32 members", [MANY], MANY),
    state("33 members", [MANY + ",a=1"], ""),
    state("512 characters and more", [LONG], LONG),
    state("keys of others are not touched", ["ot=th:8;rv:1,t@s=1,0_-*/=x"], "ot=th:8;rv:1,t@s=1,0_-*/=x"),
    state("a key of 256", ["k" * 256 + "=1"], "k" * 256 + "=1"),
    state("a key of 257", ["k" * 257 + "=1"], ""),
    state("a value of 256", ["a=" + "v" * 256], "a=" + "v" * 256),
    state("a value of 257", ["a=" + "v" * 257], ""),
    state("a key in upper case", ["A=1"], ""),
    state("= in a value", ["a=1=2"], ""),
    state("one that is bad voids all, and not the trace", ["a=1,B=2"], ""),
    Row("before traceparent", ["tracestate: a=1", TP], JOINED, SAMPLED, "a=1"),
]
X = f"X-B3-TraceId: {T}", f"X-B3-SpanId: {S}"
B3 = [
    Row("single", [f"b3: {T}-{S}-1"], JOINED),
    Row("single, denied", [f"b3: {T}-{S}-0"], NONE),
    Row("single, deferred", [f"b3: {T}-{S}"], JOINED),
    Row("several", [*X, "X-B3-Sampled: 1"], JOINED),
    Row("several, denied", [*X, "X-B3-Sampled: 0"], NONE),
    Row("several, debug", [*X, "X-B3-Flags: 1"], JOINED),
    Row("bad", [f"b3: {T}-{'0' * 16}-1"], NEW, SAMPLED | RANDOM),
]
W3C_UNASKED = [Row("traceparent is not asked for", [TP, "tracestate: a=1"], NEW, SAMPLED | RANDOM)]

# The end of both programs: Answer served on the port that is the first argument.
SERVE = """
class Many(http.server.ThreadingHTTPServer):
    daemon_threads = False
# Its threads end first: a main thread that just leaves shuts the connection that it has handed on.
with Many(("127.0.0.1", int(sys.argv[1])), Answer) as server:
    signal.signal(signal.SIGTERM, lambda *about: threading.Thread(target=server.shutdown).start())
    server.serve_forever(0.05)
"""

SERVER = """
import http.server, signal, sys, threading
class Answer(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        self.send_response(200); self.send_header("Content-Length", "0"); self.end_headers()
    def log_message(self, *about): pass
""" + SERVE


def request(path, lines):
    return "\r\n".join([f"GET /{path} HTTP/1.1", "Host: here", *lines, "", ""]).encode("latin-1")


def take_answer(connection):
    data = b""
    while not data.endswith(b"\r\n\r\n"):
        more = connection.recv(4096)
        assert more
        data += more
    assert data.startswith(b"HTTP/1.1 200 "), data


def whole(connection, data):
    connection.sendall(data)


def in_pieces(connection, data):
    """Each its own segment, and cut inside of everything."""
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for at in range(0, len(data), 7):
        connection.sendall(data[at:at + 7])


def spans_of(talk, extra=None, sets=None):
    """{path: its server span} of what talk(port) asked."""
    port = free_port()
    with HostileServer(always(OK)) as collector:
        env = otlp_environment(collector.url, {"SCOPE_OTLP_TRACES_INTERVAL": "50ms", **(extra or {})}, {**NO_EVENTS, **(sets or {})})
        with Server(["/usr/bin/python3", "-c", SERVER, port], env, port):
            talk(port)
    got = collector.received()
    assert not got.drops()
    found = {}
    for span in got.spans():
        path = span["attributes"].get("url.path")
        if span["kind"] == "server":
            assert path not in found
            found[path] = span
    return found


def ask_each(rows, send):
    def talk(port):
        for number, row in enumerate(rows):
            with socket.create_connection(("127.0.0.1", port), 20) as connection:
                send(connection, request(number, row.lines))
                take_answer(connection)
    return talk


def wrong(row, span):
    """What the span says against the row; None: nothing."""
    if row.outcome == NONE:
        return "a span" if span else None
    if not span:
        return "no span"
    joined = (span["trace_id"], span.get("parent_span_id")) == (T, S)
    if joined != (row.outcome == JOINED) or (not joined and (span["trace_id"] == T or "parent_span_id" in span)):
        return span["trace_id"], span.get("parent_span_id")
    flags = SAMPLED | RANDOM if row.outcome == NEW else row.flags
    # Bits 8 and 9: whether the parent is elsewhere is known, and whether it is.
    if span["flags"] != flags | 0x100 | (0x200 if joined else 0):
        return hex(span["flags"])
    if span.get("trace_state", "") != row.state:
        return span.get("trace_state")
    return None


def check(rows, send=whole, extra=None):
    found = spans_of(ask_each(rows, send), extra)
    bad = {row.clause: why for number, row in enumerate(rows) if (why := wrong(row, found.get(f"/{number}")))}
    assert not bad
    own = [s["trace_id"] for s in found.values() if s["trace_id"] != T]
    assert len(set(own)) == len(own) and "0" * 32 not in own


@pytest.mark.parametrize("send", [whole, in_pieces], ids=["whole", "pieces"])
@pytest.mark.parametrize("rows", [TRACEPARENT, TRACESTATE], ids=["traceparent", "tracestate"])
def test_w3c(rows, send):
    check(rows, send)


@pytest.mark.parametrize("rows, propagators", [(B3 + W3C_UNASKED, "b3"), (B3 + W3C_UNASKED, "b3multi"), (TRACEPARENT[:-1] + B3, "tracecontext,b3")],
                         ids=["b3", "b3multi", "both"])
def test_b3(rows, propagators):
    check(rows, extra={"OTEL_PROPAGATORS": propagators})


def test_no_propagators():
    """None: no request is anybody's child."""
    rows = [Row(r.clause, r.lines, NEW) for r in TRACEPARENT + TRACESTATE + B3]
    check(rows, extra={"OTEL_PROPAGATORS": "none"})


def test_requests_on_one_connection():
    """Each has the parent that it names itself, and one that names none has none: kept alive, and sent at once."""
    ids = [f"{n + 1:016x}" for n in range(6)]

    def lines(n):
        return [f"traceparent: 00-{T}-{ids[n]}-01"] if n % 3 else []

    def talk(port):
        with socket.create_connection(("127.0.0.1", port), 20) as connection:
            for n in range(3):
                connection.sendall(request(n, lines(n)))
                take_answer(connection)
        with socket.create_connection(("127.0.0.1", port), 20) as connection:
            connection.sendall(b"".join(request(n, lines(n)) for n in range(3, 6)))
            data = b""
            while data.count(b"\r\n\r\n") < 3:
                data += connection.recv(4096)

    found = spans_of(talk)
    assert {p: s.get("parent_span_id") for p, s in found.items()} == {f"/{n}": ids[n] if n % 3 else None for n in range(6)}
    assert all((s["trace_id"] == T) == ("parent_span_id" in s) for s in found.values())


SAMPLERS = {"always_on": (True, True, True), "always_off": (False, False, False), "parentbased_always_on": (True, True, False),
            "parentbased_always_off": (False, True, False)}


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_sampler(sampler):
    """(without a parent, below one that is sampled, below one that is not): exactly so, always."""
    kinds = [[], [TP], [TP[:-1] + "0"]]
    rows = [Row(str(n), kinds[n % 3], None) for n in range(30)]
    found = spans_of(ask_each(rows, whole), {"OTEL_TRACES_SAMPLER": sampler})
    assert found.keys() == {f"/{n}" for n in range(30) if SAMPLERS[sampler][n % 3]}


def is_sampled(trace, ratio):
    """OpenTelemetry's rule for a random trace id: its last 56 bits against a threshold."""
    return int(trace[-14:], 16) < int(ratio * (1 << 56))


@pytest.mark.parametrize("sampler", ["traceidratio", "parentbased_traceidratio"])
def test_ratio(sampler):
    """Which traces are taken, the id alone decides, so that all programs decide alike; below a parent, what it decided.
    Of 200 traces of our own at a quarter, 50 are expected, and fewer than 15 or more than 100 once in 10^9 runs at most."""
    ours = [Row("", [], None) for _ in range(200)]
    given = [f"{n:018x}{(n * 0x9e3779b97f4a7c15) % (1 << 56):014x}" for n in range(1, 101)]
    flags = [n % 2 for n in range(100)]
    rows = ours + [Row("", [f"traceparent: 00-{t}-{S}-0{f}"], None) for t, f in zip(given, flags)]
    found = spans_of(ask_each(rows, whole), {"OTEL_TRACES_SAMPLER": sampler, "OTEL_TRACES_SAMPLER_ARG": "0.25"})
    own = [found[f"/{n}"] for n in range(200) if f"/{n}" in found]
    assert 15 < len(own) < 100
    assert all(is_sampled(s["trace_id"], 0.25) for s in own)
    expected = {f"/{200 + n}" for n in range(100) if (flags[n] if sampler.startswith("parent") else is_sampled(given[n], 0.25))}
    assert found.keys() - {f"/{n}" for n in range(200)} == expected


# ---------------------------------------------------------------- out

ASKER = """
import http.client, http.server, signal, sys, threading
class Answer(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        own = {n: v for n, v in self.headers.items() if n.startswith("own-")}
        below = http.client.HTTPConnection("127.0.0.1", int(sys.argv[2]))
        below.request("GET", "/below" + self.path, headers={n[4:]: v for n, v in own.items()})
        below.getresponse().read(); below.close()
        self.send_response(200); self.send_header("Content-Length", "0"); self.end_headers()
    def log_message(self, *about): pass
""" + SERVE


class Below:
    """A server that nobody watches; `came` has the fields of each path that were asked of it, in order."""

    def __enter__(self):
        self.came, self.listener = {}, socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.serve, daemon=True).start()
        return self

    def serve(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            with connection:
                data = b""
                while not data.endswith(b"\r\n\r\n"):
                    data += connection.recv(4096)
                first, *fields = data.decode("latin-1").split("\r\n")[:-2]
                self.came[first.split()[1]] = [tuple(f.split(": ", 1)) for f in fields]
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    def __exit__(self, *exc):
        self.listener.close()


def asked_below(rows, extra=None, sets=None):
    """({path: fields that came below}, the spans)."""
    port = free_port()
    with Below() as below, HostileServer(always(OK)) as collector:
        env = otlp_environment(collector.url, {"SCOPE_OTLP_TRACES_INTERVAL": "50ms", **(extra or {})},
                               {**NO_EVENTS, "traces.inject": "true", **(sets or {})})
        with Server(["/usr/bin/python3", "-c", ASKER, port, below.port], env, port):
            ask_each(rows, whole)(port)
    received = collector.received()
    assert not received.drops()
    return below.came, received.spans()


def of_name(fields, name):
    return [value for field, value in fields if field.lower() == name]


def test_out():
    """What goes on below each row of what came in: one traceparent, of version 00, in lower case, with the trace that the row
    names or a new one, the id of the span that asks, the flags that came and no other bits; whatever was wrong is not passed on."""
    came, spans = asked_below(TRACEPARENT)
    asks = {s["attributes"]["url.full"].split("/below/")[1]: s for s in spans if s["kind"] == "client"}
    serves = {s["attributes"]["url.path"][1:]: s for s in spans if s["kind"] == "server"}
    for number, row in enumerate(TRACEPARENT):
        fields = came[f"/below/{number}"]
        line, = of_name(fields, "traceparent")
        found = re.fullmatch(r"00-([0-9a-f]{32})-([0-9a-f]{16})-0([0-3])", line)
        assert found and set(found[1]) != {"0"} and set(found[2]) != {"0"}, (row.clause, line)
        assert (found[1] == T) == (row.outcome != NEW), row.clause
        assert found[2] != S
        if row.outcome == NONE:
            # Not sampled: no span of ours, and the decision is handed on with the trace.
            assert int(found[3]) & SAMPLED == 0 and str(number) not in asks, row.clause
            assert int(found[3]) == (RANDOM if row.clause.startswith("random alone") else 0), row.clause
            continue
        assert int(found[3]) == (SAMPLED | RANDOM if row.outcome == NEW else row.flags), row.clause
        assert (asks[str(number)]["trace_id"], asks[str(number)]["span_id"]) == found.group(1, 2)
        assert asks[str(number)]["parent_span_id"] == serves[str(number)]["span_id"]


def test_out_is_not_written_twice():
    """What the program says itself stays as it is, once, and is what our span hangs on; so does what it says of B3."""
    theirs = f"00-{T}-{S}-01"
    rows = [Row("their own", [f"own-traceparent: {theirs}"], None), Row("in any case", [f"own-TraceParent: {theirs}"], None),
            Row("B3", [f"own-b3: {T}-{S}-1"], None)]
    came, spans = asked_below(rows)
    assert [of_name(came[f"/below/{n}"], "traceparent") for n in range(3)] == [[theirs], [theirs], []]
    assert of_name(came["/below/2"], "b3") == [f"{T}-{S}-1"]
    asks = {s["attributes"]["url.full"].split("/below/")[1]: s for s in spans if s["kind"] == "client"}
    assert all((asks[n]["trace_id"], asks[n]["parent_span_id"]) == (T, S) for n in ("0", "1"))


@pytest.mark.parametrize("extra, sets", [({"OTEL_PROPAGATORS": "none"}, {}), ({"OTEL_PROPAGATORS": "b3"}, {}), ({}, {"traces.inject": "false"}),
                                         ({}, {"traces.enabled": "false"})], ids=["none", "b3", "off", "no-traces"])
def test_nothing_goes_out_unasked(extra, sets):
    came, _ = asked_below([Row("", [], None), Row("", [TP], None)], extra, sets)
    assert len(came) == 2 and not any(of_name(f, "traceparent") or of_name(f, "tracestate") for f in came.values())
