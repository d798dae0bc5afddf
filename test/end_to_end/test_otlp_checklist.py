"""OTLP/HTTP, line by line: each test's docstring says which line of the specification's checklist it proves.

The numbers are those of the list that the project was given: 2.1 endpoints, 2.2 requests, 2.3 replies, 2.4 retry,
2.5 batching, 2.6 OpenTelemetry's variables, 2.7 OTEL_CONFIG_FILE, 2.8 what an SDK does.
"""
import json
import os
import re
import socket
import subprocess
import time
import uuid
from email.utils import formatdate

import pytest
from hostile_server import (JSON, OK, PROTOBUF, Answer, Certificates, HostileServer, Proxy, always, partial_success, script,
                            status_message)
from observe import SCOPE, clean_environment, free_port
from otlp_run import NO_EVENTS, Living, bodies, exported, otlp_environment, run
from received import Received, by, series_of, total

ALL = {"/v1/logs", "/v1/metrics"}  # echo asks nobody: test_otlp_spans.py has spans


def otel(**variables):
    """An environment of OTEL_* alone; the intervals are short all the same."""
    return {**{f"OTEL_{k}": v for k, v in variables.items()}, "OTEL_METRIC_EXPORT_INTERVAL": "200", "OTEL_BLRP_SCHEDULE_DELAY": "50",
            "SCOPE_OTLP_METRICS_INTERVAL": None, "SCOPE_OTLP_LOGS_INTERVAL": None}


def paths(server):
    return {r.path for r in server.requests}


ECHO = ("sh", "-c", "echo one")


def served(extra=None, answers=always(OK), sets=None, command=ECHO, to=None, status=0, **how):
    """Runs a program against a server of its own, which it is given back; what it printed was its own."""
    server = HostileServer(answers, **how)
    url = server.url if to is None else to(server)
    with server:
        done = run(url if isinstance(url, str) else None, {**(extra(server) if callable(extra) else extra or {}),
                                                           **(url if isinstance(url, dict) else {})}, sets, command)
    assert (done.status, done.stderr) == (status, b""), done
    if command == ECHO:
        assert done.stdout == b"one\n"
    return server


# ------------------------------------------------------------------ 2.1

@pytest.mark.parametrize("end, base", [("", ""), ("/", ""), ("/my", "/my"), ("/my/", "/my"), ("/a/b%20c/", "/a/b%20c")])
@pytest.mark.parametrize("variable", ["SCOPE_OTLP_TO", "OTEL_EXPORTER_OTLP_ENDPOINT"])
def test_endpoint_is_a_base(variable, end, base):
    """2.1 OTEL_EXPORTER_OTLP_ENDPOINT is a BASE: ensure trailing slash, append v1/traces | v1/metrics | v1/logs (keep existing path)."""
    server = served(to=lambda s: {variable: s.url + end})
    assert paths(server) == {base + path for path in ALL}


@pytest.mark.parametrize("path, sent", [("", "/"), ("/", "/"), ("/x/y", "/x/y"), ("/v1/logs/", "/v1/logs/"), ("/in?key=1", "/in?key=1")])
def test_signal_endpoint_is_used_as_it_is(path, sent):
    """2.1 OTEL_EXPORTER_OTLP_{TRACES,METRICS,LOGS}_ENDPOINT used AS IS; if no path part use "/"."""
    server = served(to=lambda s: otel(EXPORTER_OTLP_LOGS_ENDPOINT=s.url + path, METRICS_EXPORTER="none"))
    assert paths(server) == {sent}
    assert server.requests[0].lines("logs")


def test_signal_wins_over_generic():
    """2.1 Signal-specific always wins over generic, for every option."""
    with HostileServer() as general, HostileServer() as own:
        done = run(None, otel(EXPORTER_OTLP_ENDPOINT=general.url + "/g", EXPORTER_OTLP_LOGS_ENDPOINT=own.url + "/own",
                              EXPORTER_OTLP_HEADERS="a=general", EXPORTER_OTLP_LOGS_HEADERS="a=own",
                              EXPORTER_OTLP_PROTOCOL="http/protobuf", EXPORTER_OTLP_LOGS_PROTOCOL="http/json",
                              EXPORTER_OTLP_COMPRESSION="gzip", EXPORTER_OTLP_LOGS_COMPRESSION="none"))
    assert done.status == 0
    assert paths(general) == {"/g/v1/metrics"} and paths(own) == {"/own"}
    for r in general.requests:
        assert (r.header("a"), r.header("content-type"), r.header("content-encoding")) == ("general", PROTOBUF, "gzip")
    for r in own.requests:
        assert (r.header("a"), r.header("content-type"), r.header("content-encoding")) == ("own", JSON, None)


def test_default_endpoint():
    """2.1 default http://localhost:4318"""
    try:
        server = HostileServer(port=4318)
    except OSError:
        assert socket.create_connection(("127.0.0.1", 4318), 5)  # another test's: nothing can be shown beside it
        return
    with server:
        assert run(None, otel()).status == 0
    # Other programs of other tests may come here too.
    assert ALL <= paths(server)
    assert {r.header("host") for r in server.requests} == {"localhost:4318"}


@pytest.mark.skipif(os.geteuid() != 0, reason="ports below 1024 and network namespaces need root")
def test_no_port_is_80_or_443(tmp_path):
    """2.1 no port => 80/443 (never 4318); honour scheme, host, port, path"""
    # In a network of its own, for the machine's port 80 may be taken.
    inside = f"""
import sys
sys.path.insert(0, {str(os.path.dirname(__file__))!r})
from hostile_server import Certificates, HostileServer
from otlp_run import run
made = Certificates({str(tmp_path / 'c')!r})
with HostileServer(port=80) as plain, HostileServer(port=443, tls=made.good) as secure, HostileServer(port=4318) as wrong:
    run("http://127.0.0.1")
    run("https://localhost/x", {{"SCOPE_OTLP_CA_FILE": str(made.ca)}})
assert {{r.path for r in plain.requests}} == {{"/v1/logs", "/v1/metrics"}}, plain.requests
assert {{r.path for r in secure.requests}} == {{"/x/v1/logs", "/x/v1/metrics"}}, secure.tls_failures
assert not wrong.requests and {{r.header("host") for r in plain.requests}} == {{"127.0.0.1"}}
"""
    done = subprocess.run(["unshare", "-n", "sh", "-c", 'ip link set lo up && exec /usr/bin/python3 -c "$0"', inside],
                          capture_output=True, text=True, env=clean_environment(), timeout=60)
    assert done.returncode == 0, done.stderr


def test_ipv6():
    """2.1 honour scheme, host, port, path"""
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError as error:
        pytest.skip(f"no IPv6 here: {error}")
    assert paths(served(host="::1")) == ALL


def test_unix_socket(tmp_path):
    """2.1 schemes http, https (and ours: http+unix)"""
    server = served(unix=str(tmp_path / "s"))
    assert paths(server) == ALL
    server = served(unix=f"@scope-{os.getpid()}-{time.monotonic_ns()}", to=lambda s: s.url + "/base")
    assert paths(server) == {"/base" + p for p in ALL}


# ------------------------------------------------------------------ 2.2

@pytest.mark.parametrize("protocol, kind", [("http/protobuf", PROTOBUF), ("http/json", JSON), ("HTTP/JSON", JSON)])
def test_method_and_content_type(protocol, kind):
    """2.2 POST; HTTP/1.1 or h2; Content-Type: application/x-protobuf or application/json"""
    server = served(to=lambda s: otel(EXPORTER_OTLP_ENDPOINT=s.url, EXPORTER_OTLP_PROTOCOL=protocol))
    assert {(r.method, r.version, r.header("content-type")) for r in server.requests} == {("POST", "HTTP/1.1", kind)}
    assert bodies(server.received()) == {"one": 1}  # strictly decoded: JSON's form too


