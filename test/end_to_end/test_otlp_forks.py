"""Forks while the reporter is at it: nothing is lost, nothing comes twice, nobody waits, whoever inherits a connection leaves it alone."""
import collections
import json
import subprocess

import pytest
from hostile_server import HostileServer
from observe import scope_environment


@pytest.fixture
def server():
    with HostileServer(backlog=128) as server:
        yield server


def messages(server):
    """(request, message) of every request for logs."""
    return [(r, json.loads(r.body)) for r in server.of("logs") if r.whole]


def log_lines(server):
    """(pid, line) of every plain log record that came."""
    out = []
    for _, message in messages(server):
        for group in message["resourceLogs"]:
            pid = next(a["value"]["intValue"] for a in group["resource"]["attributes"] if a["key"] == "process.pid")
            out += [(int(pid), record["body"]["stringValue"]) for scope in group["scopeLogs"] for record in scope["logRecords"]
                    if not record.get("eventName") and "body" in record]
    return out


FORKS = """
import os, sys, threading, time
stop = False
def talk():
    n = 0
    while not stop:
        os.write(1, f"parent {n}\\n".encode()); n += 1; time.sleep(0.001)
t = threading.Thread(target=talk); t.start()
for i in range(150):
    pid = os.fork()
    if pid == 0:
        os.write(1, f"child {i}\\n".encode())
        %s
        os._exit(0)
    os.waitpid(pid, 0)
stop = True; t.join()
os.write(1, b"done\\n")
"""


@pytest.mark.parametrize("child", ["pass", "time.sleep(0.03)"], ids=["ends at once", "lives on"])
def test_forks_during_exports(tmp_path, server, child):
    env = scope_environment("", {"SCOPE_OTLP_TO": server.url, "SCOPE_OTLP_PROTOCOL": "json"},
                            {"otlp.logs.interval": "10ms", "otlp.metrics.interval": "100ms"})
    del env["SCOPE_NDJSON_TO"]
    done = subprocess.run(["/usr/bin/python3", "-c", FORKS % child], env=env, capture_output=True, timeout=120)
    assert done.returncode == 0 and not done.stderr, done.stderr
    printed = collections.Counter(done.stdout.decode().split("\n")[:-1])
    lines = log_lines(server)
    assert collections.Counter(line for _, line in lines) == printed
    # each child's line came from the child
    assert len({pid for pid, line in lines if line.startswith("child")}) == 150
    # the parent kept its connection through all forks
    parent = next(pid for pid, line in lines if line == "done")
    instances = {a["value"]["stringValue"] for _, m in messages(server) for g in m["resourceLogs"]
                 for a in g["resource"]["attributes"] if a["key"] == "service.instance.id"}
    assert len(instances) == 151
    connections = {r.connection for r, m in messages(server) for g in m["resourceLogs"]
                   if any(a["key"] == "process.pid" and int(a["value"]["intValue"]) == parent for a in g["resource"]["attributes"])}
    assert len(connections) <= 3, "a fork cut the parent's connection"
