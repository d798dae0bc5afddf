"""Sinks on the wire: every transport, both formats, full disks, sinks that go away and come back."""
import collections
import json
import os
import pathlib
import re
import socket
import subprocess
import threading
import time

import pytest
from observe import SCOPE, Recording, bare, clean_environment, free_port, observe, scope_environment

SCRIPT = "echo line-one; echo line-two >&2; read x < /etc/hostname; exit 3"


class Receiver:
    """Takes everything that comes to one socket, in a thread."""

    def __init__(self, s):
        self.socket = s
        self.datagrams, self.stream = [], b""
        self.stopping = False
        s.settimeout(0.1)
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        connections = []
        idle = 0
        while not (self.stopping and idle > 2):
            idle += 1
            try:
                if self.socket.type == socket.SOCK_DGRAM:
                    self.datagrams.append(self.socket.recv(100000))
                    idle = 0
                else:
                    c, _ = self.socket.accept()
                    c.settimeout(0.1)
                    connections.append(c)
                    idle = 0
            except TimeoutError:
                pass
            for c in connections:
                try:
                    while data := c.recv(1 << 16):
                        self.stream += data
                        idle = 0
                except TimeoutError:
                    pass
        for c in connections:
            c.close()

    def stop(self):
        self.stopping = True
        self.thread.join()
        self.socket.close()
        return self.stream if self.socket.type != socket.SOCK_DGRAM else self.datagrams


def receiver(kind, tmp_path):
    """(URL, Receiver) of a listening socket of this kind."""
    if kind in ("tcp", "udp"):
        s = socket.socket(socket.AF_INET, socket.SOCK_STREAM if kind == "tcp" else socket.SOCK_DGRAM)
        s.bind(("127.0.0.1", 0))
        url = f"{kind}://127.0.0.1:{s.getsockname()[1]}"
    elif kind == "tcp6":
        s = socket.socket(socket.AF_INET6)
        s.bind(("::1", 0))
        url = f"tcp://[::1]:{s.getsockname()[1]}"
    else:
        s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM if "gram" in kind else socket.SOCK_STREAM)
        abstract = kind.endswith("@")
        name = f"scope-test-{os.getpid()}-{time.monotonic_ns()}"
        s.bind(f"\0{name}" if abstract else str(tmp_path / name))
        url = f"{kind.rstrip('@')}://" + (f"@{name}" if abstract else str(tmp_path / name))
    if s.type == socket.SOCK_STREAM:
        s.listen(100)
    return url, Receiver(s)


@pytest.mark.parametrize("kind", ["tcp", "tcp6", "udp", "unix", "unix@", "unixgram", "unixgram@"])
def test_ndjson_transports(kind, tmp_path):
    try:
        url, taker = receiver(kind, tmp_path)
    except OSError as error:
        pytest.skip(f"{kind}: {error}")
    try:
        done = bare(["bash", "-c", SCRIPT], env=scope_environment(url))
    finally:
        got = taker.stop()
    assert (done.status, done.stdout, done.stderr) == (3, b"line-one\n", b"line-two\n")
    data = got if isinstance(got, bytes) else b"".join(got)
    assert data.endswith(b"\n")
    lines = [json.loads(l) for l in data.decode("utf-8").splitlines()]
    bodies = [l["body"] for l in lines if l["signal"] == "log" and "body" in l]
    assert sorted(bodies) == ["line-one", "line-two"]
    assert [l["attributes"] for l in lines if l.get("name") == "scope.process.exit" and l["resource"]["process.executable.name"] == "bash"]
    assert {l["signal"] for l in lines} == {"log", "metric"}
    if isinstance(got, list):
        assert all(d.endswith(b"\n") for d in got), "a datagram holds whole lines"


def test_ndjson_standard_output(tmp_path):
    done = bare(["bash", "-c", "echo own"], env=scope_environment("stdout"))
    lines = done.stdout.decode().splitlines()
    assert "own" in lines
    lines.remove("own")
    assert [json.loads(l) for l in lines]
    assert done.stderr == b""


STATSD = re.compile(r"^([A-Za-z0-9_.]+):(-?[0-9.e+-]+(?::-?[0-9.e+-]+)*)\|(c|g|ms|h|d)(\|@[0-9.]+)?(\|#[^|]*)?(\|c:[^|]+)?(\|T\d+)?$")


@pytest.mark.parametrize("kind", ["udp", "unixgram"])
@pytest.mark.parametrize("format", ["dogstatsd", "plain"])
def test_statsd(kind, format, tmp_path):
    url, taker = receiver(kind, tmp_path)
    env = scope_environment("x", {"SCOPE_STATSD_TO": url}, sets={"statsd.format": format, "statsd.prefix": "my.", "tags.team": "blue"})
    del env["SCOPE_NDJSON_TO"]
    program = "import os\nf = os.open('/dev/zero', 0)\nfor i in range(1234): os.read(f, 10)\ntry: open('/nosuch')\nexcept OSError: pass\n"
    program += "import socket\ns = socket.socket()\ns.bind(('127.0.0.1', 0))\ns.listen(5)\nfor i in range(3): socket.create_connection(s.getsockname()).close()\n"
    try:
        done = bare(["/usr/bin/python3", "-c", program], env=env)
    finally:
        datagrams = taker.stop()
    assert done.status == 0 and done.stdout == b"" and done.stderr == b""
    assert all(len(d) <= (1432 if kind == "udp" else 8192) for d in datagrams)
    lines = b"\n".join(datagrams).decode("ascii").splitlines()
    bad = [l for l in lines if not STATSD.match(l)]
    assert bad == []
    assert all(l.startswith("my.") for l in lines)
    if format == "dogstatsd":
        assert any("team:blue" in l for l in lines)
        reads = [l for l in lines if l.startswith("my.scope.file.io:") and "read" in l and "device" in l]
        assert sum(float(l.split(":")[1].split("|")[0]) for l in reads) == 12340
        # Three connects, each measurement known: a distribution, its values packed.
        connects = [STATSD.match(l) for l in lines if l.startswith("my.scope.socket.connect.duration:")]
        assert {m.group(3) for m in connects} == {"d"}
        assert sum(len(m.group(2).split(":")) for m in connects) == 3
    else:
        assert not any("|#" in l for l in lines), "plain StatsD has no tags"


