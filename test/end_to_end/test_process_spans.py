"""Processes are spans: the tree that they make is the one that strace saw made in the same run.

A span for every process that ended by itself: below the one that made it, with its exit status, under the name of the
last program that it executed; all of them one trace. And what children are told of it in their environment.
"""
import collections
import os
import re
import subprocess
import urllib.request

import pytest
from observe import SCOPE, Recording, bare, need, observe, scope_environment
from test_truth_processes import BASH, FORKS, MAKEFILE, PYTHON, Truth, run, strings

ON = {"SCOPE_TRACES_PROCESSES": "on"}
TRACE, SENDER = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
PARENT = f"00-{TRACE}-{SENDER}-01"


def spans_of(recording):
    spans = {l["attributes"]["process.pid"]: l for l in recording.lines if l["signal"] == "span"}
    assert len(spans) == sum(l["signal"] == "span" for l in recording.lines), "a process has two spans"
    assert len({s["span_id"] for s in spans.values()}) == len(spans)
    return spans


def tree(recording):
    """{process: (the process whose span is its parent, exit code)}; 'outside': a parent that is not among them."""
    spans = spans_of(recording)
    pid_of = {s["span_id"]: pid for pid, s in spans.items()}
    return {pid: (pid_of.get(s["parent_span_id"], "outside") if "parent_span_id" in s else None,
                  s["attributes"].get("process.exit.code")) for pid, s in spans.items()}


def truth_of(calls):
    """The same from strace, and each process's last executable."""
    threads, made, images = {}, {}, collections.defaultdict(list)
    for number, c in enumerate(calls):
        if c.name in FORKS and (c.result or 0) > 0:
            if "CLONE_THREAD" in c.args:
                threads[c.result] = c.tid
            else:
                made[c.result] = (number, c.tid)
        elif c.name == "execve" and not c.error:
            images[c.tid].append((number, os.path.basename(os.path.realpath(strings(c.args)[0]))))

    def process(tid):
        return process(threads[tid]) if tid in threads else tid

    ended = {process(tid): code for tid, code in Truth(calls).ended}

    def parent(pid):
        above = process(made[pid][1]) if pid in made else None
        return above if above is None or above in ended else "outside"

    def image(pid, before):
        known = [name for number, name in images[pid] if number < before]
        return known[-1] if known else image(process(made[pid][1]), made[pid][0])

    return ({pid: (parent(pid), code) for pid, code in ended.items()},
            {pid: image(pid, len(calls)) for pid in ended})


def same_tree(command, tmp_path, extra=None, status=0):
    calls, recording, done = run(command, tmp_path, {**ON, **(extra or {})})
    assert done.returncode == status, done.stderr[-2000:]
    expected, images = truth_of(calls)
    assert tree(recording) == expected
    spans = spans_of(recording)
    assert {pid: s["name"] for pid, s in spans.items()} == images
    assert len({s["trace_id"] for s in spans.values()}) == 1
    by_id = {s["span_id"]: s for s in spans.values()}
    for s in spans.values():
        assert s["kind"] == "internal"
        code = s["attributes"]["process.exit.code"]
        assert (s.get("status") == "error") == (code != 0)
        assert s["attributes"].get("error.type") == (str(code) if code else None)
        above = by_id.get(s.get("parent_span_id"))
        assert not above or above["time"] <= s["time"]
    assert not recording.drops()
    return spans


# ---------------------------------------------------------------- trees

def test_a_command_line_of_two_commands(tmp_path):
    spans = same_tree(["/bin/dash", "-c", "ls; sleep 0.1"], tmp_path)
    assert sorted(s["name"] for s in spans.values()) == ["dash", "ls", "sleep"]
    root, = [s for s in spans.values() if "parent_span_id" not in s]
    assert root["name"] == "dash"


SCRIPTS = {
    "pipeline": "echo one | (cat; true) | tail -n 1",
    "subshells": "(exit 3); (/bin/false); x=$(echo hi; /bin/echo there); echo $x; (sh -c 'exit 5'; exit 6); true",
    "background": "sleep 0.05 & /bin/true & (/bin/false & wait $!) & wait",
    "deep": "(:; (:; (:; (:; (:; (:; (:; (:; (:; (:; (:; /bin/true; :); :); :); :); :); :); :); :); :); :); :)",
    "last command is executed in place": "/bin/true; exec sh -c '/bin/echo; exit 0'",
    "loop": "for i in 1 2 3; do /bin/true; done; while read x; do /bin/echo $x; done < /etc/hosts",
    "not found": "nosuchprogram; /nosuch/program; true",
}