@pytest.mark.parametrize("h2", [True, False])
def test_http2_with_fallback(h2, tmp_path):
    """2.2 HTTP/1.1 or h2 (fallback to 1.1)"""
    made = Certificates(tmp_path)
    server = served({"SCOPE_OTLP_CA_FILE": str(made.ca)}, tls=made.good, h2=h2)
    assert bodies(server.received()) == {"one": 1}
    assert {r.protocol for r in server.requests} <= ({"h2", "http/1.1"} if h2 else {"http/1.1"})


def test_keep_alive():
    """2.2 keep-alive SHOULD"""
    with HostileServer() as server:
        with Living(server.url) as program:
            for i in range(5):
                program.say(f"line {i}")
                server.wait(lambda s: f"line {i}" in bodies(s.received()))
    assert len(server.of("logs")) >= 5
    # Logs and metrics may each have one.
    assert server.connections <= 2


@pytest.mark.parametrize("compression, encoding", [(None, "gzip"), ("gzip", "gzip"), ("none", None), ("", "gzip")])
def test_gzip(compression, encoding):
    """2.2 MAY gzip (then Content-Encoding: gzip MUST). Only `gzip` and `none` are standard"""
    server = served(to=lambda s: otel(EXPORTER_OTLP_ENDPOINT=s.url, **({} if compression is None else {"EXPORTER_OTLP_COMPRESSION": compression})))
    assert {r.header("content-encoding") for r in server.requests} == {encoding}
    for r in server.requests:
        assert r.lines()


def test_json_form():
    """2.2 JSON variant: lowerCamelCase keys only; ids hex, not base64; enums as INTEGERS; 64-bit ints as decimal strings; bytes otherwise base64"""
    server = served({"SCOPE_OTLP_PROTOCOL": "json"}, command=["sh", "-c", "printf 'bad \\377 byte\\n'; echo one; read x < /etc/hostname"])
    assert server.requests
    for r in server.requests:
        r.message()  # otlp_decode refuses every other form
        tree = json.loads(r.body)
        keys, stack = set(), [tree]
        while stack:
            value = stack.pop()
            if isinstance(value, dict):
                keys |= value.keys()
                stack += value.values()
            elif isinstance(value, list):
                stack += value
        assert all(re.fullmatch("[a-z][A-Za-z]*", k) for k in keys), keys
    points = [l for r in server.of("metrics") for l in r.lines()]
    assert any(l["type"] == "sum" for l in points) and any(l["type"] == "histogram" for l in points)


def test_json_says_what_protobuf_says(tmp_path):
    """2.2 Body = Export{Trace,Metrics,Logs}ServiceRequest, in either encoding"""
    told = []
    for protocol in ("protobuf", "json"):
        server = HostileServer()
        with server:
            done = run(server.url, {"SCOPE_OTLP_PROTOCOL": protocol}, command=["sh", "-c", "echo one; read x < /etc/hostname"])
        assert done.status == 0
        got = server.received()
        told.append((sorted((l.get("name") or "", str(l.get("body")), tuple(sorted(l["attributes"]))) for l in got.logs() + got.events("scope.file.open")),
                     {(l["name"], l["type"], l["unit"], l.get("temporality")) for l in got.lines
                      if l["signal"] == "metric" and l["name"].startswith("scope.file")}))
    assert told[0] == told[1] and told[0][0] and told[0][1]


def test_request_size_is_bounded():
    """2.2 Size: default request cap BEFORE compression; over cap => MUST NOT send, count as dropped (here: divided first)"""
    with HostileServer() as server:
        with Living(server.url, sets={"otlp.request_max": "8KiB", "logs.rate": "0"}) as program:
            program.say_many(500, "x" * 100)
            server.wait(lambda s: sum(n for b, n in bodies(s.received()).items() if b.startswith("xxx")) == 500)
    assert max(len(r.body) for r in server.requests) <= 8192
    got = server.received()
    assert not got.drops()
    assert len([b for b in bodies(got) if b.startswith("xxx")]) == 500


def test_no_empty_envelopes():
    """2.2 SHOULD NOT create empty envelopes (no spans/points/records)"""
    with HostileServer() as server:
        with Living(server.url) as program:
            program.say("one")
            time.sleep(1)  # several intervals in which nothing is logged
    for r in server.requests:
        assert r.lines(), r
    assert not server.of("traces")  # echo asks nobody: test_otlp_spans.py has spans
    # A program that logs nothing sends no logs.
    server = served(command=["sh", "-c", ":"], sets={"events.file": "false", "events.process": "false", "events.name": "false",
                                                     "events.connection": "false"})
    assert not server.of("logs")


@pytest.mark.parametrize("own", [None, "MyDistribution/1.2"])
def test_user_agent(own):
    """2.2 User-Agent SHOULD be `OTel-OTLP-Exporter-<lang>/<ver>`, product identifier prepended"""
    server = served(sets={"otlp.user_agent": own} if own else None)
    for r in server.requests:
        agent = r.header("user-agent")
        assert re.fullmatch(r"([A-Za-z]+/\S+ )*OTel-OTLP-Exporter-C/\d[\w.+-]*", agent), agent
        assert own is None or agent.startswith(own + " ")


@pytest.mark.parametrize("protocol", ["grpc", "nonsense", ""])
def test_unknown_protocol(protocol, tmp_path):
    """2.2 http/protobuf is the recommended default; unknown value => warn, ignore"""
    log = tmp_path / "diagnostics"
    server = served(to=lambda s: {**otel(EXPORTER_OTLP_ENDPOINT=s.url, EXPORTER_OTLP_PROTOCOL=protocol), "SCOPE_DIAGNOSTICS_TO": str(log)})
    assert {r.header("content-type") for r in server.requests} == {PROTOBUF}
    if protocol:
        assert "OTEL_EXPORTER_OTLP_PROTOCOL" in log.read_text()


def test_headers(tmp_path):
    """2.2 Headers env `k1=v1,k2=v2`, W3C-Baggage style (percent-decoding of values); never log their values"""
    log = tmp_path / "diagnostics"
    server = served(to=lambda s: {**otel(EXPORTER_OTLP_ENDPOINT=s.url, EXPORTER_OTLP_HEADERS="api-key=s3cret%2Cwith%3D, x-two = b%20c ,three=3"),
                                  "SCOPE_DIAGNOSTICS_TO": str(log), "SCOPE_DIAGNOSTICS_LEVEL": "debug"})
    assert {(r.header("api-key"), r.header("x-two"), r.header("three")) for r in server.requests} == {("s3cret,with=", "b c", "3")}
    assert not log.exists() or "s3cret" not in log.read_text()
    shown = subprocess.run([SCOPE, "config"], env=clean_environment({"OTEL_EXPORTER_OTLP_HEADERS": "api-key=s3cret"}), capture_output=True, text=True)
    assert "s3cret" not in shown.stdout + shown.stderr


def test_secret_headers_are_in_no_telemetry():
    """2.2 never log their values"""
    server = served({"SCOPE_OTLP_HEADERS": "api-key=s3cretvalue"})
    assert server.requests and not any(b"s3cretvalue" in r.body for r in server.requests)


