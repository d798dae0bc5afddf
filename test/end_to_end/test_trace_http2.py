"""HTTP/2 against the truth of others: as many spans as the access log or the load tool counts, each with what that says of it."""
import collections
import json
import re
import subprocess

import pytest
from observe import Recording, Server, bare, clean_environment, free_port, need, observe, scope_environment
from test_servers import open_directory
from trace_peers import (PYTHON, SETS, Nginx, assert_lossless, attribute, handshakes, logged, make_certificate, observed_tls, requests, tally)

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    return make_certificate(tmp_path_factory.mktemp("certificate"))


@pytest.fixture
def place(request):
    return open_directory(request, "http2")


def nginx_both(place, certificate, **how):
    """nginx with HTTP/2 in the clear and over TLS; with the two ports."""
    clear, secure = free_port(), free_port()
    servers = f"server {{ listen 127.0.0.1:{clear} http2; }} server {{ listen 127.0.0.1:{secure} ssl http2; }}"
    return Nginx(place, certificate, servers, (clear, secure), **how), clear, secure


def statuses_of_h2load(text):
    found = re.search(r"status codes: (\d+) 2xx, (\d+) 3xx, (\d+) 4xx, (\d+) 5xx", text)
    return {n: int(found[i]) for i, n in enumerate((200, 300, 400, 500), 1) if int(found[i])}


@pytest.mark.parametrize("workers", [1, 2])
def test_a_load_of_many_streams_and_connections(workers, place, certificate, tmp_path):
    how = {"master": "on", "workers": workers} if workers > 1 else {}
    nginx, clear, secure = nginx_both(place, certificate, **how)
    counted, recordings = collections.Counter(), {}
    with nginx:
        for scheme, port in (("http", clear), ("https", secure)):
            base = f"{scheme}://127.0.0.1:{port}"
            got = observe([need("h2load"), "-n", 3000, "-c", 8, "-m", 40, f"{base}/small", f"{base}/big", f"{base}/none"], tmp_path,
                          sets=SETS, timeout=120)
            assert got.status == 0 and b"3000 done" in got.stdout, got.stdout
            counted.update(statuses_of_h2load(got.stdout.decode()))
            recordings[scheme] = got.recording
        served = nginx.stop()
    spans = requests(served, "server")
    assert counted == {200: 4000, 400: 2000}
    # every request once, with the very status, size, path and port that nginx wrote down
    assert logged(spans) == nginx.log() and len(spans) == 6000
    assert tally(spans, "url.scheme", "network.protocol.version", "tls.protocol.version") == {("http", "2", None): 3000, ("https", "2", "1.3"): 3000}
    assert len({s["span_id"] for s in spans}) == 6000 and len({s["trace_id"] for s in spans}) == 6000
    assert served.total("http.server.request.duration") == 6000
    assert_lossless(served)
    for scheme, recording in recordings.items():
        sent = requests(recording, "client")
        assert tally(sent, "http.response.status_code", "http.response.body.size") == {(200, 3): 1000, (200, 20000): 1000, (404, 153): 1000}
        assert set(attribute(sent, "network.protocol.version")) == {"2"}
        assert len(handshakes(recording)) == (8 if scheme == "https" else 0)
        assert set(observed_tls(recording)) == {True if scheme == "https" else None}
        assert_lossless(recording)
    # both ends tell of the same connections
    ends = {(s["attributes"]["network.peer.port"]) for s in spans}
    assert len(ends) == 16


