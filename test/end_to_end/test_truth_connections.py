"""Truth by connection: what is reported of each connection equals what strace saw in the same run.

Addresses, operations, bytes each way and errors of every connection, those of connects that fail, and by
how many connections there were.
"""
import collections
import re
import shutil

import pytest
import strace
from observe import Recording, need, scope_environment

PYTHON = "/usr/bin/python3"

READS = {"read", "readv", "recvfrom", "recvmsg"}
WRITES = {"write", "writev", "sendto", "sendmsg"}
OTHERS = {"connect", "accept", "accept4", "bind", "listen", "shutdown", "getsockopt", "fcntl", "close"}
TRANSPORTS = {"TCP": "tcp", "TCPv6": "tcp", "UDP": "udp", "UDPv6": "udp", "UNIX-STREAM": "unix", "UNIX-DGRAM": "unix"}
PENDING = {"EINPROGRESS", "EINTR"}


class Life:
    """One socket from the call that made it to its close."""

    def __init__(self, pid, fd, role):
        self.pid, self.fd, self.role = pid, fd, role
        self.transport = self.local = self.peer = None
        self.count = collections.Counter()
        self.opened = role == "server"
        self.failed = None
        self.closed = False

    def see(self, what):
        kind, _, rest = what.partition(":[")
        self.transport = TRANSPORTS.get(kind, kind)
        local, arrow, peer = rest.rstrip("]").partition("->")
        if arrow and self.transport == "tcp":
            self.local, self.peer = local, peer

    def totals(self):
        return tuple(self.count[k] for k in ("read", "read_bytes", "write", "write_bytes", "errors"))


def processes(calls):
    """{thread: its process}"""
    leader = {}
    for call in calls:
        if call.name in ("clone", "clone3") and call.result and "CLONE_THREAD" in call.args:
            leader[call.result] = call.tid
    def of(tid):
        while tid in leader:
            tid = leader[tid]
        return tid
    return of


def outcome(call, life):
    """What a call says about how a connect went: an errno, "" for a success, None for nothing."""
    if call.name == "connect":
        return None if call.error in PENDING else call.error or ""
    if call.name == "getsockopt" and life.pending and "SO_ERROR" in call.args:
        said = re.search(r"SO_ERROR, \[(\w+)\]", call.args)
        return said and (said.group(1) if said.group(1) != "0" else "")
    return None


def lives(calls):
    process_of = processes(calls)
    now, every = {}, []
    for call in calls:
        pid = process_of(call.tid)
        if call.name == "socket" and call.result is not None and not call.error:
            now[pid, call.result] = Life(pid, call.result, None)
            every.append(now[pid, call.result])
            continue
        fd, what = strace.first_descriptor(call)
        life = now.get((pid, fd))
        if call.name in ("accept", "accept4") and not call.error:
            made = Life(pid, call.result, "server")
            made.see(re.search(r" => \d+<(.*)>$", call.args).group(1))
            now[pid, call.result] = made
            every.append(made)
        if life is None or what is None or call.name not in READS | WRITES | OTHERS:
            continue
        life.see(what)
        if call.name in READS | WRITES:
            way = "read" if call.name in READS else "write"
            life.count[way] += 1
            life.count[f"{way}_bytes"] += 0 if call.error else call.result
        life.count["errors"] += bool(call.error)
        life.pending = getattr(life, "pending", False) or (call.name == "connect" and call.error in PENDING)
        how = outcome(call, life)
        if how is not None:
            life.role, life.pending = "client", False
            life.opened = life.opened or how == ""
            life.failed = life.failed or how or None
        if call.name == "close":
            life.closed = True
            del now[pid, fd]
    return every


def address(attributes, side):
    where = attributes.get(f"network.{side}.address")
    port = attributes.get(f"network.{side}.port")
    if port is None:
        return None
    return f"[{where}]:{port}" if ":" in where else f"{where}:{port}"