@pytest.mark.parametrize("how", ["generic", "signal", "ours"])
def test_tls(how, tmp_path):
    """2.2 TLS: CERTIFICATE (CA), CLIENT_KEY, CLIENT_CERTIFICATE (PEM), generic and per signal"""
    made = Certificates(tmp_path)
    names = {"generic": ["OTEL_EXPORTER_OTLP_"], "signal": ["OTEL_EXPORTER_OTLP_LOGS_", "OTEL_EXPORTER_OTLP_METRICS_"], "ours": []}[how]
    extra = {"SCOPE_TLS_CA_FILE": str(made.ca), "SCOPE_TLS_CLIENT_CERT": str(made.client[0]), "SCOPE_TLS_CLIENT_KEY": str(made.client[1])} if how == "ours" else {}
    for name in names:
        extra.update({name + "CERTIFICATE": str(made.ca), name + "CLIENT_CERTIFICATE": str(made.client[0]), name + "CLIENT_KEY": str(made.client[1])})
    server = served(extra, tls=made.good, client_ca=made.ca)
    assert paths(server) == ALL and not server.tls_failures
    assert bodies(server.received()) == {"one": 1}


def test_insecure_is_grpcs(tmp_path):
    """2.2 INSECURE only concerns gRPC"""
    made = Certificates(tmp_path)
    server = served({"OTEL_EXPORTER_OTLP_INSECURE": "true", "SCOPE_EXIT_BOUND": "500ms"}, tls=made.good)
    assert not server.requests and server.tls_failures
    server = served({"OTEL_EXPORTER_OTLP_INSECURE": "true", "OTEL_EXPORTER_OTLP_CERTIFICATE": str(made.ca)}, tls=made.good)
    assert paths(server) == ALL


# ------------------------------------------------------------------ proxies

def test_proxy_for_http():
    """2.2 (proxies) http URLs go through http_proxy, with a whole URL"""
    with HostileServer() as server, Proxy() as proxy:
        assert run(server.url, {"http_proxy": proxy.url}).status == 0
        assert {(m, t) for m, t, _ in proxy.asked} <= {("POST", server.url + p) for p in ALL} and proxy.asked
    assert bodies(server.received()) == {"one": 1}


def test_proxy_for_https(tmp_path):
    """2.2 (proxies) https URLs go through HTTPS_PROXY with CONNECT; the proxy sees neither headers nor bodies"""
    made = Certificates(tmp_path)
    with HostileServer(tls=made.good) as server, Proxy() as proxy:
        assert run(server.url, {"HTTPS_PROXY": proxy.url, "SCOPE_OTLP_CA_FILE": str(made.ca), "SCOPE_OTLP_HEADERS": "api-key=s3cret"}).status == 0
        assert {(m, t) for m, t, _ in proxy.asked} == {("CONNECT", f"127.0.0.1:{server.port}")}
        assert not any("s3cret" in str(h) for _, _, h in proxy.asked)
    assert bodies(server.received()) == {"one": 1}


@pytest.mark.parametrize("no_proxy", ["127.0.0.1", "*", "example.com, 127.0.0.1"])
def test_no_proxy(no_proxy):
    """2.2 (proxies) NO_PROXY"""
    with HostileServer() as server, Proxy() as proxy:
        assert run(server.url, {"http_proxy": proxy.url, "NO_PROXY": no_proxy}).status == 0
        assert not proxy.asked
    assert paths(server) == ALL


def test_upper_case_http_proxy_is_not_followed():
    """2.2 (proxies) HTTP_PROXY in capitals is what a CGI's client can set"""
    with HostileServer() as server, Proxy() as proxy:
        assert run(server.url, {"HTTP_PROXY": proxy.url}).status == 0
        assert not proxy.asked
    assert paths(server) == ALL


def test_proxy_of_ours_and_refused():
    """2.2 (proxies) a proxy that refuses: nothing arrives, nothing hangs"""
    with HostileServer() as server, Proxy(status=403) as proxy:
        assert run(server.url, {"SCOPE_PROXY_HTTP": proxy.url, "SCOPE_EXIT_BOUND": "500ms"}).status == 0
        assert proxy.asked
    assert not server.requests


# ------------------------------------------------------------------ 2.3

@pytest.mark.parametrize("status", [200, 201, 202, 204])
@pytest.mark.parametrize("body", [b"", b"garbage"])
def test_any_2xx_is_success(status, body):
    """2.3 200 + partial_success unset: success. Empty 200 body is valid in the wild. Treat any 2xx as success"""
    answer = Answer(status, body=b"" if status == 204 else body)
    with HostileServer(always(answer)) as server:
        with Living(server.url) as program:
            program.say("one")
            server.wait(lambda s: any(l["name"] == "otel.sdk.exporter.log.exported" for r in s.of("metrics") for l in r.lines()))
    got = server.received()
    assert bodies(got) == {"one": 1, "@one": 1}
    assert set(exported(got)) == {None} and not got.drops()


@pytest.mark.parametrize("protocol", ["protobuf", "json"])
@pytest.mark.parametrize("rejected, message", [(1, "one was bad"), (None, "only a warning"), (0, "a warning"), (None, None)])
def test_partial_success(protocol, rejected, message, tmp_path):
    """2.3 200 + partial_success set: NEVER retry; count rejected_*, log error_message; rejected=0 with message = warning"""
    if protocol == "protobuf":
        body = partial_success(rejected, message)
    else:
        told = {} if rejected is None else {"rejectedLogRecords": str(rejected)}
        body = json.dumps({"partialSuccess": {**told, **({"errorMessage": message} if message else {})}}).encode()
    log = tmp_path / "diagnostics"
    with HostileServer(script([Answer(body=body)], signal="logs")) as server:
        with Living(server.url, {"SCOPE_OTLP_PROTOCOL": protocol, "SCOPE_DIAGNOSTICS_TO": str(log), "SCOPE_DIAGNOSTICS_LEVEL": "debug"}) as program:
            program.say("one")
            server.wait(lambda s: len(s.of("logs")) >= 1)
            program.say("two")
            server.wait(lambda s: "two" in bodies(s.received()))
            server.wait(lambda s: exported(s.received())[None] > 0)
    got = server.received()
    assert bodies(got)["one"] == 1 and bodies(got)["two"] == 1
    assert exported(got)["rejected"] == (rejected or 0)
    assert sum(got.drops().values()) == (rejected or 0), got.drops()
    if message:
        assert message in log.read_text()


def test_partial_success_of_points():
    """2.3 count rejected_* (data points)"""
    with HostileServer(script([Answer(body=partial_success(3, "three"))], signal="metrics")) as server:
        with Living(server.url) as program:
            program.say("one")
            server.wait(lambda s: exported(s.received(), "metric")["rejected"] > 0)
    assert exported(server.received(), "metric")["rejected"] == 3


def test_reply_over_its_limit():
    """2.3 Response cap 4 MiB AFTER decompression; over => non-retryable, count"""
    with HostileServer(script([Answer(body=bytes(5 << 20))], signal="logs")) as server:
        with Living(server.url, sets={"logs.console": "true"}) as program:
            program.say("one")
            server.wait(lambda s: len(s.of("logs")) >= 1)
            program.say("two")
            server.wait(lambda s: "two" in bodies(s.received()))
            server.wait(lambda s: any(exported(s.received()).keys() - {None}))
    whole = bodies(server.received(taken=False))
    assert whole["one"] == 1, "it is not sent again"
    first = len(server.of("logs")[0].lines())
    failed = exported(server.received())
    assert sum(n for cause, n in failed.items() if cause) == first, failed


@pytest.mark.parametrize("status", [400, 500])
def test_status_message_is_only_told(status, tmp_path):
    """2.3 Parse google.rpc.Status.message on 4xx/5xx for diagnosis only, never for behaviour"""
    log = tmp_path / "diagnostics"
    with HostileServer(script([Answer(status, body=status_message(14, "please try again, UNAVAILABLE"))], signal="logs")) as server:
        with Living(server.url, {"SCOPE_DIAGNOSTICS_TO": str(log), "SCOPE_DIAGNOSTICS_LEVEL": "debug"}) as program:
            program.say("one")
            server.wait(lambda s: len(s.of("logs")) >= 1)
            program.say("two")
            server.wait(lambda s: "two" in bodies(s.received()))
    assert bodies(server.received(taken=False))["one"] == 1
    assert "please try again" in log.read_text()


