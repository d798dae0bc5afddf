"""An OTLP sink whose collector is broken, slow, malicious or away: the program ends as it does bare and soon, memory
stays bounded, what can be tried again is, and what was lost is counted."""
import socket
import time

import pytest
from hostile_server import OK, Answer, Certificates, HostileServer, always, gzip_bomb, partial_success, script
from observe import bare, free_port, observe
from otlp_run import Living, bodies, exported, otlp_environment, report, run

# The library's own bound, and what a machine that does six things at once may add: this says "did not hang".
BOUND = 0.5
GENEROUS = BOUND + 8
# What the same program needs bare is some 10 MiB; the library's promise is pools and queues of a few MiB.
MEMORY = 48 * 1024  # KiB

YEAR = str(365 * 86400)

# name: (answer to everything, whether a request is sent again)
ANSWERS = {
    "503": (Answer(503), True),
    "429_retry_after_a_year": (Answer(429, [("Retry-After", YEAR)]), True),
    "503_retry_after_in_the_far_future": (Answer(503, [("Retry-After", "Fri, 31 Dec 9999 23:59:59 GMT")]), True),
    "500": (Answer(500), False),
    "400": (Answer(400), False),
    "301": (Answer(301, [("Location", "http://127.0.0.1:9/elsewhere")]), False),
    "307": (Answer(307, [("Location", "http://127.0.0.1:9/elsewhere")]), False),
    "reset_before_reading": (Answer(reset="head"), True),
    "reset_in_the_body": (Answer(reset="body"), True),
    "reset_before_the_reply": (Answer(reset="reply"), True),
    "closed_before_the_reply": (Answer(close="reply"), True),
    "hangs_after_the_request": (Answer(hang=True), None),
    "slow_head": (Answer(head_pause=0.2), None),
    "slow_body": (Answer(body=bytes(1000), body_pause=0.2), None),
    "5MiB": (Answer(body=bytes(5 << 20)), False),
    "5MiB_chunked": (Answer(body=bytes(5 << 20), chunked=True), False),
    "gzip_bomb": (None, False),
    "garbage_protobuf": (Answer(body=b"\xff" * 300), False),
    "garbage_gzip": (Answer(body=b"not gzip at all", headers=[("Content-Encoding", "gzip")]), None),
    "garbage_head": (Answer(raw=b"\0\1\2 this is no HTTP\n\n"), None),
    "endless_head": (Answer(raw=b"HTTP/1.1 200 OK\r\n" + b"X-A: b\r\n" * 500000), None),
    "cut_body": (Answer(body=bytes(1000), cut=True, length=1000), None),
    "body_longer_than_its_length": (Answer(body=bytes(1000), length=10), None),
    "interim": (Answer(interim=True), False),
    "partial_success": (Answer(body=partial_success(1, "one")), False),
    "partial_success_beyond_everything": (Answer(body=partial_success((1 << 63) - 1, "more than there were")), False),
    "partial_success_negative": (Answer(body=partial_success(-5, "less than none")), False),
    "partial_success_without_counts": (Answer(body=partial_success()), False),
    "partial_success_escape_codes": (Answer(body=partial_success(0, "\x1b[31m\n\n\0red")), False),
    "999": (Answer(999), None),
}


def answer_of(name):
    if name == "gzip_bomb":
        return Answer(body=gzip_bomb(1 << 29), headers=[("Content-Encoding", "gzip")])
    return ANSWERS[name][0]


@pytest.mark.parametrize("name", ANSWERS)
def test_program_is_left_alone(name):
    """To the end of a program whose collector does this: output, status, time, memory."""
    again = ANSWERS[name][1]
    with HostileServer(always(answer_of(name))) as server:
        with Living(server.url, exit_bound="500ms") as program:
            program.say("one")
            server.wait(lambda s: s.of("logs"))
            program.say_many(500)
            time.sleep(2.5 if again is not None else 1)
        ended = program.ended
        if again is not None:
            raws = [r.raw for r in server.of("logs") if r.whole]
            if raws:
                assert (len(raws) != len(set(raws))) == again, f"{len(raws)} requests, {len(set(raws))} different"
            else:
                assert len(server.of("logs")) > 1
        assert not any("elsewhere" in r.path for r in server.requests)
    report(behaviour=name, exit_seconds=round(ended.seconds, 3), peak_KiB=ended.memory, requests=len(server.requests))
    assert ended.seconds < GENEROUS
    assert ended.memory < MEMORY


