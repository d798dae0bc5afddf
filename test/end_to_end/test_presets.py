"""What each preset sends: the path, the headers, the encoding, the kind of metrics, held against a server of our own.

A preset's own address is a service on the internet; the tests put a server of theirs in its place, and leave all
else to the preset. The keys come from the environment, under the names that the services' own programs use.
"""
import base64
import json
import socket

import pytest
from hostile_server import JSON, PROTOBUF, Answer, HostileServer, always
from observe import SCOPE, bare, clean_environment
from otlp_run import otlp_environment, run

SIGNALS = {"/v1/logs", "/v1/metrics"}  # echo asks nobody: test_otlp_spans.py has spans
COMMAND = ("sh", "-c", "echo one; cat /etc/hosts >/dev/null")
MEGABYTE = 1000 * 1000


def sent(preset, keys, to="SCOPE_OTLP_TO", path="", command=COMMAND, answer=Answer(), sets=None):
    """The requests of a program under a preset; what it printed was its own."""
    with HostileServer(always(answer)) as server:
        done = run(None, {"SCOPE_PRESET": preset, to: server.url + path, **keys}, sets, command=command)
    assert (done.status, done.stderr) == (0, b""), done
    assert server.requests, "nothing came"
    for request in server.requests:
        assert request.method == "POST"
    return server


def check_otlp(server, header=None, value=None):
    """OTLP as every preset has it; the histograms' kind and the temporalities that came."""
    assert {r.path for r in server.requests} == SIGNALS
    for request in server.requests:
        assert request.header("content-type") == PROTOBUF
        assert request.header("content-encoding") == "gzip"
        if header:
            assert request.header(header) == value
    assert "one" in [l.get("body") for l in server.received().logs()]
    metrics = [l for l in server.received().lines if l["signal"] == "metric"]
    kinds = {l["type"] for l in metrics} & {"histogram", "exponentialHistogram"}
    return kinds, {l["temporality"] for l in metrics if "temporality" in l and l.get("monotonic", True)}


# ------------------------------------------------------------------ over OTLP

def test_collector():
    server = sent("collector", {})
    kinds, temporalities = check_otlp(server)
    assert kinds == {"histogram"}
    assert temporalities == {"cumulative"}
    assert all(r.header(h) is None for r in server.requests for h in ("authorization", "api-key"))


def test_new_relic():
    """Their advice: delta, exponential histograms, gzip; less than a megabyte, 4095 characters, 64 items."""
    server = sent("newrelic", {"NEW_RELIC_LICENSE_KEY": "abc123NRAL"})
    kinds, temporalities = check_otlp(server, "api-key", "abc123NRAL")
    assert kinds == {"exponentialHistogram"}
    assert temporalities == {"delta"}


def test_new_relic_limits():
    """Requests stay below their megabyte before compression, and values below 4096 characters."""
    script = "i=0; while [ $i -lt 400 ]; do echo $i $LONG; i=$((i+1)); done"
    server = sent("newrelic", {"NEW_RELIC_LICENSE_KEY": "abc123NRAL", "LONG": "x" * 6000}, command=("sh", "-c", script))
    assert all(len(r.body) < MEGABYTE for r in server.requests)
    for line in server.received().lines:
        assert len(line["attributes"]) <= 64
        for value in line["attributes"].values():
            assert not isinstance(value, str) or len(value) <= 4095


def test_grafana():
    server = sent("grafana", {"GRAFANA_INSTANCE_ID": "123456", "GRAFANA_API_TOKEN": "glc_token"})
    basic = "Basic " + base64.b64encode(b"123456:glc_token").decode()
    kinds, temporalities = check_otlp(server, "authorization", basic)
    assert kinds and temporalities == {"cumulative"}


# ------------------------------------------------------------------ Splunk

@pytest.fixture(scope="module")
def splunk():
    taken = Answer(200, headers=[("Content-Type", JSON)], body=b'{"text":"Success","code":0}')
    return sent("splunk", {"SPLUNK_HEC_TOKEN": "0b5b0a1c-token"}, "SCOPE_NDJSON_TO", "/services/collector/event", answer=taken)


def splunk_lines(server):
    return [json.loads(line) for r in server.requests for line in r.body.decode("utf-8").splitlines()]


def test_splunk_requests(splunk):
    for request in splunk.requests:
        assert request.path == "/services/collector/event"
        assert request.header("authorization") == "Splunk 0b5b0a1c-token"
        assert request.header("content-type") == JSON
        assert request.header("content-encoding") == "gzip"


