"""Real programs, a real OpenTelemetry Collector: what it has received equals what an NDJSON file of the same run says,
and what the programs' clients count."""
import collections
import json
import pathlib
import re
import subprocess
import threading
import time

import pytest
from observe import Recording, Server, bare, clean_environment, free_port, need, scope_environment
from otel_collector import Collector, build
from otlp_run import NO_EVENTS, Living, bodies, exported, otlp_environment, report
from received import by, counted, series_of, total
from test_servers import NGINX, http_get, open_directory

# Two sinks at once: each has its own turn, and the last things that the library says of itself differ.
OURSELVES = re.compile(r"otel\.sdk\.|scope\.dropped$|scope\.processor\.")
# What the kernel says of the process at the moment when it is asked.
MOMENTARY = re.compile(r"process\.(cpu|memory|thread|unix|context_switches|paging|uptime)")


def both_environment(collector, to, extra=None, sets=None):
    """OTLP to the Collector and NDJSON to a file, of one run."""
    return scope_environment(to, {"SCOPE_OTLP_TO": collector.url, "SCOPE_OTLP_METRICS_INTERVAL": "200ms", "SCOPE_OTLP_LOGS_INTERVAL": "50ms",
                                  "SCOPE_EXIT_BOUND": "10s", **(extra or {})}, sets)


def key_of_log(line):
    body = line.get("body")
    return (line["resource"]["service.instance.id"], line.get("name"), body if isinstance(body, str) else str(body),
            json.dumps(line["attributes"], sort_keys=True), line.get("severity_number", 0))


def sums(recording):
    """What was counted of each series: {key: sum}."""
    out = {}
    lines = [l for l in recording.lines if l["signal"] == "metric" and not OURSELVES.match(l["name"]) and not MOMENTARY.match(l["name"])
             and (l["type"] != "gauge")]
    for key, points in by(lines, series_of).items():
        out[key] = total(points)
    return out


def assert_same(received, recording):
    """Record by record, series by series."""
    mine = collections.Counter(key_of_log(l) for l in recording.lines if l["signal"] == "log")
    theirs = collections.Counter(key_of_log(l) for l in received.lines if l["signal"] == "log")
    assert mine == theirs, (list((mine - theirs).items())[:5], list((theirs - mine).items())[:5])
    mine, theirs = sums(recording), sums(received)
    different = {k: (mine.get(k), theirs.get(k)) for k in mine.keys() | theirs.keys() if mine.get(k, 0) != theirs.get(k, 0)}
    assert not different, list(different.items())[:10]
    assert mine
    for line in received.lines:
        assert line["resource"]["service.instance.id"]
    assert not received.drops() and not recording.drops()


def start_nginx(place, port, env):
    (place / "site").mkdir()
    (place / "site" / "page").write_bytes(b"p" * 3000)
    conf = place / "nginx.conf"
    conf.write_text(NGINX.format(d=place, port=port, sendfile="on", user="root", mode="worker_processes 2;"))
    return Server(["nginx", "-c", conf, "-p", place], env, port)


@pytest.mark.parametrize("protocol", ["protobuf", "json"])
def test_nginx(protocol, request, tmp_path):
    """Requests with an access log: a log record for each line of it, everything else as in the file."""
    need("nginx")
    place = open_directory(request, "nginx")
    port, to, requests = free_port(), place / "telemetry.ndjson", 600
    with Collector(tmp_path) as collector:
        with start_nginx(place, port, both_environment(collector, to, {"SCOPE_OTLP_PROTOCOL": protocol})) as server:
            for n in (100, 200, 300):
                http_get(port, "/page", n)
            assert server.stop() == 0
    received, recording = collector.read(), Recording(to)
    lines = (place / "access.log").read_text().splitlines()
    assert len(lines) == requests
    assert sorted(l["body"] for l in received.logs(log__file__path=str(place / "access.log"))) == sorted(lines)
    assert received.total("scope.socket.connections.accepted") == 4  # wait_port's own is one
    assert_same(received, recording)
    assert not collector.complaints()


