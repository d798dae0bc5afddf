"""Truth by log: each line that a program wrote to standard output, standard error or a log file is reported
once, in order, with the right stream, as the outputs and files themselves show afterwards."""
import codecs
import collections
import re
import sys

import pytest
import strace
from observe import Recording, need, observe, scope_environment

PYTHON = """
import sys
with open('app.log', 'w') as log:
    for i in range(600):
        print('out', i, 'x' * (i % 90)); print('error', i, file=sys.stderr)
        log.write(f'log {i} ' + 'y' * (i % 70) + '\\n')
        if i % 50 == 0: sys.stdout.write('with'); sys.stdout.write('out an end yet, '); sys.stdout.flush(); print('now')
print('no newline at the end', end='')
"""

PERL = """
open(L, '>', 'app.log'); select((select(L), $| = 1)[0]);
for (1 .. 300) { print "out $_\\n"; print STDERR "error $_\\n"; print L "log ", $_, "\\n" }
"""

JAVA = """
import java.io.*;
public class L { public static void main(String[] a) throws Exception {
  try (PrintWriter log = new PrintWriter(new FileWriter("app.log"))) {
    for (int i = 0; i < 300; i++) {
      System.out.println("out " + i); System.err.println("error " + i); log.println("log " + i + "z".repeat(i % 50)); } } } }
"""

PROGRAMS = {
    "python": ["/usr/bin/python3", "-c", PYTHON],
    "perl": ["perl", "-e", PERL],
    "java": ["java", "-Xshare:auto", "-XX:TieredStopAtLevel=1", "L.java"],
}


def lines(data):
    return [line for line in data.decode().split("\n") if line]


def streams(recording):
    """{stream or file: its lines in order}, records of several lines taken apart."""
    out = collections.defaultdict(list)
    for record in recording.logs():
        a = record["attributes"]
        assert not a.get("scope.log.truncated")
        where = a.get("log.iostream") or a["log.file.path"]
        assert ("log.iostream" in a) != ("log.file.path" in a)
        out[where] += record["body"].split("\n")
    return out


def directory(tmp_path):
    here = tmp_path / "d"
    here.mkdir()
    return here


@pytest.mark.parametrize("name", PROGRAMS)
def test_each_line_once(name, tmp_path):
    command = PROGRAMS[name]
    need(command[0])
    here = directory(tmp_path)
    (here / "L.java").write_text(JAVA)
    done = observe(command, tmp_path, cwd=here)
    assert done.status == 0
    have = streams(done.recording)
    want = {"stdout": lines(done.stdout), "stderr": lines(done.stderr)}
    want |= {str(file): lines(file.read_bytes()) for file in here.glob("*.log")}
    assert {where: sorted(all_of) for where, all_of in have.items()} == \
        {where: sorted(all_of) for where, all_of in want.items() if all_of}
    if name != "java":  # one process, one thread: in the order of writing
        assert have == want
    assert not done.recording.drops()


BASH = """
for i in {1..200}; do echo "out $i"; echo "error $i" >&2; echo "log $i"; done >out.log
for i in {1..100}; do echo "out $i"; echo "error $i" >&2; echo "appended $i" >> app.log; done
printf 'one\\ntwo\\nthree\\n'; seq 1000 1300; cat app.log | tail -n 3 >&2
"""


def written(calls):
    """{(process, stream): what it wrote}. Standard output is number 1 wherever that leads, unless standard error was
    put onto it, for a while; a copy that waits for its return is as what it is a copy of."""
    out = collections.defaultdict(bytes)
    streams = collections.defaultdict(lambda: {1: "stdout", 2: "stderr"})
    for call in calls:
        fd, what = strace.first_descriptor(call)
        now = streams[call.tid]
        if call.name == "execve":
            del streams[call.tid]
        elif call.error:
            continue
        elif call.name in ("dup2", "fcntl") and (call.name == "dup2" or "F_DUPFD" in call.args):
            at_number = {1: "stdout", 2: "stderr"}.get(call.result)
            now[call.result] = "stderr" if now.get(fd) == "stderr" else at_number or now.get(fd)
        elif call.name == "write" and (now.get(fd) or what.endswith(".log")):
            text = re.search(r', "((?:[^"\\]|\\.)*)", \d+$', call.args, re.S).group(1)
            out[call.tid, now.get(fd) or what] += codecs.decode(text, "unicode_escape").encode("latin-1")
    return out