# ------------------------------------------------------------------ 2.4

@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_retryable(status):
    """2.4 Retry only 429, 502, 503, 504"""
    with HostileServer(script([Answer(status), Answer(status)], signal="logs")) as server:
        with Living(server.url, sets=NO_EVENTS) as program:
            program.say("one")
            server.wait(lambda s: "one" in bodies(s.received()))
    got = server.received()
    assert bodies(got)["one"] == 1 and bodies(server.received(taken=False))["one"] == 3
    assert not got.drops() and set(exported(got)) <= {None}
    # What is sent again is the same, byte for byte.
    assert len({r.raw for r in server.of("logs")[:3]}) == 1


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 408, 409, 413, 415, 422, 431, 499, 500, 501, 505, 507, 511])
def test_not_retryable(status):
    """2.4 All other 4xx/5xx MUST NOT be retried; drop and count. 400 explicitly never"""
    with HostileServer(script([Answer(status, [("Retry-After", "1")])], signal="logs")) as server:
        with Living(server.url) as program:
            program.say("one")
            server.wait(lambda s: len(s.of("logs")) >= 1)
            program.say("two")
            server.wait(lambda s: "two" in bodies(s.received()))
            server.wait(lambda s: exported(s.received())[str(status)] > 0)
    assert bodies(server.received(taken=False))["one"] == 1
    lost = len(server.of("logs")[0].lines())
    got = server.received()
    assert exported(got)[str(status)] == lost
    assert sum(got.drops().values()) == lost, got.drops()


def test_connect_failure_is_retried():
    """2.4 and: connect failure"""
    port = free_port()
    with Living(f"http://127.0.0.1:{port}") as program:
        program.say("one")
        time.sleep(0.3)
        with HostileServer(port=port) as server:
            server.wait(lambda s: "one" in bodies(s.received()))
            assert program.end().status == 0
    assert bodies(server.received())["one"] == 1 and not server.received().drops()


@pytest.mark.parametrize("answer", [Answer(reset="head"), Answer(reset="reply"), Answer(close="reply"), Answer(reset="body")], ids=str)
def test_disconnect_before_response_is_retried(answer):
    """2.4 disconnect before response"""
    with HostileServer(script([answer], signal="logs")) as server:
        with Living(server.url) as program:
            program.say("one")
            server.wait(lambda s: "one" in bodies(s.received()))
    assert bodies(server.received())["one"] == 1 and len(server.of("logs")) >= 2


@pytest.mark.parametrize("form", ["seconds", "date", "date850", "asctime"])
def test_retry_after(form):
    """2.4 Retry-After: seconds OR HTTP-date; honour it"""
    def answer(request):
        at = time.time() + 3
        value = {"seconds": "2", "date": formatdate(at, usegmt=True), "date850": time.strftime("%A, %d-%b-%y %H:%M:%S GMT", time.gmtime(at)),
                 "asctime": time.strftime("%a %b %e %H:%M:%S %Y", time.gmtime(at))}[form]
        return Answer(503, [("Retry-After", value)])
    asked = []

    def answers(request):
        if request.signal == "logs" and not asked:
            asked.append(request)
            return answer(request)
        return OK
    with HostileServer(answers) as server:
        with Living(server.url) as program:
            program.say("one")
            server.wait(lambda s: "one" in bodies(s.received()))
    first, second = server.of("logs")[:2]
    # A date has whole seconds: at least two are left of three.
    assert second.time - first.time >= 1.9
    assert second.raw == first.raw


@pytest.mark.parametrize("value", ["-1", "abc", "", "1.5", "99999999999999999999", "Thu, 01 Jan 1970 00:00:00 GMT"])
def test_retry_after_that_says_nothing(value):
    """2.4 else exponential backoff WITH jitter; one poisoned header must not stall the queue"""
    with HostileServer(script([Answer(503, [("Retry-After", value)])], signal="logs")) as server:
        with Living(server.url, {"SCOPE_OTLP_TIMEOUT": "60s"}) as program:
            program.say("one")
            server.wait(lambda s: "one" in bodies(s.received()), timeout=45)
    assert bodies(server.received())["one"] == 1


@pytest.mark.long
def test_retry_after_a_year_is_capped():
    """2.4 Cap it"""
    with HostileServer(script([Answer(503, [("Retry-After", "31536000")])], signal="logs")) as server:
        with Living(server.url, {"SCOPE_OTLP_TIMEOUT": "120s"}) as program:
            program.say("one")
            server.wait(lambda s: "one" in bodies(s.received()), timeout=100)
    assert server.of("logs")[1].time - server.of("logs")[0].time < 60


def test_back_off_grows_with_jitter():
    """2.4 exponential backoff WITH jitter (MUST)"""
    with HostileServer(script([Answer(503)] * 4, signal="logs")) as server:
        with Living(server.url, {"SCOPE_OTLP_TIMEOUT": "60s"}) as program:
            program.say("one")
            server.wait(lambda s: "one" in bodies(s.received()), timeout=60)
    times = [r.time for r in server.of("logs")[:5]]
    gaps = [b - a for a, b in zip(times, times[1:])]
    assert gaps[0] >= 0.3 and gaps[2] >= 1.2, gaps  # 0.5, 1, 2, 4 s, give or take a fifth; a busy machine adds
    assert gaps[3] > gaps[0]


def test_timeout_is_of_the_whole_batch():
    """2.4 Timeout 10000 ms per batch export (maximum time waited for each batch, so count retries in it)"""
    gate = []
    with HostileServer(lambda r: OK if gate or r.signal != "logs" else Answer(503)) as server:
        with Living(server.url, {"OTEL_EXPORTER_OTLP_TIMEOUT": "1200"}, sets=NO_EVENTS) as program:
            program.say("one")
            server.wait(lambda s: exported(s.received())["timeout"] > 0)
            gate.append(True)
            program.say("two")
            server.wait(lambda s: "two" in bodies(s.received()))
    tried = [r for r in server.of("logs") if r.answer.status == 503 and "one" in {l.get("body") for l in r.lines()}]
    assert len(tried) >= 2, "it was tried again while there was time"
    assert bodies(server.received())["one"] == 0
    got = server.received()
    assert set(exported(got)) <= {None, "timeout"}
    assert sum(got.drops().values()) == exported(got)["timeout"]


def test_hanging_server_times_out():
    """2.4 Exporter never blocks the application and never blocks indefinitely"""
    with HostileServer(script([Answer(hang=True)], signal="logs")) as server:
        with Living(server.url, {"OTEL_EXPORTER_OTLP_TIMEOUT": "1000"}, sets=NO_EVENTS) as program:
            program.say("one")
            server.wait(lambda s: len(s.of("logs")) >= 1)
            start = time.monotonic()
            program.say_many(200)
            assert time.monotonic() - start < 10
            server.wait(lambda s: "many 199" in bodies(s.received()))
            server.wait(lambda s: exported(s.received())["timeout"] > 0)
    assert bodies(server.received())["one"] == 0


def test_timeout_zero_is_no_limit():
    """2.4 0 = no limit"""
    with HostileServer(script([Answer(503)] * 3, signal="logs")) as server:
        with Living(server.url, {"OTEL_EXPORTER_OTLP_TIMEOUT": "0"}) as program:
            program.say("one")
            server.wait(lambda s: "one" in bodies(s.received()))
    assert not server.received().drops()


# ------------------------------------------------------------------ 2.5