@pytest.mark.parametrize("name", [n for n, (a, again) in ANSWERS.items() if again is False])
def test_what_is_not_tried_again_is_counted(name):
    """After one such answer the rest arrives, and what came and what was dropped add up."""
    with HostileServer(script([answer_of(name)], signal="logs")) as server:
        with Living(server.url, sets={"logs.rate": "0"}) as program:
            program.say("one")
            server.wait(lambda s: s.of("logs"))
            program.say_many(300)
            server.wait(lambda s: "many 299" in bodies(s.received()))
            first = server.of("logs")[0]
            lost = exported(server.received())
            if not 200 <= first.answer.status < 300 or "5MiB" in name or "bomb" in name:
                server.wait(lambda s: any(k for k in exported(s.received())))
        got = server.received()
    refused = sum(n for cause, n in exported(got).items() if cause)
    here = len(first.lines())
    expected = {"partial_success": 1, "partial_success_beyond_everything": here}.get(
        name, here if first.answer.status >= 300 or "5MiB" in name or "bomb" in name else 0)
    assert refused == expected, exported(got)
    assert sum(got.drops().values()) == expected, got.drops()
    everything = bodies(server.received(taken=False))
    assert everything["one"] == 1 and all(everything[f"many {i}"] == 1 for i in range(300)), lost


@pytest.mark.parametrize("name", [n for n, (a, again) in ANSWERS.items() if again and "year" not in n and "future" not in n])
def test_what_is_tried_again_arrives(name):
    """After two such answers everything arrives, and nothing is counted as dropped."""
    with HostileServer(script([answer_of(name)] * 2, signal="logs")) as server:
        with Living(server.url, sets={"logs.rate": "0"}) as program:
            program.say("one")
            server.wait(lambda s: s.of("logs"))
            program.say_many(300)
            server.wait(lambda s: "many 299" in bodies(s.received()))
        got = server.received()
    assert bodies(got)["one"] == 1 and all(bodies(got)[f"many {i}"] == 1 for i in range(300))
    assert not got.drops()


@pytest.mark.parametrize("kind", ["nobody_listens", "never_accepts", "full_backlog", "unroutable_name"])
def test_collector_that_is_not_there(kind):
    """No connection at all."""
    waiting = []
    if kind == "nobody_listens":
        url, server = f"http://127.0.0.1:{free_port()}", None
    elif kind == "unroutable_name":
        url, server = "http://collector.invalid:4318", None
    else:
        server = HostileServer(accept=False, backlog=100 if kind == "never_accepts" else 0)
        url = server.url
        if kind == "full_backlog":
            for _ in range(5):
                s = socket.socket()
                s.setblocking(False)
                s.connect_ex(("127.0.0.1", server.port))
                waiting.append(s)
    with Living(url, exit_bound="500ms") as program:
        for i in range(5):
            program.say(f"line {i}")
            time.sleep(0.2)
        start = time.monotonic()
        program.say_many(2000)
        wrote = time.monotonic() - start
    if server:
        server.stop()
    for s in waiting:
        s.close()
    report(behaviour=kind, exit_seconds=round(program.ended.seconds, 3), peak_KiB=program.ended.memory, wrote_seconds=round(wrote, 3))
    assert program.ended.seconds < GENEROUS and program.ended.memory < MEMORY