def record(event):
    a = event["attributes"]
    tcp = a["network.transport"] == "tcp"
    ends = (address(a, "local"), address(a, "peer")) if tcp else (None, None)
    return event["resource"]["process.pid"], a["scope.descriptor"], a["network.transport"], \
        a.get("scope.connection.role"), *ends


def closed(event):
    a = event["attributes"]
    return (*record(event), a["scope.io.read.operations"], a["scope.io.read.bytes"],
            a["scope.io.write.operations"], a["scope.io.write.bytes"], a["scope.io.errors"])


def run(command, tmp_path):
    to, trace = tmp_path / "telemetry.ndjson", tmp_path / "strace"
    environment = scope_environment(to)
    preload = environment.pop("LD_PRELOAD")
    done = strace.run(["env", f"LD_PRELOAD={preload}", *command], trace, env=environment, cwd=tmp_path, timeout=60)
    assert done.returncode == 0, done.stderr[-2000:]
    return lives(strace.parse(trace)), Recording(to), done


def check(every, recording, transports):
    watched = [l for l in every if l.transport in transports]
    opened = [l for l in watched if l.opened and l.role]
    assert all(l.closed for l in opened), "the program leaves connections open"
    want = sorted((l.pid, l.fd, l.transport, l.role, l.local, l.peer, *l.totals()) for l in opened)
    have = sorted(closed(e) for e in recording.events("scope.connection.close")
                  if e["attributes"]["network.transport"] in transports)
    assert have == want
    opens = [e for e in recording.events("scope.connection.open")
             if e["attributes"]["network.transport"] in transports]
    assert sorted(map(record, (e for e in opens if "error.type" not in e["attributes"]))) == \
        sorted(w[:6] for w in want)
    assert sorted((e["resource"]["process.pid"], e["attributes"]["error.type"]) for e in opens
                  if "error.type" in e["attributes"]) == sorted((l.pid, l.failed) for l in watched if l.failed)
    for name, role in (("opened", "client"), ("accepted", "server")):
        assert sum(recording.total(f"scope.socket.connections.{name}", network__transport=t) for t in transports) == \
            sum(l.role == role for l in opened)
    assert sum(recording.total("scope.socket.connections.failed", network__transport=t) for t in transports) == \
        sum(bool(l.failed) for l in watched)
    for way, direction in (("read", "receive"), ("write", "transmit")):
        assert sum(recording.total("scope.socket.io", network__transport=t, network__io__direction=direction)
                   for t in transports) == sum(l.count[f"{way}_bytes"] for l in watched)
    return opened


TCP = """
import os, socket
server = socket.socket(FAMILY); server.bind((HOST, 0)); server.listen(5); at = server.getsockname()
sizes = (0, 1, 100, 5000, 70000)
if os.fork() == 0:
    server.close()
    for size in sizes:
        with socket.create_connection(at[:2]) as c:
            c.sendall(b'q' * size); c.shutdown(socket.SHUT_WR)
            while c.recv(3000): pass
    os._exit(0)
for size in sizes:
    c, _ = server.accept()
    got = 0
    while data := c.recv(4096): got += len(data)
    assert got == size
    c.setblocking(False)
    try: c.send(b'a' * 100); c.recv(1); c.recv(1)
    except BlockingIOError: pass
    os.write(c.fileno(), b'b' * (2 * size)) if size < 6000 else None
    try: c.getpeername(); c.bind(at)
    except OSError: pass
    c.close()
server.close(); os.wait()
"""

UDP = """
import os, socket
a = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); a.bind(('127.0.0.1', 0))
b = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); b.connect(a.getsockname())
for size in (0, 1, 700, 9000): b.send(b'x' * size); data, peer = a.recvfrom(5000); a.sendto(data, peer); b.recv(10000)
a.setblocking(False)
try: a.recvfrom(5)
except BlockingIOError: pass
b.close(); a.close()
"""

