"""HTTP inside real programs: delivered at the end, not noticed, and in step with forks."""
import subprocess

import pytest
from hostile_server import HostileServer
from observe import bare, free_port, scope_environment


@pytest.fixture
def collector():
    with HostileServer() as server:
        yield server


def run(command, to, sets=None, timeout=60):
    return subprocess.run(command, env=scope_environment(to, sets=sets), capture_output=True, timeout=timeout)


def test_a_short_program_delivers(collector):
    command = ["cat", "/etc/hostname"]
    done = run(command, collector.url + "/in")
    plain = bare(command)
    assert (done.returncode, done.stdout, done.stderr) == (plain.status, plain.stdout, plain.stderr)
    assert any(l["signal"] == "metric" for l in collector.json_lines())


FORKS = """
import os, sys, threading, time
before = sorted(os.listdir("/proc/self/fd"))
end = time.time() + 3
n = 0
while time.time() < end:
    pid = os.fork()
    if pid == 0:
        os.stat("/")
        time.sleep(0.002 * (n % 5))
        os._exit(7)
    assert os.waitpid(pid, 0)[1] == 7 << 8
    n += 1
assert sorted(os.listdir("/proc/self/fd")) == before
print(n > 20, "libscope-http" in open("/proc/self/maps").read())
"""


def test_forks_while_requests_go_out(collector):
    """Every child ends as it should and delivers by a connection of its own; the parent's goes on."""
    done = run(["python3", "-c", FORKS], collector.url + "/in", {"metrics.interval": "1s"})
    assert (done.returncode, done.stdout, done.stderr) == (0, b"True True\n", b"")
    assert len({l["resource"]["process.pid"] for l in collector.json_lines()}) > 20


def test_nobody_there_maps_nothing():
    code = "import time; time.sleep(1.5); print('libscope-http' in open('/proc/self/maps').read())"
    done = run(["python3", "-c", code], f"http://127.0.0.1:{free_port()}/", {"metrics.interval": "1s"})
    assert (done.returncode, done.stdout, done.stderr) == (0, b"False\n", b"")


@pytest.mark.parametrize("command", [["node", "-e", "fetch('data:,x').then(() => console.log('done'))"],
                                     ["ruby", "-ropenssl", "-e", "puts OpenSSL::Digest::SHA256.hexdigest('x')"],
                                     ["php", "-r", "echo strlen(openssl_random_pseudo_bytes(9));"],
                                     ["python3", "-c", "import ssl; print(ssl.create_default_context().check_hostname)"],
                                     ["curl", "--version"]], ids=lambda c: c[0])
def test_programs_with_a_tls_of_their_own(collector, command):
    done = run(command, collector.url + "/in")
    plain = bare(command)
    assert (done.returncode, done.stdout, done.stderr) == (plain.status, plain.stdout, plain.stderr)
    assert collector.requests
