"""Plaintext of TLS: what real programs say through OpenSSL and GnuTLS is reported as if it were not encrypted,
once, on the right connection; and programs with several such libraries, or none, run as they do bare."""
import subprocess
import textwrap

import pytest
from observe import LIBRARY, PROGRAMS, Recording, Server, bare, clean_environment, free_port, need, observe, scope_environment
from test_servers import open_directory

PYTHON = "/usr/bin/python3"

SERVER = """
import http.server, ssl, sys
class Answer(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        self.send_response(200); self.send_header("Content-Length", "5"); self.end_headers(); self.wfile.write(b"hello")
    def log_message(self, *about): pass
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(sys.argv[2], sys.argv[3])
server = http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Answer)
server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
server.serve_forever()
"""

BLOCKING = """
import ssl, sys, urllib.request
context = ssl.create_default_context(cafile=sys.argv[1])
for i in range(2):
    print(urllib.request.urlopen(sys.argv[2], context=context).read())
"""

ASYNCIO = """
import asyncio, ssl, sys, urllib.parse
async def main():
    url = urllib.parse.urlsplit(sys.argv[2])
    context = ssl.create_default_context(cafile=sys.argv[1])
    for i in range(2):
        reader, writer = await asyncio.open_connection(url.hostname, url.port, ssl=context)
        writer.write(f"GET {url.path} HTTP/1.1\\r\\nHost: {url.netloc}\\r\\nConnection: close\\r\\n\\r\\n".encode())
        print((await reader.read()).split(b"\\r\\n\\r\\n")[1])
        writer.close()
asyncio.run(main())
"""

DEEPBIND = "import os, sys\nsys.setdlopenflags(os.RTLD_NOW | os.RTLD_DEEPBIND)\nimport _ssl\n" + BLOCKING

# Both ends in one process, on memory buffers: the random is the same, the descriptors are not.
BOTH = """
import asyncio, ssl, sys
async def serve(reader, writer):
    await reader.readuntil(b"\\r\\n\\r\\n")
    writer.write(b"HTTP/1.1 204 No\\r\\n\\r\\n"); await writer.drain(); writer.close()
async def main():
    own = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER); own.load_cert_chain(sys.argv[1], sys.argv[2])
    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=own)
    port = server.sockets[0].getsockname()[1]
    context = ssl.create_default_context(cafile=sys.argv[1])
    for i in range(3):
        reader, writer = await asyncio.open_connection("localhost", port, ssl=context)
        writer.write(f"GET /both/{i} HTTP/1.1\\r\\nHost: localhost\\r\\nConnection: close\\r\\n\\r\\n".encode())
        print((await reader.read())[:12]); writer.close()
asyncio.run(main())
"""


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    at = tmp_path_factory.mktemp("certificate")
    subprocess.run([need("openssl"), "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", at / "key.pem", "-out", at / "cert.pem",
                    "-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"], check=True, capture_output=True)
    return at / "cert.pem", at / "key.pem"


@pytest.fixture(scope="module")
def port(certificate):
    number = free_port()
    with Server([PYTHON, "-c", SERVER, number, *certificate], clean_environment(), number):
        yield number


def http_spans(recording, kind):
    return [l for l in recording.lines if l["signal"] == "span" and l.get("kind") == kind and "http.request.method" in l["attributes"]]


def handshakes(recording):
    return [l for l in recording.lines if l["signal"] == "span" and l["name"].startswith("TLS ")]


def assert_lossless(recording):
    assert recording.drops() == {}


def client_urls(recording):
    return [span["attributes"]["url.full"] for span in http_spans(recording, "client")]


RUBY = """require "net/http"; require "uri"; url = URI(ARGV[1])
2.times { h = Net::HTTP.new(url.host, url.port); h.use_ssl = true; h.ca_file = ARGV[0]; puts h.get(url.path).body }"""

PHP = """for ($i = 0; $i < 2; $i++) echo file_get_contents($argv[2], false, stream_context_create(["ssl" => ["cafile" => $argv[1]]]));"""

CLIENTS = {
    "python": lambda certificate, url: [PYTHON, "-c", BLOCKING, certificate, url],
    "python-deepbind": lambda certificate, url: [PYTHON, "-c", DEEPBIND, certificate, url],
    "python-asyncio": lambda certificate, url: [PYTHON, "-c", ASYNCIO, certificate, url],
    "curl": lambda certificate, url: [need("curl"), "-s", "--cacert", certificate, url, url],
    "ruby": lambda certificate, url: [need("ruby"), "-e", RUBY, certificate, url],
    "php": lambda certificate, url: [need("php"), "-r", PHP, "--", certificate, url],
    "wget": lambda certificate, url: [need("wget"), "-q", "-O", "-", f"--ca-certificate={certificate}", url, url],
}


