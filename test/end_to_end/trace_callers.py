"""Servers whose handlers ask another server, for the parents of what they ask.

Each answers /in/ID by first asking the server behind for /out/ID, so that the id in a client span's address says whose
child it has to be. Some sleep before they ask, some ask twice; all of them serve many at once.
"""
import contextlib

from observe import free_port, need
from trace_run import PYTHON, Watched
from trace_servers import Site, haproxy, nginx

NODE = """
const http = require('http'), [port, behind, how] = [+process.argv[2], process.argv[3], process.argv[4]];
const agent = new http.Agent({keepAlive: true}), sleep = ms => new Promise(ok => setTimeout(ok, ms));
const asked = id => how.startsWith('fetch') ? fetch(behind + '/out/' + id).then(a => a.text())
  : new Promise((ok, no) => http.get(behind + '/out/' + id, {agent}, a => { a.resume(); a.on('end', ok); }).on('error', no));
http.createServer(async (q, r) => { const id = q.url.split('/')[2];
  if (how.endsWith('late')) await sleep(+id % 7 * 3);
  if (how.endsWith('immediate')) await new Promise(ok => setImmediate(ok));
  await asked(id);
  if (how.endsWith('twice')) await asked(id);
  r.end('done'); }).listen(port, '127.0.0.1');
process.on('SIGTERM', () => process.exit(0));
"""

PYTHON_THREADS = """
import http.server, signal, sys, time, urllib.request
how = sys.argv[3]
if how == "requests":
    import requests, threading
    local = threading.local()
def ask(id):
    if how == "requests":
        if not hasattr(local, "session"): local.session = requests.Session()
        local.session.get(f"{sys.argv[2]}/out/{id}").content
    else: urllib.request.urlopen(f"{sys.argv[2]}/out/{id}").read()
class Answer(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        id = self.path.split("/")[2]
        time.sleep(int(id) % 7 * 0.003); ask(id); ask(id)
        self.send_response(200); self.send_header("Content-Length", "4"); self.end_headers(); self.wfile.write(b"done")
    def log_message(self, *about): pass
http.server.ThreadingHTTPServer.daemon_threads = True
server = http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Answer)
signal.signal(signal.SIGTERM, lambda *about: sys.exit(0))
server.serve_forever()
"""

WSGI = """
import os, time, urllib.request
def application(env, start):
    id = env["PATH_INFO"].split("/")[2]
    time.sleep(int(id) % 7 * 0.003)
    urllib.request.urlopen(os.environ["BEHIND"] + "/out/" + id).read()
    start("200 OK", [("Content-Length", "4")])
    return [b"done"]
"""

ASGI = """
import asyncio, os, urllib.parse
at = urllib.parse.urlsplit(os.environ["BEHIND"])
async def application(scope, receive, send):
    if scope["type"] != "http": return
    id = scope["path"].split("/")[2]
    await asyncio.sleep(int(id) % 7 * 0.003)
    reader, writer = await asyncio.open_connection(at.hostname, at.port)
    writer.write(f"GET /out/{id} HTTP/1.1\\r\\nHost: {at.netloc}\\r\\nConnection: close\\r\\n\\r\\n".encode())
    await reader.read(); writer.close()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"4")]})
    await send({"type": "http.response.body", "body": b"done"})
"""

JAVA = """
import com.sun.net.httpserver.*; import java.net.*; import java.net.http.*; import java.util.concurrent.*;
public class Caller { public static void main(String[] a) throws Exception {
  HttpServer s = HttpServer.create(new InetSocketAddress("127.0.0.1", Integer.parseInt(a[0])), 200);
  HttpClient c = HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).build();
  s.setExecutor(Executors.newFixedThreadPool(8));
  s.createContext("/", q -> { try { String id = q.getRequestURI().getPath().split("/")[2];
    Thread.sleep(Integer.parseInt(id) % 7 * 3);
    if (a[2].equals("url")) { for (int i = 0; i < 2; i++) ((HttpURLConnection) new URL(a[1] + "/out/" + id).openConnection()).getInputStream().readAllBytes(); }
    else c.send(HttpRequest.newBuilder(URI.create(a[1] + "/out/" + id)).build(), HttpResponse.BodyHandlers.ofString());
    q.sendResponseHeaders(200, 4); q.getResponseBody().write("done".getBytes()); q.close();
  } catch (Exception e) { e.printStackTrace(); q.close(); } });
  s.start(); } }
"""

RUBY = """
require 'webrick'; require 'net/http'
server = WEBrick::HTTPServer.new(Port: ARGV[0].to_i, BindAddress: '127.0.0.1', AccessLog: [], Logger: WEBrick::Log.new(File::NULL), DoNotReverseLookup: true)
server.mount_proc('/') { |q, r| id = q.path.split('/')[2]; sleep(id.to_i % 7 * 0.003); Net::HTTP.get(URI("#{ARGV[1]}/out/#{id}")); r.body = 'done' }
trap('TERM') { server.shutdown }
server.start
"""

RACK = """
require 'net/http'
run(lambda do |env| id = env['PATH_INFO'].split('/')[2]; sleep(id.to_i % 7 * 0.003)
  Net::HTTP.get(URI("#{ENV['BEHIND']}/out/#{id}")); [200, {'content-length' => '4'}, ['done']] end)
"""

PHP = """<?php
$id = explode('/', $_SERVER['REQUEST_URI'])[2];
usleep((int)$id % 7 * 3000);
$c = curl_init(getenv('BEHIND') . '/out/' . $id); curl_setopt($c, CURLOPT_RETURNTRANSFER, true); curl_exec($c);
echo 'done';
"""