@pytest.mark.parametrize("size", [7, 512])
def test_batch_size(size):
    """2.5 OTEL_BLRP_MAX_EXPORT_BATCH_SIZE 512 (<= queue); queue >= batch size => export"""
    with HostileServer() as server:
        with Living(None, {**otel(EXPORTER_OTLP_ENDPOINT=server.url), **({"OTEL_BLRP_MAX_EXPORT_BATCH_SIZE": str(size)} if size != 512 else {})},
                    sets={"logs.rate": "0"}) as program:
            program.say_many(1200 if size == 512 else 200)
            server.wait(lambda s: f"many {(1200 if size == 512 else 200) - 1}" in bodies(s.received()))
    sizes = [len(r.lines()) for r in server.of("logs")]
    assert max(sizes) <= size, sizes
    assert not server.received().drops()


def test_interval():
    """2.5 OTEL_BLRP_SCHEDULE_DELAY, OTEL_METRIC_EXPORT_INTERVAL: export when delay elapsed, or queue >= batch size"""
    with HostileServer() as server:
        with Living(None, {**otel(EXPORTER_OTLP_ENDPOINT=server.url), "OTEL_BLRP_SCHEDULE_DELAY": "600000", "OTEL_METRIC_EXPORT_INTERVAL": "600000",
                           "OTEL_BLRP_MAX_EXPORT_BATCH_SIZE": "100"}, sets={"logs.rate": "0"}) as program:
            program.say("one")
            time.sleep(1.5)
            assert not server.requests
            program.say_many(300)
            server.wait(lambda s: sum(bodies(s.received()).values()) >= 200)  # whole batches go
            assert not server.of("metrics")
    got = server.received()  # and at the end everything
    assert bodies(got)["one"] == 1 and bodies(got)["many 299"] == 1 and server.of("metrics")


def test_never_concurrent():
    """2.5 never concurrent Export on one exporter"""
    busy, most = [], []

    def answers(request):
        if request.signal == "logs":
            busy.append(request)
            most.append(len(busy))
            time.sleep(0.1)
            busy.remove(request)
        return OK
    with HostileServer(answers) as server:
        with Living(server.url, sets={"otlp.logs.batch": "5"}) as program:
            for _ in range(10):
                program.say_many(10)
    assert max(most) == 1


def test_full_queue_drops_the_newest():
    """2.5 OTEL_BLRP_MAX_QUEUE_SIZE: queue full => drop newest and count"""
    gate = []
    with HostileServer(lambda r: OK if gate or r.signal != "logs" else Answer(503)) as server:
        with Living(None, {**otel(EXPORTER_OTLP_ENDPOINT=server.url, EXPORTER_OTLP_TIMEOUT="0"), "OTEL_BLRP_MAX_QUEUE_SIZE": "100",
                           "OTEL_BLRP_MAX_EXPORT_BATCH_SIZE": "10"}, sets={"logs.rate": "0"}) as program:
            program.say_many(1000)
            server.wait(lambda s: s.received().drops()["queue_full"] > 0)
            gate.append(True)
            server.wait(lambda s: bodies(s.received()))
    got = server.received()
    arrived = {b for b in bodies(got) if b.startswith("many ")}
    assert arrived, "what the queue held comes when the server is back"
    numbers = sorted(int(b.split()[1]) for b in arrived)
    assert numbers[0] == 0, "the oldest are kept"
    assert max(bodies(got).values()) == 1
    logs = sum(1 for l in got.lines if l["signal"] == "log")
    # Of what was made: what came and what was dropped.
    assert exported(got)[None] <= logs
    assert logs + got.drops()["queue_full"] >= 1000
    assert set(got.drops()) == {"queue_full"}


# ------------------------------------------------------------------ 2.6

@pytest.mark.parametrize("value, disabled", [("true", True), ("TRUE", True), ("false", False), ("1", False), ("", False)])
def test_disabled(value, disabled):
    """2.6 OTEL_SDK_DISABLED (only "true"); booleans only case-insensitive "true" is true; empty = unset"""
    server = served(to=lambda s: otel(EXPORTER_OTLP_ENDPOINT=s.url, SDK_DISABLED=value))
    assert bool(server.requests) != disabled


def resources(server):
    return [l["resource"] for l in server.received().lines]


def test_service_name_and_resource_attributes():
    """2.6 OTEL_SERVICE_NAME (beats OTEL_RESOURCE_ATTRIBUTES), OTEL_RESOURCE_ATTRIBUTES (`k=v,...`, `,` and `=` percent-encoded)"""
    server = served(to=lambda s: otel(EXPORTER_OTLP_ENDPOINT=s.url, SERVICE_NAME="mine",
                                      RESOURCE_ATTRIBUTES="service.name=other,team=a%2Cb%3Dc,deployment.environment.name=prod"))
    assert resources(server)
    for r in resources(server):
        assert (r["service.name"], r["team"], r["deployment.environment.name"]) == ("mine", "a,b=c", "prod")


@pytest.mark.parametrize("bad", ["a=b,nothing", "a=b,c=%zz", "a=b,=d"])
def test_resource_attributes_are_discarded_as_a_whole(bad, tmp_path):
    """2.6 on ANY decode error discard the WHOLE variable and report"""
    log = tmp_path / "diagnostics"
    server = served(to=lambda s: {**otel(EXPORTER_OTLP_ENDPOINT=s.url, RESOURCE_ATTRIBUTES=bad), "SCOPE_DIAGNOSTICS_TO": str(log)})
    assert resources(server)
    assert not any("a" in r or "c" in r for r in resources(server))
    assert "OTEL_RESOURCE_ATTRIBUTES" in log.read_text()


@pytest.mark.parametrize("logs, metrics, left", [("none", "otlp", {"/v1/metrics"}), ("otlp", "none", {"/v1/logs"}), ("none", "none", set()),
                                                 ("", "", ALL), ("nonsense", "otlp", ALL)])
def test_exporters(logs, metrics, left):
    """2.6 OTEL_{TRACES,METRICS,LOGS}_EXPORTER (otlp | console | none); enums: unknown => MUST warn and ignore"""
    server = served(to=lambda s: otel(EXPORTER_OTLP_ENDPOINT=s.url, LOGS_EXPORTER=logs, METRICS_EXPORTER=metrics))
    assert paths(server) == left


def test_console_exporter(tmp_path):
    """2.6 console: what is not offered is warned of and ignored, and the program's own output stays its own"""
    log = tmp_path / "diagnostics"
    server = served(to=lambda s: {**otel(EXPORTER_OTLP_ENDPOINT=s.url, LOGS_EXPORTER="console"), "SCOPE_DIAGNOSTICS_TO": str(log)})
    assert "OTEL_LOGS_EXPORTER" in log.read_text()
    assert paths(server) == ALL


@pytest.mark.parametrize("preference, expected", [("cumulative", "cumulative"), ("delta", "delta"), ("DELTA", "delta"), ("lowmemory", None), ("wrong", "cumulative"),
                                                  (None, "cumulative")])
def test_temporality(preference, expected):
    """2.6 OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE (cumulative | delta | lowmemory)"""
    variables = {} if preference is None else {"EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE": preference}
    server = served(to=lambda s: otel(EXPORTER_OTLP_ENDPOINT=s.url, **variables))
    points = server.received().lines
    if expected:
        assert {p["temporality"] for p in points if p["signal"] == "metric" and (p["type"] == "histogram" or p.get("monotonic"))} == {expected}
    # What goes up and down is cumulative in any case.
    assert {p["temporality"] for p in points if p["signal"] == "metric" and p["type"] == "sum" and not p["monotonic"]} <= {"cumulative"}


