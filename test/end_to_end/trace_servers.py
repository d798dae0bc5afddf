"""The servers whose word is taken: each starts one under the library and writes its log as trace_run.lines_of reads it.

Every server answers GET /page with 30,000 bytes and /small with 5, /slow after a fifth of a second where it runs
a program, and has no /missing.
"""
import contextlib
import os
import pathlib
import pwd
import signal

from observe import free_port, need, wait_port
from trace_run import PYTHON, Watched

SLOW = 0.2


class Site:
    """A server that runs. program: it runs code of ours, so /slow is slow. sizes: its log counts bodies. unit: seconds, of its log's times."""

    def __init__(self, port, log, servers, program=False, sizes=True, unit=1.0):
        self.port, self.log, self.servers = port, pathlib.Path(log), servers
        self.program, self.sizes, self.unit = program, sizes, unit
        self.inner = None  # the site behind, of a proxy

    @property
    def front(self):
        return self.servers[0]


def documents(place):
    site = place / "site"
    if not site.exists():
        site.mkdir()
        (site / "page").write_bytes(b"p" * 30000)
        (site / "small").write_bytes(b"small")
        (site / "slow").write_bytes(b"slow!")
    return site


# ------------------------------------------------------------------ servers of files

NGINX = """
daemon off; {mode} pid {d}/nginx.pid; error_log {d}/error.log; {user}
events {{ worker_connections 256; }}
http {{ log_format t '$request_method $request_uri $status $body_bytes_sent $request_time'; access_log {d}/access.log t;
client_body_temp_path {d}/t1; proxy_temp_path {d}/t2; fastcgi_temp_path {d}/t3; uwsgi_temp_path {d}/t4; scgi_temp_path {d}/t5;
sendfile {sendfile}; {keepalive} {http}
server {{ listen 127.0.0.1:{port}; root {d}/site; {locations} }} }}
"""


@contextlib.contextmanager
def nginx(place, workers=2, sendfile="on", keepalive="", http="", locations="", name="nginx"):
    need("nginx")
    documents(place)
    port, conf = free_port(), place / "nginx.conf"
    conf.write_text(NGINX.format(d=place, port=port, sendfile=sendfile, keepalive=keepalive, http=http, locations=locations,
                                 user="user nobody nogroup;" if os.geteuid() == 0 else "",
                                 mode=f"worker_processes {workers};" if workers else "master_process off;"))
    with Watched(["nginx", "-c", conf, "-p", place], place, port, name, stop=signal.SIGQUIT) as server:
        yield Site(port, place / "access.log", [server])


APACHE = """
ServerRoot {d}
ServerName x
PidFile {d}/pid
Listen 127.0.0.1:{port}
LoadModule mpm_{mpm}_module {m}/mod_mpm_{mpm}.so
LoadModule authz_core_module {m}/mod_authz_core.so
DocumentRoot {d}/site
ErrorLog {d}/error.log
LogFormat "%m %U%q %>s %B %{{us}}T" t
CustomLog {d}/access.log t
Mutex file:{d}
{user}
KeepAliveTimeout 2
<Directory {d}/site>
Require all granted
</Directory>
"""


@contextlib.contextmanager
def apache(place, mpm):
    need("apache2")
    documents(place)
    port, conf = free_port(), place / "apache.conf"
    user = "www-data" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name
    conf.write_text(APACHE.format(d=place, port=port, mpm=mpm, m="/usr/lib/apache2/modules", user=f"User {user}"))
    with Watched(["apache2", "-f", conf, "-DFOREGROUND"], place, port, env={"APACHE_RUN_DIR": str(place)}, stop=signal.SIGWINCH) as server:
        yield Site(port, place / "access.log", [server], unit=1e-6)


@contextlib.contextmanager
def lighttpd(place):
    need("lighttpd")
    documents(place)
    port, conf = free_port(), place / "lighttpd.conf"
    conf.write_text(f"""
server.modules = ("mod_accesslog")
server.document-root = "{place}/site"
server.port = {port}
server.bind = "127.0.0.1"
server.errorlog = "{place}/error.log"
accesslog.filename = "{place}/access.log"
accesslog.format = "%m %U?%q %s %b %D"
""")
    with Watched(["lighttpd", "-D", "-f", conf], place, port, stop=signal.SIGINT) as server:
        yield Site(port, place / "access.log", [server], unit=1e-6)