def test_a_shell_script(tmp_path):
    """What each process of a pipeline wrote, by strace in the same run."""
    here = directory(tmp_path)
    to, trace = tmp_path / "telemetry.ndjson", tmp_path / "strace"
    environment = scope_environment(to)
    preload = environment.pop("LD_PRELOAD")
    done = strace.run(["env", f"LD_PRELOAD={preload}", "bash", "-c", BASH], trace, "-s", "100000", "-e",
                      "trace=write,dup2,fcntl,execve",
                      env=environment, cwd=here)
    assert done.returncode == 0
    recording = Recording(to)
    have = collections.defaultdict(list)
    for record in recording.logs():
        a = record["attributes"]
        have[record["resource"]["process.pid"], a.get("log.iostream") or a["log.file.path"]].append(record["body"])
    want = {at: lines(data) for at, data in written(strace.parse(trace)).items() if lines(data)}
    assert len(want) == 5 and sum(map(len, want.values())) > 1200
    # What goes to one number leads to several files in turn, and each has its own last line to wait for.
    assert {at: sorted(all_of) for at, all_of in have.items()} == {at: sorted(all_of) for at, all_of in want.items()}
    assert not recording.drops()


WRITER = """
import os, sys
for i in range(200): os.write(int(sys.argv[2]), b'writer %s line %d %s\\n' % (sys.argv[1].encode(), i, b'-' * (i % 60)))
"""


def test_five_writers_to_one_inherited_file(tmp_path):
    here = directory(tmp_path)
    script = 'exec 5>>all.log; for w in 1 2 3 4 5; do /usr/bin/python3 -c "$W" $w 5 & done; wait'
    done = observe(["bash", "-c", script], tmp_path, env={"W": WRITER}, cwd=here)
    assert done.status == 0
    check_writers(done, here)


def test_five_writers_that_open_one_file(tmp_path):
    here = directory(tmp_path)
    script = 'for w in 1 2 3 4 5; do /usr/bin/python3 -c "$W" $w 5 5>>all.log & done; wait'
    done = observe(["bash", "-c", script], tmp_path, env={"W": WRITER}, cwd=here)
    assert done.status == 0
    check_writers(done, here)


def check_writers(done, here):
    written = lines((here / "all.log").read_bytes())
    assert len(written) == 1000
    have = streams(done.recording)
    assert set(have) == {str(here / "all.log")}
    assert collections.Counter(have[str(here / "all.log")]) == collections.Counter(written)
    by_process = collections.defaultdict(list)
    for record in done.recording.logs():
        by_process[record["resource"]["process.pid"]].append(int(record["body"].split()[3]))
    assert [numbers for numbers in by_process.values()] == [list(range(200))] * 5
    assert not done.recording.drops()


def test_threads_writing_whole_lines(tmp_path):
    program = """
import os, threading
def write(n):
    for i in range(150): os.write(1 + n % 2, b'thread %d line %d\\n' % (n, i))
threads = [threading.Thread(target=write, args=(n,)) for n in range(6)]
for t in threads: t.start()
for t in threads: t.join()
"""
    done = observe([sys.executable, "-c", program], tmp_path)
    have = streams(done.recording)
    assert collections.Counter(have["stdout"]) == collections.Counter(lines(done.stdout))
    assert collections.Counter(have["stderr"]) == collections.Counter(lines(done.stderr))
    assert len(have["stdout"]) == len(have["stderr"]) == 450


TRACEBACK = """
import logging, sys
def inner(): raise ValueError('deep')
print('before', file=sys.stderr)
try:
    try: inner()
    except ValueError as e: raise KeyError('outer') from e
except KeyError: logging.exception('it went wrong')
print('between', file=sys.stderr)
inner()
"""


def test_a_python_traceback_is_one_record(tmp_path):
    done = observe(["/usr/bin/python3", "-c", TRACEBACK], tmp_path)
    assert done.status == 1
    bodies = [r["body"] for r in done.recording.logs(log__iostream="stderr")]
    text = done.stderr.decode()
    first, rest = text.split("between\n")
    before, logged = first.split("\n", 1)
    # A record has no blank lines: those between chained exceptions are in none.
    tight = lambda part: "\n".join(line for line in part.split("\n") if line)
    assert [tight(b) for b in bodies] == ["before", tight(logged), "between", tight(rest)]


THROWS = """
public class T {
  static void inner() { throw new IllegalStateException("deep"); }
  public static void main(String[] a) {
    System.err.println("before");
    try { inner(); } catch (RuntimeException e) { new RuntimeException("outer", e).printStackTrace(); }
    System.err.println("between");
    inner(); } }
"""


def test_a_java_stack_trace_is_one_record(tmp_path):
    need("java"), need("javac")
    here = directory(tmp_path)
    (here / "T.java").write_text(THROWS)
    done = observe(["java", "-Xshare:auto", "-XX:TieredStopAtLevel=1", "T.java"], tmp_path, cwd=here)
    assert done.status == 1
    bodies = [r["body"] for r in done.recording.logs(log__iostream="stderr")]
    first, rest = done.stderr.decode().split("between\n")
    before, caught = first.split("\n", 1)
    assert "Caused by: " in caught and "\tat " in rest
    assert bodies == ["before", caught.rstrip("\n"), "between", rest.rstrip("\n")]