@pytest.mark.parametrize("client", ["curl", "curl-prior", "nghttp"])
def test_clients_of_nginx(client, place, certificate, tmp_path):
    nginx, clear, secure = nginx_both(place, certificate)
    url = f"http://localhost:{clear}" if client == "curl-prior" else f"https://localhost:{secure}"
    pages = [f"{url}/{p}" for p in ("small", "big", "none", "small")]
    if client == "curl-prior":  # Debian 12's takes a connection in the clear for one request alone
        pages = pages[:1]
    if client == "nghttp":
        pages = pages[:3]
    outputs = [a for p in pages for a in ("-o", "/dev/null", p)]
    command = {"curl": ["curl", "-s", "--http2", "--cacert", certificate[0], *outputs],
               "curl-prior": ["curl", "-s", "--http2-prior-knowledge", *outputs],
               "nghttp": ["nghttp", "-n", *pages]}[client]
    need(command[0])
    with nginx:
        got = observe(command, tmp_path)
        served = nginx.stop()
    assert got.status == 0, got.stderr
    spans, sent = requests(served, "server"), requests(got.recording, "client")
    assert logged(spans) == nginx.log() and len(spans) == len(pages)
    assert sorted(attribute(sent, "url.full")) == sorted(pages)
    assert tally(sent, "http.response.status_code", "http.response.body.size") == tally(spans, "http.response.status_code", "http.response.body.size")
    assert set(attribute(sent, "network.peer.port")) == {secure if url.startswith("https") else clear}
    assert set(attribute(spans, "server.address")) == {"localhost"}
    names = {"TLS client handshake localhost"} if url.startswith("https") else set()
    assert {s["name"] for s in handshakes(got.recording)} == names
    for shake in handshakes(got.recording):
        assert shake["parent_span_id"] in {s["span_id"] for s in sent}
    assert_lossless(served)
    assert_lossless(got.recording)


# -------------------------------------------------- contexts

BAD = [f"00-{TRACE}-{SPAN}", f"ff-{TRACE}-{SPAN}-01", f"00-{'0' * 32}-{SPAN}-01", f"00-{TRACE}-{'0' * 16}-01", f"00-{TRACE.upper()}-{SPAN}-01", "x"]


@pytest.mark.parametrize("version", ["http1.1", "http2"])
def test_contexts_that_come_in(version, place, certificate, tmp_path):
    plain, secure = free_port(), free_port()
    servers = f"server {{ listen 127.0.0.1:{plain}; }} server {{ listen 127.0.0.1:{secure} ssl http2; }}"
    curl = [need("curl"), "-s", f"--{version}", "--cacert", certificate[0], "-o", "/dev/null"]
    with Nginx(place, certificate, servers, (plain, secure)) as nginx:
        for base in (f"https://localhost:{secure}", *([f"http://localhost:{plain}"] if version == "http1.1" else [])):
            good = ["-H", f"traceparent: 00-{TRACE}-{SPAN}-01", "-H", "tracestate: rojo=00f067aa0ba902b7,congo=t61rcWkgMzE"]
            subprocess.run([*curl, *good, f"{base}/small"], check=True, env=clean_environment())
            subprocess.run([*curl, "-H", f"traceparent: 00-{TRACE}-{SPAN}-00", f"{base}/big"], check=True, env=clean_environment())
            for header in BAD:
                subprocess.run([*curl, "-H", f"traceparent: {header}", "-H", "tracestate: rojo=1", f"{base}/none"], check=True, env=clean_environment())
        served = nginx.stop()
    ends = 2 if version == "http1.1" else 1
    by_path = {p: [s for s in requests(served, "server") if s["attributes"]["url.path"] == p] for p in ("/small", "/big", "/none")}
    assert [(s["trace_id"], s["parent_span_id"], s["trace_state"]) for s in by_path["/small"]] == \
        [(TRACE, SPAN, "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE")] * ends
    assert by_path["/big"] == []  # its sender does not record: neither do we
    assert len(by_path["/none"]) == len(BAD) * ends
    for span in by_path["/none"]:
        assert span["trace_id"].lower() != TRACE and not span.get("parent_span_id") and not span.get("trace_state")
    assert served.total("http.server.request.duration") == (2 + len(BAD)) * ends


# -------------------------------------------------- Apache: h2c by upgrade, h2 over TLS