UNIX = """
import os, socket
server = socket.socket(socket.AF_UNIX); server.bind('there'); server.listen(2)
if os.fork() == 0:
    server.close()
    for size in (1, 3000):
        c = socket.socket(socket.AF_UNIX); c.connect('there'); c.sendmsg([b'x' * size, b'yz']); c.recv(100); c.close()
    c = socket.socket(socket.AF_UNIX)
    try: c.connect('nowhere')
    except OSError: pass
    c.close()
    os._exit(0)
for _ in 1, 2:
    c, _ = server.accept(); c.recv(100); c.sendall(b'answer')
    while c.recv(100): pass
    c.close()
server.close(); os.wait()
"""

REFUSED = """
import select, socket
for wait in True, False, False:
    c = socket.socket(); c.setblocking(wait)
    try: c.connect(('127.0.0.1', 1))
    except BlockingIOError:
        select.select([], [c], []); c.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    except ConnectionRefusedError: pass
    c.close()
listening = socket.socket(); listening.bind(('127.0.0.1', 0)); listening.listen(1)
c = socket.socket(); c.setblocking(False)
try: c.connect(listening.getsockname())
except BlockingIOError: pass
select.select([], [c], []); c.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
a, _ = listening.accept(); c.send(b'well'); a.recv(10); c.close(); a.close(); listening.close()
"""

HTTP = """
import http.server, os, sys
class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *a): pass
server = http.server.HTTPServer(('127.0.0.1', 0), Quiet)
open('page', 'w').write('p' * 30000)
if os.fork() == 0:
    server.server_close(); at = 'http://127.0.0.1:%d/' % server.server_port
    os.execvp(CLIENT[0], [w.replace('AT', at) for w in CLIENT])
for _ in range(REQUESTS): server.handle_request()
server.server_close(); os.wait()
"""
NODE = """const http = require('http'); const get = path => new Promise(ok => http.get('AT' + path, {agent: false},
r => { r.resume(); r.on('end', ok); })); get('page').then(() => get('nosuch')).then(() => get('page'))"""


def test_tcp(tmp_path):
    for family, host in (("socket.AF_INET", "'127.0.0.1'"), ("socket.AF_INET6", "'::1'")):
        here = tmp_path / family
        here.mkdir()
        every, recording, _ = run([PYTHON, "-c", TCP.replace("FAMILY", family).replace("HOST", host)], here)
        assert len(check(every, recording, ["tcp"])) == 10


def test_udp(tmp_path):
    every, recording, _ = run([PYTHON, "-c", UDP], tmp_path)
    want = sorted((l.fd, *l.totals()) for l in every if l.transport == "udp")
    have = sorted((e["attributes"]["scope.descriptor"], *closed(e)[6:]) for e in recording.events("scope.connection.close"))
    assert len(want) == 2 and have == want


def test_unix(tmp_path):
    every, recording, _ = run([PYTHON, "-c", UNIX], tmp_path)
    assert len(check(every, recording, ["unix"])) == 4


def test_connects_that_fail(tmp_path):
    every, recording, _ = run([PYTHON, "-c", REFUSED], tmp_path)
    assert [l.failed for l in every if l.failed] == ["ECONNREFUSED"] * 3
    assert len(check(every, recording, ["tcp"])) == 2


@pytest.mark.parametrize("client, requests", [
    (["curl", "-s", "-o", "x", "ATpage", "-o", "y", "ATnosuch", "-o", "z", "ATpage"], 3),
    (["node", "-e", NODE], 3),
], ids=["curl", "node"])
def test_http(client, requests, tmp_path):
    need(client[0])
    client = [shutil.which(client[0]), *client[1:]]
    program = f"CLIENT = {client!r}\nREQUESTS = {requests}\n" + HTTP
    every, recording, _ = run([PYTHON, "-c", program], tmp_path)
    assert len(check(every, recording, ["tcp"])) == 2 * requests
