"""Truth by name: as many lookups are told as libc made, by strace, and as many questions as the server had.

In a network of its own with a name server of ours (root in new namespaces). Each lookup of a name by libc
reads /etc/hosts once, inside the function that the program called: strace's stacks say which that was.
"""
import collections
import os
import subprocess
import sys

import pytest
import stacks
from observe import Recording, bare, clean_environment, need, scope_environment
from test_names import CARES, HERE, WIRE

PLACE = r"""
ip link set lo up && mount --bind "$1" /etc/resolv.conf || exit 90
: >"$1.ready" # an earlier run's says nothing of this one
"$2" "$3" 127.0.0.53 53 "$1.log" >"$1.ready" & server=$!
while ! grep -q listening "$1.ready"; do kill -0 $server 2>/dev/null || exit 91; sleep 0.02; done
shift 3; "$@"; status=$?
kill $server; exit $status
"""

PYTHON = """
import socket
def say(f, *a):
    try: f(*a)
    except OSError: pass
for name in 'localhost', 'www.test', 'no.test', 'fail.test', 'localhost', '127.0.0.1', '::1':
    say(socket.getaddrinfo, name, 80)
say(socket.getaddrinfo, None, 80)
say(socket.gethostbyname_ex, 'localhost'); say(socket.gethostbyname_ex, 'no.test')
say(socket.gethostbyaddr, '127.0.0.1'); say(socket.gethostbyaddr, '192.0.2.1')
say(socket.getnameinfo, ('127.0.0.1', 80), 0); say(socket.getnameinfo, ('192.0.2.1', 80), socket.NI_NUMERICHOST)
"""
BASH = "for name in localhost www.test no.test; do : < /dev/tcp/$name/1; done; getent hosts localhost; getent ahosts no.test"

# What makes libc look names up, and what each lookup is reported as.
PROGRAMS = {
    "python": ["/usr/bin/python3", "-c", PYTHON],
    "curl": ["curl", "-s", "http://localhost:1/", "http://no.test/", "http://127.0.0.1:1/"],
    "getent hosts": ["getent", "hosts", "localhost", "www.test", "no.test"],
    "getent ahosts": ["getent", "ahosts", "localhost", "www.test", "no.test", "192.0.2.4"],
    "bash": ["bash", "-c", BASH],
    "node": ["node", "-e", "const d = require('dns'); for (const n of ['localhost', 'www.test', 'no.test']) d.lookup(n, () => {})"],
    "perl": ["perl", "-e", "gethostbyname('localhost'); gethostbyname('no.test'); gethostbyaddr(pack('C4', 127, 0, 0, 1), 2)"],
    "php": ["php", "-r", "gethostbyname('localhost'); gethostbyname('no.test'); @fsockopen('localhost', 1);"],
}


@pytest.fixture
def place(tmp_path):
    """Runs a command where our name server is; gives its outcome."""
    need("unshare"), need("ip")
    if os.geteuid() != 0:
        pytest.skip("port 53 and a network of its own need root")
    (tmp_path / "resolv.conf").write_text("nameserver 127.0.0.53\n")

    def run(*command):
        (tmp_path / "resolv.conf.log").unlink(missing_ok=True)
        inside = ["unshare", "-n", "-m", "sh", "-c", PLACE, "sh", tmp_path / "resolv.conf", sys.executable,
                  HERE / "dns_server.py", *command]
        done = subprocess.run([str(c) for c in inside], env=clean_environment(), capture_output=True, timeout=60)
        if done.returncode in (1, 90) and not done.stdout and b"unshare" in done.stderr:
            pytest.skip(f"no namespaces of its own here: {done.stderr[-200:]}")
        log = tmp_path / "resolv.conf.log"
        return done, [line.split() for line in log.read_text().splitlines()] if log.exists() else []

    return run


def watched(to):
    environment = scope_environment(to)
    return ["env", *[f"{k}={v}" for k, v in environment.items() if clean_environment().get(k) != v]]


def operation(function):
    """The reported name of a function of a family."""
    for name in ("gethostbyname", "gethostbyaddr"):
        if function.startswith(name):
            return name
    return function


@pytest.mark.parametrize("name", PROGRAMS)
def test_lookups_equal_those_of_libc(name, place, tmp_path):
    command = PROGRAMS[name]
    need(command[0])
    trace, to = tmp_path / "strace", tmp_path / "telemetry.ndjson"
    alone, _ = place(*stacks.command(command, trace, ["openat"]))
    done, _ = place(*watched(to), *command)
    assert (done.returncode, done.stdout) == (alone.returncode, alone.stdout)
    want = collections.Counter(operation(stacks.called(frames)[0]) for call, frames in stacks.parse(trace)
                               if '"/etc/hosts"' in call.args)
    recording = Recording(to)
    have = collections.Counter(e["attributes"]["scope.operation"] for e in recording.events("scope.name.lookup"))
    assert want, "the program looked nothing up"
    assert have == want
    assert recording.total("dns.lookup.duration") == sum(want.values())


TYPES = {"1": "A", "28": "AAAA"}


@pytest.mark.parametrize("command", [["node", "-e", CARES], [sys.executable, "-c", WIRE]], ids=["node", "python"])
def test_questions_on_the_wire_equal_the_servers(command, place, tmp_path):
    need(command[0])
    to = tmp_path / "telemetry.ndjson"
    done, questions = place(*watched(to), *command)
    assert done.returncode == 0, done.stderr[-2000:]
    # An answer that was cut answers nothing: the same question follows over TCP.
    want = collections.Counter((name, TYPES[kind]) for _, kind, name, whole in questions if whole == "whole")
    recording = Recording(to)
    have = collections.Counter(e["attributes"]["dns.question.name"] for e in recording.events("scope.name.lookup"))
    assert want and have == collections.Counter(name for name, _ in want.elements())
    assert recording.total("dns.lookup.duration") == sum(want.values())