def test_splunk_events(splunk):
    events = [l for l in splunk_lines(splunk) if l["event"] != "metric"]
    assert {l["sourcetype"] for l in events} == {"scope:event", "scope:log"}
    log, = [l for l in events if l["event"].get("body") == "one"]
    assert log["host"] == socket.gethostname() and log["source"].startswith("unknown_service:")
    assert log["sourcetype"] == "scope:log" and log["event"]["attributes"]["log.iostream"] == "stdout"
    for line in events:
        assert isinstance(line["time"], float)
        assert all(isinstance(v, (str, list)) for v in line["fields"].values())
        assert {"service.name", "process.pid", "host.name"} <= line["fields"].keys()


def test_splunk_metrics(splunk):
    metrics = [l for l in splunk_lines(splunk) if l["event"] == "metric"]
    names = {k for l in metrics for k in l["fields"] if k.startswith("metric_name:")}
    assert {"metric_name:scope.file.operation.duration.count", "metric_name:scope.file.operation.duration_bucket"} <= names
    for line in metrics:
        for key, value in line["fields"].items():
            assert isinstance(value, (int, float) if key.startswith("metric_name:") else (str, list))
            assert not isinstance(value, bool)
        bucket = any(k.endswith("_bucket") for k in line["fields"] if k.startswith("metric_name:"))
        assert ("le" in line["fields"]) == bucket


def test_splunk_refusal(tmp_path):
    """Their words about a wrong token are told in the diagnostics, the token is not."""
    refused = Answer(403, headers=[("Content-Type", JSON)], body=b'{"text":"Invalid token","code":4}')
    sent("splunk", {"SPLUNK_HEC_TOKEN": "wrong-token", "SCOPE_DIAGNOSTICS_TO": str(tmp_path / "log")}, "SCOPE_NDJSON_TO",
         "/services/collector/event", answer=refused)
    told = (tmp_path / "log").read_text()
    assert "HTTP 403: Invalid token (code 4)" in told and "wrong-token" not in told


# ------------------------------------------------------------------ Datadog

def datagrams(keys):
    """Lines that a program under the preset sends to an agent of ours."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as agent:
        agent.bind(("127.0.0.1", 0))
        agent.settimeout(2)
        port = agent.getsockname()[1]
        env = otlp_environment(None, {"SCOPE_PRESET": "datadog", "SCOPE_STATSD_TO": f"udp://127.0.0.1:{port}", **keys})
        done = bare(COMMAND, env=env)
        assert (done.status, done.stderr) == (0, b""), done
        out = []
        try:
            while True:
                data = agent.recv(65536)
                assert len(data) <= 1432 and not data.endswith(b"\n")
                out += data.decode().split("\n")
        except socket.timeout:
            return out


def test_datadog():
    lines = datagrams({"DD_ENV": "prod", "DD_SERVICE": "shop", "DD_VERSION": "1.2", "DD_ENTITY_ID": "pod-uid",
                       "DD_EXTERNAL_ENV": "it-false,cn-web,pu-6f"})
    assert lines
    for line in lines:
        name, _, rest = line.partition(":")
        fields = rest.split("|")
        assert fields[1] in ("c", "g", "d") and "|T" not in line, line
        tags = [f[1:].split(",") for f in fields if f.startswith("#")]
        assert len(tags) == 1 and {"env:prod", "version:1.2", "dd.internal.entity_id:pod-uid"} <= set(tags[0]), line
        assert any(t in ("service:shop", "service.name:shop") for t in tags[0]), line
        assert fields[-1] == "e:it-false,cn-web,pu-6f", line


def test_datadog_says_nothing_of_what_it_was_not_told():
    lines = datagrams({k: None for k in ("DD_ENV", "DD_SERVICE", "DD_VERSION", "DD_ENTITY_ID", "DD_EXTERNAL_ENV")})
    assert lines and not any("|e:" in l or "dd.internal" in l or "env:" in l for l in lines)


# ------------------------------------------------------------------ secrets

@pytest.mark.parametrize("preset, keys", [
    ("newrelic", {"NEW_RELIC_LICENSE_KEY": "hush-1"}), ("splunk", {"SPLUNK_HEC_TOKEN": "hush-2"}),
    ("grafana", {"GRAFANA_INSTANCE_ID": "1", "GRAFANA_API_TOKEN": "hush-3"})])
def test_keys_are_not_shown(preset, keys):
    done = bare([SCOPE, "config"], env=clean_environment({"SCOPE_CONFIG": "/dev/null", "SCOPE_PRESET": preset, **keys}))
    secret = list(keys.values())[-1].encode()
    assert done.status == 0 and secret not in done.stdout + done.stderr
    assert base64.b64encode(b"1:" + secret) not in done.stdout