@pytest.mark.parametrize("certificate", ["wrong_name", "expired", "unknown_ca"])
def test_certificates_that_are_no_good(certificate, tmp_path):
    """Nothing is said to a server that cannot prove who it is, and the program does not notice."""
    made = Certificates(tmp_path / "c")
    log = tmp_path / "diagnostics"
    with HostileServer(tls=getattr(made, certificate)) as server:
        extra = {"SCOPE_OTLP_CA_FILE": str(made.ca), "SCOPE_DIAGNOSTICS_TO": str(log), "SCOPE_DIAGNOSTICS_LEVEL": "debug"}
        with Living(server.url, extra, exit_bound="500ms") as program:
            program.say("one")
            # In TLS 1.3 a client can find fault with a name when the server believes to be done.
            server.wait(lambda s: s.connections > 0)
            time.sleep(0.5)
        assert not server.requests
    report(behaviour=certificate, exit_seconds=round(program.ended.seconds, 3), peak_KiB=program.ended.memory)
    assert program.ended.seconds < GENEROUS
    assert "certificate" in log.read_text().lower()


def test_client_certificate_of_a_stranger(tmp_path):
    made = Certificates(tmp_path)
    with HostileServer(tls=made.good, client_ca=made.ca) as server:
        extra = {"SCOPE_OTLP_CA_FILE": str(made.ca), "SCOPE_OTLP_CLIENT_CERT": str(made.other_client[0]), "SCOPE_OTLP_CLIENT_KEY": str(made.other_client[1])}
        done = run(server.url, {**extra, "SCOPE_EXIT_BOUND": "500ms"})
        assert done.status == 0 and done.stdout == b"one\n" and not server.requests


def test_tls_that_hangs_in_the_handshake():
    """Something that is no TLS server, and says nothing."""
    with HostileServer(accept=False) as server:
        with Living(server.url.replace("http:", "https:"), exit_bound="500ms") as program:
            program.say("one")
            time.sleep(0.5)
    assert program.ended.seconds < GENEROUS


@pytest.mark.parametrize("answer", [Answer(goaway=True), Answer(reset="reply"), Answer(close="reply")], ids=["goaway", "refused_stream", "closed"])
def test_http2(answer, tmp_path):
    """Over HTTP/2: a stream that the server says it did not process is sent again."""
    made = Certificates(tmp_path)
    with HostileServer(script([answer], signal="logs"), tls=made.good, h2=True) as server:
        with Living(server.url, {"SCOPE_OTLP_CA_FILE": str(made.ca)}) as program:
            program.say("one")
            server.wait(lambda s: "one" in bodies(s.received()))
        assert program.ended.seconds < GENEROUS + 5
    assert {r.protocol for r in server.requests} == {"h2"}
    assert bodies(server.received())["one"] == 1 and not server.received().drops()


def test_redirect_takes_no_secret_along():
    with HostileServer() as other:
        with HostileServer(lambda r: Answer(307, [("Location", other.url + r.path)])) as server:
            done = run(server.url, {"SCOPE_OTLP_HEADERS": "api-key=s3cret"})
            assert done.status == 0 and server.requests
    assert not other.requests


@pytest.mark.parametrize("timeout", ["60s", "500ms"])
@pytest.mark.parametrize("temporality", ["delta", "cumulative"])
def test_outage_loses_no_counts(timeout, temporality):
    """Metrics wait folded: after an outage of many intervals every count is there, and little memory was needed."""
    gate = []
    with HostileServer(lambda r: OK if gate else Answer(503)) as server:
        with Living(server.url, {"SCOPE_OTLP_METRICS_INTERVAL": "50ms", "SCOPE_OTLP_TIMEOUT": timeout},
                    sets={"metrics.temporality": temporality, "memory.queue": "64KiB"}) as program:
            for i in range(60):
                program.say(f"line {i}")
                time.sleep(0.05)
            gate.append(True)
            server.wait(lambda s: s.received().metrics("scope.file.operation.duration"))
    got = server.received()
    # Each order is answered by two writes: the line and its echo; the last is the program's word about its memory.
    writes = got.total("scope.file.operation.duration", scope__operation="write", scope__descriptor__kind="pipe")
    lost = exported(got, "metric")["timeout"]
    report(timeout=timeout, temporality=temporality, writes=writes, points_timed_out=lost, dropped=dict(got.drops()))
    # A batch whose time was over, and which no server took, gives its deltas to the next.
    assert writes == 2 * 60 + 1
    if timeout == "500ms":
        assert lost > 0
    assert program.ended.memory < MEMORY


