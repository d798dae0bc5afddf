"""The life of a process: what is delivered at its end, what its children are handed, how it is controlled."""
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import time

import pytest
from observe import LIBRARY, PROGRAMS, SCOPE, Recording, bare, clean_environment, need, observe, scope_environment

PYTHON = "/usr/bin/python3" if os.path.exists("/usr/bin/python3") else sys.executable


def compile_c(directory, name, source, *flags):
    need("gcc")
    path = pathlib.Path(directory) / name
    (path.with_suffix(".c")).write_text(source)
    subprocess.run(["gcc", "-w", "-O1", "-o", path, path.with_suffix(".c"), *flags], check=True)
    return path


def own_exit(recording):
    return [e["attributes"].get("process.exit.code") for e in
            recording.events("scope.process.exit", scope__exit__seen_by="self")]


# ------------------------------------------------------------------ the end


def test_output_that_stdio_writes_after_every_destructor(tmp_path):
    """Buffered lines leave in exit(), after destructors: all are there, whole, the last without a newline too."""
    program = compile_c(tmp_path, "late", """
        #include <stdio.h>
        int main(void) { for (int i = 0; i < 2000; i++) printf("line %d of many, long enough to be cut in two\\n", i);
                         printf("no newline"); return 3; }""")
    seen = observe([program], tmp_path)
    assert seen.status == 3
    bodies = [l["body"] for l in seen.recording.logs()]
    assert bodies == seen.stdout.decode().split("\n")
    assert seen.recording.total("scope.file.io") == len(seen.stdout)
    assert own_exit(seen.recording) == [3]


@pytest.mark.parametrize("end,status", [("_exit(4)", 4), ("_Exit(5)", 5), ("quick_exit(6)", 6), ("exit(7)", 7)])
def test_every_exit_is_recorded_with_its_status(end, status, tmp_path):
    program = compile_c(tmp_path, "ends", f"""
        #include <stdlib.h>
        #include <unistd.h>
        int main(void) {{ write(1, "before\\n", 7); {end}; }}""")
    seen = observe([program], tmp_path)
    assert seen.status == status
    assert own_exit(seen.recording) == [status]
    assert [l["body"] for l in seen.recording.logs()] == ["before"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL, signal.SIGABRT])
def test_a_process_that_kills_itself_has_delivered(number, tmp_path):
    seen = observe(["sh", "-c", f"echo last words; kill -{number.value} $$"], tmp_path)
    assert seen.status == -number
    assert [l["body"] for l in seen.recording.logs()] == ["last words"]


def test_main_thread_that_leaves_first_does_not_hold_the_process(tmp_path):
    program = compile_c(tmp_path, "first", """
        #include <pthread.h>
        #include <stdio.h>
        #include <unistd.h>
        static void *work(void *p) { usleep(50000); printf("worker\\n"); return p; }
        int main(void) { pthread_t t; pthread_create(&t, NULL, work, NULL); pthread_exit(NULL); }""", "-lpthread")
    seen = observe([program], tmp_path, timeout=20)
    assert (seen.status, seen.stdout) == (0, b"worker\n")
    assert own_exit(seen.recording) == [0]
    assert [l["body"] for l in seen.recording.logs()] == ["worker"]


