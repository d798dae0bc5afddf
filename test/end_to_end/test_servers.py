"""Real servers under the library: they serve as they do bare, and what is reported equals what their
clients count: connections, bytes each way, log lines, files."""
import collections
import os
import pathlib
import pwd
import re
import shutil
import socket
import subprocess
import tempfile
import time

import pytest
from observe import Recording, Server, bare, clean_environment, free_port, need, scope_environment, wait_port

NGINX = """
daemon off; {mode} pid {d}/nginx.pid; error_log {d}/error.log info; user {user};
events {{ worker_connections 256; }}
http {{ access_log {d}/access.log; client_body_temp_path {d}/t1; proxy_temp_path {d}/t2; fastcgi_temp_path {d}/t3;
uwsgi_temp_path {d}/t4; scgi_temp_path {d}/t5; sendfile {sendfile};
server {{ listen 127.0.0.1:{port}; root {d}/site; }} }}
"""


def open_directory(request, name):
    """A directory that other users may enter, as pytest's own may not."""
    place = pathlib.Path(tempfile.mkdtemp(prefix=f"scope-{name}-"))
    request.addfinalizer(lambda: shutil.rmtree(place))
    place.chmod(0o755)
    return place


def http_get(port, path, count=1):
    """`count` requests on one connection; (bytes sent, bytes received)."""
    sent = received = 0
    with socket.create_connection(("127.0.0.1", port), 10) as s:
        for number in range(count):
            last = number == count - 1
            request = f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: {'close' if last else 'keep-alive'}\r\n\r\n".encode()
            s.sendall(request)
            sent += len(request)
            data = b""
            while b"\r\n\r\n" not in data:
                data += s.recv(65536)
            head, body = data.split(b"\r\n\r\n", 1)
            length = int(re.search(rb"Content-Length: (\d+)", head).group(1))
            while len(body) < length:
                more = s.recv(65536)
                assert more
                body += more
            received += len(head) + 4 + len(body)
        assert s.recv(10) == b""
    return sent, received


def server_connections(recording, port):
    """Closed server-side connections on this port: (count, received, sent)."""
    got = [e["attributes"] for e in recording.events("scope.connection.close")
           if e["attributes"].get("network.local.port") == port and e["attributes"].get("scope.connection.role") == "server"]
    return (len(got), sum(a["scope.io.read.bytes"] for a in got), sum(a["scope.io.write.bytes"] for a in got))


@pytest.mark.parametrize("mode", ["one", "workers"])
@pytest.mark.parametrize("sendfile", ["on", "off"])
@pytest.mark.parametrize("user", ["root", "nobody nogroup"], ids=["root", "nobody"])
def test_nginx(mode, sendfile, user, request):
    need("nginx")
    tmp_path = open_directory(request, "nginx")
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "page").write_bytes(b"p" * 30000)
    port, to = free_port(), tmp_path / "telemetry.ndjson"
    conf = tmp_path / "nginx.conf"
    conf.write_text(NGINX.format(d=tmp_path, port=port, sendfile=sendfile, user=user,
                                 mode="master_process off;" if mode == "one" else "worker_processes 2;"))
    sent = received = connections = 0
    with Server(["nginx", "-c", conf, "-p", tmp_path], scope_environment(to), port) as server:
        connections += 1  # wait_port's own
        for n in (1, 5, 20):
            for path in ("/page", "/missing"):
                one = http_get(port, path, n)
                sent, received, connections = sent + one[0], received + one[1], connections + 1
        status = server.stop()
    assert status == 0
    recording = Recording(to)
    assert server_connections(recording, port) == (connections, sent, received)
    # Every line of the access log is a log record, and no other.
    lines = (tmp_path / "access.log").read_text().splitlines()
    assert len(lines) == 52
    logged = [l["body"] for l in recording.logs(log__file__path=str(tmp_path / "access.log"))]
    assert sorted(logged) == sorted(lines)
    assert recording.total("scope.socket.connections.accepted", network__transport="tcp") == connections
    # The page was opened and closed once a request; what sendfile or read took from it is its size.
    closes = recording.events("scope.file.close", file__path=str(tmp_path / "site" / "page"))
    assert [e["attributes"]["scope.io.read.bytes"] for e in closes] == [30000] * 26
    assert not recording.drops()


