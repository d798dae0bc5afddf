"""An HTTP server that does what it is told, right or wrong, and remembers every request.

    with HostileServer(script([Answer(503, headers=[("Retry-After", "1")])])) as server:
        run(..., SCOPE_OTLP_TO=server.url)
    server.requests, server.received()

A script is a function from a Request to an Answer; it is called when the request's head was read, and its
answer says what happens from there on. Sockets alone, because no HTTP library sends what is wrong.
"""
import dataclasses
import gzip
import json
import pathlib
import shutil
import socket
import ssl
import struct
import subprocess
import threading
import time
import zlib
from typing import Callable

from received import Received, message_lines

PATHS = {"/v1/traces": "traces", "/v1/metrics": "metrics", "/v1/logs": "logs"}
PROTOBUF, JSON = "application/x-protobuf", "application/json"


@dataclasses.dataclass
class Request:
    number: int  # of this server, from 0
    connection: int
    on_connection: int  # how many came before it on the same connection
    time: float  # monotonic, of its head's arrival
    method: str
    path: str
    version: str
    headers: list  # (name in lower case, value)
    raw: bytes = b""  # the body as it was sent
    whole: bool = False  # the whole body came
    answer: "Answer" = None
    protocol: str = "http/1.1"
    pid: int = 0  # of a unix socket's peer
    tls: str = None  # "TLSv1.3"

    def header(self, name):
        """Its value; None: absent; it fails when it is there twice."""
        values = [v for n, v in self.headers if n == name.lower()]
        assert len(values) < 2, f"{name} is there {len(values)} times"
        return values[0] if values else None

    @property
    def body(self):
        encoding = self.header("content-encoding")
        assert encoding in (None, "gzip"), f"Content-Encoding {encoding}"
        return gzip.decompress(self.raw) if encoding else self.raw

    @property
    def signal(self):
        for path, signal in PATHS.items():
            if self.path.split("?")[0].endswith(path):
                return signal
        return None

    def message(self, signal=None):
        """What it carries, strictly decoded."""
        from otlp_decode import decode
        return decode(self.body, signal or self.signal, self.header("content-type"))

    def lines(self, signal=None):
        return list(message_lines(self.message(signal)))

    @property
    def taken(self):
        """The client was told that it was taken."""
        a = self.answer
        return self.whole and a is not None and 200 <= a.status < 300 and a.sends_all


@dataclasses.dataclass
class Answer:
    status: int = 200
    headers: list = dataclasses.field(default_factory=list)
    body: bytes = b""
    content_type: str = None  # None: the request's own
    reset: str = None  # "head": with the body unread; "body": when half of it was read; "reply": read, and no answer
    close: str = None  # the same places, an orderly close
    hang: bool = False  # reads the request and says nothing, until the server ends
    before: float = 0  # seconds before the answer
    head_pause: float = 0  # seconds between two bytes of the head
    body_pause: float = 0  # seconds between two pieces of the body
    piece: int = 1
    last: bool = False  # "Connection: close", and it is
    length: int = None  # a Content-Length that need not be true
    chunked: bool = False
    raw: bytes = None  # these bytes in place of an answer
    goaway: bool = False  # HTTP/2: refuses the stream with GOAWAY, and closes
    interim: bool = False  # a 100 Continue that nobody asked for
    cut: bool = False  # the body ends before its length

    @property
    def sends_all(self):
        return not (self.reset or self.close or self.hang or self.raw or self.goaway or self.cut)


OK = Answer()


def always(answer):
    return lambda request: answer


def script(answers, then=OK, signal=None):
    """These in order, then `then` for ever; only for one signal's requests, the others are taken."""
    left, lock = list(answers), threading.Lock()

    def next_answer(request):
        if signal is not None and request.signal != signal:
            return OK
        with lock:
            return left.pop(0) if left else then
    return next_answer


# ------------------------------------------------------------------ bodies of answers, by hand

def varint(value):
    out = b""
    value &= (1 << 64) - 1
    while value > 127:
        out += bytes([value & 127 | 128])
        value >>= 7
    return out + bytes([value])