def own(words, env=None, files=()):
    def run(place, behind):
        @contextlib.contextmanager
        def running():
            port = free_port()
            for name, text in files:
                (place / name).write_text(text)
            known = {"PORT": str(port), "BEHIND": behind, "ADDRESS": f"127.0.0.1:{port}", "TCP": f"tcp://127.0.0.1:{port}"}
            command = [need(words[0]), *(known.get(w, w) for w in words[1:])]
            with Watched(command, place, port, env={"BEHIND": behind, **(env or {})}, cwd=place) as server:
                yield Site(port, place / "none", [server], program=True)
        return running()
    return run


@contextlib.contextmanager
def nginx_before(place, behind, keepalive):
    host = behind.partition("//")[2]
    upstream = f"upstream u {{ server {host}; keepalive 16; }}"
    pass_on = "proxy_pass http://u; proxy_http_version 1.1; proxy_set_header Connection '';" if keepalive else "proxy_pass http://u;"
    with nginx(place, http=upstream if keepalive else f"upstream u {{ server {host}; }}",
               locations=f"location /in/ {{ rewrite ^/in/(.*)$ /out/$1 break; {pass_on} }}") as site:
        yield site


@contextlib.contextmanager
def haproxy_before(place, behind):
    with haproxy(place, behind.rpartition(":")[2]) as site:
        yield site


@contextlib.contextmanager
def php(place, behind):
    """FastCGI is not HTTP: nginx has the requests, php what it asks, and nothing ties them together."""
    fpm = need("php-fpm8.2")
    port = free_port()
    (place / "in.php").write_text(PHP)
    (place / "fpm.conf").write_text(f"""
[global]
error_log = {place}/fpm.log
daemonize = no
[w]
listen = 127.0.0.1:{port}
pm = static
pm.max_children = 8
clear_env = no
user = nobody
group = nogroup
""")
    fast = f"location /in/ {{ fastcgi_pass 127.0.0.1:{port}; fastcgi_param SCRIPT_FILENAME {place}/in.php; " \
           "fastcgi_param REQUEST_URI $request_uri; fastcgi_param REQUEST_METHOD $request_method; fastcgi_param QUERY_STRING $query_string; }"
    with Watched([fpm, "-n", "-d", "extension=curl", "-y", place / "fpm.conf", "-F"], place, port, "php", env={"BEHIND": behind}) as application:
        with nginx(place, locations=fast) as site:
            site.servers.append(application)
            yield site


# (the server, the share of the calls that must have their parent: what the model promises; 0: nothing is)
CALLERS = {
    "nginx": (lambda place, behind: nginx_before(place, behind, False), 1.0),
    "nginx-keepalive": (lambda place, behind: nginx_before(place, behind, True), 1.0),
    "haproxy": (haproxy_before, 1.0),
    "node-fetch": (own(["node", "caller.js", "PORT", "BEHIND", "fetch"], files=[("caller.js", NODE)]), 0),
    "node-fetch-twice": (own(["node", "caller.js", "PORT", "BEHIND", "fetch-twice"], files=[("caller.js", NODE)]), 0),
    "node-fetch-late": (own(["node", "caller.js", "PORT", "BEHIND", "fetch-late"], files=[("caller.js", NODE)]), 0),
    "node-http": (own(["node", "caller.js", "PORT", "BEHIND", "http"], files=[("caller.js", NODE)]), 0),
    "node-http-late": (own(["node", "caller.js", "PORT", "BEHIND", "http-late"], files=[("caller.js", NODE)]), 0),
    "node-http-immediate": (own(["node", "caller.js", "PORT", "BEHIND", "http-immediate"], files=[("caller.js", NODE)]), 0),
    "node-http-twice": (own(["node", "caller.js", "PORT", "BEHIND", "http-twice"], files=[("caller.js", NODE)]), 0),
    "python-urllib": (own([PYTHON, "caller.py", "PORT", "BEHIND", "urllib"], files=[("caller.py", PYTHON_THREADS)]), 1.0),
    "python-requests": (own([PYTHON, "caller.py", "PORT", "BEHIND", "requests"], files=[("caller.py", PYTHON_THREADS)]), 1.0),
    "gunicorn-sync": (own(["gunicorn", "-w", "4", "-b", "ADDRESS", "caller:application"], files=[("caller.py", WSGI)]), 1.0),
    "gunicorn-gthread": (own(["gunicorn", "-k", "gthread", "--threads", "8", "-b", "ADDRESS", "caller:application"], files=[("caller.py", WSGI)]), 0.9),
    "uvicorn": (own(["uvicorn", "--port", "PORT", "--log-level", "warning", "caller:application"], files=[("caller.py", ASGI)]), 0),
    "java-url": (own(["java", "-Xmx128m", "Caller.java", "PORT", "BEHIND", "url"], files=[("Caller.java", JAVA)]), 0),
    "java-client": (own(["java", "-Xmx128m", "Caller.java", "PORT", "BEHIND", "client"], files=[("Caller.java", JAVA)]), 0),
    "webrick": (own(["ruby", "caller.rb", "PORT", "BEHIND"], files=[("caller.rb", RUBY)]), 1.0),
    "puma": (own(["puma", "-q", "-t", "8:8", "-b", "TCP", "config.ru"], files=[("config.ru", RACK)]), 0),
    "php": (php, 0),
}