PYTHON = """
import os, socket, sys, tempfile
d = tempfile.mkdtemp()
for i in range(50):
    with open(os.path.join(d, 'f%d' % i), 'wb') as f: f.write(b'x' * 1000)
    with open(os.path.join(d, 'f%d' % i), 'rb') as f: f.read()
    os.unlink(os.path.join(d, 'f%d' % i))
s = socket.socket(); s.bind(('127.0.0.1', 0)); s.listen(50)
for i in range(20):
    c = socket.create_connection(s.getsockname()); a, _ = s.accept()
    c.sendall(b'y' * 100); a.recv(1000); c.close(); a.close()
try: socket.getaddrinfo('does-not.exist.invalid', 80)
except OSError: pass
try: open('/nosuch')
except OSError: pass
for i in range(100): print('ERROR line %d \u00e4\u00f6' % i)
sys.stderr.write('last\\n')
"""
SHELL = "for i in $(seq 20); do echo line-$i; done; cat /etc/hostname > /dev/null; (echo sub; exit 3); ls / | head -3 > /dev/null; sh -c 'echo inner >&2'"


@pytest.mark.parametrize("protocol", ["protobuf", "json"])
@pytest.mark.parametrize("temporality", ["delta", "cumulative"])
@pytest.mark.parametrize("what", ["python", "shell"])
def test_program(protocol, temporality, what, tmp_path):
    command = ["/usr/bin/python3", "-c", PYTHON] if what == "python" else ["bash", "-c", SHELL]
    to = tmp_path / "telemetry.ndjson"
    with Collector(tmp_path) as collector:
        env = both_environment(collector, to, {"SCOPE_OTLP_PROTOCOL": protocol, "PYTHONIOENCODING": "utf-8"}, {"metrics.temporality": temporality})
        done = bare(command, env=env)
    assert done.status == 0
    received = collector.read()
    assert_same(received, Recording(to))
    if what == "python":
        assert sum(1 for l in received.logs(log__iostream="stdout") if l["body"].startswith("ERROR line")) == 100
        assert received.total("scope.socket.connections.accepted") == 20
    assert not collector.complaints()


def test_redis(tmp_path):
    need("redis-server"), need("redis-benchmark")
    port, to = free_port(), tmp_path / "telemetry.ndjson"
    with Collector(tmp_path) as collector:
        with Server(["redis-server", "--port", port, "--bind", "127.0.0.1", "--save", "", "--dir", tmp_path], both_environment(collector, to), port) as server:
            assert bare(["redis-benchmark", "-p", port, "-n", "5000", "-c", "10", "-t", "set,get", "-q"]).status == 0
            stats = bare(["redis-cli", "-p", port, "info", "all"]).stdout.decode()
            assert server.stop() == 0
    received = collector.read()
    assert_same(received, Recording(to))
    connections = int(re.search(r"total_connections_received:(\d+)", stats).group(1))
    assert received.total("scope.socket.connections.accepted", network__transport="tcp") == connections


