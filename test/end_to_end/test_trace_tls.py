"""TLS against the truth of others: servers and clients with OpenSSL, GnuTLS, a library inside the executable, and one that
nobody sees into, which is said to be so and makes no spans."""
import collections
import signal
import subprocess
import time

import pytest
from observe import PROGRAMS, Recording, Server, bare, clean_environment, free_port, need, observe, scope_environment
from test_servers import open_directory
from trace_peers import (PYTHON, SETS, Nginx, assert_lossless, attribute, handshakes, logged, make_certificate, observed_tls, requests, tally)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    return make_certificate(tmp_path_factory.mktemp("certificate"))


@pytest.fixture
def place(request):
    return open_directory(request, "tls")


URLLIB = """
import ssl, sys, urllib.request, urllib.error
context = ssl.create_default_context(cafile=sys.argv[1])
for url in sys.argv[2:]:
    try:
        print(len(urllib.request.urlopen(url, context=context).read()))
    except urllib.error.HTTPError as error:
        print(error.code)
"""
REQUESTS = """
import requests, sys
with requests.Session() as session:
    for url in sys.argv[2:]:
        print(requests.status_codes.codes.ok == session.get(url, verify=sys.argv[1]).status_code)
"""
ASYNCIO = """
import asyncio, ssl, sys, urllib.parse
async def main():
    url = urllib.parse.urlsplit(sys.argv[2])
    context = ssl.create_default_context(cafile=sys.argv[1])
    reader, writer = await asyncio.open_connection(url.hostname, url.port, ssl=context)
    for one in sys.argv[2:]:
        last = one is sys.argv[-1]
        path = urllib.parse.urlsplit(one).path
        writer.write(f"GET {path} HTTP/1.1\\r\\nHost: {url.netloc}\\r\\nConnection: {'close' if last else 'keep-alive'}\\r\\n\\r\\n".encode())
        head = await reader.readuntil(b"\\r\\n\\r\\n")
        size = int(head.lower().split(b"content-length:")[1].split()[0])
        print(head.split()[1], len(await reader.readexactly(size)))
    writer.close()
asyncio.run(main())
"""
NODE_HTTPS = """
const https = require('https'), fs = require('fs');
const agent = new https.Agent({keepAlive: true, maxSockets: 1, ca: fs.readFileSync(process.argv[1])});
(async () => {
  for (const url of process.argv.slice(2))
    await new Promise(done => https.get(url, {agent}, r => { let n = 0; r.on('data', d => n += d.length); r.on('end', () => { console.log(r.statusCode, n); done(); }); }));
  agent.destroy();
})();
"""
NODE_FETCH = """
(async () => { for (const url of process.argv.slice(2)) { const r = await fetch(url); console.log(r.status, (await r.text()).length); } })();
"""
GNUTLS_CLI = """
printf 'GET /small HTTP/1.1\\r\\nHost: localhost:%s\\r\\n\\r\\nGET /big HTTP/1.1\\r\\nHost: localhost:%s\\r\\nConnection: close\\r\\n\\r\\n' "$2" "$2" |
    exec gnutls-cli --x509cafile "$1" --no-ca-verification -p "$2" localhost
"""

# How many connections each makes for four requests; None: it makes two requests of its own on one.
CLIENTS = {
    "curl": (1, lambda c, urls: ["curl", "-s", "--http1.1", "--cacert", c, *[a for u in urls for a in ("-o", "/dev/null", u)]]),
    "wget": (1, lambda c, urls: ["wget", "-q", "-O", "/dev/null", f"--ca-certificate={c}", *urls]),
    "gnutls-cli": (1, lambda c, urls: ["sh", "-c", GNUTLS_CLI, "sh", c, urls[0].split(":")[2].split("/")[0]]),
    "python-urllib": (4, lambda c, urls: [PYTHON, "-c", URLLIB, c, *urls]),
    "python-requests": (1, lambda c, urls: [PYTHON, "-c", REQUESTS, c, *urls]),
    "python-asyncio": (1, lambda c, urls: [PYTHON, "-c", ASYNCIO, c, *urls]),
    "node-https": (1, lambda c, urls: ["node", "-e", NODE_HTTPS, c, *urls]),
    "node-fetch": (1, lambda c, urls: ["node", "-e", NODE_FETCH, c, *urls]),
}


