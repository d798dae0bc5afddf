"""A browser-like client, a proxy, an application and what that asks, over TLS, in a real Collector: each request
is one trace with the parents that it really has, and spans, logs and metrics are as many as the servers' own logs say.

All four programs are as they are (chain.py); nothing is read but what the Collector wrote and what the servers did.
"""
import concurrent.futures
import re

import pytest
from chain import Chain, certificate
from otel_collector import Collector
from otlp_run import NO_EVENTS
from received import by, series_of

REQUESTS = 24
AT_ONCE = 4
SETUP = {"socket connect", "TLS client handshake"}
# What a handshake and a connect have in the program that waits for them.
PARTS = {"client": SETUP, "nginx": SETUP, "application": SETUP | {"DNS lookup"}}


@pytest.fixture(scope="module")
def cert(tmp_path_factory):
    return certificate(tmp_path_factory.mktemp("certificate"))


def sender(number):
    """The ids of a caller that is not among us."""
    return f"{0x4bf92f3577b34da6a3ce929d0e0e0000 + number:032x}", f"{0xf067aa0ba90000 + number:016x}"


def run(tmp_path, cert, options, words, **how):
    """What the Collector has when all programs have ended, and the chain; options(number) are curl's."""
    with Collector(tmp_path, tls=cert) as collector:
        with Chain(tmp_path, collector, cert, **how) as chain:
            with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
                list(pool.map(lambda n: chain.ask(words[n], *options(n)), range(len(words))))
    received = collector.read()
    assert not received.drops()
    return received, chain


def service(line):
    return line["resource"]["service.name"]


def kind_of(span):
    """GET server, GET client, or the name without whom it is about."""
    return " ".join((span["name"], span["kind"])) if span["kind"] != "internal" else span["name"].rsplit(" ", 1)[0]


def one(spans, of, kind):
    found, = [s for s in spans if service(s) == of and kind_of(s) == kind]
    return found


def check_parts(spans, of, parts):
    """The spans below a client's: what it had to wait for before it could ask."""
    client = one(spans, of, "GET client")
    for part in parts:
        child = one(spans, of, part)
        assert child["parent_span_id"] == client["span_id"] and child["trace_id"] == client["trace_id"]
        assert child["start_ns"] >= client["start_ns"] and child["end_ns"] >= child["start_ns"]
    if "DNS lookup" in parts:
        assert one(spans, of, "DNS lookup")["attributes"]["dns.question.name"] == "localhost"
    if parts:
        assert one(spans, of, "TLS client handshake")["name"].endswith(" localhost")
    return client


def is_kept(spans):
    """The proxy had its connection to the application already."""
    return not any(service(s) == "nginx" and s["scope"] == "scope.socket" for s in spans)


def check_spans(spans, word, chain):
    """What one request must have said of itself, whoever its parents are; its servers' and clients' spans."""
    parts = {**PARTS, "nginx": set()} if chain.keepalive and is_kept(spans) else PARTS
    clients = {of: check_parts(spans, of, parts[of]) for of in PARTS}
    servers = {of: one(spans, of, "GET server") for of in ("nginx", "application", "downstream")}
    # An operation on a file that this machine was slow at is one too.
    spans = [s for s in spans if s["scope"] != "scope.file"]
    assert len(spans) == len(clients) + len(servers) + sum(map(len, parts.values())), sorted(map(kind_of, spans))
    port, length = chain.ports, len(f"found /below/{word}")
    last = (clients["application"], servers["downstream"])
    for span in [*clients.values(), *servers.values()]:
        told = span["attributes"]
        assert (told["http.response.status_code"], told["http.response.body.size"]) == (200, length)
        # Debian's nginx offers no more than 1.2.
        assert (told["tls.protocol.version"], told["network.protocol.version"]) == ("1.3" if span in last else "1.2", "1.1")
        assert "status" not in span and "error.type" not in told
    for of, path in (("nginx", word), ("application", word), ("downstream", f"below/{word}")):
        told = servers[of]["attributes"]
        assert (told["url.path"], told["url.scheme"], told["server.address"]) == (f"/{path}", "https", "localhost")
    for of, url in (("client", f"https://localhost:{port['nginx']}/{word}"), ("nginx", f"https://localhost/{word}"),
                    ("application", f"https://localhost:{port['downstream']}/below/{word}")):
        assert clients[of]["attributes"]["url.full"] == url
    for of, to in (("client", "nginx"), ("nginx", "application"), ("application", "downstream")):
        assert clients[of]["attributes"]["network.peer.port"] == port[to]
    return clients, servers


def check_logs(received, servers, word):
    """Each line that was written for a request says so."""
    said = {"nginx": [f"GET /{word} 200 {len(f'found /below/{word}')}"], "application": [f"working on /{word}", f"served /{word}"],
            "downstream": [f"below /below/{word}"]}
    for of, lines in said.items():
        for line in lines:
            record, = [l for l in received.logs() if service(l) == of and l["body"] == line]
            assert (record.get("trace_id"), record.get("span_id")) == (servers[of]["trace_id"], servers[of]["span_id"]), line


def latest(received, name, of):
    """The last point of each series: they are cumulative."""
    points = by([p for p in received.metrics(name) if service(p) == of], series_of).values()
    return [max(one, key=lambda p: p["time_ns"]) for one in points]