@pytest.mark.parametrize("timeout", ["abc", "-5", "1.5s"])
def test_bad_numbers(timeout, tmp_path):
    """2.6 numbers unparsable/negative => warn and ignore"""
    log = tmp_path / "diagnostics"
    server = served(to=lambda s: {**otel(EXPORTER_OTLP_ENDPOINT=s.url, EXPORTER_OTLP_TIMEOUT=timeout), "SCOPE_DIAGNOSTICS_TO": str(log)})
    assert paths(server) == ALL and "OTEL_EXPORTER_OTLP_TIMEOUT" in log.read_text()


@pytest.mark.parametrize("protocol", ["http/protobuf", "http/json"])
def test_entities(protocol, tmp_path):
    """2.6 OTEL_ENTITIES (Dev, `type{id=..}[desc=..]@schema`)"""
    log = tmp_path / "diagnostics"
    server = served(to=lambda s: {**otel(EXPORTER_OTLP_ENDPOINT=s.url, EXPORTER_OTLP_PROTOCOL=protocol,
                                         ENTITIES="service{service.name=a%2Cb}[service.version=1]@https://opentelemetry.io/schemas/1.44.0;wrong{;"
                                                  "rack{rack.id=r-1}[rack.row=7]"), "SCOPE_DIAGNOSTICS_TO": str(log)})
    assert paths(server) == ALL and "OTEL_ENTITIES" in log.read_text()
    for r in resources(server):
        assert (r["service.name"], r["service.version"], r["rack.id"], r["rack.row"]) == ("a,b", "1", "r-1", "7")
    for request in server.requests:
        for one in getattr(request.message(), f"resource_{request.signal}"):
            assert [(e.type, e.schema_url, list(e.id_keys), list(e.description_keys)) for e in one.resource.entity_refs] == [
                ("service", "https://opentelemetry.io/schemas/1.44.0", ["service.name"], ["service.version"]),
                ("rack", "", ["rack.id"], ["rack.row"])]


@pytest.mark.parametrize("variable, value, trouble", [
    ("OTEL_TRACES_SAMPLER", "jaeger_remote", True), ("OTEL_TRACES_SAMPLER", "ParentBased_TraceIdRatio", False),
    ("OTEL_PROPAGATORS", "tracecontext,xray", True), ("OTEL_PROPAGATORS", "b3,B3Multi,b3,none", False),
    ("OTEL_METRICS_EXEMPLAR_FILTER", "some", True), ("OTEL_METRICS_EXEMPLAR_FILTER", "ALWAYS_OFF", False),
    ("OTEL_LOG_LEVEL", "loud", True), ("OTEL_BSP_EXPORT_TIMEOUT", "soon", True), ("OTEL_BLRP_EXPORT_TIMEOUT", "-1", True),
    ("OTEL_METRIC_EXPORT_TIMEOUT", "5000", False), ("OTEL_SPAN_EVENT_COUNT_LIMIT", "many", True), ("OTEL_SPAN_LINK_COUNT_LIMIT", "0", False),
    ("OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT", "-3", True), ("OTEL_LINK_ATTRIBUTE_COUNT_LIMIT", "3", False),
])
def test_what_is_unknown_is_warned_of(variable, value, trouble, tmp_path):
    """2.6 enums case-insensitive, unknown => MUST warn and ignore; numbers unparsable/negative => warn and ignore; empty = unset"""
    log = tmp_path / "diagnostics"
    server = served(to=lambda s: {**otel(EXPORTER_OTLP_ENDPOINT=s.url), variable: value, "SCOPE_DIAGNOSTICS_TO": str(log)})
    assert paths(server) == ALL
    assert (log.exists() and variable in log.read_text()) == trouble
    assert not served(to=lambda s: {**otel(EXPORTER_OTLP_ENDPOINT=s.url), variable: "", "SCOPE_DIAGNOSTICS_TO": str(tmp_path / "none")}
                      ).requests == [] and not (tmp_path / "none").exists()


