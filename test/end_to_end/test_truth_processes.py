"""Truth by process: who was made by whom, what was executed, and how each ended, as strace saw in the same run."""
import collections
import os
import re
import shlex

import pytest
import strace
from observe import Recording, need, scope_environment

BASH = """
/bin/true; /bin/false; (exit 7); sh -c 'exit 3'
sh -c 'kill -TERM $$'; sh -c 'kill -KILL $$'; /nosuch/program
x=$(echo one; /bin/echo two); echo "$x" | cat | tail -n 1
/bin/true & wait $!; (/bin/false; (exit 9))
/usr/bin/python3 -c "$PYTHON"
exec sh -c 'exit 8'
"""

PYTHON = """
import os, subprocess
subprocess.run(['/bin/true']); subprocess.run(['/bin/false'], preexec_fn=lambda: None)
os.waitpid(os.posix_spawn('/bin/false', ['false'], os.environ), 0)
if os.fork() == 0: os._exit(6)
os.wait()
try: os.wait()
except ChildProcessError: pass
try: os.posix_spawn('/nosuch/program', ['x'], os.environ)
except OSError: pass
try: os.execv('/nosuch/program', ['x'])
except OSError: pass
"""

MAKEFILE = """
all: one two
one: three
	cp three one
two:
	sh -c 'exit 0'; echo x > two
	-false
	-@sh -c 'kill -TERM $$$$'
	@$(MAKE) --no-print-directory four
three:
	@echo y > three
four:
	gcc -c empty.c -o empty.o
"""

FORKS = {"fork", "vfork", "clone", "clone3"}


def strings(args):
    """The path and the arguments of an execve, as far as strace wrote them whole."""
    path, _, rest = args.partition(", ")
    whole = re.match(r"\[(.*?)\], 0x", rest)
    return shlex.split(path)[0], whole.group(1) if whole else None


class Truth:
    """What strace says of processes; threads are not looked at."""

    def __init__(self, calls):
        forks = {c.result: (number, c) for number, c in enumerate(calls)
                 if c.name in FORKS and "CLONE_THREAD" not in c.args and (c.result or 0) > 0}
        images = collections.defaultdict(list)  # process: [(number of the call, executable)]
        for number, c in enumerate(calls):
            if c.name == "execve" and not c.error:
                images[c.tid].append((number, os.path.realpath(strings(c.args)[0])))

        watcher = images[calls[0].tid][0][1]  # `env`, which puts the library in

        def image(pid, before):
            known = [path for number, path in images[pid] if number < before]
            if known or pid not in forks:
                return known[-1] if known else watcher
            number, fork = forks[pid]
            return image(fork.tid, number)

        shares = {pid for pid, (_, c) in forks.items() if c.name == "vfork" or "CLONE_VM" in c.args}
        # A posix_spawn that fails has had a child, which the program never hears of.
        failed = {pid: c.tid for pid, (_, c) in forks.items() if "CLONE_VFORK" in c.args and not images[pid]}
        self.children = collections.Counter((c.tid, pid) for pid, (_, c) in forks.items() if pid not in failed)
        self.started = collections.Counter(
            [(pid, path) for pid, all_of in list(images.items()) for _, path in all_of if path != watcher] +
            [(pid, image(c.tid, number)) for pid, (number, c) in forks.items() if pid not in shares])
        self.ended = collections.Counter((c.tid, int(c.args) & 0xff) for c in calls if c.name == "exit_group"
                                         and (c.tid not in shares or images[c.tid]))
        self.waited = collections.Counter()
        for c in calls:
            how = c.name == "wait4" and re.search(r"WEXITSTATUS\(s\) == (\d+)|WTERMSIG\(s\) == (\w+)", c.args)
            if how and (c.result or 0) > 0:
                self.waited[c.tid, c.result, int(how.group(1)) if how.group(1) else how.group(2)] += 1
        # Images that are replaced by processes whose memory is their own, and what could not be spawned.
        self.replaced = collections.Counter(
            (failed.get(c.tid, c.tid), strings(c.args)[0], c.error) for number, c in enumerate(calls)
            if c.name == "execve" and image(c.tid, number) != watcher
            and (c.tid in failed or c.tid not in shares or any(at < number for at, _ in images[c.tid])))


def run(command, tmp_path, extra=None):
    to, trace = tmp_path / "telemetry.ndjson", tmp_path / "strace"
    environment = scope_environment(to, extra)
    preload = environment.pop("LD_PRELOAD")
    # The first exec is env's own, and only the program's is watched.
    done = strace.run(["/usr/bin/env", f"LD_PRELOAD={preload}", *command], trace, env=environment, cwd=tmp_path,
                      timeout=60)
    return strace.parse(trace), Recording(to), done


def check(calls, recording):
    truth = Truth(calls)

    def count(name, *keys, keep=lambda a: True):
        return collections.Counter(
            (e["resource"]["process.pid"], *(next((e["attributes"][k] for k in key.split("|") if k in e["attributes"]), None)
                                             for key in keys))
            for e in recording.events(name) if keep(e["attributes"]))

    assert count("scope.process.start", "process.executable.path") == truth.started
    made = count("scope.process.fork", "scope.child.pid") + count("scope.process.spawn", "scope.child.pid")
    assert made == truth.children
    assert count("scope.process.exit", "process.exit.code",
                 keep=lambda a: a["scope.exit.seen_by"] == "self") == truth.ended
    assert count("scope.process.exit", "scope.child.pid", "process.exit.code|scope.exit.signal",
                 keep=lambda a: a["scope.exit.seen_by"] == "parent") == truth.waited
    assert not recording.drops()
    return truth, count


def test_a_shell_script(tmp_path):
    calls, recording, done = run(["/bin/bash", "-c", BASH], tmp_path, {"PYTHON": PYTHON})
    assert done.returncode == 8, done.stderr[-2000:]
    truth, count = check(calls, recording)
    said = collections.Counter()
    for e in recording.events("scope.process.exec"):
        a = e["attributes"]
        if "process.executable.path" in a:
            said[e["resource"]["process.pid"], a["process.executable.path"], a.get("error.type")] += 1
    assert said == truth.replaced


def test_make(tmp_path):
    need("make"), need("gcc")
    (tmp_path / "Makefile").write_text(MAKEFILE)
    (tmp_path / "empty.c").write_text("int nothing;\n")
    calls, recording, done = run(["/usr/bin/make"], tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]
    truth, _ = check(calls, recording)
    assert len(truth.children) > 8
