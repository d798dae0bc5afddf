"""traces.inject: what a server that nobody watches receives of clients with it on.

Each request has one traceparent, which names the client's span in the recording, and is otherwise,
byte for byte, what the client sends bare.
"""
import collections
import pathlib
import re
import socket
import ssl
import subprocess
import threading

import pytest
from observe import PROGRAMS, Recording, Server, bare, free_port, need, observe, scope_environment
from test_servers import open_directory
from test_tls import certificate

INJECT = {"traces.enabled": "true", "traces.inject": "true"}
LINE = re.compile(rb"traceparent: 00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})\r\n")
PYTHON = "/usr/bin/python3"


class Raw:
    """Answers every request, and keeps what came: heads and bodies, as they were."""

    def __init__(self, tls=None):
        self.heads, self.tls = [], tls
        self.socket = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = self.socket.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, connection):
        try:
            if self.tls:
                connection = self.tls.wrap_socket(connection, server_side=True)
            with connection:
                self.answer(connection)
        except OSError:
            pass

    def answer(self, connection):
        file = connection.makefile("rb")
        while True:
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                line = file.readline()
                if not line:
                    return
                head += line
            length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
            self.heads.append((head, file.read(int(length[1])) if length else b""))
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nok")

    def close(self):
        self.socket.close()


@pytest.fixture
def server():
    s = Raw()
    yield s
    s.close()


@pytest.fixture
def tls_server(tmp_path):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    cert, key = certificate(tmp_path, "server")
    context.load_cert_chain(cert, key)
    s = Raw(context)
    s.cert = cert
    yield s
    s.close()


def clients(recording):
    """The client spans by their span id."""
    return {l["span_id"]: l for l in recording.lines
            if l["signal"] == "span" and str(l["kind"]).upper().endswith("CLIENT")}


def check_lines(heads, recording, plain):
    spans, ids = clients(recording), []
    assert len(heads) == len(plain)
    for (head, body), was in zip(heads, plain):
        assert head.lower().count(b"traceparent") == 1, head
        trace, span, flags = (g.decode() for g in LINE.search(head).groups())
        assert (LINE.sub(b"", head), body) == was
        assert spans[span]["trace_id"] == trace
        assert flags == "03"
        ids.append(span)
    assert len(set(ids)) == len(ids)


def both(command, server, tmp_path, sets=None, env=None):
    """The program bare and with injection; the heads of both runs."""
    alone = bare(command, env=env)
    plain, server.heads = server.heads, []
    ours = observe(command, tmp_path, sets={**INJECT, **(sets or {})}, env=env)
    heads, server.heads = server.heads, []
    assert (ours.status, ours.stdout) == (alone.status, alone.stdout), ours.stderr
    assert alone.status == 0 and plain
    return plain, heads, ours.recording


HTTP_CLIENT = """
import http.client, sys
c = http.client.HTTPConnection("127.0.0.1", int(sys.argv[1]))
for i in range(5):
    c.request("POST" if i % 2 else "GET", f"/{i}", body=b"x" * 3000 if i % 2 else None)
    print(c.getresponse().read())
"""
URLLIB = "import sys, urllib.request as u; print(u.urlopen(f'http://127.0.0.1:{sys.argv[1]}/u', data=b'a=b').read())"
REQUESTS = """
import requests, sys
s = requests.Session()
for i in range(3):
    print(s.post(f"http://127.0.0.1:{sys.argv[1]}/{i}", data={"a": i}).text)
"""
NODE = """
(async () => {
  for (let i = 0; i < 3; i++) {
    const r = await fetch(`http://127.0.0.1:${process.argv[1]}/${i}`, i ? {method: 'POST', body: 'body'} : {});
    console.log(await r.text());
  }
})();
"""
JAVA = """
import java.net.*;
public class Ask {
    public static void main(String[] a) throws Exception {
        for (int i = 0; i < 3; i++) {
            HttpURLConnection c = (HttpURLConnection) new URL("http://127.0.0.1:" + a[0] + "/" + i).openConnection();
            if (i > 0) { c.setDoOutput(true); c.getOutputStream().write(new byte[]{65, 66}); }
            System.out.println(new String(c.getInputStream().readAllBytes()));
        }
    }
}
"""


def command_of(client, port, tmp_path):
    url = f"http://127.0.0.1:{port}/"
    if client == "java":
        need("javac")
        (tmp_path / "Ask.java").write_text(JAVA)
        subprocess.run(["javac", tmp_path / "Ask.java"], check=True, capture_output=True)
    if client == "requests" and bare([PYTHON, "-c", "import requests"]).status:
        pytest.skip("requests is not installed and could not be")
    return {
        "curl": [need("curl"), "-sS", url + "a", url + "b", "--next", "-sS", "-d", "x=y", url + "c"],
        "curl1.0": [need("curl"), "-sS", "-0", url],
        "wget": [need("wget"), "-qO-", url + "a", url + "b"],
        "http.client": [PYTHON, "-c", HTTP_CLIENT, port],
        "urllib": [PYTHON, "-c", URLLIB, port],
        "requests": [PYTHON, "-c", REQUESTS, port],
        "node": [need("node"), "-e", NODE, port],
        "java": [need("java"), "-cp", tmp_path, "Ask", port],
    }[client]


