"""Functions inside an executable, hooked at their entries: OpenSSL in a program of ours, and in node."""
import os
import platform
import re
import shutil
import subprocess

import pytest
from observe import BUILD, PROGRAMS

pytestmark = pytest.mark.skipif(platform.machine() != "x86_64", reason="hooks at entries are for x86-64")

NODES = sorted({os.path.realpath(p) for d in os.get_exec_path() for p in [os.path.join(d, "node")] if os.access(p, os.X_OK)})
# Both ends in one process: a server, and as many requests as asked for, each on a connection of its own.
HTTPS = r"""
const https = require('https'), fs = require('fs');
const key = fs.readFileSync(process.argv[1]), cert = fs.readFileSync(process.argv[2]);
let left = 20, bytes = 0, statuses = [];
const server = https.createServer({key, cert}, (q, r) => { q.resume(); q.on('end', () => r.end('x'.repeat(5000))); });
server.listen(0, '127.0.0.1', () => {
  const next = () => {
    if (!left--) { server.close(); console.log(bytes, statuses.every(s => s === 200)); return; }
    const q = https.request({host: '127.0.0.1', port: server.address().port, ca: cert, method: 'POST',
                             checkServerIdentity: () => undefined, agent: false}, r => {
      statuses.push(r.statusCode);
      r.on('data', d => bytes += d.length); r.on('end', next);
    });
    q.end('y'.repeat(3000));
  };
  next();
});
"""


def test_openssl_in_an_executable():
    done = subprocess.run([PROGRAMS / "entry_tls"], capture_output=True, text=True, timeout=60)
    # each side reads 50 messages, and the server the end as well
    assert done.stdout == ("hooked: 101 reads, 100 writes, 50 of 50 the same\n"
                           "unhooked: 0 reads, 0 writes, 50 of 50 the same\n"), done
    assert done.returncode == 0 and done.stderr == ""


def counted(path):
    return {m[1]: (int(m[2]), m[3]) for m in re.finditer(r"^(\w[\w ]+): (\d+) ?(.*)$", path.read_text(), re.M)}


@pytest.mark.parametrize("node", NODES)
def test_openssl_in_node(node, tmp_path):
    key, cert = tmp_path / "key", tmp_path / "cert"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
                    "-keyout", key, "-out", cert, "-subj", "/CN=localhost"], check=True, capture_output=True)
    command = [node, "-e", HTTPS, key, cert]
    bare = subprocess.run(command, capture_output=True, text=True, timeout=120)
    env = dict(os.environ, LD_PRELOAD=str(BUILD / "preload" / "entry_count.so"), ENTRY_COUNT=str(tmp_path / "counts"))
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=env)
    assert (done.stdout, done.stderr, done.returncode) == (bare.stdout, bare.stderr, bare.returncode)
    assert done.stdout == "100000 true\n"
    counts = counted(tmp_path / "counts")
    for name in ("SSL_read", "SSL_write", "SSL_do_handshake", "SSL_free", "SSL_get_client_random", "SSL_get_fd"):
        assert counts[name][1] == "hooked", counts
    # 20 connections, each with two ends; a request and a response, in at least one piece each, on every one
    assert counts["SSL_free"][0] == 40
    for name in ("SSL_read", "SSL_write"):
        assert counts[name][0] >= 40, counts
    assert counts["bytes read"][0] > 20 * (5000 + 3000)


def test_there_is_a_node():
    assert NODES or not shutil.which("node")