@pytest.mark.parametrize("shell", ["/bin/dash", "/bin/bash"])
@pytest.mark.parametrize("name", SCRIPTS)
def test_scripts(shell, name, tmp_path):
    same_tree([shell, "-c", SCRIPTS[name]], tmp_path)


def test_a_script_of_everything(tmp_path):
    same_tree(["/bin/bash", "-c", BASH], tmp_path, {"PYTHON": PYTHON}, status=8)


def test_make(tmp_path):
    need("make"), need("gcc")
    (tmp_path / "Makefile").write_text(MAKEFILE)
    (tmp_path / "empty.c").write_text("int nothing;\n")
    spans = same_tree(["/usr/bin/make", "-j2"], tmp_path)
    assert {"make", "cp"} < {s["name"] for s in spans.values()}


def test_programs_that_start_others(tmp_path):
    same_tree(["/bin/bash", "-c", "printf '1\\n2\\n3\\n' | xargs -P 2 -n 1 /bin/echo; env A=1 nice /bin/true; "
               "find /etc/hosts -exec /bin/echo {} ';'; timeout 20 /bin/echo; env -i /bin/true; :"], tmp_path)


PYTHON_ALL = """
import os, subprocess, threading
subprocess.run(['/bin/true'])
subprocess.run('/bin/echo; exit 4', shell=True)
subprocess.run(['/bin/true'], env={})
subprocess.run(['/bin/false'], preexec_fn=lambda: None, start_new_session=True)
os.system('/bin/true; exit 2')
os.popen('/bin/echo; :').read()
os.waitpid(os.posix_spawn('/bin/true', ['true'], dict(os.environ)), 0)
if os.fork() == 0:
    os.system('/bin/echo; :')  # whose parent is this one, not the one above
    if os.fork() == 0:
        subprocess.run(['/bin/true'], env=dict(os.environ))
        os._exit(3)
    os.wait()
    os._exit(9)
os.wait()
many = [threading.Thread(target=subprocess.run, args=(['/bin/true'],)) for _ in range(8)]
[t.start() for t in many]
[t.join() for t in many]
try: os.execv('/nosuch/program', ['x'])
except OSError: pass
os.execv('/bin/sh', ['sh', '-c', '/bin/true; exit 0'])
"""


def test_python(tmp_path):
    spans = same_tree(["/usr/bin/python3", "-c", PYTHON_ALL], tmp_path)
    assert len(spans) >= 20


def test_perl(tmp_path):
    need("perl")
    same_tree(["/usr/bin/perl", "-e", "system('/bin/true'); system('/bin/echo; exit 3'); `/bin/echo; :`; "
               "my $p = fork; if (!$p) { exec '/bin/false' } waitpid $p, 0; open my $f, '-|', '/bin/echo'; close $f;"
               "exit 0"], tmp_path)


# ---------------------------------------------------------------- ends

def test_one_that_is_killed_has_none(tmp_path):
    """Its child has: below a span that nobody could tell of."""
    calls, recording, _ = run(["/bin/dash", "-c", "sh -c '/bin/true; kill -KILL $$'; :"], tmp_path, ON)
    expected, _ = truth_of(calls)
    assert tree(recording) == expected
    assert sorted(s["name"] for s in spans_of(recording).values()) == ["dash", "true"]
    assert collections.Counter(above == "outside" for above, _ in expected.values())[True] == 1


def test_abort(tmp_path):
    outcome = observe(["/usr/bin/python3", "-c", "import os; os.abort()"], tmp_path, ON)
    assert outcome.status == -6
    span, = spans_of(outcome.recording).values()
    assert span["status"] == "error" and span["attributes"]["error.type"] == "SIGABRT"
    assert "process.exit.code" not in span["attributes"]


def test_a_daemon_goes_on_under_another_number(tmp_path):
    outcome = observe(["/usr/bin/python3", "-c", "import ctypes, os, subprocess\nprint(os.getpid(), flush=True)\n"
                       "subprocess.run(['/bin/true'])\nassert ctypes.CDLL(None).daemon(1, 1) == 0\n"
                       "print(os.getpid(), flush=True)\nsubprocess.run(['/bin/true'])"], tmp_path, ON)
    before, after = map(int, outcome.stdout.split())
    seen = tree(outcome.recording)
    assert before != after and before not in seen and seen[after] == (None, 0)
    assert [above for pid, (above, _) in seen.items() if pid != after] == [after, after]


# ---------------------------------------------------------------- the environment

def trace_variables(text):
    return dict(re.findall(r"^(TRACE\w+)=(.*)$", text.decode(), re.M))