@contextlib.contextmanager
def haproxy(place, behind=None):
    """A proxy before nginx, or before the port `behind`. Its log goes to its standard output."""
    need("haproxy")
    with contextlib.ExitStack() as stack:
        inner = None
        if behind is None:
            (place / "inner").mkdir()
            (place / "inner").chmod(0o777)
            inner = stack.enter_context(nginx(place / "inner", name="inner"))
            behind = inner.port
        port, conf = free_port(), place / "haproxy.cfg"
        conf.write_text(f"""
global
    log stdout format raw local0
    maxconn 500
    nbthread 2
defaults
    mode http
    log global
    option dontlognull
    option http-ignore-probes
    log-format "%HM %HU %ST %U %Ta"
    timeout connect 5s
    timeout client 30s
    timeout server 30s
frontend f
    bind 127.0.0.1:{port}
    default_backend b
backend b
    server s 127.0.0.1:{behind}
""")
        out = stack.enter_context(open(place / "access.log", "wb"))
        server = stack.enter_context(Watched(["haproxy", "-db", "-f", conf], place, port, stdout=out, stop=signal.SIGUSR1))
        site = Site(port, place / "access.log", [server] + (inner.servers if inner else []), sizes=False, unit=1e-3)
        site.inner = inner
        yield site


# ------------------------------------------------------------------ servers that run a program

NODE = """
const http = require('http'), fs = require('fs');
const page = 'p'.repeat(30000);
const server = http.createServer((q, r) => {
  const from = process.hrtime.bigint(); let size = 0; const path = q.url.split('?')[0];
  const end = (status, body) => { r.statusCode = status; r.setHeader('Content-Length', Buffer.byteLength(body)); size = q.method == 'HEAD' ? 0 : Buffer.byteLength(body); r.end(body); };
  r.on('finish', () => fs.appendFileSync(process.argv[3], `${q.method} ${q.url} ${r.statusCode} ${size} ${Number(process.hrtime.bigint() - from) / 1e9}\\n`));
  q.resume();
  q.on('end', () => { path == '/page' ? end(200, page) : path == '/small' ? end(200, 'small') : path == '/slow' ? setTimeout(() => end(200, 'slow!'), 205)
    : path == '/error' ? end(500, 'error') : end(404, 'no such'); });
});
server.listen(+process.argv[2], '127.0.0.1');
process.on('SIGTERM', () => process.exit(0));
"""

PYTHON_HTTP = """
import http.server, signal, sys, time
ANSWERS = {"/page": (200, b"p" * 30000), "/small": (200, b"small"), "/slow": (200, b"slow!"), "/error": (500, b"error")}
log = open(sys.argv[2], "ab", 0)
class Answer(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def body(self):
        if self.headers.get("Transfer-Encoding") == "chunked":
            while size := int(self.rfile.readline(), 16):
                self.rfile.read(size + 2)
            self.rfile.readline()
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
    def do_GET(self):
        start = time.monotonic()
        self.body()
        path = self.path.split("?")[0]
        status, body = ANSWERS.get(path, (404, b"no such"))
        if path == "/slow": time.sleep(0.2)
        self.send_response(status); self.send_header("Content-Length", str(len(body)))
        if self.request_version == "HTTP/1.0" and not self.close_connection: self.send_header("Connection", "keep-alive")
        self.end_headers()
        size = 0 if self.command == "HEAD" else len(body)
        if size: self.wfile.write(body)
        log.write(f"{self.command} {self.path} {status} {size} {time.monotonic() - start:.6f}\\n".encode())
    do_HEAD = do_POST = do_PUT = do_GET
    def log_message(self, *about): pass
http.server.ThreadingHTTPServer.daemon_threads = True
http.server.ThreadingHTTPServer.request_queue_size = 200
server = http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Answer)
signal.signal(signal.SIGTERM, lambda *about: sys.exit(0))
server.serve_forever()
"""