@pytest.mark.parametrize("client", CLIENTS)
def test_client(client, certificate, port, tmp_path):
    url = f"https://localhost:{port}/{client}"
    command = CLIENTS[client](certificate[0], url)
    without = bare(command)
    got = observe(command, tmp_path)
    assert (got.status, got.stdout, got.stderr) == (without.status, without.stdout, without.stderr)
    assert got.status == 0 and got.stdout.count(b"hello") == 2
    assert client_urls(got.recording) == [url, url]
    for span in http_spans(got.recording, "client"):
        about = span["attributes"]
        assert (about["http.response.status_code"], about["http.response.body.size"]) == (200, 5)
        assert (about["network.peer.port"], about["tls.protocol.version"]) == (port, "1.3")
    connections = 1 if client in ("curl", "wget") else 2
    assert len(handshakes(got.recording)) == connections
    assert_lossless(got.recording)


def test_git_by_gnutls(certificate, port, tmp_path):
    """libcurl-gnutls gives GnuTLS transport functions of its own."""
    need("git")
    url = f"https://localhost:{port}/git"
    got = observe(["git", "-c", "http.sslVerify=false", "ls-remote", url], tmp_path, env={"GIT_TERMINAL_PROMPT": "0"})
    urls = client_urls(got.recording)
    assert urls and urls[0] == f"{url}/info/refs?service=git-upload-pack"
    assert len(set(urls)) == len(urls)
    assert_lossless(got.recording)


# libcurl with NSS, called from Python: NSPR's PR_Send and PR_Recv.
NSS = """
import ctypes, sys
curl = ctypes.CDLL("libcurl-nss.so.4")
curl.curl_easy_init.restype = ctypes.c_void_p
easy = ctypes.c_void_p(curl.curl_easy_init())
for option, value in ((10002, sys.argv[1].encode()), (64, ctypes.c_long(0)), (81, ctypes.c_long(0))):
    curl.curl_easy_setopt(easy, option, value)
print(curl.curl_easy_perform(easy), curl.curl_easy_perform(easy))
curl.curl_easy_cleanup(easy)
"""


def test_nss(port, tmp_path):
    url = f"https://localhost:{port}/nss"
    without = bare([PYTHON, "-c", NSS, url])
    got = observe([PYTHON, "-c", NSS, url], tmp_path)
    assert (got.status, got.stdout, got.stderr) == (without.status, without.stdout, without.stderr)
    assert got.stdout.endswith(b"0 0\n")
    assert client_urls(got.recording) == [url, url]
    assert len(handshakes(got.recording)) == 1
    assert_lossless(got.recording)


def test_both_ends_on_memory_buffers(certificate, tmp_path):
    got = observe([PYTHON, "-c", BOTH, *certificate], tmp_path)
    assert got.status == 0, got.stderr
    assert client_urls(got.recording) == [f"https://localhost/both/{i}" for i in range(3)]
    served = http_spans(got.recording, "server")
    assert [span["attributes"]["url.path"] for span in served] == [f"/both/{i}" for i in range(3)]
    assert {span["attributes"]["http.response.status_code"] for span in served} == {204}
    assert_lossless(got.recording)


def test_every_form_of_the_calls(certificate, tmp_path):
    command = [PROGRAMS / "tls_pair", *certificate, 6]
    without = bare(command)
    assert without.stdout.decode().splitlines() == [f"{i} sent 1 got 41 ends 6 errors 0" for i in range(6)]
    got = observe(command, tmp_path)
    assert (got.status, got.stdout, got.stderr) == (without.status, without.stdout, without.stderr)
    assert client_urls(got.recording) == [f"https://pair.example/pair/{i}" for i in range(6)]
    assert [span["attributes"]["url.path"] for span in http_spans(got.recording, "server")] == [f"/pair/{i}" for i in range(6)]
    for span in http_spans(got.recording, "server") + http_spans(got.recording, "client"):
        assert (span["attributes"]["http.response.status_code"], span["attributes"]["http.response.body.size"]) == (200, 3)
    assert_lossless(got.recording)


NGINX = """
daemon off; master_process {master}; pid {d}/nginx.pid; error_log {d}/error.log; user root;
events {{ worker_connections 64; }}
http {{ access_log off; client_body_temp_path {d}/t1; proxy_temp_path {d}/t2; fastcgi_temp_path {d}/t3;
uwsgi_temp_path {d}/t4; scgi_temp_path {d}/t5;
server {{ listen 127.0.0.1:{port} ssl http2; ssl_certificate {certificate}; ssl_certificate_key {key}; root {d}/site; }} }}
"""


@pytest.mark.parametrize("version, master", [("1.1", "off"), ("2", "off"), ("2", "on")])
def test_nginx(version, master, certificate, tmp_path, request):
    place = open_directory(request, "nginx-tls")
    (place / "site").mkdir()
    (place / "site" / "page").write_bytes(b"x" * 100000)
    number = free_port()
    (place / "nginx.conf").write_text(NGINX.format(d=place, port=number, master=master, certificate=certificate[0], key=certificate[1]))
    to = tmp_path / "nginx.ndjson"
    with Server([need("nginx"), "-c", place / "nginx.conf", "-p", place], scope_environment(to), number) as server:
        got = observe([need("curl"), "-s", f"--http{version}", "--cacert", certificate[0], f"https://localhost:{number}/page", "-o", tmp_path / "page",
                       f"https://localhost:{number}/none"], tmp_path)
        assert (tmp_path / "page").read_bytes() == b"x" * 100000 and b"404" in got.stdout
    for recording, kind in ((Recording(to), "server"), (got.recording, "client")):
        spans = http_spans(recording, kind)
        found = [(s["attributes"]["http.response.status_code"], s["attributes"]["network.protocol.version"]) for s in spans]
        assert found == [(200, version), (404, version)], kind
        assert spans[0]["attributes"]["http.response.body.size"] == 100000
        assert_lossless(recording)