def test_a_sink_that_hangs_costs_the_bound_and_no_more(tmp_path):
    """A peer that accepts nothing: exit comes after the configured bound, with the program's own status."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        fillers = []
        for _ in range(4):
            s = socket.socket()
            s.setblocking(False)
            s.connect_ex(listener.getsockname())
            fillers.append(s)
        env = scope_environment("", {"SCOPE_NDJSON_TO": "tcp://127.0.0.1:%d" % listener.getsockname()[1],
                                     "SCOPE_EXIT_BOUND": "300ms"})
        # Ten children, and each of their ends may cost the bound once: not ten times for each sink and step.
        done = subprocess.run(["sh", "-c", "echo out; exit 5"], env=env, capture_output=True, timeout=30)
        assert (done.returncode, done.stdout, done.stderr) == (5, b"out\n", b"")
        for s in fillers:
            s.close()


def test_thousand_short_processes_lose_nothing(tmp_path):
    seen = observe(["bash", "-c", "for i in $(seq 300); do /bin/true; done; for i in $(seq 100); do (exit 2); done"], tmp_path,
                   timeout=120)
    assert seen.status == 2
    ends = seen.recording.events("scope.process.exit", scope__exit__seen_by="self")
    assert len([e for e in ends if e["resource"]["process.executable.name"] == "true"]) == 300
    assert len([e for e in ends if e["attributes"].get("process.exit.code") == 2]) == 101
    assert not seen.recording.drops()


# ------------------------------------------------------------------ children


def environment_of_child(tmp_path, python, extra=None, sets=None):
    """What a child executed by this Python code (which uses `child`, a program) finds in its environment."""
    show = compile_c(tmp_path, "show", """
        #include <stdio.h>
        int main(int c, char **v, char **e) { while (*e) puts(*e++); return 0; }""")
    done = observe([PYTHON, "-c", f"import os\nchild={str(show)!r}\n{python}"], tmp_path, env=extra, sets=sets)
    assert done.stderr == b""
    return dict(l.split("=", 1) for l in done.stdout.decode().splitlines()), done


def test_an_empty_environment_carries_the_library_and_the_configuration(tmp_path):
    env, seen = environment_of_child(tmp_path, "os.execve(child,['x'],{'A':'b'})")
    assert env.pop("LD_PRELOAD") == str(LIBRARY)
    assert env.pop("A") == "b"
    assert "SCOPE_NDJSON_TO" in env and all(k.startswith("SCOPE_") for k in env)
    assert "show" in {l["resource"].get("process.executable.name") for l in seen.recording.lines}


@pytest.mark.parametrize("code", ["os.posix_spawn(child,['x'],{});os.wait()", "import subprocess;subprocess.run([child],env={})",
                                  "import subprocess;subprocess.run([child],env={},close_fds=False)"])
def test_spawned_children_too(code, tmp_path):
    env, _ = environment_of_child(tmp_path, code)
    assert env["LD_PRELOAD"] == str(LIBRARY)


def test_what_stands_in_ld_preload_stays_in_front(tmp_path):
    other = compile_c(tmp_path, "other.so", "int nothing_at_all;", "-shared", "-fPIC")
    env, _ = environment_of_child(tmp_path, f"os.execve(child,['x'],{{'LD_PRELOAD':{str(other)!r}}})")
    assert env["LD_PRELOAD"] == f"{other}:{LIBRARY}"


def test_own_settings_of_a_child_stand(tmp_path):
    env, _ = environment_of_child(tmp_path, "os.execve(child,['x'],{'SCOPE_NDJSON_TO':'/dev/null'})")
    assert env["SCOPE_NDJSON_TO"] == "/dev/null"


def test_an_environment_with_nothing_missing_is_passed_on_in_its_order(tmp_path):
    done = observe(["env", "ZZ=1", "env"], tmp_path)
    alone = bare(["env", "ZZ=1", "env"])
    own = [l for l in done.stdout.splitlines() if not l.startswith((b"LD_PRELOAD", b"SCOPE_"))]
    assert own == alone.stdout.splitlines()


def test_children_are_not_followed_where_that_is_switched_off(tmp_path):
    other = compile_c(tmp_path, "other.so", "int nothing_at_all;", "-shared", "-fPIC")
    for code in ("os.execve(child,['x'],os.environ)", "os.system(child)"):
        env, _ = environment_of_child(tmp_path, code, extra={"LD_PRELOAD": f"{other}:{LIBRARY}"},
                                      sets={"processes.follow": "false"})
        assert env["LD_PRELOAD"] == str(other)
    env, _ = environment_of_child(tmp_path, "os.execve(child,['x'],os.environ)", sets={"processes.follow": "false"})
    assert "LD_PRELOAD" not in env


def test_a_library_that_is_gone_is_taken_out(tmp_path):
    """Its loader would complain on the child's standard error."""
    copy = tmp_path / "libscope.so"
    shutil.copy(LIBRARY, copy)
    env, _ = environment_of_child(tmp_path, f"os.unlink({str(copy)!r});os.execve(child,['x'],os.environ)",
                                  extra={"LD_PRELOAD": str(copy)})
    assert "LD_PRELOAD" not in env


def test_a_program_of_another_class_gets_none_of_it(tmp_path):
    """An ELF file for 32 bits, and one for musl: the exec fails or not as it does bare, and prints no complaint."""
    program = bytearray(pathlib.Path("/bin/true").read_bytes())
    program[4] = 1  # ELFCLASS32
    odd = tmp_path / "odd"
    odd.write_bytes(program)
    odd.chmod(0o755)
    code = ["sh", "-c", f"{odd}; echo $?"]
    assert observe(code, tmp_path)[:3] == bare(code)[:3]


