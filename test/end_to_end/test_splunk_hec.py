"""Splunk's HTTP event collector, as its documentation has it: no module of the Collector's receiver for it can be had,
so a strict reading of the format stands here, beside OTLP of the same run which must say the same."""
import collections
import json

import pytest
from hostile_server import Answer, HostileServer, script
from observe import bare, scope_environment
from otlp_run import Living
from received import by, counted, total

OK_BODY = b'{"text":"Success","code":0}'
TOKEN = "11111111-2222-3333-4444-555555555555"
PATH = "/services/collector/event"
MEMBERS = {"time", "host", "source", "sourcetype", "index", "event", "fields"}
PROGRAM = ("import os, socket\n"
           "f = os.open('/dev/zero', 0)\nfor i in range(123): os.read(f, 10)\n"
           "s = socket.socket(); s.bind(('127.0.0.1', 0)); s.listen(50)\n"
           "for i in range(5): socket.create_connection(s.getsockname()).close()\n"
           "for i in range(50): print('ERROR line %d \u00e4' % i)\n")


def objects(data):
    """JSON objects one behind the other: newlines or nothing between them, and no array."""
    text, decoder, at, out = data.decode("utf-8"), json.JSONDecoder(parse_constant=lambda word: pytest.fail(word)), 0, []
    while at < len(text):
        if text[at] in "\r\n \t":
            at += 1
            continue
        one, at = decoder.raw_decode(text, at)
        assert isinstance(one, dict), one
        out.append(one)
    return out


def check(one):
    assert one.keys() <= MEMBERS and "event" in one, one
    assert isinstance(one["time"], (int, float)) and 1.7e9 < one["time"] < 4e9
    assert all(isinstance(one[k], str) and one[k] for k in ("host", "source", "sourcetype", "index") if k in one)
    assert one["event"] not in ("", None, {}, [], True, False)
    for key, value in one.get("fields", {}).items():
        assert key and not isinstance(value, (dict, bool, type(None))), one
        if isinstance(value, list):
            assert all(isinstance(v, str) for v in value)
    if one["event"] == "metric":
        measured = {k: v for k, v in one["fields"].items() if k.startswith("metric_name:")}
        assert measured and all(isinstance(v, (int, float)) for v in measured.values()), one
        assert all(isinstance(v, str) for k, v in one["fields"].items() if k not in measured), one
    return one


def taken(server):
    """Every object of every request that was answered with success."""
    out = []
    for r in server.requests:
        assert r.method == "POST" and r.path == PATH and r.header("authorization") == f"Splunk {TOKEN}"
        if r.taken:
            out += [check(o) for o in objects(r.body)]
    return out


def told(line):
    """What the record that a log line became says in Splunk."""
    return line["event"].get("body") if isinstance(line["event"], dict) else line["event"]


def hec(server, extra=None):
    return {"SCOPE_NDJSON_TO": server.url + PATH, "SCOPE_NDJSON_FORMAT": "splunk", "SCOPE_NDJSON_TOKEN": TOKEN,
            "SCOPE_EVENTS_INTERVAL": "50ms", "SCOPE_METRICS_INTERVAL": "200ms", **(extra or {})}


def answer(status=200, body=OK_BODY, **how):
    return Answer(status, body=body, content_type="application/json", **how)


def test_says_what_otlp_says():
    with HostileServer(script([], then=answer())) as splunk, HostileServer() as otlp:
        env = scope_environment("x", hec(splunk, {"SCOPE_OTLP_TO": otlp.url, "SCOPE_OTLP_METRICS_INTERVAL": "200ms", "PYTHONIOENCODING": "utf-8",
                                                  "SCOPE_OTLP_LOGS_INTERVAL": "50ms"}), sets={"metrics.temporality": "delta"})
        assert bare(["/usr/bin/python3", "-c", PROGRAM], env=env).status == 0
    lines, received = taken(splunk), otlp.received()
    metrics, records = [l for l in lines if l["event"] == "metric"], [l for l in lines if l["event"] != "metric"]
    logs = [l for l in received.lines if l["signal"] == "log"]
    assert len(records) == len(logs) > 50
    mine = collections.Counter(told(l) for l in records if told(l))
    assert mine == collections.Counter(l["body"] for l in logs if "body" in l)
    sums = collections.Counter()
    for line in metrics:
        for key, value in line["fields"].items():
            if key.startswith("metric_name:"):
                sums[key.split(":", 1)[1]] += value
    for name in ("scope.file.io", "scope.socket.connections.opened", "scope.file.operation.errors"):
        assert sums[name] == received.total(name) > 0, name
    assert len({l["host"] for l in lines}) == 1


@pytest.mark.parametrize("status, body, again", [
    (503, b'{"text":"Server is busy","code":9}', True), (429, b"", True), (403, b'{"text":"Invalid token","code":4}', False),
    (400, b'{"text":"Invalid data format","code":6}', False), (400, b'{"text":"Incorrect index","code":7,"invalid-event-number":1}', False)])
def test_refusals(status, body, again):
    with HostileServer(script([answer(status, body)], then=answer())) as splunk:
        with Living(None, hec(splunk)) as program:
            program.say("one")
            splunk.wait(lambda s: s.requests)
            program.say("two")
            splunk.wait(lambda s: any("two" == told(l) for l in taken(s)))
    first = [told(check(l)) for l in objects(splunk.requests[0].body)]
    came = collections.Counter(told(l) for l in taken(splunk))
    assert all(came[b] == (1 if again else 0) for b in first if b and "line" not in b), (first, came)


def test_token_is_told_nowhere(tmp_path):
    log = tmp_path / "diagnostics"
    with HostileServer(script([answer(403, b'{"text":"Invalid token","code":4}')], then=answer())) as splunk:
        env = scope_environment("x", hec(splunk, {"SCOPE_DIAGNOSTICS_TO": str(log), "SCOPE_DIAGNOSTICS_LEVEL": "debug"}))
        assert bare(["sh", "-c", "echo one"], env=env).status == 0
    assert not any(TOKEN.encode() in r.body for r in splunk.requests)
    assert not log.exists() or TOKEN not in log.read_text()