WSGI = """
import os, time
ANSWERS = {"/page": (200, b"p" * 30000), "/small": (200, b"small"), "/slow": (200, b"slow!"), "/error": (500, b"error")}
def application(env, start):
    begin = time.monotonic()
    env["wsgi.input"].read()
    status, body = ANSWERS.get(env["PATH_INFO"], (404, b"no such"))
    if env["PATH_INFO"] == "/slow": time.sleep(0.2)
    start(f"{status} said", [("Content-Length", str(len(body)))])
    size = 0 if env["REQUEST_METHOD"] == "HEAD" else len(body)
    with open(os.environ["ACCESS"], "ab", 0) as log:
        query = "?" + env["QUERY_STRING"] if env["QUERY_STRING"] else ""
        log.write(f'{env["REQUEST_METHOD"]} {env["PATH_INFO"]}{query} {status} {size} {time.monotonic() - begin:.6f}\\n'.encode())
    return [body] if size else []
"""

ASGI = """
import asyncio, os, time
ANSWERS = {"/page": (200, b"p" * 30000), "/small": (200, b"small"), "/slow": (200, b"slow!"), "/error": (500, b"error")}
async def application(scope, receive, send):
    if scope["type"] != "http": return
    begin = time.monotonic()
    while (await receive()).get("more_body"): pass
    status, body = ANSWERS.get(scope["path"], (404, b"no such"))
    if scope["path"] == "/slow": await asyncio.sleep(0.205)
    size = 0 if scope["method"] == "HEAD" else len(body)
    await send({"type": "http.response.start", "status": status, "headers": [(b"content-length", str(len(body)).encode())]})
    await send({"type": "http.response.body", "body": body})
    with open(os.environ["ACCESS"], "ab", 0) as log:
        query = b"?" + scope["query_string"] if scope["query_string"] else b""
        log.write(f'{scope["method"]} {scope["path"]}{query.decode()} {status} {size} {time.monotonic() - begin:.6f}\\n'.encode())
"""

JAVA = """
import com.sun.net.httpserver.*; import java.io.*; import java.net.*; import java.nio.file.*; import java.util.concurrent.*;
public class Site {
  static synchronized void log(String file, String line) throws IOException {
    Files.write(Path.of(file), line.getBytes(), StandardOpenOption.CREATE, StandardOpenOption.APPEND); }
  public static void main(String[] a) throws Exception {
    HttpServer s = HttpServer.create(new InetSocketAddress("127.0.0.1", Integer.parseInt(a[0])), 200);
    s.setExecutor(Executors.newFixedThreadPool(8));
    s.createContext("/", q -> {
      long from = System.nanoTime(); q.getRequestBody().readAllBytes();
      String path = q.getRequestURI().getPath(); int status = 200; byte[] body;
      switch (path) {
        case "/page": body = "p".repeat(30000).getBytes(); break;
        case "/small": body = "small".getBytes(); break;
        case "/slow": try { Thread.sleep(205); } catch (InterruptedException e) { } body = "slow!".getBytes(); break;
        case "/error": status = 500; body = "error".getBytes(); break;
        default: status = 404; body = "no such".getBytes();
      }
      boolean head = q.getRequestMethod().equals("HEAD");
      q.sendResponseHeaders(status, head ? -1 : body.length);
      if (!head) q.getResponseBody().write(body);
      q.close();
      log(a[1], q.getRequestMethod() + " " + q.getRequestURI() + " " + status + " " + (head ? 0 : body.length) + " " + (System.nanoTime() - from) / 1e9 + "\\n");
    });
    s.start();
  }
}
"""

RUBY = """
require 'webrick'
ANSWERS = {'/page' => [200, 'p' * 30000], '/small' => [200, 'small'], '/slow' => [200, 'slow!'], '/error' => [500, 'error']}
log = File.open(ARGV[1], 'a'); log.sync = true
server = WEBrick::HTTPServer.new(Port: ARGV[0].to_i, BindAddress: '127.0.0.1', AccessLog: [], Logger: WEBrick::Log.new(File::NULL), DoNotReverseLookup: true)
server.mount_proc('/') do |q, r|
  from = Process.clock_gettime(Process::CLOCK_MONOTONIC)
  q.body if %w[POST PUT].include?(q.request_method)
  status, body = ANSWERS.fetch(q.path, [404, 'no such'])
  sleep 0.205 if q.path == '/slow'
  r.status = status; r.body = body
  size = q.request_method == 'HEAD' ? 0 : body.bytesize
  log.write("#{q.request_method} #{q.unparsed_uri} #{status} #{size} #{Process.clock_gettime(Process::CLOCK_MONOTONIC) - from}\\n")
end
class WEBrick::HTTPServlet::ProcHandler; alias do_PUT do_POST; alias do_HEAD do_GET; end
trap('TERM') { server.shutdown }
server.start
"""