def test_nobody_who_cannot_read_the_library_is_told_to(tmp_path):
    if os.geteuid() != 0:
        pytest.skip("not root")
    hidden = tmp_path / "hidden"
    hidden.mkdir(mode=0o700)
    shutil.copy(LIBRARY, hidden / "libscope.so")
    for path in [tmp_path, *tmp_path.parents]:
        if path.stat().st_uid == 0 and path != pathlib.Path("/tmp") and str(path).startswith("/tmp/"):
            path.chmod(0o755)
    hidden.chmod(0o700)
    command = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "id", "-u"]
    need("setpriv")
    done = observe(command, tmp_path, env={"LD_PRELOAD": str(hidden / "libscope.so")})
    assert (done.status, done.stdout, done.stderr) == (0, b"65534\n", b"")


# ------------------------------------------------------------------ the thread


def wait_until(what, seconds=20):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if what():
            return True
        time.sleep(0.05)
    return False


def test_descriptors_of_the_reporter_are_in_no_table_of_the_programs(tmp_path):
    to = tmp_path / "t.ndjson"
    p = subprocess.Popen([PYTHON, "-c", "import time;print('x',flush=True);time.sleep(60)"], stdout=subprocess.PIPE,
                         env=scope_environment(to, sets={"events.interval": "100ms"}))
    try:
        assert wait_until(lambda: Recording(to).logs())
        assert sorted(os.listdir(f"/proc/{p.pid}/fd")) == ["0", "1", "2"]
        others = [t for t in os.listdir(f"/proc/{p.pid}/task") if t != str(p.pid)]
        assert len(others) == 1
        names = [os.readlink(f"/proc/{p.pid}/task/{others[0]}/fd/{n}") for n in os.listdir(f"/proc/{p.pid}/task/{others[0]}/fd")]
        assert names == [str(to)]
        # Every signal but the two that libc needs for itself is blocked there.
        status = pathlib.Path(f"/proc/{p.pid}/task/{others[0]}/status").read_text()
        blocked = int(next(l for l in status.splitlines() if l.startswith("SigBlk")).split()[1], 16)
        assert blocked | 1 << 8 | 1 << 18 | 3 << 31 == (1 << 64) - 1
    finally:
        p.kill()
        p.wait()


def test_a_forked_child_that_goes_on_reports_by_itself(tmp_path):
    """A daemon that lives on and only waits: its own resource, its lines, while it lives."""
    to = tmp_path / "t.ndjson"
    code = ("import os,time,sys\n"
            "if os.fork(): os._exit(0)\n"
            "os.setsid()\n"
            "for i in range(100): os.write(1, b'tick\\n'); time.sleep(0.1)\n")
    out = open(tmp_path / "out", "wb")
    p = subprocess.Popen([PYTHON, "-c", code], stdout=out, env=scope_environment(to, sets={"events.interval": "100ms"}))
    p.wait()
    assert wait_until(lambda: len(Recording(to).logs()) >= 3)
    child = Recording(to).logs()[0]["resource"]["process.pid"]
    os.kill(child, signal.SIGKILL)
    assert child != p.pid
    instances = {l["resource"]["service.instance.id"] for l in Recording(to).lines}
    assert len(instances) == 2