def shown(variables):
    """What `scope config` says is in force, option by option: {"traces.ratio": ("0.25", "OTEL_TRACES_SAMPLER_ARG")}."""
    done = subprocess.run([SCOPE, "config"], env=clean_environment(variables), capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    found, path = {}, []
    for line in done.stdout.splitlines():
        if match := re.fullmatch(r"( *)([a-z0-9_]+):(?: (.*?)(?:  # (.*))?)?", line):
            path[len(match[1]) // 2:] = [match[2]]
            found[".".join(path)] = (match[3], match[4])
    return found


@pytest.mark.parametrize("variable, value, option, expected", [
    ("OTEL_TRACES_SAMPLER", "always_off", "traces.sampler", "off"),
    ("OTEL_TRACES_SAMPLER", "parentbased_traceidratio", "traces.sampler", "parent_ratio"),
    ("OTEL_PROPAGATORS", "b3multi, baggage,b3multi", "traces.propagators", "[b3multi, baggage]"),
    ("OTEL_METRICS_EXEMPLAR_FILTER", "always_on", "metrics.exemplars", "always_on"),
    ("OTEL_LOG_LEVEL", "debug", "diagnostics.level", "debug"),
    ("OTEL_INSTRUMENTATION_HTTP_KNOWN_METHODS", "GET,get", "traces.methods", "[GET, get]"),
    ("OTEL_BSP_SCHEDULE_DELAY", "3000", "otlp.traces.interval", "3s"),
    ("OTEL_BSP_EXPORT_TIMEOUT", "4000", "otlp.traces.export_timeout", "4s"),
    ("OTEL_BSP_MAX_QUEUE_SIZE", "900", "otlp.traces.queue", "900"),
    ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "90", "otlp.traces.batch", "90"),
    ("OTEL_BLRP_EXPORT_TIMEOUT", "4000", "otlp.logs.export_timeout", "4s"),
    ("OTEL_BLRP_MAX_QUEUE_SIZE", "900", "otlp.logs.queue", "900"),
    ("OTEL_METRIC_EXPORT_TIMEOUT", "4000", "otlp.metrics.export_timeout", "4s"),
    ("OTEL_ATTRIBUTE_COUNT_LIMIT", "0", "limits.attributes", "0"),
    ("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "9", "limits.span_attributes", "9"),
    ("OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT", "9", "limits.span_value_length", "9"),
    ("OTEL_LOGRECORD_ATTRIBUTE_COUNT_LIMIT", "9", "limits.log_attributes", "9"),
    ("OTEL_LOGRECORD_ATTRIBUTE_VALUE_LENGTH_LIMIT", "9", "limits.log_value_length", "9"),
    ("OTEL_SPAN_EVENT_COUNT_LIMIT", "9", "limits.span_events", "9"),
    ("OTEL_SPAN_LINK_COUNT_LIMIT", "9", "limits.span_links", "9"),
    ("OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT", "9", "limits.event_attributes", "9"),
    ("OTEL_LINK_ATTRIBUTE_COUNT_LIMIT", "9", "limits.link_attributes", "9"),
])
def test_variable_is_read(variable, value, option, expected):
    """2.5 (the table of variables), 2.6 OTEL_PROPAGATORS, OTEL_TRACES_SAMPLER, OTEL_METRICS_EXEMPLAR_FILTER, OTEL_LOG_LEVEL, OTEL_{SPAN,LOGRECORD,EVENT,LINK}_*_LIMIT"""
    assert shown({variable: value})[option] == (expected, variable)
    assert shown({variable: ""})[option] == shown({})[option] != (expected, variable)


def test_sampler_argument():
    """2.6 OTEL_TRACES_SAMPLER_ARG (only if SAMPLER set; [0..1]; bad => warn, 1.0)"""
    assert shown({"OTEL_TRACES_SAMPLER_ARG": "0.25"})["traces.ratio"][0] == "1"
    got = shown({"OTEL_TRACES_SAMPLER_ARG": "0.25", "OTEL_TRACES_SAMPLER": "traceidratio"})
    assert (got["traces.ratio"], got["traces.sampler"][0]) == (("0.25", "OTEL_TRACES_SAMPLER_ARG"), "ratio")
    assert shown({"OTEL_TRACES_SAMPLER_ARG": "7", "OTEL_TRACES_SAMPLER": "traceidratio"})["traces.ratio"][0] == "1"


@pytest.mark.parametrize("sink", ["otlp", "flat", "splunk"])
def test_limits_hold_in_every_format(sink, tmp_path):
    """2.6 OTEL_LOGRECORD_ATTRIBUTE_{VALUE_LENGTH,COUNT=128}_LIMIT; metric points are exempt; 0 is a limit"""
    limits = otel(LOGRECORD_ATTRIBUTE_COUNT_LIMIT="2", LOGRECORD_ATTRIBUTE_VALUE_LENGTH_LIMIT="4", ATTRIBUTE_VALUE_LENGTH_LIMIT="0")
    command = ["sh", "-c", "read x < /etc/hostname"]
    if sink == "otlp":
        server = served(to=lambda s: {**limits, "OTEL_EXPORTER_OTLP_ENDPOINT": s.url}, command=command)
        lines = server.received().lines
        records, points = [l for l in lines if l["signal"] == "log"], [l for l in lines if l["signal"] == "metric"]
    else:
        file = tmp_path / "out"
        assert run(None, {**limits, "SCOPE_NDJSON_TO": str(file), "SCOPE_NDJSON_FORMAT": sink}, command=command).status == 0
        lines = [json.loads(line) for line in file.read_text().splitlines()]
        records = [l for l in lines if l.get("signal") == "log"] or [l["event"] for l in lines if isinstance(l.get("event"), dict)]
        points = [l for l in lines if l.get("signal") == "metric"] or [{"attributes": l["fields"]} for l in lines if l.get("event") == "metric"]
    assert records and points
    for record in records:
        assert len(record["attributes"]) <= 2
        assert all(len(v) <= 4 for v in record["attributes"].values() if isinstance(v, str))
    assert any(record["attributes"] for record in records)
    # Two points that lose what tells them apart would be one.
    assert any(len(v) > 4 for point in points for k, v in point["attributes"].items() if isinstance(v, str) and k.startswith("scope."))


def test_attribute_limits():
    """2.6 OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT (none), OTEL_ATTRIBUTE_COUNT_LIMIT 128"""
    server = served(to=lambda s: otel(EXPORTER_OTLP_ENDPOINT=s.url, ATTRIBUTE_VALUE_LENGTH_LIMIT="5", ATTRIBUTE_COUNT_LIMIT="2"),
                    command=["sh", "-c", "read x < /etc/hostname"])
    records = [l for l in server.received().lines if l["signal"] == "log"]
    assert records
    for record in records:
        assert len(record["attributes"]) <= 2
        assert all(len(v) <= 5 for v in record["attributes"].values() if isinstance(v, str))


def test_ours_win_over_opentelemetrys():
    """2.6 (ours) SCOPE_* is more specific than OTEL_*"""
    with HostileServer() as theirs, HostileServer() as ours:
        assert run(ours.url, {"OTEL_EXPORTER_OTLP_ENDPOINT": theirs.url}).status == 0
    assert paths(ours) == ALL and not theirs.requests


# ------------------------------------------------------------------ 2.7

def test_declarative_file_silences_the_rest(tmp_path):
    """2.7 OTEL_CONFIG_FILE: if set, ALL other OTEL_* are ignored except `${VAR}` references inside"""
    with HostileServer() as server, HostileServer() as ignored:
        file = tmp_path / "otel.yaml"
        file.write_text(f"""
file_format: "1.0"
resource:
  attributes:
    - name: service.name
      value: ${{NAME_OF_IT:-fallback}}
    - name: team
      value: ${{env:TEAM}}
meter_provider:
  readers:
    - periodic:
        interval: 200
        exporter:
          otlp_http:
            endpoint: {server.url}/full/metrics
            headers:
              - name: api-key
                value: from-file
logger_provider:
  processors:
    - batch:
        schedule_delay: 50
        exporter:
          otlp_http:
            endpoint: {server.url}/full/logs
            compression: none
""")
        done = run(None, {**otel(CONFIG_FILE=str(file), EXPORTER_OTLP_ENDPOINT=ignored.url, SERVICE_NAME="no", EXPORTER_OTLP_HEADERS="a=b",
                                 SDK_DISABLED="true"), "TEAM": "blue"})
    assert done.status == 0 and not ignored.requests
    assert paths(server) == {"/full/metrics", "/full/logs"}
    for r in server.requests:
        assert r.header("a") is None
        assert (r.header("content-encoding") is None) == (r.path == "/full/logs")
        assert r.header("api-key") == ("from-file" if r.path == "/full/metrics" else None)
        for line in r.lines("logs" if r.path == "/full/logs" else "metrics"):
            assert line["resource"]["service.name"] == "fallback" and line["resource"]["team"] == "blue"


def test_declarative_disabled(tmp_path):
    """2.7 YAML keys worth supporting: disabled"""
    file = tmp_path / "otel.yaml"
    file.write_text('file_format: "1.0"\ndisabled: true\n')
    server = served(to=lambda s: {**otel(CONFIG_FILE=str(file)), "SCOPE_OTLP_TO": s.url})
    # Ours still can say more: but nothing says "enabled" here.
    assert not server.requests


# ------------------------------------------------------------------ 2.8

NAMES = ("import socket\n"
         "for i in range(30):\n"
         "    try: socket.getaddrinfo('name-%d.invalid.localhost.test.' % i, 80)\n"
         "    except OSError: pass\n")


@pytest.mark.parametrize("temporality", ["delta", "cumulative"])
def test_cardinality_limit(temporality):
    """2.8 cardinality limit 2000 per metric with single overflow point `otel.metric.overflow=true`, no measurement lost"""
    script_of = "for i in range(200):\n    try: open('/nosuch%d' % i)\n    except OSError: pass\n" + NAMES
    server = HostileServer()
    with server:
        done = run(server.url, sets={"metrics.cardinality_limit": "5", "metrics.temporality": temporality}, command=["/usr/bin/python3", "-c", script_of])
    assert done.status == 0
    got = server.received()
    for name in got.names():
        for points in by(got.metrics(name), lambda p: (p["resource"]["service.instance.id"], p["time_ns"])).values():
            assert len(points) <= 5 + 1, (name, len(points))
    overflow = [p for p in got.metrics("dns.lookup.duration") if p["attributes"].get("otel.metric.overflow") is True]
    assert overflow and all(p["attributes"] == {"otel.metric.overflow": True} for p in overflow)
    assert got.total("dns.lookup.duration") == 30


def check_histograms(points):
    assert points
    for p in points:
        v = p["value"]
        if p["type"] == "histogram":
            assert len(v["buckets"]) == len(v["bounds"]) + 1 and v["bounds"] == sorted(set(v["bounds"]))
            assert sum(v["buckets"]) == v["count"]
        else:
            assert sum(v["positive"]["buckets"]) + sum(v["negative"]["buckets"]) + v["zero_count"] == v["count"]
            assert v["scale"] <= 20 and len(v["positive"]["buckets"]) <= 160 and not v["negative"]["buckets"]
            for n in ("min", "max"):
                if n in v and v["count"]:
                    base = 2.0 ** (2.0 ** -v["scale"])
                    low, high = base ** v["positive"]["offset"], base ** (v["positive"]["offset"] + len(v["positive"]["buckets"]))
                    assert v["zero_count"] or low * 0.999 <= v[n] <= high * 1.001, p
        assert p["unit"] == "s" and (v["count"] == 0 or v.get("sum", 0) >= 0)


@pytest.mark.parametrize("kind", ["explicit_bucket_histogram", "base2_exponential_bucket_histogram"])
@pytest.mark.parametrize("temporality", ["delta", "cumulative"])
def test_histograms(kind, temporality):
    """2.8 explicit bounds; exp. histogram MaxSize 160, MaxScale 20; sum(bucket_counts)==count"""
    variables = dict(EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION=kind, EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE=temporality)
    program = "import os\nf = os.open('/dev/zero', 0)\nfor i in range(777): os.read(f, 10)\n" + NAMES
    server = served(to=lambda s: otel(EXPORTER_OTLP_ENDPOINT=s.url, **variables), command=["/usr/bin/python3", "-c", program])
    got = server.received()
    points = [l for l in got.lines if l["signal"] == "metric" and isinstance(l["value"], dict)]
    check_histograms(points)
    assert {p["type"] for p in points} == {"exponentialHistogram" if "base2" in kind else "histogram"}
    assert got.total("scope.file.operation.duration", scope__operation="read", scope__descriptor__kind="device") == 777
    assert got.total("dns.lookup.duration") == 30


def test_delta_starts_are_contiguous():
    """2.8 delta points of one instrument share start time = previous collection"""
    with HostileServer() as server:
        with Living(server.url, sets={"metrics.temporality": "delta"}) as program:
            for i in range(8):
                program.say(f"line {i}")
                time.sleep(0.25)
    got = server.received()
    # Every collection has at least one point, uptime's: its time. Deltas that did not change are not sent.
    collected = sorted({p["time_ns"] for p in got.lines if p["signal"] == "metric"})
    points = [p for p in got.lines if p["signal"] == "metric" and p.get("temporality") == "delta"]
    assert len(collected) >= 5 and points
    first = min(p["start_ns"] for p in points)
    for p in points:
        before = [t for t in collected if t < p["time_ns"]]
        assert p["start_ns"] == (before[-1] if before else first), p
    assert len({p["start_ns"] for p in got.metrics("scope.file.operation.duration")}) >= 4


def test_cumulative_starts_stay():
    """2.8 cumulative start = first measurement of series"""
    with HostileServer() as server:
        with Living(server.url) as program:
            for i in range(6):
                program.say(f"line {i}")
                time.sleep(0.25)
    points = [p for p in server.received().lines if p["signal"] == "metric" and p.get("temporality") == "cumulative"]
    several = 0
    for series in by(points, series_of).values():
        assert len({p["start_ns"] for p in series}) == 1, series
        values = [p["value"]["count"] if isinstance(p["value"], dict) else p["value"] for p in series]
        if series[0]["type"] == "histogram" or series[0].get("monotonic"):
            assert values == sorted(values), series
        several += len(series) > 1
    assert several


def test_instance_of_every_process():
    """2.8 single-writer rule => every process (incl. each fork child) needs its own service.instance.id"""
    program = ("import os\n"
               "for i in range(3):\n"
               "    if os.fork() == 0:\n"
               "        print('child', flush=True); os._exit(0)\n"
               "    os.wait()\n"
               "print('parent')\n")
    server = served(command=["/usr/bin/python3", "-c", program])
    got = server.received()
    ids = {l["resource"]["process.pid"]: l["resource"]["service.instance.id"] for l in got.lines}
    assert len(ids) == 4 == len(set(ids.values()))
    assert all(str(uuid.UUID(i)) == i for i in ids.values())
    for l in got.lines:
        assert ids[l["resource"]["process.pid"]] == l["resource"]["service.instance.id"]
    assert bodies(got) == {"child": 3, "parent": 1}
    # Counters of a child begin anew: nothing is counted twice.
    assert got.total("scope.process.operation.duration", scope__operation="fork") + got.total("scope.process.operation.duration", scope__operation="clone") == 3


def test_self_observability():
    """2.8 Self-observability SHOULD use `otel.sdk.*` metrics; error.type MUST be queue_full for drops on a full queue, rejected for partial success"""
    with HostileServer() as server:
        with Living(server.url) as program:
            program.say("one")
            server.wait(lambda s: exported(s.received())[None] > 0)
    got = server.received()
    told = exported(got)
    assert set(told) == {None}
    # Of what was sent before the last metrics: no more than came.
    assert 0 < told[None] <= sum(1 for l in got.lines if l["signal"] == "log")
    for p in got.metrics("otel.sdk.exporter.log.exported"):
        assert p["unit"] == "{log_record}" and p["type"] == "sum" and p["monotonic"]
        assert p["attributes"].keys() <= {"error.type", "otel.component.name", "otel.component.type", "server.address", "server.port"}


def sums(one, other, received):
    """Of two levels, what they came to at each collection."""
    values = [{p["time_ns"]: p["value"] for p in received.metrics(name)} for name in (one, other)]
    return {values[0][t] + values[1][t] for t in values[0].keys() & values[1].keys()}


def test_queues_and_operations_are_told():
    """2.8 otel.sdk.processor.*.queue.size/.queue.capacity/.processed, otel.sdk.exporter.*.inflight, otel.sdk.exporter.operation.duration"""
    gate = []
    with HostileServer(lambda r: OK if gate or r.signal != "logs" else Answer(503)) as server:
        with Living(server.url, {"SCOPE_OTLP_TIMEOUT": "60s"}, sets={**NO_EVENTS, "otlp.logs.queue": "700", "otlp.logs.batch": "2"}) as program:
            for i in range(6):
                program.say(f"line {i}")
            # Six lines and their echoes, which are in flight or wait.
            server.wait(lambda s: 12 in sums("otel.sdk.processor.log.queue.size", "otel.sdk.exporter.log.inflight", s.received()))
            gate.append(True)
            server.wait(lambda s: len(bodies(s.received())) == 12)
    got = server.received()
    levels = {name: [p["value"] for p in got.metrics(f"otel.sdk.{name}")]
              for name in ("exporter.log.inflight", "processor.log.queue.size", "processor.log.queue.capacity")}
    # One request, of two records at most, was tried again and again.
    assert 1 <= max(levels["exporter.log.inflight"]) <= 2
    assert set(levels["processor.log.queue.capacity"]) == {700}
    assert got.total("otel.sdk.processor.log.processed") <= 12
    for name, kind in (("exporter.log.inflight", "otlp_http_log_exporter"), ("processor.log.queue.size", "batching_log_processor"),
                       ("processor.log.processed", "batching_log_processor"), ("exporter.log.exported", "otlp_http_log_exporter")):
        points = got.metrics(f"otel.sdk.{name}")
        assert points and {(p["attributes"]["otel.component.type"], p["attributes"]["otel.component.name"], p["unit"]) for p in points} == {(kind, f"{kind}/0", "{log_record}")}
        assert {p["monotonic"] for p in points} == {name.endswith("ed")}
    durations = got.metrics("otel.sdk.exporter.operation.duration")
    assert {p["attributes"]["otel.component.type"] for p in durations} >= {"otlp_http_metric_exporter"}
    assert {p["unit"] for p in durations} == {"s"} and not any("error.type" in p["attributes"] for p in durations)
    # No spans were made: nothing is told of their queue.
    assert not [n for n in got.names() if n.startswith("otel.sdk.") and "span" in n]


def test_resource_is_complete_over_otlp():
    """2.8 (resource) what the resource says is the process's own"""
    server = served()
    for r in resources(server):
        assert r["telemetry.sdk.language"] and r["process.pid"] and r["service.name"].startswith("unknown_service:")
    for request in server.requests:
        message = request.message()
        for one in getattr(message, f"resource_{request.signal}"):
            assert one.schema_url.startswith("https://opentelemetry.io/schemas/")