@pytest.mark.parametrize("client", ["curl", "curl1.0", "wget", "http.client", "urllib", "requests", "node", "java"])
def test_clients(client, server, tmp_path):
    plain, heads, recording = both(command_of(client, server.port, tmp_path), server, tmp_path)
    check_lines(heads, recording, plain)


TLS_PYTHON = """
import http.client, ssl, sys
context = ssl.create_default_context(cafile=sys.argv[2])
for timeout in (None, 20):
    c = http.client.HTTPSConnection("localhost", int(sys.argv[1]), context=context, timeout=timeout)
    for i in range(3):
        c.request("POST" if i else "GET", f"/{i}", body=b"x" * 30000 if i else None)
        print(c.getresponse().read())
"""
TLS_ASYNC = """
import asyncio, ssl, sys
async def main():
    context = ssl.create_default_context(cafile=sys.argv[2])
    r, w = await asyncio.open_connection("localhost", int(sys.argv[1]), ssl=context)
    for i in range(3):
        w.write(b"GET /%d HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n" % i)
        print(await r.readuntil(b"ok"))
    w.close()
asyncio.run(main())
"""


@pytest.mark.parametrize("client", ["curl", "python", "asyncio", "wget"])
def test_clients_over_tls(client, tls_server, tmp_path):
    url, ca, port = f"https://localhost:{tls_server.port}/", tls_server.cert, tls_server.port
    command = {
        "curl": [need("curl"), "-sS", "--http1.1", "--cacert", ca, url + "a", url + "b"],
        "python": [PYTHON, "-c", TLS_PYTHON, port, ca],
        "asyncio": [PYTHON, "-c", TLS_ASYNC, port, ca],
        "wget": [need("wget"), "-qO-", f"--ca-certificate={ca}", url + "a", url + "b"],
    }[client]
    plain, heads, recording = both(command, tls_server, tmp_path)
    check_lines(heads, recording, plain)


def test_off_by_default(server, tmp_path):
    observe([need("curl"), "-sS", f"http://127.0.0.1:{server.port}/"], tmp_path, sets={"traces.enabled": "true"})
    assert len(server.heads) == 1 and b"traceparent" not in server.heads[0][0].lower()


@pytest.mark.parametrize("field", ["traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
                                   "TraceParent: nonsense", "b3: 0", "X-B3-TraceId: 1"])
def test_a_context_of_its_own_is_left_alone(field, server, tmp_path):
    command = [need("curl"), "-sS", "-H", field, f"http://127.0.0.1:{server.port}/"]
    plain, heads, _ = both(command, server, tmp_path)
    assert heads == plain


@pytest.mark.parametrize("extra", [["-H", "Connection: Upgrade", "-H", "Upgrade: x"], ["-H", "Long: " + "x" * 5000]])
def test_what_is_left_alone(extra, server, tmp_path):
    plain, heads, _ = both([need("curl"), "-sS", *extra, f"http://127.0.0.1:{server.port}/"], server, tmp_path)
    assert heads == plain


def test_not_sampled(server, tmp_path):
    command = [need("curl"), "-sS", f"http://127.0.0.1:{server.port}/"]
    plain, heads, recording = both(command, server, tmp_path, env={"OTEL_TRACES_SAMPLER": "always_off"})
    assert LINE.search(heads[0][0])[3] == b"02"
    assert LINE.sub(b"", heads[0][0]) == plain[0][0]
    assert not clients(recording)


def test_the_parent_is_the_process(server, tmp_path):
    parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    command = [need("curl"), "-sS", f"http://127.0.0.1:{server.port}/"]
    _, heads, recording = both(command, server, tmp_path, env={"TRACEPARENT": parent})
    trace, span, flags = (g.decode() for g in LINE.search(heads[0][0]).groups())
    assert (trace, flags) == ("0af7651916cd43dd8448eb211c80319c", "01")
    assert clients(recording)[span]["parent_span_id"] == "b7ad6b7169203331"


def test_returns_are_as_bare(tmp_path):
    program = PROGRAMS / "inject_returns"
    alone = bare([program], stdin=subprocess.DEVNULL)
    ours = observe([program], tmp_path, sets=INJECT, stdin=subprocess.DEVNULL)
    assert (ours.status, ours.stdout) == (alone.status, alone.stdout)
    assert set(alone.stderr) == {ord("0")}
    # which of its requests have a line: not sendmmsg's, not one whose head is in two parts or more
    assert ours.stderr == b"1111111011001" * 2