def field(number, content):
    return varint(number << 3 | 2) + varint(len(content)) + content


def partial_success(rejected=None, message=None):
    """Any Export...ServiceResponse: partial_success is 1, in it the count is 1 and the message 2."""
    inner = b"" if rejected is None else varint(1 << 3) + varint(rejected)
    inner += b"" if message is None else field(2, message.encode())
    return field(1, inner)


def status_message(code, message):
    """A google.rpc.Status."""
    return varint(1 << 3) + varint(code) + field(2, message.encode())


def gzip_bomb(size=1 << 30, times=1):
    """`size` zeros, gzipped `times` over."""
    packer, out = zlib.compressobj(9, zlib.DEFLATED, 31), []
    block = bytes(1 << 20)
    for _ in range(size >> 20):
        out.append(packer.compress(block))
    out.append(packer.flush())
    data = b"".join(out)
    for _ in range(times - 1):
        data = gzip.compress(data)
    return data


# ------------------------------------------------------------------ certificates

class Certificates:
    """A CA and what it signed; another CA that nobody trusts. Made by the openssl command, in `directory`."""

    def __init__(self, directory):
        self.directory = pathlib.Path(directory)
        self.directory.mkdir(exist_ok=True)
        self.ca = self.authority("ca")
        self.other_ca = self.authority("other-ca")
        self.good = self.signed("good", "ca", "DNS:localhost,IP:127.0.0.1,IP:::1")
        self.wrong_name = self.signed("wrong-name", "ca", "DNS:collector.example")
        self.unknown_ca = self.signed("unknown-ca", "other-ca", "DNS:localhost,IP:127.0.0.1")
        self.client = self.signed("client", "ca", "DNS:client.example", usage="clientAuth")
        self.other_client = self.signed("other-client", "other-ca", "DNS:client.example", usage="clientAuth")
        self._expired = None

    @property
    def expired(self):
        if self._expired is None:
            self._expired = self.signed("expired", "ca", "DNS:localhost,IP:127.0.0.1", past=True)
        return self._expired

    def openssl(self, *arguments, before=()):
        done = subprocess.run([*before, "openssl", *map(str, arguments)], cwd=self.directory, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr

    def authority(self, name):
        self.openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "30",
                     "-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.pem")
        return self.directory / f"{name}.pem"

    def signed(self, name, by, names, usage="serverAuth", past=False):
        """(certificate, key)"""
        self.openssl("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                     "-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.csr")
        (self.directory / f"{name}.ext").write_text(f"subjectAltName={names}\nextendedKeyUsage={usage}\n")
        sign = ["x509", "-req", "-in", f"{name}.csr", "-CA", f"{by}.pem", "-CAkey", f"{by}.key", "-CAcreateserial",
                "-days", "1" if past else "20", "-extfile", f"{name}.ext", "-out", f"{name}.pem"]
        self.openssl(*sign, before=["faketime", "-f", "-10d"] if past else [])
        return self.directory / f"{name}.pem", self.directory / f"{name}.key"


def have_openssl():
    return shutil.which("openssl") and shutil.which("faketime")


# ------------------------------------------------------------------ the server

class Gone(Exception):
    """The client went away."""


class HostileServer:
    def __init__(self, answers: Callable = always(OK), tls=None, client_ca=None, h2=False, unix=None, port=0,
                 accept=True, backlog=100, host="127.0.0.1", tls_most=None):
        """tls: (certificate, key); tls_most: no version above; accept=False: connections wait in the backlog, for ever."""
        self.answers, self.requests, self.lock = answers, [], threading.Lock()
        self.connections = 0
        self.tls_failures, self.closing = [], threading.Event()
        self.h2, self.context, self.open = h2, None, set()
        if tls:
            self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.context.load_cert_chain(*map(str, tls))
            if client_ca:
                self.context.verify_mode = ssl.CERT_REQUIRED
                self.context.load_verify_locations(str(client_ca))
            if tls_most:
                self.context.maximum_version = tls_most
            self.context.set_alpn_protocols(["h2", "http/1.1"] if h2 else ["http/1.1"])
        if unix:
            self.socket = socket.socket(socket.AF_UNIX)
            self.socket.bind("\0" + unix[1:] if unix.startswith("@") else unix)
            self.url, self.port = f"http+unix://{unix}:", None
        else:
            self.socket = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self.socket.bind((host, port))
            self.port = self.socket.getsockname()[1]
            shown = f"[{host}]" if ":" in host else host
            self.url = f"{'https' if tls else 'http'}://{shown}:{self.port}"
        self.socket.listen(backlog)
        self.threads = []
        if accept:
            self.thread = threading.Thread(target=self.accept, daemon=True)
            self.thread.start()
        else:
            self.thread = None

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.stop()

    def stop(self):
        """Nothing listens any more, and what was open is closed."""
        if self.closing.is_set():
            return
        self.closing.set()
        try:
            self.socket.shutdown(socket.SHUT_RDWR)  # wakes accept
        except OSError:
            pass
        self.socket.close()
        if self.thread:
            self.thread.join()
        with self.lock:
            still = list(self.open)
        for s in still:
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        for thread in self.threads:
            thread.join(10)

    def accept(self):
        while not self.closing.is_set():
            try:
                s, _ = self.socket.accept()
            except OSError:
                return
            with self.lock:
                number = self.connections
                self.connections += 1
                self.open.add(s)
            thread = threading.Thread(target=self.serve, args=(s, number), daemon=True)
            self.threads.append(thread)
            thread.start()

    def serve(self, plain, number):
        s = plain
        try:
            plain.settimeout(60)
            if self.context:
                try:
                    s = self.context.wrap_socket(plain, server_side=True)
                except (ssl.SSLError, OSError) as error:
                    self.tls_failures.append(str(error))
                    return
                with self.lock:
                    self.open.discard(plain)
                    self.open.add(s)
            if self.context and s.selected_alpn_protocol() == "h2":
                Http2(self, s, number).run()
            else:
                Http1(self, s, number).run()
        except (Gone, OSError, ssl.SSLError):
            pass
        finally:
            with self.lock:
                self.open.discard(s)
            s.close()

    def keep(self, request):
        with self.lock:
            request.number = len(self.requests)
            self.requests.append(request)
        request.answer = self.answers(request)
        return request.answer

    # ---- what came

    def of(self, signal):
        return [r for r in self.requests if r.signal == signal]

    def received(self, taken=True):
        """Everything that came in requests that were answered with success (taken=False: in all whole ones)."""
        out = Received()
        for request in list(self.requests):
            if request.taken if taken else request.whole:
                out.lines.extend(request.lines())
        return out

    def json_lines(self):
        """Of NDJSON over HTTP: every line that came."""
        return [json.loads(line) for r in list(self.requests) if r.whole for line in r.body.splitlines()]

    def wait(self, what, timeout=30):
        """Until what(self) is true, or fails."""
        end = time.monotonic() + timeout
        while not what(self):
            assert time.monotonic() < end, f"not within {timeout} s; {len(self.requests)} requests came"
            time.sleep(0.02)


class Http1:
    def __init__(self, server, s, number):
        self.server, self.socket, self.number, self.data = server, s, number, b""

    def more(self):
        data = self.socket.recv(1 << 16)
        if not data:
            raise Gone
        self.data += data

    def take(self, count):
        while len(self.data) < count:
            self.more()
        out, self.data = self.data[:count], self.data[count:]
        return out

    def line(self):
        while b"\r\n" not in self.data:
            self.more()
        out, self.data = self.data.split(b"\r\n", 1)
        return out.decode("latin-1")

    def run(self):
        served = 0
        while True:
            method, path, version = self.line().split(" ", 2)
            headers = []
            while line := self.line():
                name, value = line.split(":", 1)
                headers.append((name.lower(), value.strip()))
            request = Request(0, self.number, served, time.monotonic(), method, path, version, headers,
                              tls=self.socket.version() if self.server.context else None)
            answer = self.server.keep(request)
            if not self.respond(request, answer):
                return
            served += 1

    def end(self, answer, place):
        """Whether the connection ends here; with a reset if it is to be one."""
        if answer.reset == place:
            # Unread data alone makes a reset of a close; this does so whatever was read.
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            return True
        return answer.close == place

    def read_body(self, request, answer):
        """False: the connection ended inside it."""
        if request.header("expect") == "100-continue":
            self.socket.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        if request.header("transfer-encoding") == "chunked":
            while size := int(self.line().split(";")[0], 16):
                request.raw += self.take(size)
                self.line()
                if self.end(answer, "body"):
                    return False
            self.line()
        else:
            length = int(request.header("content-length") or 0)
            if answer.reset == "body" or answer.close == "body":
                request.raw = self.take(length // 2)
                self.end(answer, "body")
                return False
            request.raw = self.take(length)
        request.whole = True
        return True

    def respond(self, request, answer):
        if self.end(answer, "head") or not self.read_body(request, answer) or self.end(answer, "reply"):
            return False
        if answer.hang:
            self.server.closing.wait()
            return False
        self.server.closing.wait(answer.before)
        if answer.raw is not None:
            self.socket.sendall(answer.raw)
            return False
        self.write(self.head(request, answer), 1 if answer.head_pause else None, answer.head_pause)
        body = answer.body[:len(answer.body) // 2] if answer.cut else answer.body
        if answer.chunked:
            for at in range(0, len(body), 1 << 14):
                part = body[at:at + (1 << 14)]
                self.socket.sendall(b"%x\r\n%s\r\n" % (len(part), part))
            self.socket.sendall(b"0\r\n\r\n")
        else:
            self.write(body, answer.piece if answer.body_pause else None, answer.body_pause)
        return not (answer.last or answer.cut)

    def head(self, request, answer):
        text = "HTTP/1.1 100 Continue\r\n\r\n" if answer.interim else ""
        text += f"HTTP/1.1 {answer.status} Whatever\r\n"
        kind = answer.content_type if answer.content_type is not None else request.header("content-type")
        headers = [("Content-Type", kind)] if kind else []
        headers += [("Transfer-Encoding", "chunked")] if answer.chunked else [
            ("Content-Length", str(len(answer.body) if answer.length is None else answer.length))]
        headers += [("Connection", "close")] if answer.last else []
        text += "".join(f"{n}: {v}\r\n" for n, v in headers + list(answer.headers))
        return (text + "\r\n").encode("latin-1")

    def write(self, data, piece, pause):
        if piece is None:
            self.socket.sendall(data)
            return
        for at in range(0, len(data), piece):
            self.socket.sendall(data[at:at + piece])
            if self.server.closing.wait(pause):
                raise Gone


class Http2:
    """The same over HTTP/2, with the package h2 (build/venv)."""

    def __init__(self, server, s, number):
        from otlp_decode import use_venv
        use_venv()
        import h2.config
        import h2.connection
        self.server, self.socket, self.number, self.served = server, s, number, 0
        self.connection = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding="utf-8"))
        self.streams = {}

    def flush(self):
        if data := self.connection.data_to_send():
            self.socket.sendall(data)

    def run(self):
        self.connection.initiate_connection()
        self.flush()
        while data := self.socket.recv(1 << 16):
            for event in self.connection.receive_data(data):
                if self.handle(event) is False:
                    self.flush()
                    return
            self.flush()

    def handle(self, event):
        import h2.events
        if isinstance(event, h2.events.RequestReceived):
            pseudo = {n: v for n, v in event.headers if n.startswith(":")}
            request = Request(0, self.number, self.served, time.monotonic(), pseudo[":method"], pseudo[":path"], "HTTP/2",
                              [(n, v) for n, v in event.headers if not n.startswith(":")], protocol="h2")
            self.served += 1
            self.streams[event.stream_id] = request
            answer = self.server.keep(request)
            if answer.goaway:
                self.connection.close_connection(last_stream_id=max(0, event.stream_id - 2))
                return False
            if event.stream_ended:
                return self.respond(event.stream_id)
        elif isinstance(event, h2.events.DataReceived):
            self.streams[event.stream_id].raw += event.data
            self.connection.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            if event.stream_ended:
                return self.respond(event.stream_id)
        elif isinstance(event, h2.events.StreamEnded) and event.stream_id in self.streams:
            return self.respond(event.stream_id)
        elif isinstance(event, h2.events.ConnectionTerminated):
            return False
        return True

    def respond(self, stream):
        request = self.streams.pop(stream, None)
        if request is None:
            return True
        request.whole, answer = True, request.answer
        if answer.hang:
            self.server.closing.wait()
            return False
        self.server.closing.wait(answer.before)
        if answer.reset == "reply":
            self.connection.reset_stream(stream, error_code=7)  # REFUSED_STREAM
            return True
        if answer.close == "reply":
            return False
        headers = [(":status", str(answer.status)), ("content-type", answer.content_type or request.header("content-type") or ""),
                   ("content-length", str(len(answer.body)))]
        headers += [(n.lower(), v) for n, v in answer.headers]
        self.connection.send_headers(stream, headers, end_stream=not answer.body)
        for at in range(0, len(answer.body), 16384):
            part = answer.body[at:at + 16384]
            if self.connection.local_flow_control_window(stream) < len(part):
                break
            self.connection.send_data(stream, part, end_stream=at + 16384 >= len(answer.body))
        return True


# ------------------------------------------------------------------ a proxy

class Proxy:
    """A forward proxy: CONNECT, and requests with a whole URL. What was asked of it is in `asked`."""

    def __init__(self, status=200):
        self.asked, self.status = [], status  # (method, target, {header: value})
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.closing, self.open = False, []
        self.thread = threading.Thread(target=self.accept, daemon=True)
        self.thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.closing = True
        self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()
        self.thread.join()
        for s in self.open:
            s.close()

    def accept(self):
        while not self.closing:
            try:
                s, _ = self.socket.accept()
            except OSError:
                return
            self.open.append(s)
            threading.Thread(target=self.serve, args=(s,), daemon=True).start()

    def serve(self, s):
        try:
            self.serve_one(s)
        except OSError:
            pass
        finally:
            s.close()

    def serve_one(self, s):
        """One connection: a request of it says where to, and the rest goes there as it is."""
        data = b""
        while b"\r\n\r\n" not in data:
            more = s.recv(1 << 16)
            if not more:
                return
            data += more
        head, rest = data.split(b"\r\n\r\n", 1)
        first, *lines = head.decode("latin-1").split("\r\n")
        method, target, version = first.split(" ")
        headers = {k.lower(): v.strip() for k, v in (l.split(":", 1) for l in lines)}
        self.asked.append((method, target, headers))
        if self.status != 200:
            s.sendall(b"HTTP/1.1 %d No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n" % self.status)
            return
        if method == "CONNECT":
            host, port = target.rsplit(":", 1)
            onward = socket.create_connection((host.strip("[]"), int(port)), 10)
            s.sendall(b"HTTP/1.1 200 Yes\r\n\r\n")
        else:
            host, _, path = target.split("://", 1)[1].partition("/")
            name, _, port = host.partition(":")
            onward = socket.create_connection((name, int(port or 80)), 10)
            kept = "\r\n".join(l for l in lines if not l.lower().startswith("proxy-"))
            onward.sendall(f"{method} /{path} {version}\r\n{kept}\r\n\r\n".encode("latin-1"))
        onward.sendall(rest)
        self.open.append(onward)
        back = threading.Thread(target=self.pump, args=(onward, s), daemon=True)
        back.start()
        self.pump(s, onward)
        back.join(10)

    @staticmethod
    def pump(source, to):
        try:
            while data := source.recv(1 << 16):
                to.sendall(data)
            to.shutdown(socket.SHUT_WR)
        except OSError:
            pass