def child_environment(tmp_path, env, how="import subprocess; subprocess.run(['/bin/cat', '/proc/self/environ'])"):
    outcome = observe(["/usr/bin/python3", "-c", how], tmp_path, env)
    assert outcome.status == 0, outcome.stderr
    return trace_variables(outcome.stdout.replace(b"\0", b"\n")), outcome.recording


def named(recording, name):
    return [s for s in spans_of(recording).values() if s["name"].startswith(name)]


def test_it_comes_from_outside_and_goes_on(tmp_path):
    seen, recording = child_environment(tmp_path, {**ON, "TRACEPARENT": PARENT, "TRACESTATE": "a=1,b=2"})
    python, = named(recording, "python")
    cat, = named(recording, "cat")
    assert (python["trace_id"], python["parent_span_id"], python["trace_state"]) == (TRACE, SENDER, "a=1,b=2")
    assert (cat["trace_id"], cat["parent_span_id"], cat["trace_state"]) == (TRACE, python["span_id"], "a=1,b=2")
    assert seen == {"TRACEPARENT": f"00-{TRACE}-{python['span_id']}-01", "TRACESTATE": "a=1,b=2"}


@pytest.mark.parametrize("how", ["import os; os.system('cat /proc/self/environ')",
                                 "import os; os.execv('/bin/cat', ['cat', '/proc/self/environ'])",
                                 "import os; os.execve('/bin/cat', ['cat', '/proc/self/environ'], {})",
                                 "import os; print(os.popen('cat /proc/self/environ').read())"])
def test_every_way_to_a_child(how, tmp_path):
    seen, recording = child_environment(tmp_path, {**ON, "TRACEPARENT": PARENT, "TRACESTATE": "a=1"}, how)
    handed = re.fullmatch(f"00-{TRACE}-(.{{16}})-01", seen["TRACEPARENT"]).group(1)
    cat, = named(recording, "cat")
    # In place of this one: it is this one. Else: its parent is.
    assert handed == (cat["span_id"] if ".exec" in how else cat["parent_span_id"])
    assert seen["TRACESTATE"] == "a=1"