NGINX = """
daemon off; {mode} pid {d}/nginx.pid; error_log {d}/error.log info; user root;
events {{ worker_connections 512; }}
http {{ access_log {d}/access.log {format}; client_body_temp_path {d}/t1; proxy_temp_path {d}/t2; fastcgi_temp_path {d}/t3;
uwsgi_temp_path {d}/t4; scgi_temp_path {d}/t5; {http}
server {{ listen 127.0.0.1:{port}{listen}; {server} }} }}
"""


def nginx(directory, env, port, server, mode="master_process off;", http="", format="combined", listen=""):
    (directory / "nginx.conf").write_text(NGINX.format(d=directory, port=port, server=server, mode=mode, http=http,
                                                       format=format, listen=listen))
    return Server([need("nginx"), "-c", directory / "nginx.conf", "-p", directory], env, port)


PROXIES = {
    "1.0": "",
    "keepalive": "proxy_http_version 1.1; proxy_set_header Connection ''; proxy_set_header Host $http_host;",
}


@pytest.mark.parametrize("how", PROXIES)
def test_nginx_proxy(how, server, request, tmp_path):
    """What goes on is below what came in."""
    directory, port = open_directory(request, "inject"), free_port()
    http = f"upstream u {{ server 127.0.0.1:{server.port}; keepalive 4; }}"
    location = f"location / {{ proxy_pass http://u; {PROXIES[how]} }}"
    curl = [need("curl"), "-sS", "-d", "some=thing"] + [f"http://127.0.0.1:{port}/{i}" for i in range(5)]
    with nginx(directory, None, port, location, http=http):
        assert bare(curl).stdout == b"ok" * 5
    plain, server.heads = server.heads, []
    to = tmp_path / "telemetry"
    with nginx(directory, scope_environment(to, sets=INJECT), port, location, http=http):
        assert bare(curl).stdout == b"ok" * 5
    recording = Recording(to)
    check_lines(server.heads, recording, plain)
    servers = {l["span_id"]: l for l in recording.lines
               if l["signal"] == "span" and str(l["kind"]).upper().endswith("SERVER")}
    for line in clients(recording).values():
        assert servers[line["parent_span_id"]]["trace_id"] == line["trace_id"]


def test_what_came_by_http2_is_not_told(server, request, tmp_path):
    """Of such a request's trace only the reporter knows: a line would name another one."""
    directory, port = open_directory(request, "inject"), free_port()
    to = tmp_path / "telemetry"
    sent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    location = f"location / {{ proxy_pass http://127.0.0.1:{server.port}; proxy_set_header traceparent ''; }}"
    with nginx(directory, scope_environment(to, sets=INJECT), port, location, listen=" http2"):
        done = bare([need("curl"), "-sS", "--http2-prior-knowledge", "-H", f"traceparent: {sent}",
                     f"http://127.0.0.1:{port}/"])
    assert done.stdout == b"ok", done.stderr
    assert b"traceparent" not in server.heads[0][0]
    assert [l["trace_id"] for l in clients(Recording(to)).values()] == ["0af7651916cd43dd8448eb211c80319c"]


def test_wrk_through_a_proxy(request, tmp_path):
    """A load: no request fails, and each that reaches the server behind has a line of its own."""
    need("wrk")
    front, back = open_directory(request, "front"), open_directory(request, "back")
    port, behind, to = free_port(), free_port(), tmp_path / "telemetry"
    http = f"upstream u {{ server 127.0.0.1:{behind}; keepalive 32; }}"
    location = f"location / {{ proxy_pass http://u; {PROXIES['keepalive']} }}"
    form = "'$status $http_traceparent'"
    with nginx(back, None, behind, "location / { return 200 ok; }", http=f"log_format t {form};", format="t"), \
            nginx(front, scope_environment(to, sets=INJECT), port, location, http=http,
                  mode="worker_processes 2;"):
        done = bare(["wrk", "-t", "2", "-c", "24", "-d", "4s", "--latency", f"http://127.0.0.1:{port}/"]).stdout.decode()
    assert "Non-2xx" not in done and "Socket errors" not in done, done
    lines = (back / "access.log").read_text().splitlines()
    asked = int(re.search(r"(\d+) requests in", done)[1])
    assert asked >= 10000, done
    assert len(lines) >= asked
    ids = collections.Counter(l.split("-")[2] for l in lines if re.fullmatch(r"200 00-[0-9a-f]{32}-[0-9a-f]{16}-03", l))
    assert sum(ids.values()) == len(lines) and max(ids.values()) == 1