RACK = """
ANSWERS = {'/page' => [200, 'p' * 30000], '/small' => [200, 'small'], '/slow' => [200, 'slow!'], '/error' => [500, 'error']}
LOG = File.open(ENV['ACCESS'], 'a'); LOG.sync = true
run(lambda do |env|
  from = Process.clock_gettime(Process::CLOCK_MONOTONIC)
  env['rack.input'].read
  status, body = ANSWERS.fetch(env['PATH_INFO'], [404, 'no such'])
  sleep 0.205 if env['PATH_INFO'] == '/slow'
  head = env['REQUEST_METHOD'] == 'HEAD'
  query = env['QUERY_STRING'].empty? ? '' : '?' + env['QUERY_STRING']
  LOG.write("#{env['REQUEST_METHOD']} #{env['PATH_INFO']}#{query} #{status} #{head ? 0 : body.bytesize} #{Process.clock_gettime(Process::CLOCK_MONOTONIC) - from}\\n")
  [status, {'content-length' => body.bytesize.to_s}, head ? [] : [body]]
end)
"""


def own(command, place, env=None, stop=signal.SIGTERM):
    """Runs `command`, in which PORT and LOG stand for what they are."""
    @contextlib.contextmanager
    def run():
        port, log = free_port(), place / "access.log"
        log.touch()
        words = [str(port) if w == "PORT" else f"127.0.0.1:{port}" if w == "ADDRESS" else str(log) if w == "LOG" else w for w in command]
        words = [w.replace("@PORT", str(port)) for w in map(str, words)]
        with Watched(words, place, port, env={"ACCESS": str(log), **(env or {})}, cwd=place, stop=stop) as server:
            yield Site(port, log, [server], program=True)
    return run()


def node(place):
    (place / "site.js").write_text(NODE)
    return own([need("node"), place / "site.js", "PORT", "LOG"], place)


def python(place):
    (place / "site.py").write_text(PYTHON_HTTP)
    return own([PYTHON, place / "site.py", "PORT", "LOG"], place)


def gunicorn(place, kind):
    (place / "site_wsgi.py").write_text(WSGI)
    how = ["--threads", "8"] if kind == "gthread" else []
    return own([need("gunicorn"), "-k", kind, "-w", "2", *how, "-b", "ADDRESS", "site_wsgi:application"], place)


def uvicorn(place):
    (place / "site_asgi.py").write_text(ASGI)
    return own([need("uvicorn"), "--port", "PORT", "--log-level", "warning", "site_asgi:application"], place)


def java(place):
    (place / "Site.java").write_text(JAVA)
    return own([need("java"), "-Xmx128m", place / "Site.java", "PORT", "LOG"], place)


def webrick(place):
    (place / "site.rb").write_text(RUBY)
    return own([need("ruby"), place / "site.rb", "PORT", "LOG"], place)


def puma(place):
    (place / "config.ru").write_text(RACK)
    return own([need("puma"), "-q", "-t", "8:8", "-b", "tcp://127.0.0.1:@PORT", place / "config.ru"], place)


SERVERS = {
    "nginx": nginx,
    "nginx-one": lambda place: nginx(place, workers=0, sendfile="off"),
    "nginx-no-keepalive": lambda place: nginx(place, keepalive="keepalive_timeout 0;"),
    "apache-prefork": lambda place: apache(place, "prefork"),
    "apache-worker": lambda place: apache(place, "worker"),
    "apache-event": lambda place: apache(place, "event"),
    "lighttpd": lighttpd,
    "haproxy": haproxy,
    "node": node,
    "python": python,
    "gunicorn-sync": lambda place: gunicorn(place, "sync"),
    "gunicorn-gthread": lambda place: gunicorn(place, "gthread"),
    "uvicorn": uvicorn,
    "java": java,
    "webrick": webrick,
    "puma": puma,
}