# -------------------------------------------------- which library is meant

def library(at, name, answer, version):
    """A library with a function of OpenSSL's name, and a plugin that calls it."""
    (at / f"{name}.c").write_text(f"int SSL_read(void *s, void *b, int n) {{ return {answer}; }}\n")
    (at / f"plugin_{name}.c").write_text("int SSL_read(void *, void *, int);\nint call_it(void) { char b; return SSL_read(&b, &b, 1); }\n")
    (at / f"{name}.map").write_text(f"{name.upper()}_1 {{ SSL_read; }};\n")
    script = [f"-Wl,--version-script={at}/{name}.map"] if version else []
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", at / f"lib{name}.so", at / f"{name}.c", f"-Wl,-soname,lib{name}.so", *script], check=True)
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", at / f"plugin_{name}.so", at / f"plugin_{name}.c", f"-L{at}", f"-l{name}",
                    f"-Wl,-rpath,{at}"], check=True)


USE = """
import _ctypes, ctypes, os, sys
def use(name, keep):
    plugin = ctypes.CDLL(f"{sys.argv[1]}/plugin_{name}.so", mode=MODE)
    print(name, plugin.call_it(), plugin.call_it())
    if not keep:
        _ctypes.dlclose(plugin._handle)
for name in "one two one two three three".split():
    use(name, False)
for name in "two one three one two".split():
    use(name, True)
"""


@pytest.mark.parametrize("version", [True, False])
@pytest.mark.parametrize("mode", ["os.RTLD_NOW", "os.RTLD_LAZY", "os.RTLD_NOW | os.RTLD_DEEPBIND"])
def test_several_libraries_with_one_name(version, mode, tmp_path):
    for name, answer in (("one", 1), ("two", 2), ("three", 3)):
        library(tmp_path, name, answer, version)
    command = [PYTHON, "-c", USE.replace("MODE", mode), tmp_path]
    without = bare(command)
    assert without.stdout.decode().split("\n")[:3] == ["one 1 1", "two 2 2", "one 1 1"]
    got = observe(command, tmp_path)
    assert (got.status, got.stdout, got.stderr) == (without.status, without.stdout, without.stderr)


@pytest.mark.parametrize("mode", ["os.RTLD_NOW", "os.RTLD_NOW | os.RTLD_DEEPBIND"])
@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("version", [True, False])
def test_anothers_wrapper_is_called_where_it_was(first, mode, version, tmp_path):
    """Preloaded beside us, it stands before what a plugin was linked to, but not with RTLD_DEEPBIND."""
    library(tmp_path, "one", 1, version)
    (tmp_path / "other.c").write_text("int SSL_read(void *s, void *b, int n) { return 77; }\n")
    other = tmp_path / "libother.so"
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", other, tmp_path / "other.c"], check=True)
    use = [PYTHON, "-c", f"import ctypes, os\nprint(ctypes.CDLL('{tmp_path}/plugin_one.so', mode={mode}).call_it())"]
    answers = []
    for preload in (str(other), f"{other}:{LIBRARY}" if first else f"{LIBRARY}:{other}"):
        env = {**scope_environment(tmp_path / "out.ndjson"), "LD_PRELOAD": preload}
        done = subprocess.run(use, env=env, capture_output=True, check=True, timeout=60)
        answers.append(done.stdout)
    assert answers[0] == (b"1\n" if "DEEPBIND" in mode else b"77\n")
    assert answers[1] == answers[0]


def test_names_without_a_library_fail_and_do_no_harm(tmp_path):
    """Somebody who looks for OpenSSL by name finds ours: its calls fail as calls that could not be made."""
    code = """
        import ctypes
        all = ctypes.CDLL(None)
        print(all.SSL_read(None, None, 0), all.SSL_write_ex(None, None, 0, None), all.SSL_do_handshake(None))
        print(all.gnutls_record_recv(None, None, 0), all.gnutls_handshake(None))
        all.SSL_free(None); all.gnutls_deinit(None)
        import ssl
        print(all.SSL_write_ex2(None, None, 0, 0, None), ssl.create_default_context() is not None)
    """
    got = observe([PYTHON, "-c", textwrap.dedent(code)], tmp_path)
    assert (got.status, got.stderr) == (0, b"")
    assert got.stdout.decode().split("\n")[:3] == ["-1 0 -1", "-1250 -1250", "0 True"]