def check_counts(received, chain, count):
    """As many as the servers' own logs have, each once; exemplars name spans that arrived."""
    served = {"nginx": r"GET (/\S+) 200 \d+", "application": r"served (/\S+)", "downstream": r"below (/\S+)"}
    ids = {(s["trace_id"], s["span_id"]) for s in received.spans()}
    assert len(ids) == len(received.spans())
    for of, form in served.items():
        paths = sorted(re.fullmatch(form, l).group(1) for l in chain.lines(of) if re.match(form, l))
        spans = [s for s in received.spans("GET") if service(s) == of and s["kind"] == "server"]
        assert sorted(s["attributes"]["url.path"] for s in spans) == paths and len(paths) == count
    for kind, of in [("server", of) for of in served] + [("client", of) for of in PARTS]:
        points = [p for p in received.metrics(f"http.{kind}.request.duration") if service(p) == of]
        assert sum(p["value"]["count"] for p in latest(received, f"http.{kind}.request.duration", of)) == count
        spans = {(s["trace_id"], s["span_id"]) for s in received.spans("GET") if service(s) == of and s["kind"] == kind}
        examples = {(e["trace_id"], e["span_id"]) for p in points for e in p.get("exemplars", [])}
        assert examples and examples <= spans
        sizes = latest(received, f"http.{kind}.response.body.size", of)
        assert sum(p["value"]["sum"] for p in sizes) == count * len("found /below/w000")
    for of in served:
        active = latest(received, "http.server.active_requests", of)
        assert active and not any(p["value"] for p in active)


@pytest.mark.parametrize("keepalive", [False, True], ids=["connects", "keepalive"])
def test_a_client_that_names_its_trace(keepalive, cert, tmp_path):
    """The proxy passes the caller's traceparent on. So its own spans and the application's have one parent, the caller's:
    that is what the bytes say. Nobody tells the downstream server, whose trace is its own."""
    words = [f"w{n:03}" for n in range(REQUESTS)]

    def options(n):
        trace, span = sender(n)
        return "-H", f"traceparent: 00-{trace}-{span}-01"

    received, chain = run(tmp_path, cert, options, words, keepalive=keepalive, sets=NO_EVENTS)
    traces = by(received.spans(), lambda s: s["trace_id"])
    kept = 0
    for number, word in enumerate(words):
        trace, caller = sender(number)
        below, = [s for s in received.spans("GET") if s["attributes"].get("url.path") == f"/below/{word}"]
        assert "parent_span_id" not in below and traces[below["trace_id"]] == [below]
        spans = traces.pop(trace) + traces.pop(below["trace_id"])
        kept += is_kept(spans)
        clients, servers = check_spans(spans, word, chain)
        assert clients["client"]["parent_span_id"] == caller
        assert servers["nginx"]["parent_span_id"] == servers["application"]["parent_span_id"] == caller
        assert clients["nginx"]["parent_span_id"] == servers["nginx"]["span_id"]
        assert clients["application"]["parent_span_id"] == servers["application"]["span_id"]
        check_logs(received, servers, word)
    assert not traces
    assert (0 < kept < REQUESTS) if keepalive else not kept
    check_counts(received, chain, REQUESTS)


@pytest.mark.parametrize("keepalive", [False, True], ids=["connects", "keepalive"])
@pytest.mark.parametrize("passes", [True, False], ids=["passes", "fresh"])
def test_one_trace_that_nobody_began_by_hand(passes, keepalive, cert, tmp_path):
    """With injection nobody names a trace, and all of a request is one. A proxy that hands on the header that it got makes
    the application a child of its caller; where it does not, each is the child of the one before."""
    words = [f"w{n:03}" for n in range(REQUESTS)]
    received, chain = run(tmp_path, cert, lambda n: (), words, keepalive=keepalive, passes=passes,
                          sets={**NO_EVENTS, "traces.inject": "true"})
    traces = by(received.spans(), lambda s: s["trace_id"])
    assert len(traces) == REQUESTS
    seen = []
    for spans in traces.values():
        root = one(spans, "client", "GET client")
        word = root["attributes"]["url.full"].rsplit("/", 1)[1]
        seen.append(word)
        clients, servers = check_spans(spans, word, chain)
        assert "parent_span_id" not in root
        assert servers["nginx"]["parent_span_id"] == root["span_id"]
        assert clients["nginx"]["parent_span_id"] == servers["nginx"]["span_id"]
        assert servers["application"]["parent_span_id"] == (root if passes else clients["nginx"])["span_id"]
        assert clients["application"]["parent_span_id"] == servers["application"]["span_id"]
        assert servers["downstream"]["parent_span_id"] == clients["application"]["span_id"]
        # Bits 8 and 9: the parent is known to be elsewhere, or here.
        assert all(s["flags"] & 0x300 == 0x300 for s in servers.values())
        assert all(s["flags"] & 0x300 == 0x100 for s in clients.values())
        check_logs(received, servers, word)
    assert sorted(seen) == words
    kept = sum(map(is_kept, traces.values()))
    assert (0 < kept < REQUESTS) if keepalive else not kept
    check_counts(received, chain, REQUESTS)