@pytest.mark.parametrize("client", CLIENTS)
def test_clients_of_nginx(client, place, certificate, tmp_path):
    connections, command = CLIENTS[client]
    port = free_port()
    urls = [f"https://localhost:{port}/{p}" for p in ("small", "big", "none", "big")]
    if client == "gnutls-cli":
        urls = urls[:2]
    need(command(certificate[0], urls)[0] if client != "gnutls-cli" else client)
    env = {"NODE_EXTRA_CA_CERTS": str(certificate[0])}
    with Nginx(place, certificate, f"server {{ listen 127.0.0.1:{port} ssl; }}", (port,)) as nginx:
        without = bare(command(certificate[0], urls), env)
        got = observe(command(certificate[0], urls), tmp_path, env, sets=SETS)
        served = nginx.stop()
    assert (got.status, got.stderr) == (without.status, without.stderr)
    if client != "gnutls-cli":  # says what is never twice the same
        assert got.stdout == without.stdout
    spans, sent = requests(served, "server"), requests(got.recording, "client")
    # nginx saw both runs
    assert logged(spans) == nginx.log() and len(spans) == 2 * len(urls)
    assert attribute(sent, "url.full") == urls
    assert tally(spans, "http.response.status_code", "http.response.body.size") == \
        collections.Counter({k: 2 * n for k, n in tally(sent, "http.response.status_code", "http.response.body.size").items()})
    assert set(attribute(spans, "url.scheme")) == {"https"} and set(attribute(spans + sent, "network.protocol.version")) == {"1.1"}
    assert set(attribute(spans + sent, "tls.protocol.version")) == {"1.3"}
    assert set(attribute(spans + sent, "server.address")) == {"localhost"} and set(attribute(spans + sent, "server.port")) == {port}
    assert set(attribute(sent, "network.peer.port")) == {port}
    assert {p[:4] for p in attribute(spans + sent, "network.peer.address")} <= {"127."}
    shakes = handshakes(got.recording)
    assert [s["name"] for s in shakes] == ["TLS client handshake localhost"] * connections
    assert {s["parent_span_id"] for s in shakes} <= {s["span_id"] for s in sent}
    assert set(attribute(shakes, "tls.protocol.version")) == {"1.3"}
    assert observed_tls(got.recording)[True] >= connections and not observed_tls(got.recording)[False]
    assert_lossless(served)
    assert_lossless(got.recording)


# -------------------------------------------------- servers

PYTHON_SERVER = """
import http.server, ssl, sys
class Answer(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        body = b"x" * 20000 if self.path == "/big" else b"yes"
        self.send_response(404 if self.path == "/none" else 200); self.send_header("Content-Length", str(len(body))); self.end_headers(); self.wfile.write(body)
    def log_message(self, *about): pass
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(sys.argv[2], sys.argv[3])
server = http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Answer)
server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
server.serve_forever()
"""
ASYNCIO_SERVER = """
import asyncio, ssl, sys
async def serve(reader, writer):
    try:
        while True:
            path = (await reader.readuntil(b"\\r\\n\\r\\n")).split()[1]
            body = b"x" * 20000 if path == b"/big" else b"yes"
            writer.write(b"HTTP/1.1 %d X\\r\\nContent-Length: %d\\r\\n\\r\\n%b" % (404 if path == b"/none" else 200, len(body), body))
            await writer.drain()
    except asyncio.IncompleteReadError:
        writer.close()
async def main():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER); context.load_cert_chain(sys.argv[2], sys.argv[3])
    server = await asyncio.start_server(serve, "127.0.0.1", int(sys.argv[1]), ssl=context)
    await server.serve_forever()
asyncio.run(main())
"""
NODE_SERVER = """
const https = require('https'), fs = require('fs');
https.createServer({key: fs.readFileSync(process.argv[3]), cert: fs.readFileSync(process.argv[2])}, (q, r) => {
  r.statusCode = q.url === '/none' ? 404 : 200;
  const body = q.url === '/big' ? 'x'.repeat(20000) : 'yes';
  r.setHeader('Content-Length', body.length); r.end(body);
}).listen(+process.argv[1], '127.0.0.1');
process.on('SIGTERM', () => process.exit(0));
"""
SERVERS = {"python": [PYTHON, "-c", PYTHON_SERVER], "python-asyncio": [PYTHON, "-c", ASYNCIO_SERVER], "node": ["node", "-e", NODE_SERVER]}