def test_collector_restarts_under_load(tmp_path):
    """Stopped in order and started again while a program logs: nothing is lost but what is counted, nothing comes twice."""
    lines = 4000
    with Collector(tmp_path) as collector:
        with Living(collector.url, {"SCOPE_OTLP_TIMEOUT": "30s", "SCOPE_EXIT_BOUND": "20s"}, sets={"logs.rate": "0", "metrics.temporality": "delta"}) as program:
            def load():
                for part in range(20):
                    program.say_many(lines // 20, f"part-{part}")
                    time.sleep(0.1)
            thread = threading.Thread(target=load)
            thread.start()
            for _ in range(2):
                time.sleep(0.3)
                collector.stop()
                time.sleep(0.6)
                collector.start()
            thread.join()
            collector.wait_for(lambda r: r.drops() or f"part-19 {lines // 20 - 1}" in bodies(r), timeout=60)
            program.end()
    received = collector.read()
    arrived = {b: n for b, n in bodies(received).items() if b.startswith("part-")}
    echoes = sum(n for b, n in bodies(received).items() if b.startswith("@"))
    assert max(arrived.values()) == 1, "an orderly stop answers what it has taken"
    drops = received.drops()
    report(arrived=len(arrived), dropped=dict(drops))
    records = sum(1 for l in received.lines if l["signal"] == "log")
    others = records - len(arrived) - echoes
    assert len(arrived) + echoes + others + sum(drops.values()) >= lines + 20
    # Exactly: the lines, their echoes, and the events, of which at most as many were lost as were dropped.
    assert 0 <= lines + 20 - len(arrived) - echoes <= sum(drops.values())
    if not drops:
        assert len(arrived) == lines and echoes == 20
    # The points never were dropped: what was counted is what was done.
    writes = received.total("scope.file.operation.duration", scope__operation="write", scope__descriptor__kind="pipe")
    assert writes >= 2 * 20 and set(drops) <= {"queue_full", "timeout", "sink_failed"}
    assert exported(received, "metric")["timeout"] == 0


def test_outage_longer_than_the_queue(tmp_path):
    """sent = received + dropped, exactly: of the log records, as the library counts its own."""
    with Collector(tmp_path) as collector:
        with Living(collector.url, {"SCOPE_OTLP_TIMEOUT": "0s", "SCOPE_EXIT_BOUND": "20s", "SCOPE_OTLP_LOGS_QUEUE": "300", "SCOPE_OTLP_LOGS_BATCH": "50"},
                    sets={"logs.rate": "0", "metrics.temporality": "delta", **NO_EVENTS}) as program:
            program.say("first")
            collector.wait_for(lambda r: "first" in bodies(r))
            collector.stop()
            for part in range(10):
                program.say_many(200, f"part-{part}")
            time.sleep(0.5)
            collector.start()
            # Metrics come back in their own time: the queue of records has room again when something of it came.
            collector.wait_for(lambda r: r.drops()["queue_full"] > 0 and any(b.startswith("part-") for b in bodies(r)), timeout=60)
            program.say("last")
            collector.wait_for(lambda r: "last" in bodies(r))
    received = collector.read()
    written = len(program.said) + len(program.ended.stdout.splitlines())
    came = sum(bodies(received).values())
    stderr = 1  # the program's own word about its memory
    records = sum(1 for l in received.lines if l["signal"] == "log")
    assert max(n for b, n in bodies(received).items() if not b.startswith("@")) == 1
    assert came + received.drops()["queue_full"] == written, (came, received.drops(), written)
    assert records == came + stderr
    assert set(received.drops()) == {"queue_full"}


def test_many_processes(tmp_path):
    """Twelve processes at once, each its own resource."""
    with Collector(tmp_path) as collector:
        running = [subprocess.Popen(["bash", "-c", "for i in $(seq 40); do echo w$1-$i; done", "x", str(n)],
                                    env=otlp_environment(collector.url, {"SCOPE_EXIT_BOUND": "20s"}), stdout=subprocess.DEVNULL) for n in range(12)]
        assert [p.wait(60) for p in running] == [0] * 12
    received = collector.read()
    mine = collections.Counter({b: n for b, n in bodies(received).items() if b.startswith("w")})
    assert mine == collections.Counter(f"w{n}-{i}" for n in range(12) for i in range(1, 41))
    for _, lines in by(received.lines, lambda l: l["resource"]["service.instance.id"]).items():
        assert len({l["resource"]["process.pid"] for l in lines}) == 1


def test_over_tls(tmp_path):
    from hostile_server import Certificates
    made = Certificates(tmp_path / "certificates")
    to = tmp_path / "telemetry.ndjson"
    with Collector(tmp_path, tls=made.good, client_ca=made.ca) as collector:
        env = both_environment(collector, to, {"SCOPE_OTLP_CA_FILE": str(made.ca), "SCOPE_OTLP_CLIENT_CERT": str(made.client[0]),
                                               "SCOPE_OTLP_CLIENT_KEY": str(made.client[1])})
        assert bare(["/usr/bin/python3", "-c", PYTHON], env=env).status == 0
    assert_same(collector.read(), Recording(to))


def test_jsonl_files(tmp_path):
    """OTLP's JSON lines, a file a signal, read by the Collector's own decoder: as sent over OTLP in the same run."""
    from otlp_decode import decode_lines
    files = {name: tmp_path / f"app-{name}.jsonl" for name in ("metrics", "logs", "traces")}
    direct, from_files = tmp_path / "direct", tmp_path / "files"
    direct.mkdir(), from_files.mkdir()
    with Collector(direct) as collector:
        env = both_environment(collector, tmp_path / "app.jsonl", {"SCOPE_NDJSON_FORMAT": "otlp", "PYTHONIOENCODING": "utf-8"})
        assert bare(["/usr/bin/python3", "-c", PYTHON], env=env).status == 0
    assert not (tmp_path / "app.jsonl").exists()
    assert files["metrics"].exists() and files["logs"].exists()
    assert not files["traces"].exists() or files["traces"].read_bytes() == b"", "nothing makes spans yet"
    for name in ("metrics", "logs"):
        assert decode_lines(files[name], name)
    with Collector(from_files, lines={name: files[name] for name in ("metrics", "logs")}) as reader:
        pass  # it has read them when it is ready
    assert_same(reader.read(), collector.read())


STATSD = ("import os, socket\n"
          "f = os.open('/dev/zero', 0)\nfor i in range(1234): os.read(f, 10)\n"
          "s = socket.socket(); s.bind(('127.0.0.1', 0)); s.listen(50)\n"
          "for i in range(%d): socket.create_connection(s.getsockname()).close()\n")


@pytest.mark.parametrize("connects", [1, 7])
def test_statsd(connects, tmp_path):
    """StatsD with tags, by the Collector's receiver: counts, sums and distributions equal the file's."""
    to = tmp_path / "telemetry.ndjson"
    with Collector(tmp_path, statsd=True) as collector:
        env = scope_environment(to, {"SCOPE_STATSD_TO": f"udp://127.0.0.1:{collector.statsd_port}"}, sets={"tags.team": "blue", "metrics.temporality": "delta"})
        assert bare(["/usr/bin/python3", "-c", STATSD % connects], env=env).status == 0
        collector.wait_for(lambda r: r.metrics("scope.socket.connections.open"))
        time.sleep(0.5)  # two of its intervals
    received, recording = collector.read(), Recording(to)

    def of(source, name, **attributes):
        return sum(counted(p) for p in source.metrics(name, team="blue", **attributes))
    assert of(received, "scope.file.io", scope__io__direction="read", scope__descriptor__kind="device") == 12340
    for name in ("scope.file.io", "scope.socket.connections.opened", "scope.socket.io", "scope.process.threads.started"):
        assert of(received, name) == of(recording, name), name
    for name in ("scope.file.operation.duration", "scope.socket.operation.duration"):
        assert of(received, name + ".count") == of(recording, name), name
        told, made = of(received, name + ".sum"), sum(p["value"]["sum"] for p in recording.metrics(name))
        assert told == pytest.approx(made, rel=1e-6), name
    assert of(recording, "scope.socket.connect.duration") == connects
    assert of(received, "scope.socket.connect.duration.count") == connects
    # This receiver knows nothing of DogStatsD's packed values (a:1:2|d) and leaves such lines out: docs/sinks.md.
    packed = of(received, "scope.socket.connect.duration")
    assert packed == connects if connects == 1 else packed < connects
    assert all(p["type"] == "exponentialHistogram" for p in received.metrics("scope.socket.connect.duration"))
    assert not collector.complaints()