@pytest.mark.parametrize("given", ["00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "its own thing"])
def test_what_a_program_sets_itself_stays(given, tmp_path):
    outcome = observe(["/bin/bash", "-c", f"export TRACEPARENT='{given}' TRACESTATE=x=y; cat /proc/self/environ; :"],
                      tmp_path, {**ON, "TRACEPARENT": PARENT})
    seen = trace_variables(outcome.stdout.replace(b"\0", b"\n"))
    assert seen == {"TRACEPARENT": given, "TRACESTATE": "x=y"}
    cat, = named(outcome.recording, "cat")
    if given.startswith("00-"):
        assert (cat["trace_id"], cat["parent_span_id"]) == tuple(given.split("-")[1:3])
    else:
        assert "parent_span_id" not in cat and cat["trace_id"] != TRACE


@pytest.mark.parametrize("given", ["", "nonsense", f"00-{TRACE.upper()}-{SENDER}-01", f"ff-{TRACE}-{SENDER}-01",
                                   f"00-{'0' * 32}-{SENDER}-01", f"00-{TRACE}-{SENDER}-01-more", None])
def test_a_traceparent_that_is_none_begins_a_trace(given, tmp_path):
    """And the tracestate beside it says nothing."""
    env = {**ON, "TRACESTATE": "a=1"}
    if given is not None:
        env["TRACEPARENT"] = given
    seen, recording = child_environment(tmp_path, env)
    python, = named(recording, "python")
    assert "parent_span_id" not in python and "trace_state" not in python
    assert python["trace_id"] != TRACE
    assert seen == {"TRACEPARENT": f"00-{python['trace_id']}-{python['span_id']}-03"}


def test_what_is_not_sampled_is_not_told_but_handed_on(tmp_path):
    seen, recording = child_environment(tmp_path, {**ON, "TRACEPARENT": PARENT[:-1] + "0"})
    assert not spans_of(recording)
    version, trace, span, flags = seen["TRACEPARENT"].split("-")
    assert (trace, flags) == (TRACE, "00") and span != SENDER


def test_a_later_version_is_read(tmp_path):
    seen, recording = child_environment(tmp_path, {**ON, "TRACEPARENT": f"cc-{TRACE}-{SENDER}-01-more"})
    python, = named(recording, "python")
    assert (python["trace_id"], python["parent_span_id"]) == (TRACE, SENDER)
    assert seen["TRACEPARENT"].startswith("00-")


@pytest.mark.parametrize("switch", ["SCOPE_TRACES_PROCESSES", "SCOPE_TRACES_ENABLED"])
@pytest.mark.parametrize("extra", [{}, {"TRACEPARENT": PARENT, "TRACESTATE": "a=1"}, {"TRACESTATE": "a=1"},
                                   {"TRACEPARENT": "nonsense"}])
def test_switched_off_nothing_is_touched(extra, switch, tmp_path):
    seen, recording = child_environment(tmp_path, {switch: "off", **extra})
    assert seen == extra
    assert not spans_of(recording)


def test_the_program_sees_a_traceparent_and_nothing_else(tmp_path):
    shown = bare(["/usr/bin/env"]).stdout
    outcome = observe(["/usr/bin/env"], tmp_path, ON)

    def others(text):
        return sorted(l for l in text.splitlines() if not l.startswith((b"SCOPE_", b"LD_PRELOAD=", b"TRACEPARENT=")))

    assert others(outcome.stdout) == others(shown)
    assert trace_variables(outcome.stdout).keys() == {"TRACEPARENT"}
    # after an exec, what was handed over for it is gone, too
    outcome = observe(["/bin/sh", "-c", "exec env"], tmp_path, ON)
    assert b"SCOPE_SPAN" not in outcome.stdout and b"TRACEPARENT" in outcome.stdout


STATIC = r"""
#include <stdio.h>
#include <string.h>
extern char **environ;
int main(void) { for (char **e = environ; *e; e++) if (!strncmp(*e, "TRACEPARENT=", 12)) puts(*e); return 0; }
"""


@pytest.mark.parametrize("shell", ["/bin/dash", "/bin/bash"])
def test_one_that_cannot_be_seen_is_its_parents_child(shell, tmp_path):
    """What it makes of TRACEPARENT hangs below a span that is told of: its own never is."""
    need("gcc")
    (tmp_path / "static.c").write_text(STATIC)
    subprocess.run(["gcc", "-static", "-o", "static", "static.c"], cwd=tmp_path, check=True)
    outcome = observe([shell, "-c", f"{tmp_path}/static; :"], tmp_path, ON)
    span, = spans_of(outcome.recording).values()
    assert span["name"] == os.path.basename(shell)
    assert trace_variables(outcome.stdout)["TRACEPARENT"] == f"00-{span['trace_id']}-{span['span_id']}-03"


@pytest.mark.parametrize("shell", ["/bin/dash", "/bin/bash"])
def test_what_an_excluded_one_starts_is_its_parents_child(shell, tmp_path):
    """And once something watched is executed in its place, its span goes on."""
    outcome = observe([shell, "-c", "nice /bin/true; nice /bin/sh -c 'exit 3'; env sh -c '/bin/echo; exit 4'; :"], tmp_path, ON,
                      sets={"processes.exclude": "env,nice"})
    seen, spans = tree(outcome.recording), spans_of(outcome.recording)
    root, = [pid for pid, (above, _) in seen.items() if above is None]
    by_code = {code: pid for pid, (_, code) in seen.items() if code}
    assert collections.Counter((s["name"], *seen[pid]) for pid, s in spans.items()) == collections.Counter([
        (os.path.basename(shell), None, 0), ("true", root, 0), ("dash", root, 3), ("dash", root, 4),
        ("echo", by_code[4], 0)])
    outcome = observe([shell, "-c", "find /etc/hosts -exec /bin/echo {} ';'; :"], tmp_path, ON,
                      sets={"processes.exclude": "find"})
    seen, spans = tree(outcome.recording), spans_of(outcome.recording)
    root, = [pid for pid, (above, _) in seen.items() if above is None]
    assert collections.Counter((s["name"], *seen[pid]) for pid, s in spans.items()) == collections.Counter([
        (os.path.basename(shell), None, 0), ("echo", root, 0)])


def test_a_span_handed_to_another_process_is_not_taken(tmp_path):
    handed = f"1:1700000000000000000:{PARENT}:0"
    outcome = observe(["/bin/true"], tmp_path, {**ON, "SCOPE_SPAN": handed})
    span, = spans_of(outcome.recording).values()
    assert span["trace_id"] != TRACE
    for nonsense in ("", ":", "1", f"{'9' * 40}:1:{PARENT}:0", "x" * 5000):
        outcome = observe(["/bin/sh", "-c", f"SCOPE_SPAN=$$:{nonsense} exec /bin/true"], tmp_path, ON)
        assert outcome.status == 0 and len(spans_of(outcome.recording)) == 1


def test_scope_run_switches_it_on(tmp_path):
    to = tmp_path / "run.ndjson"
    env = {k: v for k, v in scope_environment(to).items() if k != "LD_PRELOAD"}
    subprocess.run([SCOPE, "run", "--quiet", "--", "/bin/dash", "-c", "/bin/true; exit 3"], env=env, timeout=60)
    assert sorted(code for _, code in tree(Recording(to)).values()) == [0, 3]
    to.unlink()
    subprocess.run([SCOPE, "run", "--quiet", "--set", "traces.processes=off", "--", "/bin/true"], env=env, timeout=60)
    assert not spans_of(Recording(to))


@pytest.mark.parametrize("sampler, ratio, parent, told", [
    ("always_off", 1, None, False), ("always_off", 1, "01", False), ("always_on", 1, "00", True),
    ("parentbased_always_off", 1, None, False), ("parentbased_always_off", 1, "01", True),
    ("traceidratio", 0, "01", False), ("traceidratio", 1, "00", True), ("parentbased_traceidratio", 0, "01", True),
    ("parentbased_traceidratio", 0, None, False), ("parentbased_traceidratio", 1, None, True)])
def test_samplers(sampler, ratio, parent, told, tmp_path):
    env = {**ON, "OTEL_TRACES_SAMPLER": sampler, "OTEL_TRACES_SAMPLER_ARG": str(ratio)}
    if parent:
        env["TRACEPARENT"] = PARENT[:-2] + parent
    outcome = observe(["/bin/sh", "-c", "/bin/true; :"], tmp_path, env)
    assert len(spans_of(outcome.recording)) == 2 * told


# ---------------------------------------------------------------- within a request

SERVER = """
import ctypes, http.server, os, subprocess
SHOW = ['/bin/cat', '/proc/self/environ']
libc = ctypes.CDLL(None)
libc.popen.restype = ctypes.c_void_p
def fork():
    if os.fork() == 0:
        subprocess.run(SHOW)
        os._exit(0)
    os.wait()
HOW = {
    '/system': lambda: os.system('cat /proc/self/environ; :'),
    '/popen': lambda: libc.pclose(ctypes.c_void_p(libc.popen(b'cat /proc/self/environ; :', b'w'))),
    '/run': lambda: subprocess.run(SHOW),
    '/spawn': lambda: os.waitpid(os.posix_spawn(SHOW[0], SHOW, os.environ), 0),
    '/fork': fork,
}
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        HOW[self.path]()
        self.send_response(200)
        self.send_header('Content-Length', '0')
        self.end_headers()
    def log_message(self, *a): pass
server = http.server.HTTPServer(('127.0.0.1', 0), Handler)
print(server.server_port, flush=True)
for _ in HOW: server.handle_request()
"""


@pytest.mark.parametrize("spans", ["on", "off"])
def test_what_a_request_starts_is_its_child(spans, tmp_path):
    to = tmp_path / "telemetry.ndjson"
    env = scope_environment(to, {"SCOPE_TRACES_PROCESSES": spans})
    ways = ["/system", "/popen", "/run", "/spawn", "/fork"]
    with subprocess.Popen(["/usr/bin/python3", "-c", SERVER], env=env, stdout=subprocess.PIPE, text=True) as server:
        port = int(server.stdout.readline())
        for way in ways:
            urllib.request.urlopen(f"http://127.0.0.1:{port}{way}", timeout=20).read()
        shown = re.findall(r"TRACEPARENT=00-(\w+)-(\w+)-03", server.stdout.read())
    told = [l for l in Recording(to).lines if l["signal"] == "span"]
    requests = {l["attributes"]["url.path"]: l for l in told if l["kind"] == "server"}
    assert sorted(requests) == sorted(ways)
    processes = [l for l in told if "process.exit.code" in l["attributes"]]
    if spans == "off":
        assert not processes
        assert shown == [(requests[way]["trace_id"], requests[way]["span_id"]) for way in ways]
        return
    by_id = {l["span_id"]: l for l in told}

    def way_of(span):
        while span and span["kind"] != "server":
            span = by_id.get(span.get("parent_span_id"))
        return span and span["attributes"]["url.path"]

    seen = collections.Counter((way_of(l), l["name"].rstrip(".0123456789")) for l in processes)
    assert seen == collections.Counter([(way, "cat") for way in ways] + [
        ("/system", "dash"), ("/popen", "dash"), ("/fork", "python"), (None, "python")])
    direct = collections.Counter(by_id[l["parent_span_id"]]["kind"] for l in processes if "parent_span_id" in l)
    assert direct == {"server": 5, "internal": 3}