@pytest.mark.parametrize("name", SERVERS)
def test_servers_under_a_load(name, certificate, tmp_path):
    """h2load speaks HTTP/1.1 on several connections that are kept; it counts statuses."""
    command, port, to = SERVERS[name], free_port(), tmp_path / "server.ndjson"
    need(command[0])
    base = f"https://127.0.0.1:{port}"
    stop = signal.SIGTERM if name == "node" else signal.SIGINT  # Python dies of the other without a word
    with Server([*command, port, *certificate], scope_environment(to, sets=SETS), port, stop=stop) as server:
        done = bare([need("h2load"), "--h1", "-n", 900, "-c", 6, f"{base}/small", f"{base}/big", f"{base}/none"], timeout=120)
        assert b"900 done" in done.stdout and b"600 2xx, 0 3xx, 300 4xx" in done.stdout, done.stdout
        server.stop()
    served = Recording(to)
    spans = requests(served, "server")
    assert tally(spans, "url.path", "http.response.status_code", "http.response.body.size") == {
        ("/small", 200, 3): 300, ("/big", 200, 20000): 300, ("/none", 404, 3): 300}
    assert tally(spans, "url.scheme", "network.protocol.version", "server.port", "network.peer.address") == {("https", "1.1", port, "127.0.0.1"): 900}
    assert len(set(attribute(spans, "network.peer.port"))) == 6
    assert set(attribute(spans, "tls.protocol.version")) == {"1.3"}
    assert len({s["trace_id"] for s in spans}) == 900
    assert_lossless(served)


# -------------------------------------------------- a proxy that ends TLS and speaks TLS to its upstream

def test_a_proxy_between(place, certificate, tmp_path):
    front, back, to = free_port(), free_port(), tmp_path / "upstream.ndjson"
    need("node")
    servers = f"""
      upstream back {{ server 127.0.0.1:{back}; keepalive 4; }}
      server {{ listen 127.0.0.1:{front} ssl http2;
        location / {{ proxy_pass https://back; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_ssl_server_name on; proxy_ssl_name up.example; }} }}"""
    trace, span = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
    with Server([*SERVERS["node"], back, *certificate], scope_environment(to, sets=SETS), back) as upstream, \
            Nginx(place, certificate, servers, (front,)) as nginx:
        for version in ("http1.1", "http2"):
            urls = [a for p in ("small", "big", "none") for a in ("-o", "/dev/null", f"https://localhost:{front}/{p}")]
            done = bare(["curl", "-s", f"--{version}", "--cacert", certificate[0], "-H", f"traceparent: 00-{trace}-{span}-01", *urls])
            assert done.status == 0
        served = nginx.stop()
        upstream.stop()
    ours, asked, theirs = requests(served, "server"), requests(served, "client"), requests(Recording(to), "server")
    assert logged(ours) == nginx.log() and len(ours) == len(asked) == len(theirs) == 6
    assert tally(ours, "network.protocol.version") == {("1.1",): 3, ("2",): 3}
    # the caller's span over both versions, ours below it, and below ours what we asked of the upstream
    assert {(s["trace_id"], s["parent_span_id"]) for s in ours} == {(trace, span)}
    by_id = {s["span_id"]: s for s in ours}
    for call in asked:
        parent = by_id[call["parent_span_id"]]
        assert call["attributes"]["url.full"].endswith(parent["attributes"]["url.path"])
        assert call["attributes"]["http.response.status_code"] == parent["attributes"]["http.response.status_code"]
        assert call["attributes"]["network.peer.port"] == back and call["attributes"]["url.full"].startswith("https://")
    assert len({s["parent_span_id"] for s in asked}) == 6
    # nginx hands traceparent on, so the upstream's spans have the caller's as their parent
    assert {(s["trace_id"], s["parent_span_id"]) for s in theirs} == {(trace, span)}
    shakes = [s for s in handshakes(served) if s["name"].startswith("TLS client")]
    assert {s["name"] for s in shakes} == {"TLS client handshake up.example"} and 1 <= len(shakes) <= 6
    assert {s["parent_span_id"] for s in shakes} <= {s["span_id"] for s in asked}
    assert_lossless(served)