APACHE = """
LoadModule mpm_event_module {m}/mod_mpm_event.so
LoadModule authz_core_module {m}/mod_authz_core.so
LoadModule http2_module {m}/mod_http2.so
LoadModule ssl_module {m}/mod_ssl.so
ServerRoot {d}
ServerName localhost
PidFile {d}/pid
ErrorLog {d}/error.log
LogFormat "%H %m %U %>s %B %p" counted
CustomLog {d}/access.log counted
Listen 127.0.0.1:{clear}
Listen 127.0.0.1:{secure}
DocumentRoot {d}/site
StartServers 1
ServerLimit 1
ThreadsPerChild 25
MaxRequestWorkers 25
<VirtualHost *:{clear}>
Protocols h2c http/1.1
H2Upgrade on
</VirtualHost>
<VirtualHost *:{secure}>
SSLEngine on
SSLCertificateFile {cert}
SSLCertificateKeyFile {key}
Protocols h2 http/1.1
</VirtualHost>
"""


@pytest.fixture
def apache(place, certificate):
    """Apache under the library: (its ports, a function that stops it, its recording's file, its access log)."""
    program = need("apache2")
    clear, secure = free_port(), free_port()
    (place / "site").mkdir()
    (place / "site" / "small").write_bytes(b"yes")
    (place / "site" / "big").write_bytes(b"x" * 20000)
    (place / "conf").write_text(APACHE.format(m="/usr/lib/apache2/modules", d=place, clear=clear, secure=secure, cert=certificate[0], key=certificate[1]))
    to = place / "apache.ndjson"
    with Server([program, "-f", place / "conf", "-DFOREGROUND"], scope_environment(to, sets=SETS), clear) as server:
        yield clear, secure, server.stop, to, place / "access.log"


def test_apache_upgrades_to_h2c(apache, tmp_path):
    clear, _, stop, to, log = apache
    got = observe([need("curl"), "-s", "--http2", "-d", "a=b", "-H", f"traceparent: 00-{TRACE}-{SPAN}-01", "-o", "/dev/null", f"http://localhost:{clear}/small"],
                  tmp_path)
    page = observe(["curl", "-s", "--http2", "-o", "/dev/null", "-w", "%{http_version} %{http_code}", f"http://localhost:{clear}/big"], tmp_path)
    many = observe([need("nghttp"), "-n", "-u", f"http://localhost:{clear}/big", f"http://localhost:{clear}/small", f"http://localhost:{clear}/none"], tmp_path)
    assert (got.status, page.stdout, many.status) == (0, b"2 200", 0)
    stop()
    served = Recording(to)
    spans = requests(served, "server")
    # Apache writes a second line for each 101 that it sent
    lines = [line.split() for line in log.read_text().splitlines()]
    truth = collections.Counter((m, u, int(s), int(n)) for _, m, u, s, n, _ in lines if s != "101")
    # now and then Apache gives up an upgraded connection behind its first answer: the other requests get none
    answered = [s for s in spans if "http.response.status_code" in s["attributes"]]
    assert tally(answered, "http.request.method", "url.path", "http.response.status_code", "http.response.body.size") == truth
    assert len(spans) == 5 and len(answered) in (3, 5) and sum(s == "101" for _, _, _, s, _, _ in lines) >= 2
    upgraded = [s for s in spans if s["attributes"].get("user_agent.original", "").startswith("nghttp2") or s["attributes"]["url.path"] == "/big"]
    assert set(attribute(upgraded, "network.protocol.version")) == {"2"}
    assert [s["parent_span_id"] for s in spans if s["trace_id"] == TRACE] == [SPAN]
    for recording, count in ((got.recording, 1), (page.recording, 1), (many.recording, len(answered) - 2)):
        sent = [s for s in requests(recording, "client") if "http.response.status_code" in s["attributes"]]
        assert len(sent) == count
        assert_lossless(recording)
    assert_lossless(served)


def test_apache_over_tls(apache, certificate, tmp_path):
    _, secure, stop, to, log = apache
    base = f"https://127.0.0.1:{secure}"
    done = bare([need("h2load"), "-n", 1200, "-c", 6, "-m", 10, f"{base}/small", f"{base}/big", f"{base}/none"], timeout=120)
    assert b"1200 done" in done.stdout
    bare(["curl", "-s", "--http1.1", "--cacert", certificate[0], f"https://localhost:{secure}/small", f"https://localhost:{secure}/big"])
    stop()
    served = Recording(to)
    spans = requests(served, "server")
    lines = [line.split() for line in log.read_text().splitlines()]
    truth = collections.Counter((v.removeprefix("HTTP/").removesuffix(".0"), m, u, int(s), int(n), int(p)) for v, m, u, s, n, p in lines)
    assert logged(spans) == truth and len(spans) == 1202
    assert set(attribute(spans, "url.scheme")) == {"https"}
    assert_lossless(served)