def test_no_count_comes_twice():
    """A server that takes requests and does not say so in time: what it may have is not sent again in the next batch."""
    with HostileServer(lambda r: Answer(hang=True) if r.signal == "metrics" and r.number < 4 else OK) as server:
        with Living(server.url, {"SCOPE_OTLP_METRICS_INTERVAL": "50ms", "SCOPE_OTLP_TIMEOUT": "300ms"},
                    sets={"metrics.temporality": "delta"}) as program:
            for i in range(30):
                program.say(f"line {i}")
                time.sleep(0.05)
            server.wait(lambda s: s.received().metrics("scope.file.operation.duration"))
    everything = server.received(taken=False)
    writes = everything.total("scope.file.operation.duration", scope__operation="write", scope__descriptor__kind="pipe")
    assert writes == 2 * 30 + 1
    told = server.received()
    assert 0 < told.total("scope.file.operation.duration", scope__operation="write", scope__descriptor__kind="pipe") < writes
    assert told.drops()["timeout"] > 0


def test_exit_bound_when_everything_hangs():
    """One short program after another, each with a collector that takes connections and never answers."""
    took = []
    with HostileServer(always(Answer(hang=True))) as server:
        for _ in range(3):
            start = time.monotonic()
            done = run(server.url, {"SCOPE_EXIT_BOUND": "500ms"})
            took.append(round(time.monotonic() - start, 3))
            assert (done.status, done.stdout, done.stderr) == (0, b"one\n", b"")
    report(behaviour="hang", seconds=took)
    assert max(took) < GENEROUS


@pytest.mark.parametrize("command", [["sh", "-c", "exit 7"], ["sh", "-c", "kill -TERM $$"], ["sh", "-c", "echo err >&2; exit 1"]])
def test_ends_as_it_would(command):
    with HostileServer(always(Answer(hang=True))) as server:
        plain, watched = bare(command), run(server.url, {"SCOPE_EXIT_BOUND": "300ms"}, command=command)
    assert (plain.status, plain.stdout, plain.stderr) == (watched.status, watched.stdout, watched.stderr)


def test_descriptors_and_threads_do_not_pile_up():
    """A collector that closes every connection: the program's descriptors stay as few."""
    with HostileServer(always(Answer(503, last=True))) as server:
        with Living(server.url, {"SCOPE_OTLP_LOGS_INTERVAL": "20ms"}) as program:
            import os
            counts = []
            for i in range(20):
                program.say(f"line {i}")
                time.sleep(0.1)
                counts.append((len(os.listdir(f"/proc/{program.pid}/fd")), len(os.listdir(f"/proc/{program.pid}/task"))))
    assert max(counts[10:])[0] <= max(counts[:10])[0] + 1 and max(c[1] for c in counts) <= 2, counts


def test_fork_while_a_request_is_under_way():
    """Children begin with nothing of their parent's: no connection, no request, no line twice."""
    program = ("import os, sys, time\n"
               "for i in range(5):\n"
               "    print('parent %d' % i, flush=True); time.sleep(0.1)\n"
               "    pid = os.fork()\n"
               "    if not pid:\n"
               "        print('child %d' % i, flush=True); sys.exit(0)\n"
               "    os.waitpid(pid, 0)\n")
    with HostileServer(lambda r: Answer(before=0.15)) as server:
        done = run(server.url, command=["/usr/bin/python3", "-c", program])
    assert done.status == 0
    assert bodies(server.received()) == {f"{who} {i}": 1 for who in ("parent", "child") for i in range(5)}
    assert not server.received().drops()