@pytest.mark.parametrize("front_version", ["http1.1", "http2"])
@pytest.mark.parametrize("contexts", [False, True])
def test_a_proxy_under_a_load_mixes_nothing_up(front_version, contexts, place, certificate, tmp_path):
    """Many requests at once, each for a path of its own: what is asked of the upstream hangs below the request for the same
    path, or below none; and every request that named its parent has it."""
    front, back, to, count = free_port(), free_port(), tmp_path / "upstream.ndjson", 600
    servers = f"""
      upstream back {{ server 127.0.0.1:{back}; keepalive 32; }}
      server {{ listen 127.0.0.1:{front} ssl http2; location / {{ proxy_pass https://back; proxy_http_version 1.1; proxy_set_header Connection ""; }} }}"""
    (tmp_path / "urls").write_text("".join(f"https://127.0.0.1:{front}/n/{i}\n" for i in range(count)))
    headers = ["-H", "traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"] if contexts else []
    load = ["--h1", "-c", 8] if front_version == "http1.1" else ["-c", 4, "-m", 8]
    with Server([*SERVERS["node"], back, *certificate], scope_environment(to, sets=SETS), back) as upstream, \
            Nginx(place, certificate, servers, (front,)) as nginx:
        done = bare([need("h2load"), *load, *headers, "-n", count, "-i", tmp_path / "urls"], timeout=120)
        assert f"{count} done".encode() in done.stdout and f"{count} 2xx".encode() in done.stdout, done.stdout
        served = nginx.stop()
        upstream.stop()
    ours, asked, theirs = requests(served, "server"), requests(served, "client"), requests(Recording(to), "server")
    for span in ours + asked:
        span.setdefault("parent_span_id", None)
    assert logged(ours) == nginx.log()
    assert len(ours) == len(asked) == len(theirs) == count
    if contexts:
        assert {(s["trace_id"], s["parent_span_id"]) for s in ours} == {("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7")}
    by_id = {s["span_id"]: s["attributes"]["url.path"] for s in ours}
    parents = [(call["parent_span_id"], call["attributes"]["url.full"]) for call in asked if call["parent_span_id"] in by_id]
    assert [url for parent, url in parents if not url.endswith(by_id[parent])] == []
    assert len({parent for parent, _ in parents}) == len(parents)
    # All are found, but for those of HTTP/2 that came at once with others, which under this load are most: of them it is not known.
    print(f"{len(parents)} of {count} have their parent")
    if front_version == "http1.1":
        assert len(parents) == count
    others = {call["parent_span_id"] for call in asked} - set(by_id)
    assert others <= ({None, "00f067aa0ba902b7"} if contexts else {None})
    assert_lossless(served)


# -------------------------------------------------- inside the executable, and unseen

def test_a_library_inside_the_executable(certificate, tmp_path):
    command = [PROGRAMS / "tls_inside", *certificate, 6]
    without = bare(command)
    assert without.stdout.decode().splitlines() == [f"{i} sent 1 got 41 ends 6 errors 0" for i in range(6)]
    got = observe(command, tmp_path)
    assert (got.status, got.stdout, got.stderr) == (without.status, without.stdout, without.stderr)
    assert attribute(requests(got.recording, "client"), "url.full") == [f"https://pair.example/pair/{i}" for i in range(6)]
    assert attribute(requests(got.recording, "server"), "url.path") == [f"/pair/{i}" for i in range(6)]
    assert tally(requests(got.recording, "client"), "http.response.status_code", "http.response.body.size") == {(200, 3): 6}
    assert len(handshakes(got.recording)) == 6
    assert observed_tls(got.recording) == {True: 12}
    assert_lossless(got.recording)


