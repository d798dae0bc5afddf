"""Names and units against what OpenTelemetry publishes (the package opentelemetry-semantic-conventions)."""
import importlib.util
import pathlib
import re

import pytest
from chain import certificate
from observe import Recording, bare, scope_environment
from otlp_decode import use_venv

# Metrics that we name without `scope.` and that the package lacks, each with its reason. None: keep it so.
NOT_IN_THE_PACKAGE = {}
# Attributes that OpenTelemetry's specification, not its conventions, defines.
SPECIFICATIONS_OWN = {"otel.metric.overflow"}

SERVE = """
import http.server, ssl, sys, urllib.request
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        try: open('/nosuch/within')
        except OSError: pass
        self.send_response(200 if self.path.startswith('/found') else 503); self.end_headers()
    do_PROPFIND = do_GET
    def log_message(self, *about): pass
def serve():
    trust = ssl.create_default_context(cafile=sys.argv[1])
    own = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER); own.load_cert_chain(sys.argv[1], sys.argv[2])
    server = http.server.HTTPServer(('127.0.0.1', 0), Answer)
    server.socket = own.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, args=(0.05,)).start()
    for path, method in (('/found/7?sig=secret', 'GET'), ('/lost', 'GET'), ('/found/8', 'PROPFIND')):
        try: urllib.request.urlopen(urllib.request.Request('https://localhost:%d%s' % (server.server_port, path), method=method), context=trust).read()
        except urllib.error.HTTPError: pass
    server.shutdown()
"""
PROGRAM = SERVE + ("import os, socket, subprocess, threading, syslog\n"
           "f = os.open('/dev/zero', 0)\nfor i in range(12): os.read(f, 10)\n"
           "try: open('/nosuch')\nexcept OSError: pass\n"
           "s = socket.socket(); s.bind(('127.0.0.1', 0)); s.listen(50)\n"
           "for i in range(3): socket.create_connection(s.getsockname()).close()\n"
           "try: socket.create_connection(('127.0.0.1', 1))\nexcept OSError: pass\n"
           "try: socket.getaddrinfo('one.invalid', 80)\nexcept OSError: pass\n"
           "t = threading.Thread(target=lambda: None); t.start(); t.join()\n"
           "subprocess.run(['/bin/false']); serve(); print('ERROR x'); os.mkdir('d'); os.rename('d', 'e'); os.rmdir('e')\n")


@pytest.fixture(scope="module")
def published():
    """(metric names with units, attribute names) of all versions' modules in the package."""
    use_venv()
    place = pathlib.Path(next(iter(importlib.util.find_spec("opentelemetry.semconv").submodule_search_locations)))
    metrics, attributes = {}, set()
    for path in place.rglob("*.py"):
        text = path.read_text()
        if "attributes" in path.name or "attributes" in str(path.parent):
            attributes |= set(re.findall(r'^[A-Z0-9_]+\s*:\s*Final\s*=\s*\(?\s*"([a-z0-9_.]+)"', text, re.M))
        attributes |= set(re.findall(r'^    [A-Z0-9_]+ = "([a-z0-9_.]+)"', text, re.M))
        if "metrics" in str(path):
            for name, doc in re.findall(r'^[A-Z0-9_]+\s*:\s*Final\s*=\s*\(?\s*"([a-z0-9_.]+)"\s*\)?\s*\n"""(.*?)"""', text, re.M | re.S):
                unit = re.search(r"^Unit: (.*)$", doc, re.M)
                metrics.setdefault(name, unit.group(1) if unit else None)
            for name, unit in re.findall(r'name=(?:[A-Z0-9_]+|"([a-z0-9_.]+)"),.*?unit="([^"]*)"', text, re.S):
                if name:
                    metrics.setdefault(name, unit)
    assert len(metrics) > 100 and len(attributes) > 300
    return metrics, attributes


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    place = tmp_path_factory.mktemp("names")
    to = place / "t"
    env = scope_environment(to, {"SCOPE_TRACES_PROCESSES": "on"}, {"traces.routes": "/found/{id}", "traces.headers": "host"})
    done = bare(["/usr/bin/python3", "-c", PROGRAM, *certificate(place)], env=env, cwd=place)
    assert done.status == 0, done.stderr
    return Recording(to)


def test_metric_names(published, recording):
    metrics, _ = published
    ours = {l["name"]: l["unit"] for l in recording.lines if l["signal"] == "metric" and not l["name"].startswith("scope.")}
    assert ours.keys() >= {"dns.lookup.duration", "process.cpu.time", "process.memory.usage"}
    assert not NOT_IN_THE_PACKAGE.keys() & metrics.keys(), "it has them by now"
    unknown = sorted(ours.keys() - metrics.keys() - NOT_IN_THE_PACKAGE.keys())
    assert not unknown
    wrong = {name: (unit, metrics[name]) for name, unit in ours.items() if metrics.get(name) and metrics[name] != unit}
    assert not wrong


def test_metric_names_of_the_source(published, root):
    """Those too that no run of a test sends: all that the table of metrics names."""
    metrics, _ = published
    text = (root / "src" / "report" / "metrics.c").read_text()
    named = set(re.findall(r'"((?:process|dns|http|otel|system|rpc|db)\.[a-z0-9_.]+)"', text))
    attributes_there = published[1]
    assert len(named) > 8
    unknown = sorted(n for n in named if n not in metrics and n not in attributes_there and n not in NOT_IN_THE_PACKAGE)
    assert not unknown


def test_attribute_names(published, recording, registry):
    _, attributes = published
    ours = set()
    for line in recording.lines:
        ours |= line["attributes"].keys() | line["resource"].keys()
    assert {"http.request.method", "url.full", "tls.protocol.version", "dns.question.name", "process.exit.code"} <= ours
    assert not unknown_of(ours, attributes | registry | SPECIFICATIONS_OWN)