# -------------------------------------------------- node: both ends, its own TLS

NODE = r"""
const http2 = require('http2'), fs = require('fs');
const [secure, cert, key] = [process.argv[1] === 'secure', ...process.argv.slice(2)];
const server = secure ? http2.createSecureServer({key: fs.readFileSync(key), cert: fs.readFileSync(cert)}) : http2.createServer();
server.on('stream', (stream, headers) => {
  const path = headers[':path'];
  stream.on('error', () => {});
  if (path === '/early') {
    stream.additionalHeaders({':status': 103, link: '</x>; rel=preload'});
    stream.respond({':status': 404});
    stream.end('nothing');
  } else if (path === '/reset') {
    stream.close(http2.constants.NGHTTP2_INTERNAL_ERROR);
  } else if (path === '/trailer') {
    stream.respond({':status': 200}, {waitForTrailers: true});
    stream.on('wantTrailers', () => stream.sendTrailers({'x-end': '1'}));
    stream.end('body');
  } else {
    let n = 0;
    stream.on('data', d => n += d.length);
    stream.on('end', () => { stream.respond({':status': 200}); stream.end('x'.repeat(n || 100)); });
  }
});
server.listen(0, '127.0.0.1', async () => {
  const c = http2.connect(`${secure ? 'https' : 'http'}://localhost:${server.address().port}`, {ca: fs.readFileSync(cert)});
  const one = (path, body) => new Promise(done => {
    const q = c.request({':path': path, ':method': body ? 'POST' : 'GET'});
    let status = null, n = 0;
    q.on('response', h => status = h[':status']); q.on('data', d => n += d.length); q.on('error', () => {});
    q.on('close', () => done([path, status, n]));
    q.end(body);
  });
  const all = [one('/early'), one('/early', 'y'.repeat(50000)), one('/trailer'), one('/reset')];
  for (let i = 0; i < 200; i++) all.push(one(`/n/${i}`), one(`/post/${i}`, 'y'.repeat(i + 1)));
  console.log(JSON.stringify(await Promise.all(all)));
  c.close(); server.close();
});
"""


@pytest.mark.parametrize("how", ["secure", "clear"])
def test_node(how, certificate, tmp_path):
    got = observe([need("node"), "-e", NODE, how, *certificate], tmp_path, sets=SETS)
    assert got.status == 0 and got.stderr == b""
    told = json.loads(got.stdout)
    assert len(told) == 404
    truth = collections.Counter((path, status, n if status else None) for path, status, n in told)
    served, sent = requests(got.recording, "server"), requests(got.recording, "client")
    assert tally(served, "url.path", "http.response.status_code", "http.response.body.size") == truth
    paths = collections.Counter((s["attributes"]["url.full"].split("/", 3)[3], s["attributes"].get("http.response.status_code")) for s in sent)
    assert paths == collections.Counter((path[1:], status) for path, status, _ in told)
    # a 404 is the client's error alone, and what went with 103 ahead of it and NO_ERROR behind is no other
    assert tally(served, "error.type") == {(None,): 403, ("stream_reset",): 1}
    assert tally(sent, "error.type") == {(None,): 401, ("404",): 2, ("stream_reset",): 1}
    assert set(attribute(served, "url.scheme")) == {"https" if how == "secure" else "http"}
    assert set(attribute(served, "network.protocol.version")) == {"2"}
    assert set(attribute(served + sent, "tls.protocol.version")) == {"1.3" if how == "secure" else None}
    posted = {s["attributes"]["url.path"]: s["attributes"]["http.request.body.size"] for s in served if s["attributes"]["url.path"].startswith("/post")}
    assert posted == {f"/post/{i}": i + 1 for i in range(200)}
    assert [s["name"] for s in handshakes(got.recording)] == (["TLS client handshake localhost"] if how == "secure" else [])
    assert_lossless(got.recording)