def test_a_library_that_nothing_tells_of(certificate, tmp_path):
    """Stripped of its symbols: every connection says that it could not be seen into, and there is no span of a request."""
    command = [PROGRAMS / "tls_inside-s", *certificate, 4]
    without = bare(command)
    got = observe(command, tmp_path)
    assert (got.status, got.stdout, got.stderr) == (without.status, without.stdout, without.stderr)
    assert observed_tls(got.recording) == {False: 8}
    assert [l for l in got.recording.lines if l["signal"] == "span" and l["scope"] != "scope.process"] == []
    assert_lossless(got.recording)


def test_code_that_may_not_be_changed(certificate, tmp_path):
    """The reason is told once, in the diagnostics and as an event; the program runs as it does bare."""
    code = ("import ctypes, os, sys\n"
            "assert ctypes.CDLL(None).prctl(65, 1, 0, 0, 0) == 0, 'PR_SET_MDWE'\n"
            "os.environ['LD_PRELOAD'] = sys.argv[1]; os.execv(sys.argv[2], sys.argv[2:])")
    if subprocess.run([PYTHON, "-c", "import ctypes, sys; sys.exit(ctypes.CDLL(None).prctl(65, 1, 0, 0, 0) != 0)"]).returncode:
        pytest.skip("the kernel does not know PR_SET_MDWE")
    to, said = tmp_path / "out.ndjson", tmp_path / "said"
    env = scope_environment(to, {"SCOPE_DIAGNOSTICS_TO": str(said)})
    library = env.pop("LD_PRELOAD")
    done = subprocess.run([PYTHON, "-c", code, library, PROGRAMS / "tls_inside", *certificate, "2"], env=env, capture_output=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, b"") and done.stdout.count(b"got 41 ends 6 errors 0") == 2
    recording = Recording(to)
    told = [e["attributes"]["scope.unobserved.reason"] for e in recording.events("scope.unobserved")]
    assert told in (["SSL_read: its code may not be changed"], ["SSL_read: memory with code of ours is not allowed"])
    assert said.read_text().count("SSL_read: ") == 1
    assert observed_tls(recording) == {False: 4}
    assert requests(recording, "client") == []


JAVA = """
import com.sun.net.httpserver.*; import java.io.*; import java.net.*; import java.security.*; import javax.net.ssl.*;
public class Secure {
    public static void main(String[] a) throws Exception {
        KeyStore keys = KeyStore.getInstance("PKCS12");
        keys.load(new FileInputStream(a[1]), "secret".toCharArray());
        KeyManagerFactory m = KeyManagerFactory.getInstance("SunX509"); m.init(keys, "secret".toCharArray());
        SSLContext c = SSLContext.getInstance("TLS"); c.init(m.getKeyManagers(), null, null);
        HttpsServer s = HttpsServer.create(new InetSocketAddress("127.0.0.1", Integer.parseInt(a[0])), 0);
        s.setHttpsConfigurator(new HttpsConfigurator(c));
        s.createContext("/", x -> { x.getResponseBody(); x.sendResponseHeaders(200, 3); x.getResponseBody().write("yes".getBytes()); x.close(); });
        s.start();
    }
}
"""


def test_java_has_a_tls_of_its_own(certificate, tmp_path):
    java = need("java")
    need("javac")
    (tmp_path / "Secure.java").write_text(JAVA)
    subprocess.run(["javac", "Secure.java"], cwd=tmp_path, check=True, capture_output=True, env=clean_environment())
    subprocess.run(["openssl", "pkcs12", "-export", "-in", certificate[0], "-inkey", certificate[1], "-out", tmp_path / "keys", "-passout", "pass:secret"],
                   check=True, capture_output=True)
    port, to = free_port(), tmp_path / "java.ndjson"
    with Server([java, "-cp", tmp_path, "Secure", port, tmp_path / "keys"], scope_environment(to), port) as server:
        for _ in range(3):
            done = bare(["curl", "-s", "--cacert", certificate[0], f"https://localhost:{port}/x"])
            assert done.stdout == b"yes"
        time.sleep(1)  # the server closes on a thread of its own, behind the answer
        server.stop()
    recording = Recording(to)
    assert observed_tls(recording)[False] == 3 and not observed_tls(recording)[True]
    assert requests(recording, "server") == [] and recording.metrics("http.server.request.duration") == []
