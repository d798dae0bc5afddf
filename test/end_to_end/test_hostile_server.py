"""The server and the proxy that the tests of OTLP use do what those tests take for granted: curl says so."""
import json
import subprocess
import time

import pytest
from hostile_server import (JSON, PROTOBUF, Answer, Certificates, HostileServer, Proxy, always, gzip_bomb, partial_success,
                            script, status_message)
from observe import need

LOG = {"resourceLogs": [{"scopeLogs": [{"logRecords": [{"body": {"stringValue": "hi"}, "timeUnixNano": "5"}]}]}]}


def curl(*arguments, data=b"x", timeout=20):
    need("curl")
    return subprocess.run(["curl", "-sS", "--noproxy", "", "--data-binary", "@-", *map(str, arguments)], input=data,
                          capture_output=True, timeout=timeout, env={"PATH": "/usr/bin:/bin"})


def test_remembers():
    with HostileServer(script([Answer(503, [("Retry-After", "1")], b"no")])) as server:
        done = curl("-H", f"Content-Type: {JSON}", server.url + "/v1/logs", server.url + "/v1/logs", data=json.dumps(LOG).encode())
    assert done.stdout == b"no" and done.returncode == 0
    assert [(r.method, r.path, r.connection, r.on_connection, r.taken) for r in server.requests] == [
        ("POST", "/v1/logs", 0, 0, False), ("POST", "/v1/logs", 0, 1, True)]
    assert [l["body"] for l in server.received().logs()] == ["hi"]
    assert [l["body"] for l in server.received(taken=False).logs()] == ["hi", "hi"]


@pytest.mark.parametrize("answer, status", [
    (Answer(reset="head"), 56), (Answer(reset="reply"), 56), (Answer(close="reply"), 52), (Answer(raw=b"\0\1\2garbage\n\n"), 1),
    (Answer(body=b"x" * 100, cut=True, length=100), 18), (Answer(hang=True), 28), (Answer(head_pause=0.2), 28),
    (Answer(body=b"x" * 100, body_pause=0.2), 28), (Answer(body=b"x" * (5 << 20)), 0), (Answer(body=b"y" * 40000, chunked=True), 0),
    (Answer(interim=True), 0)], ids=str)
def test_misbehaves(answer, status):
    with HostileServer(always(answer)) as server:
        done = curl("-m", "1", server.url + "/v1/logs")
        if answer.reset == "body" or answer.reset == "head":
            assert done.returncode in (52, 55, 56)
        else:
            assert done.returncode == status, done.stderr
        if status == 0:
            assert done.stdout == answer.body
    assert len(server.requests) == 1


def test_body_is_cut_by_a_reset():
    with HostileServer(always(Answer(reset="body"))) as server:
        done = curl(server.url + "/v1/logs", data=b"z" * 5000000)
    assert done.returncode in (52, 55, 56) and not server.requests[0].whole


@pytest.mark.parametrize("name, status", [("good", 0), ("wrong_name", 60), ("expired", 60), ("unknown_ca", 60)])
def test_certificates(name, status, tmp_path):
    made = Certificates(tmp_path)
    with HostileServer(tls=getattr(made, name)) as server:
        assert curl("--cacert", made.ca, server.url + "/v1/logs").returncode == status
    with HostileServer(tls=made.good, client_ca=made.ca) as server:
        client = ["--cert", made.client[0], "--key", made.client[1]]
        assert curl("--cacert", made.ca, *client, server.url + "/v1/logs").returncode == 0
        assert curl("--cacert", made.ca, server.url + "/v1/logs").returncode != 0
    assert len(server.requests) == 1


def test_http2(tmp_path):
    made = Certificates(tmp_path)
    with HostileServer(script([Answer(body=b"a" * 30000), Answer(goaway=True), Answer(reset="reply")]), tls=made.good, h2=True) as server:
        assert curl("--http2", "--cacert", made.ca, server.url + "/v1/logs").stdout == b"a" * 30000
        assert curl("--http2", "--cacert", made.ca, server.url + "/v1/logs").returncode != 0
    assert [r.protocol for r in server.requests][:2] == ["h2", "h2"] and server.requests[0].raw == b"x"


def test_unix_socket(tmp_path):
    with HostileServer(unix=str(tmp_path / "s")) as server:
        assert curl("--unix-socket", tmp_path / "s", "http://x/v1/metrics").returncode == 0
    assert server.requests[0].signal == "metrics"


def test_proxy(tmp_path):
    made = Certificates(tmp_path)
    with HostileServer(always(Answer(body=b"yes"))) as plain, HostileServer(always(Answer(body=b"tls")), tls=made.good) as tls, Proxy() as proxy:
        assert curl("-x", proxy.url, plain.url + "/v1/logs").stdout == b"yes"
        assert curl("-x", proxy.url, "--cacert", made.ca, tls.url + "/v1/logs").stdout == b"tls"
    assert [(m, t) for m, t, _ in proxy.asked] == [("POST", plain.url + "/v1/logs"), ("CONNECT", f"127.0.0.1:{tls.port}")]


def test_bodies_are_what_opentelemetry_reads():
    from otlp_decode import RESPONSES
    told = RESPONSES["logs"].FromString(partial_success(3, "three"))
    assert (told.partial_success.rejected_log_records, told.partial_success.error_message) == (3, "three")
    assert RESPONSES["traces"].FromString(partial_success(message="m")).HasField("partial_success")
    assert status_message(8, "full").endswith(b"full")
    start = time.monotonic()
    assert len(gzip_bomb(1 << 26)) < 1 << 17 and time.monotonic() - start < 30
    with HostileServer() as server:
        curl("-H", f"Content-Type: {PROTOBUF}", server.url + "/v1/logs", data=b"\x0a\xff")
    with pytest.raises(AssertionError):
        server.requests[0].message()