def test_apache(request):
    need("apache2")
    tmp_path = open_directory(request, "apache")
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "page").write_bytes(b"p" * 5000)
    port, to = free_port(), tmp_path / "telemetry.ndjson"
    conf = tmp_path / "apache.conf"
    modules = "/usr/lib/apache2/modules"
    conf.write_text(f"""
ServerRoot {tmp_path}
ServerName x
PidFile {tmp_path}/pid
Listen 127.0.0.1:{port}
LoadModule mpm_event_module {modules}/mod_mpm_event.so
LoadModule authz_core_module {modules}/mod_authz_core.so
DocumentRoot {tmp_path}/site
ErrorLog {tmp_path}/error.log
LogFormat "%h %r %>s %b" plain
CustomLog {tmp_path}/access.log plain
Mutex file:{tmp_path}
User {'www-data' if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name}
<Directory {tmp_path}/site>
Require all granted
</Directory>
""")
    with Server(["apache2", "-f", conf, "-DFOREGROUND"], scope_environment(to, {"APACHE_RUN_DIR": str(tmp_path)}), port, stderr=None) as server:
        done = collections.Counter(sent=0, received=0, connections=1)
        for _ in range(15):
            sent, received = http_get(port, "/page", 4)
            done.update(sent=sent, received=received, connections=1)
        server.stop()
    recording = Recording(to)
    assert server_connections(recording, port) == (done["connections"], done["sent"], done["received"])
    lines = (tmp_path / "access.log").read_text().splitlines()
    assert len(lines) == 60
    assert sorted(l["body"] for l in recording.logs(log__file__path=str(tmp_path / "access.log"))) == sorted(lines)
    assert not recording.drops()


def test_redis(tmp_path):
    need("redis-server"), need("redis-benchmark")
    port, to = free_port(), tmp_path / "telemetry.ndjson"
    with Server(["redis-server", "--port", port, "--bind", "127.0.0.1", "--save", "", "--dir", tmp_path], scope_environment(to), port) as server:
        done = bare(["redis-benchmark", "-p", port, "-n", "20000", "-c", "20", "-t", "set,get", "-q"])
        assert done.status == 0 and b"GET" in done.stdout
        stats = bare(["redis-cli", "-p", port, "info", "all"]).stdout.decode()
        assert server.stop() == 0
    recording = Recording(to)
    told = {k: int(re.search(rf"{k}:(\d+)", stats).group(1)) for k in
            ("total_connections_received", "total_net_input_bytes", "total_net_output_bytes")}
    count, received, sent = server_connections(recording, port)
    assert count == told["total_connections_received"]
    # Redis counts what it had read and written when it answered: the answer itself is not yet in it.
    assert received == told["total_net_input_bytes"]
    assert told["total_net_output_bytes"] <= sent <= told["total_net_output_bytes"] + len(stats) + 100
    assert not recording.drops()


def test_postgres(request):
    binaries = sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin/postgres"))
    if not binaries or os.geteuid() != 0:
        pytest.skip("postgresql is not installed, or this is not root (it runs as the user postgres)")
    bin_dir = binaries[-1].parent
    user = pwd.getpwnam("postgres")
    place = open_directory(request, "postgres")
    data, to = place / "data", place / "out"
    for path in (data, to):
        path.mkdir()
        os.chown(path, user.pw_uid, user.pw_gid)
    port = free_port()
    become = dict(user=user.pw_uid, group=user.pw_gid, extra_groups=[], cwd=data)
    made = subprocess.run([bin_dir / "initdb", "-D", data, "-A", "trust", "-N"], env=scope_environment(to / "t"), capture_output=True, **become)
    assert made.returncode == 0, made.stderr
    arguments = ["-D", data, "-p", port, "-h", "127.0.0.1", "-k", to, "-c", "fsync=off"]
    with Server([bin_dir / "postgres", *arguments], scope_environment(to / "t"), port, **become) as server:
        connect = ["-h", "127.0.0.1", "-p", port, "-U", "postgres"]
        end = time.monotonic() + 30
        while bare([bin_dir / "pg_isready", *connect]).status != 0:  # it listens before it is ready
            assert time.monotonic() < end
            time.sleep(0.05)
        assert bare([bin_dir / "pgbench", *connect, "-i", "-q", "postgres"]).status == 0
        done = bare([bin_dir / "pgbench", *connect, "-c", "4", "-t", "100", "-n", "postgres"], timeout=120)
        assert done.status == 0 and b"400/400" in done.stdout, done.stdout + done.stderr
        answer = bare(["psql", *connect, "-Atc", "select count(*) from pgbench_history", "postgres"])
        assert answer.stdout == b"400\n"
        assert server.stop() == 0
    recording = Recording(to / "t")
    # One backend process for each connection: forked, it answered its one client, and it ended.
    backends = {e["resource"]["process.pid"] for e in recording.events("scope.connection.close")
                if e["attributes"].get("network.local.port") == port and e["attributes"].get("scope.connection.role") == "server"
                and e["attributes"]["scope.io.read.bytes"]}
    assert len(backends) >= 4 + 1 + 1
    # Nothing of it was taken for HTTP.
    assert not [l for l in recording.lines if l["signal"] == "span" and l.get("kind") in ("server", "client")]
    assert not recording.drops()
