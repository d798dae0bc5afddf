"""What the tests of traces share: certificates, nginx with an access log, and spans by kind."""
import collections
import pathlib
import signal
import subprocess

from observe import Recording, Server, free_port, need, scope_environment

PYTHON = "/usr/bin/python3"
# Nothing but what is counted here may be lost: log lines have a rate of their own.
SETS = {"logs.rate": "0", "events.rate": "0", "memory.queue": "64MiB"}


def make_certificate(at):
    """A certificate for localhost and 127.0.0.1 that vouches for itself, and its key."""
    cert, key = at / "cert.pem", at / "key.pem"
    subprocess.run([need("openssl"), "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", key,
                    "-out", cert, "-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"],
                   check=True, capture_output=True)
    return cert, key


def requests(recording, kind):
    """Spans of HTTP requests or of calls, server or client."""
    return [l for l in recording.lines if l["signal"] == "span" and l["kind"] == kind and l["scope"] in ("scope.http", "scope.rpc")]


def handshakes(recording):
    return [l for l in recording.lines if l["signal"] == "span" and l["name"].startswith("TLS ")]


def attribute(spans, name):
    return [span["attributes"].get(name) for span in spans]


def tally(spans, *names):
    return collections.Counter(tuple(span["attributes"].get(n) for n in names) for span in spans)


def observed_tls(recording):
    """scope.tls.observed of the connections that were closed, with how many."""
    return collections.Counter(e["attributes"].get("scope.tls.observed") for e in recording.events("scope.connection.close"))


def assert_lossless(recording):
    """Nothing of a trace was dropped. (Log lines may be too long, or no text.)"""
    assert {cause: n for cause, n in recording.drops().items() if not cause.startswith("log_")} == {}


HTTP = """
daemon off; master_process {master}; worker_processes {workers}; pid {d}/nginx.pid; error_log {d}/error.log;
events {{ worker_connections 512; }}
http {{
  log_format counted '$server_protocol $request_method $uri $status $body_bytes_sent $server_port';
  access_log {d}/access.log counted;
  keepalive_requests 100000; http2_max_concurrent_streams 256; ssl_protocols TLSv1.2 TLSv1.3; ssl_certificate {cert}; ssl_certificate_key {key};
  client_body_temp_path {d}/t1; proxy_temp_path {d}/t2; fastcgi_temp_path {d}/t3; uwsgi_temp_path {d}/t4; scgi_temp_path {d}/t5;
  root {d}/site;
  {servers}
}}
"""


class Nginx:
    """nginx under the library, with the files small (3 bytes), big (20000) and none; its access log as the truth."""

    def __init__(self, at, certificate, servers, ports, master="off", workers=1):
        self.at = pathlib.Path(at)
        self.to = self.at / "nginx.ndjson"
        (self.at / "site").mkdir()
        (self.at / "site" / "small").write_bytes(b"yes")
        (self.at / "site" / "big").write_bytes(b"x" * 20000)
        (self.at / "nginx.conf").write_text(HTTP.format(d=self.at, servers=servers, cert=certificate[0], key=certificate[1], master=master,
                                                        workers=workers))
        self.server = Server([need("nginx"), "-c", self.at / "nginx.conf", "-p", self.at], scope_environment(self.to, sets=SETS), ports[0],
                             stop=signal.SIGQUIT)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.server.stop()

    def stop(self):
        self.server.stop()
        return Recording(self.to)

    def log(self):
        """(protocol, method, path, status, bytes of the body, port) of each request, with how many."""
        lines = collections.Counter()
        for line in (self.at / "access.log").read_text().splitlines():
            protocol, method, path, status, size, port = line.split()
            lines[(protocol.removeprefix("HTTP/").removesuffix(".0"), method, path, int(status), int(size), int(port))] += 1
        return lines


def logged(spans):
    """What nginx's log says of a request, out of its span."""
    return tally(spans, "network.protocol.version", "http.request.method", "url.path", "http.response.status_code",
                 "http.response.body.size", "server.port")