def test_many_processes_one_file(tmp_path):
    """Twelve writers at once, each many lines: every line whole, none lost, none twice."""
    to = tmp_path / "t"
    script = "for i in $(seq 60); do echo w$1-$i; done"
    running = [subprocess.Popen(["bash", "-c", script, "x", str(n)], env=scope_environment(to, sets={"events.interval": "20ms"}),
                                stdout=subprocess.DEVNULL) for n in range(12)]
    assert [p.wait(60) for p in running] == [0] * 12
    recording = Recording(to)
    bodies = collections.Counter(l["body"] for l in recording.logs(log__iostream="stdout") if l["body"].startswith("w"))
    assert bodies == collections.Counter(f"w{n}-{i}" for n in range(12) for i in range(1, 61))
    assert not recording.drops()


def test_rotation(tmp_path):
    to = tmp_path / "t"
    done = observe(["bash", "-c", "for i in $(seq 2000); do echo line-$i; done"], tmp_path,
                   env={"SCOPE_NDJSON_TO": str(to)}, sets={"ndjson.rotate_size": "256KiB", "ndjson.rotate_keep": "50", "events.interval": "10ms"})
    assert done.status == 0
    files = sorted(tmp_path.glob("t*"))
    assert len(files) > 2
    assert all(f.stat().st_mode & 0o777 == 0o600 for f in files)
    lines = [l["body"] for l in Recording(*files).logs(log__iostream="stdout")]
    # seq's own output, into the shell's pipe, is standard output too.
    assert sorted(l for l in lines if l.startswith("line-")) == sorted(f"line-{i}" for i in range(1, 2001))


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small file system needs root")
def test_full_file_system(tmp_path):
    """Lines that do not fit are lost and counted, the program goes on, lines stay whole."""
    small = tmp_path / "small"
    small.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", small]).returncode:
        pytest.skip("no tmpfs can be mounted here")
    try:
        done = observe(["bash", "-c", "for i in $(seq 3000); do echo line-$i; done; echo end"], tmp_path,
                       env={"SCOPE_NDJSON_TO": str(small / "t")}, sets={"events.interval": "10ms", "memory.queue": "64KiB"})
        assert done.status == 0 and done.stdout.endswith(b"end\n")
        text = (small / "t").read_bytes()
        whole = text[:text.rindex(b"\n")].split(b"\n")
        assert len(whole) > 5
        for line in whole:
            json.loads(line)
    finally:
        subprocess.run(["umount", small], check=True)


def test_sink_that_comes_late(tmp_path):
    """What is recorded while nobody listens waits in the queue, and arrives when somebody does."""
    port = free_port()
    env = scope_environment(f"tcp://127.0.0.1:{port}", sets={"events.interval": "50ms", "metrics.interval": "10s"})
    program = "import time,sys\nprint('early', flush=True)\nsys.stdin.readline()\nprint('late', flush=True)\n"
    with subprocess.Popen(["/usr/bin/python3", "-c", program], env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as p:
        assert p.stdout.readline() == b"early\n"
        time.sleep(0.3)
        s = socket.socket()
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.bind(("127.0.0.1", port))
        s.listen(10)
        taker = Receiver(s)
        p.stdin.write(b"\n")
        p.stdin.close()
        assert p.wait(20) == 0
    lines = [json.loads(l) for l in taker.stop().decode().splitlines()]
    assert [l["body"] for l in lines if l.get("attributes", {}).get("log.iostream") == "stdout"] == ["early", "late"]


def test_queue_that_overflows_is_counted(tmp_path):
    """A sink that is away for long: what the queue holds arrives, the rest is counted as queue_full."""
    port = free_port()
    env = scope_environment(f"tcp://127.0.0.1:{port}", sets={"events.interval": "20ms", "metrics.interval": "60s", "memory.queue": "64KiB",
                                                             "logs.rate": "0"})
    program = ("import time,sys\nfor i in range(4000): print('line %d' % i, flush=True)\nprint('', flush=True)\nsys.stdin.readline()\n")
    with subprocess.Popen(["/usr/bin/python3", "-c", program], env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as p:
        while p.stdout.readline() != b"\n":
            pass
        time.sleep(0.5)
        s = socket.socket()
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.bind(("127.0.0.1", port))
        s.listen(10)
        taker = Receiver(s)
        p.stdin.close()
        assert p.wait(20) == 0
    lines = [json.loads(l) for l in taker.stop().decode().splitlines()]
    arrived = sum(1 for l in lines if l.get("attributes", {}).get("log.iostream") == "stdout" and l["body"])
    dropped = sum(l["value"] for l in lines if l.get("name") == "scope.dropped" and l["attributes"]["scope.drop.cause"] == "queue_full")
    others = {l["attributes"]["scope.drop.cause"] for l in lines if l.get("name") == "scope.dropped"} - {"queue_full"}
    assert others == set()
    assert 0 < arrived < 4000
    events = sum(1 for l in lines if l["signal"] == "log") - arrived
    # 4,000 lines, and some events and one empty line beside them: sent and dropped add up.
    assert 4000 <= arrived + dropped <= 4000 + events + 100