def test_switched_off_on_and_reloaded_by_a_file_of_the_users_own(tmp_path):
    to, control, diagnostics = tmp_path / "t.ndjson", tmp_path / "control", tmp_path / "diagnostics"
    control.mkdir(mode=0o700)
    config = tmp_path / "scope.yml"
    config.write_text("events:\n  interval: 100ms\n")
    env = scope_environment(to, {"SCOPE_CONTROL_DIR": str(control), "SCOPE_CONFIG": str(config),
                                 "SCOPE_DIAGNOSTICS_TO": str(diagnostics), "SCOPE_DIAGNOSTICS_LEVEL": "info"})
    p = subprocess.Popen([PYTHON, "-u", "-c", "import sys\nfor l in sys.stdin: print(l, end='')"], env=env,
                         stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    told = control / str(p.pid)

    def say(word):
        p.stdin.write(word + "\n")
        p.stdin.flush()

    def tell(text, mode=0o600):
        new = control / "new"
        new.write_text(text)
        new.chmod(mode)
        os.rename(new, told)

    def bodies():
        return [l["body"] for l in Recording(to).logs()]

    def diagnosed(text):
        return diagnostics.exists() and text in diagnostics.read_text()

    try:
        say("one")
        assert wait_until(lambda: "one" in bodies())
        tell("off\n", mode=0o666)  # others may write it: not obeyed
        assert wait_until(lambda: diagnosed("others may write it"))
        tell("off\n")
        assert wait_until(lambda: diagnosed("switched off"))
        say("two")
        tell("on\n")
        assert wait_until(lambda: diagnosed("switched on"))
        say("three")
        assert wait_until(lambda: "three" in bodies())
        config.write_text("events:\n  interval: 100ms\nlogs:\n  exclude: [four]\n")
        tell("reload\n")
        assert wait_until(lambda: diagnosed("read again"))
        say("four")
        say("five")
        assert wait_until(lambda: "five" in bodies())
    finally:
        p.stdin.close()
        p.wait()
    assert bodies() == ["one", "three", "five"]
    assert len([l for l in Recording(to).lines if l.get("name") == "scope.configuration"]) == 1


# ------------------------------------------------------------------ scope run


def scope_run(tmp_path, *arguments, **how):
    env = clean_environment({"XDG_STATE_HOME": str(tmp_path / "state"), "SCOPE_LIBRARY": str(LIBRARY), "SCOPE_CONFIG": "/dev/null"})
    return subprocess.run([str(SCOPE), "run", *map(str, arguments)], env=env, capture_output=True, timeout=60, **how)


def test_run_is_the_command(tmp_path):
    done = scope_run(tmp_path, "--quiet", "--", "sh", "-c", "cat; echo err >&2; exit 9", input=b"in")
    assert (done.returncode, done.stdout, done.stderr) == (9, b"in", b"err\n")
    done = scope_run(tmp_path, "--quiet", "sh", "-c", "kill -TERM $$")
    assert done.returncode == -signal.SIGTERM


def test_run_records_and_says_where(tmp_path):
    done = scope_run(tmp_path, "--", "echo", "hello")
    assert done.stdout == b"hello\n"
    assert done.stderr.startswith(b"scope: recording to ") and done.stderr.count(b"\n") == 1
    place = pathlib.Path(done.stderr.decode().split(" to ", 1)[1].strip())
    assert place.parent == tmp_path / "state" / "scope" / "runs"
    assert place.stat().st_mode & 0o777 == 0o700
    about = json.loads((place / "run.json").read_text())
    assert about["command"] == ["echo", "hello"] and about["host"] == socket.gethostname()
    assert [l["body"] for l in Recording(place / "telemetry.ndjson").logs()] == ["hello"]
    assert (place / "telemetry.ndjson").stat().st_mode & 0o777 == 0o600


def test_run_with_a_sink_keeps_no_recording(tmp_path):
    done = scope_run(tmp_path, "--ndjson", "there.ndjson", "--", "sh", "-c", "cd /; echo hi", cwd=tmp_path)
    assert done.stderr == b"" and not (tmp_path / "state").exists()
    assert [l["body"] for l in Recording(tmp_path / "there.ndjson").logs()] == ["hi"]


def test_run_sets_options(tmp_path):
    done = scope_run(tmp_path, "--out", tmp_path / "out", "--set", "logs.console=false", "--set", "service.name=x", "echo", "hi")
    assert b"service.name" in done.stderr  # no such option: said once, and the command runs
    assert done.returncode == 0 and done.stdout == b"hi\n"
    assert not Recording(tmp_path / "out" / "telemetry.ndjson").logs()


def test_run_tells_of_a_file_that_cannot_be_made(tmp_path):
    done = scope_run(tmp_path, "--ndjson", tmp_path / "absent" / "t.ndjson", "echo", "hi")
    assert (done.returncode, done.stdout) == (0, b"hi\n")
    assert b"absent: No such file or directory" in done.stderr
    assert scope_run(tmp_path, "--quiet", "--ndjson", tmp_path / "absent" / "t.ndjson", "true").stderr == b""


@pytest.mark.parametrize("command,status,text", [(["no-such-command"], 127, "command not found"),
                                                 (["/etc/passwd"], 126, "Permission denied"),
                                                 (["/etc"], 126, "Permission denied"),
                                                 (["./absent"], 127, "No such file"),
                                                 ([], 125, "usage"), (["--nonsense"], 125, "no such option"),
                                                 (["--set", "x", "true"], 125, "KEY=VALUE"),
                                                 (["--ndjson", "--", "true"], 125, "--ndjson: a value is missing"),
                                                 (["--config", "/nonexistent.yml", "true"], 125, "No such file")])
def test_run_says_what_is_wrong(command, status, text, tmp_path):
    done = scope_run(tmp_path, *command)
    assert done.returncode == status
    assert text in done.stderr.decode()
    assert not (tmp_path / "state").exists(), "nothing is left of a command that did not start"


# ------------------------------------------------------------------ where the kernel refuses

REFUSE = """
    #include <errno.h>
    #include <linux/filter.h>
    #include <linux/seccomp.h>
    #include <stddef.h>
    #include <stdlib.h>
    #include <string.h>
    #include <sys/prctl.h>
    #include <sys/syscall.h>
    #include <unistd.h>
    int main(int c, char **v) {
      for (char *n = strtok(v[1], ","); n; n = strtok(NULL, ",")) {
        struct sock_filter f[] = {
          BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
          BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)atoi(n), 0, 1),
          BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
          BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
        struct sock_fprog p = {4, f};
        if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &p)) return 9;
      }
      execvp(v[2], v + 2);
      return 8;
    }"""
CALLS = {"x86_64": {"close_range": 436, "unshare": 272, "membarrier": 324, "process_vm_readv": 310, "clone3": 435},
         "aarch64": {"close_range": 436, "unshare": 97, "membarrier": 283, "process_vm_readv": 270, "clone3": 435}}


@pytest.mark.parametrize("refused", [["close_range"], ["close_range", "unshare"], ["membarrier"], ["process_vm_readv"],
                                     ["clone3", "close_range", "unshare", "membarrier", "process_vm_readv"]], ids=",".join)
def test_works_where_the_kernel_refuses(refused, tmp_path):
    """As in containers whose filter is older than these calls: EPERM. The program closes every descriptor it can."""
    refuse = compile_c(tmp_path, "refuse", REFUSE)
    numbers = ",".join(str(CALLS[os.uname().machine][name]) for name in refused)
    code = ("import os,time,subprocess\n"
            "for i in range(5):\n print('turn', i, flush=True); time.sleep(0.15); os.closerange(3, 1000)\n"
            "print(sorted(os.listdir('/proc/self/fd')))\n"
            "print(subprocess.run(['echo', 'child'], env={}).returncode)\n")
    outcomes = [run([refuse, numbers, PYTHON, "-u", "-c", code]) for run in
                (bare, lambda c: observe(c, tmp_path, sets={"events.interval": "100ms", "metrics.interval": "100ms"}))]
    assert outcomes[0][:3] == outcomes[1][:3]
    bodies = [l["body"] for l in outcomes[1].recording.logs()]
    assert [b for b in bodies if b.startswith("turn")] == [f"turn {i}" for i in range(5)]
    assert "child" in bodies


def test_without_threads_and_memory_it_delivers_at_the_end(tmp_path):
    """RLIMIT_NPROC and RLIMIT_AS: no thread can be had, or not even memory; the program's own doing stays the same."""
    if os.geteuid() != 0:
        pytest.skip("not root")
    to = tmp_path / "t.ndjson"
    to.touch(mode=0o666)
    to.chmod(0o666)
    for path in [tmp_path, *tmp_path.parents]:
        if str(path).startswith("/tmp/"):
            path.chmod(0o755)
    need("setpriv")
    command = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups",
               "bash", "-c", "ulimit -u 0; exec sh -c 'echo alone; exit 3'"]
    done = subprocess.run(command, env=scope_environment(to), capture_output=True, timeout=30)
    assert (done.returncode, done.stdout, done.stderr) == (3, b"alone\n", b"")
    if os.access(LIBRARY, os.R_OK) and LIBRARY.stat().st_mode & 0o004:
        assert "alone" in [l["body"] for l in Recording(to).logs()]
    command = ["prlimit", "--as=16000000", "sh", "-c", "echo tight; exit 4"]
    done = subprocess.run(command, env=scope_environment(to), capture_output=True, timeout=30)
    assert (done.returncode, done.stdout, done.stderr) == (4, b"tight\n", b"")