def unknown_of(names, known):
    """Headers are named after what came: their conventions are templates."""
    return sorted(n for n in names if re.sub(r"^(http\.(request|response)\.header)\..*", r"\1", n) not in known)


# ---------------------------------------------------------------- our own page

def tokens(text):
    """What stands between backticks; one that begins with a dot goes on from the name before it, and {a,b} stands for both."""
    found, last, whole = set(), "", []
    for token in re.findall(r"`([^`\s]+)`", text):
        choice = re.fullmatch(r"(.*)\{([a-z_,]+)\}(.*)", token)
        whole += [choice[1] + one + choice[3] for one in choice[2].split(",")] if choice and "," in choice[2] else [token.split("=")[0]]
    for token in whole:
        if token.startswith(".") and last:
            token = ".".join(last.split(".")[:-len(token.split(".")) + 1]) + token
        elif "." in token:
            last = token
        found.add(token)
    return found


@pytest.fixture(scope="module")
def page(root):
    return (root / "docs" / "telemetry.md").read_text()


@pytest.fixture(scope="module")
def registry(page):
    """The names of the first column of the table at the page's end."""
    rows = page.split("## The registry of `scope.` attributes", 1)[1]
    found = set().union(*(tokens(row.split("|")[1]) for row in rows.splitlines() if row.startswith("| `")))
    assert len(found) > 20 and all(n.startswith("scope.") for n in found)
    return found


def literals(root, *names):
    """Texts of the form a.b that the source of the fold has, but for names of options and files."""
    options = set(re.findall(r'"([a-z_]+(?:\.[a-z_]+)+)"', (root / "conf" / "options.def").read_text()))
    found = set()
    for path in (root / "src" / "report").glob("*.c"):
        if not names or path.name in names:
            found |= set(re.findall(r'"([a-z][a-z0-9_]*(?:\.[a-z][a-z0-9_]*)+)"', path.read_text()))
    return {n for n in found - options if n.split(".")[0] in ROOTS}


ROOTS = {"scope", "http", "url", "rpc", "network", "server", "client", "tls", "dns", "process", "error", "user_agent", "file", "thread", "log",
         "code", "otel", "service", "host", "os", "container", "k8s", "telemetry"}


def test_attribute_names_of_the_spans_source(published, registry, root):
    """Those too that no run of a test sends: all that spans are made of."""
    metrics, attributes = published
    ours = literals(root, "http_span.c", "setup.c", "process_span.c", "file_span.c")
    assert {"rpc.response.status_code", "http.route", "http.request.method_original", "scope.rpc.request.messages"} <= ours
    assert not unknown_of(ours, attributes | registry)


def test_the_page_has_every_name(page, root):
    """Metrics, attributes, events and scopes, as the source has them."""
    there = tokens(page)
    missing = sorted(n for n in literals(root) if n not in there)
    assert not missing, " ".join(missing)


def test_the_page_names_nothing_else(published, page, registry, root):
    """A name that was renamed in the source is renamed there."""
    metrics, attributes = published
    source = literals(root)
    gone = sorted(n for n in tokens(page) if n.startswith("scope.") and n not in source and not n.endswith((".", "*")))
    assert not gone, " ".join(gone)


def test_checks_can_fail(registry):
    assert unknown_of({"http.request.header.x-a", "http.nonsense"}, {"http.request.header"}) == ["http.nonsense"]
    assert tokens("`a.b.c`, `.d` and `x`; `y.{a,b}.z`") == {"a.b.c", "a.b.d", "x", "y.a.z", "y.b.z"}
    assert unknown_of({"scope.nonsense"}, registry) == ["scope.nonsense"]


# ---------------------------------------------------------------- spans

# Name by kind, as the conventions form it: never anything of the request that has no bound.
NAMES = {"scope.http": r"(GET|HTTP)( /[a-z/{}]*)?", "scope.name": r"DNS lookup \S+", "scope.socket": r"socket connect \S+:\d+",
         "scope.tls": r"TLS (client|server) handshake \S+", "scope.process": r"[\w.-]+", "scope.file": r"[a-z0-9_]+"}
REQUIRED = {("scope.http", "server"): {"http.request.method", "url.path", "url.scheme"},
            ("scope.http", "client"): {"http.request.method", "server.address", "server.port", "url.full"},
            ("scope.name", "internal"): {"dns.question.name"},
            ("scope.socket", "internal"): {"network.peer.address", "network.peer.port", "network.transport"},
            ("scope.tls", "internal"): {"tls.protocol.name", "tls.protocol.version"},
            ("scope.process", "internal"): {"process.executable.name", "process.pid", "process.exit.code"},
            ("scope.file", "internal"): {"scope.operation"}}


def test_spans(recording, page):
    spans = [l for l in recording.lines if l["signal"] == "span"]
    assert {(s["scope"], s["kind"]) for s in spans} == REQUIRED.keys()
    for s in spans:
        assert re.fullmatch(NAMES[s["scope"]], s["name"]), s["name"]
        assert REQUIRED[s["scope"], s["kind"]] <= s["attributes"].keys(), s
        assert ("error.type" in s["attributes"]) == (s.get("status") == "error"), s
        assert s.get("status") != "ok", "that is the application's to say"
        assert f"`{s['scope']}`" in page
    names = {s["name"] for s in spans if s["scope"] == "scope.http"}
    assert names == {"GET", "GET /found/{id}", "HTTP", "HTTP /found/{id}"}
    other, = [s for s in spans if s["name"].startswith("HTTP") and s["kind"] == "server"]
    assert (other["attributes"]["http.request.method"], other["attributes"]["http.request.method_original"]) == ("_OTHER", "PROPFIND")
