"""Name lookups are told once each, whoever makes them: libc, its resolver, a program of its own accord.

A name server on port 53 of a private network, with its own /etc/resolv.conf (root in new namespaces).
"""
import collections
import os
import pathlib
import subprocess
import sys

import pytest
from observe import Recording, bare, clean_environment, need, scope_environment

HERE = pathlib.Path(__file__).parent

PLACE = r"""
ip link set lo up && mount --bind "$1" /etc/resolv.conf || exit 90
: >"$1.ready" # an earlier run's says nothing of this one
"$2" "$3" 127.0.0.53 53 >"$1.ready" & server=$!
while ! grep -q listening "$1.ready"; do kill -0 $server 2>/dev/null || exit 91; sleep 0.02; done
shift 3; "$@"; status=$?
kill $server; exit $status
"""

LIBC = """
import ctypes, socket
def say(f, *a):
    try: print(f(*a))
    except OSError as e: print(e)
say(socket.getaddrinfo, "www.test", 80)
say(socket.getaddrinfo, "no.test", 80)
say(socket.getaddrinfo, "fail.test", 80)
say(socket.getaddrinfo, "192.0.2.7", 80)
say(socket.gethostbyaddr, "192.0.2.9")
say(socket.getnameinfo, ("192.0.2.8", 80), 0)
say(socket.getnameinfo, ("192.0.2.8", 80), socket.NI_NUMERICHOST)
libc, room = ctypes.CDLL(None), ctypes.create_string_buffer(512)
print(libc.res_query(b"q.test", 1, 28, room, 512), libc.gethostbyname(b"old.test") != 0)
"""

WIRE = """
import socket, struct
def ask(i, name, kind=1):
    return struct.pack(">6H", i, 0x100, 1, 0, 0, 0) + b"".join(bytes([len(l)]) + l.encode() for l in name.split(".")) + struct.pack(">BHH", 0, kind, 1)
server = ("127.0.0.53", 53)
u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
u.sendto(ask(1, "to.test"), server); print(len(u.recvfrom(512)[0]))
u.sendmsg([ask(2, "msg.test")[:12], ask(2, "msg.test")[12:]], [], 0, server); print(len(u.recvmsg(512)[0]))
u.connect(server); u.send(ask(3, "no.test", 28)); print(len(u.recv(512, socket.MSG_PEEK)), len(u.recv(512)))
t = socket.create_connection(server)
def whole(n):
    d = b""
    while len(d) < n: d += t.recv(n - len(d))
    return d
m = ask(4, "whole.test"); t.sendall(struct.pack(">H", len(m)) + m); print(len(t.recv(512)))
m = ask(5, "split.test"); t.sendall(struct.pack(">H", len(m))); t.sendall(m); print(len(whole(struct.unpack(">H", whole(2))[0])))
"""

CARES = """
const d = require('dns').promises;
(async () => { console.log(await d.resolve4('www.test'), await d.resolve6('six.test'), await d.resolve4('big.test'));
  try { await d.resolve4('no.test') } catch (e) { console.log(e.code) } })();
"""

A, AAAA = "192.0.2.1", "2001:db8::1"
# (name, answers, error) of every lookup
CASES = {
    "libc": ([sys.executable, "-c", LIBC], [
        ("www.test", (A, AAAA), None), ("no.test", (), "EAI_NONAME"), ("fail.test", (), "EAI_AGAIN"),
        ("name.example", ("192.0.2.9",), None), ("name.example", ("192.0.2.8",), None),
        ("q.test", (AAAA,), None), ("old.test", (A,), None)]),
    "wire": ([sys.executable, "-c", WIRE], [
        ("to.test", (A,), None), ("msg.test", (A,), None), ("no.test", (), "NXDOMAIN"),
        ("whole.test", (A,), None), ("split.test", (A,), None)]),
    "node": (["node", "-e", CARES], [
        ("www.test", (A,), None), ("six.test", (AAAA,), None), ("big.test", (A,), None),
        ("no.test", (), "NXDOMAIN")]),
}


@pytest.mark.parametrize("case", CASES)
def test_each_lookup_once(case, tmp_path):
    need("unshare"), need("ip")
    command, wanted = CASES[case]
    need(command[0])
    if os.geteuid() != 0:
        pytest.skip("port 53 and a network of its own need root")
    (tmp_path / "resolv.conf").write_text("nameserver 127.0.0.53\n")
    to = tmp_path / "telemetry.ndjson"
    inside = ["unshare", "-n", "-m", "sh", "-c", PLACE, "sh", tmp_path / "resolv.conf", sys.executable,
              HERE / "dns_server.py"]
    env = scope_environment(to)
    watch = ["env", *[f"{k}={v}" for k, v in env.items() if clean_environment().get(k) != v]]
    alone = bare([*inside, *command])
    if alone.status in (1, 90) and not alone.stdout:
        pytest.skip(f"no namespaces of its own here: {alone.stderr[-200:]}")
    done = subprocess.run([str(c) for c in (*inside, *watch, *command)], env=clean_environment(),
                          capture_output=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, alone.stdout, alone.stderr)

    recording = Recording(to)
    told = collections.Counter(
        (e["attributes"].get("dns.question.name"), tuple(sorted(e["attributes"].get("dns.answers", []))),
         e["attributes"].get("error.type")) for e in recording.events("scope.name.lookup"))
    assert told == collections.Counter(wanted)
    assert recording.total("dns.lookup.duration") == len(wanted)
    assert not recording.drops()
