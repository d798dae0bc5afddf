"""Four programs in a row over TLS, none of them changed: curl, nginx as a proxy, an application, what that asks.

    with Chain(tmp_path, collector, certificate) as chain:
        chain.ask("one", "-H", "traceparent: ...")
    chain.lines("nginx")               # what each server's own access log says
"""
import pathlib
import subprocess

from observe import Server, bare, free_port, need
from otlp_run import otlp_environment

NGINX = """
daemon off; master_process on; worker_processes 2; pid {d}/nginx.pid; error_log {d}/nginx.error info; user root;
events {{ worker_connections 256; }}
http {{
log_format one '$request_method $request_uri $status $body_bytes_sent';
access_log {d}/access.log one; client_body_temp_path {d}/t1; proxy_temp_path {d}/t2; fastcgi_temp_path {d}/t3;
uwsgi_temp_path {d}/t4; scgi_temp_path {d}/t5;
upstream application {{ server 127.0.0.1:{application}; {keepalive} }}
server {{ listen 127.0.0.1:{port} ssl; ssl_certificate {cert}; ssl_certificate_key {key};
location / {{ proxy_pass https://application; proxy_http_version 1.1; proxy_set_header Connection "";
proxy_set_header Host localhost; proxy_ssl_name localhost; proxy_ssl_trusted_certificate {cert}; proxy_ssl_verify on;
proxy_ssl_server_name on; proxy_ssl_session_reuse off; {more} }} }} }}
"""

# The end of both programs in Python: Answer served over TLS on port `own`.
SERVE = """
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(cert, key)
class Many(http.server.ThreadingHTTPServer):
    request_queue_size, daemon_threads = 128, False
server = Many(("127.0.0.1", own), Answer)
server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
# Its threads end first: a main thread that just leaves shuts the connection that it has handed on.
signal.signal(signal.SIGTERM, lambda *about: threading.Thread(target=server.shutdown).start())
server.serve_forever(0.05)
server.server_close()
"""

PYTHON_APPLICATION = """
import http.client, http.server, os, signal, ssl, sys, threading
own, downstream, cert, key = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4]
trust = ssl.create_default_context(cafile=cert)
# One write a line: a buffer that threads share is written by whoever flushes it.
def say(*words): os.write(1, (" ".join(words) + "\\n").encode())
class Answer(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        say("working on", self.path)
        connection = http.client.HTTPSConnection("localhost", downstream, context=trust)
        connection.request("GET", "/below" + self.path)
        body = connection.getresponse().read()
        connection.close()
        self.send_response(200); self.send_header("Content-Length", str(len(body))); self.end_headers()
        self.wfile.write(body)
    def log_message(self, form, *about):
        say("served", self.path)
""" + SERVE

NODE_APPLICATION = """
const https = require('https'), fs = require('fs');
const [own, downstream, cert, key] = process.argv.slice(2);
const ca = fs.readFileSync(cert), agent = new https.Agent({keepAlive: false});
https.createServer({cert: ca, key: fs.readFileSync(key)}, (request, response) => {
  console.log('working on ' + request.url);
  https.get({host: 'localhost', port: downstream, path: '/below' + request.url, ca, agent}, below => {
    let body = '';
    below.on('data', d => body += d).on('end', () => {
      console.log('served ' + request.url);
      response.setHeader('Content-Length', body.length);
      response.end(body);
    });
  });
}).listen(+own, '127.0.0.1', 128);
process.on('SIGTERM', () => process.exit(0));
"""

DOWNSTREAM = """
import http.server, os, signal, ssl, sys, threading
own, cert, key = int(sys.argv[1]), sys.argv[2], sys.argv[3]
# One write a line: a buffer that threads share is written by whoever flushes it.
def say(*words): os.write(1, (" ".join(words) + "\\n").encode())
class Answer(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        say("below", self.path)
        body = b"found " + self.path.encode()
        self.send_response(200); self.send_header("Content-Length", str(len(body))); self.end_headers()
        self.wfile.write(body)
    def log_message(self, form, *about): pass
""" + SERVE


def certificate(at):
    cert, key = at / "cert.pem", at / "key.pem"
    subprocess.run([need("openssl"), "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", key,
                    "-out", cert, "-days", "2", "-subj", "/CN=localhost",
                    "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"], check=True, capture_output=True)
    return cert, key


class Chain:
    """application: python, node; keepalive: the proxy keeps its connections to it; passes: it hands its caller's traceparent
    on, as proxies do with what they do not know."""

    def __init__(self, directory, collector, cert, application="python", sets=None, keepalive=False, passes=True, extra=None):
        self.directory, self.collector, self.application = pathlib.Path(directory), collector, application
        self.cert, self.key = cert
        self.sets, self.extra, self.keepalive, self.passes = sets or {}, extra or {}, keepalive, passes
        self.ports = {}
        for name in ("nginx", "application", "downstream"):
            while (port := free_port()) in self.ports.values():
                pass
            self.ports[name] = port
        self.servers = []

    def environment(self, name):
        return otlp_environment(self.collector.url, {"SCOPE_OTLP_TRACES_INTERVAL": "100ms", "SCOPE_OTLP_CA_FILE": str(self.cert),
                                                     "OTEL_SERVICE_NAME": name, **self.extra}, self.sets)

    def start(self, name, command):
        with open(self.directory / f"{name}.out", "ab") as out:
            self.servers.append(Server(command, self.environment(name), self.ports[name], stdout=out, stderr=out))

    def __enter__(self):
        d, ports = self.directory, self.ports
        d.chmod(0o755)
        if self.application == "node":
            need("node")
            script = d / "application.js"
            script.write_text(NODE_APPLICATION)
            application = ["node", script]
        else:
            application = ["/usr/bin/python3", "-c", PYTHON_APPLICATION]
        (d / "nginx.conf").write_text(NGINX.format(d=d, port=ports["nginx"], application=ports["application"], cert=self.cert, key=self.key,
                                                   keepalive="keepalive 16;" if self.keepalive else "",
                                                   more="" if self.passes else 'proxy_set_header traceparent "";'))
        try:
            self.start("downstream", ["/usr/bin/python3", "-c", DOWNSTREAM, ports["downstream"], self.cert, self.key])
            self.start("application", [*application, ports["application"], ports["downstream"], self.cert, self.key])
            self.start("nginx", [need("nginx"), "-c", d / "nginx.conf"])
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *exc):
        self.stop()

    def stop(self):
        """The client's side first, as one would: nobody waits for an answer."""
        while self.servers:
            self.servers.pop().stop()

    def ask(self, word, *options):
        """One request by curl; what it must get is asserted."""
        url = f"https://localhost:{self.ports['nginx']}/{word}"
        got = bare([need("curl"), "-sS", "--http1.1", "--cacert", self.cert, *options, url], env=self.environment("client"))
        assert (got.status, got.stdout, got.stderr) == (0, f"found /below/{word}".encode(), b""), got

    def lines(self, name):
        """nginx: its access log. The others: what they print."""
        return (self.directory / ("access.log" if name == "nginx" else f"{name}.out")).read_text().splitlines()
