"""scope doctor against real programs: each reason for which something is not seen must be told, and only then."""
import ctypes
import json
import os
import platform
import shutil
import signal
import socket
import subprocess
import sys
import time

import pytest

from observe import LIBRARY, SCOPE, Server, clean_environment, free_port, need, scope_environment

NOBODY = 65534
PYTHON = sys.executable
AS_NOBODY = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]


class Diagnosis:
    def __init__(self, done):
        self.status, self.stderr = done.returncode, done.stderr
        self.document = json.loads(done.stdout)
        self.observed, self.wrong = self.document["observed"], self.document["wrong"]
        self.inside = self.document.get("inside")
        self.facts = self.document["facts"]

    def __repr__(self):
        return "\n".join(f"{f['state']} {f['topic']}: {f['text']}" for f in self.facts)

    def has(self, state, topic, *texts):
        return any(f["state"] == state and f["topic"] == topic and all(t in f["text"] for t in texts) for f in self.facts)

    def topics(self, state):
        return {f["topic"] for f in self.facts if f["state"] == state}


def doctor_environment(tmp_path, extra=None):
    return clean_environment({"SCOPE_LIBRARY": str(LIBRARY), "SCOPE_CONFIG": "/dev/null", "HOME": str(tmp_path),
                              "XDG_STATE_HOME": str(tmp_path / "state"), "XDG_RUNTIME_DIR": str(tmp_path), **(extra or {})})


def doctor(tmp_path, *arguments, env=None, prefix=(), json_=True):
    command = [*prefix, str(SCOPE), "doctor", *(["--json"] if json_ else []), *map(str, arguments)]
    done = subprocess.run(command, env=doctor_environment(tmp_path, env), capture_output=True, timeout=60)
    return Diagnosis(done) if json_ else done


@pytest.fixture
def started():
    """Starts a program, waits until it sleeps of its own will, and ends it afterwards."""
    processes = []

    def start(command, env, wait_for="sleep", **how):
        p = subprocess.Popen([str(c) for c in command], env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **how)
        processes.append(p)
        end = time.monotonic() + 10
        while time.monotonic() < end:
            try:
                with open(f"/proc/{p.pid}/stat") as stat:  # past the loader: it sleeps
                    if f"({wait_for}) S" in stat.read():
                        break
            except OSError:
                break
            time.sleep(0.01)
        return p

    yield start
    for p in processes:
        if p.poll() is None:
            p.kill()
            p.wait()


def control_of(tmp_path):
    directory = tmp_path / "control"
    directory.mkdir(mode=0o700, exist_ok=True)
    return {"SCOPE_CONTROL_DIR": str(directory)}


def until(question):
    end = time.monotonic() + 15
    while time.monotonic() < end:
        found = question()
        if found:
            return found
        time.sleep(0.2)
    return None


# ------------------------------------------------------------------ a running process


def test_an_observed_process_is_in_order(tmp_path, started):
    to = tmp_path / "t.ndjson"
    p = started(["sleep", "60"], scope_environment(to, control_of(tmp_path)))
    d = until(lambda: (r := doctor(tmp_path, p.pid)).inside and r.inside["sinks"][0]["state"] == "ok" and r)
    assert d and d.observed and not d.wrong and d.status == 0, d
    assert d.has("ok", "library", str(LIBRARY.resolve()), "version " + d.document["version"])
    assert d.has("ok", "hooks", "stdio") and d.has("ok", "reporter") and d.has("ok", "dropped", "nothing")
    assert d.has("ok", "sink", str(to), "delivered")
    assert d.inside["pid"] == p.pid and d.inside["enabled"] is True and d.inside["hooks"]["stdio"] == "patched"
    assert d.inside["pool"]["total"] == 256 and {"files", "sockets", "metrics"} <= set(d.inside["watch"])
    # It leaves nothing behind, and the process goes on.
    assert os.listdir(tmp_path / "control") == [] and p.poll() is None


def test_a_directory_that_was_not_there_is_made_and_taken_away(tmp_path, started):
    p = started(["sleep", "60"], scope_environment(tmp_path / "t.ndjson", {"XDG_RUNTIME_DIR": str(tmp_path)}))
    d = doctor(tmp_path, p.pid)
    assert d.inside and d.observed, d
    assert not (tmp_path / "scope").exists()


def test_a_process_without_the_library(tmp_path, started):
    p = started(["sleep", "60"], clean_environment())
    d = doctor(tmp_path, p.pid)
    assert not d.observed and d.status == 1
    assert d.has("no", "library", "started without it", "LD_PRELOAD", str(LIBRARY.resolve())), d
    assert d.has("ok", "program", "64-bit", "dynamically linked")


def test_a_library_that_is_not_there(tmp_path, started):
    p = started(["sleep", "60"], clean_environment({"LD_PRELOAD": str(tmp_path / "libscope.so")}))
    d = doctor(tmp_path, p.pid)
    assert not d.observed and d.has("no", "library", "no such file"), d


def test_another_library_of_the_same_name(tmp_path, started):
    other = tmp_path / "libscope.so"
    subprocess.run(["gcc", "-shared", "-x", "c", "/dev/null", "-o", str(other)], check=True)
    p = started(["sleep", "60"], clean_environment({"LD_PRELOAD": str(other)}))
    d = doctor(tmp_path, p.pid)
    assert not d.observed and d.has("no", "library", str(other), "not this library"), d


def test_a_library_that_was_replaced_since(tmp_path, started):
    copy = tmp_path / "libscope.so"
    shutil.copy(LIBRARY, copy)
    p = started(["sleep", "60"], scope_environment(tmp_path / "t.ndjson", {"LD_PRELOAD": str(copy), **control_of(tmp_path)}))
    copy.unlink()
    d = doctor(tmp_path, p.pid)
    assert d.observed and d.has("note", "library", "replaced"), d


def test_a_static_program(tmp_path, started):
    busybox = shutil.which("busybox") or need("busybox")
    p = started([busybox, "sleep", "60"], scope_environment(tmp_path / "t.ndjson"), wait_for="busybox")
    d = doctor(tmp_path, p.pid)
    assert not d.observed and d.status == 1 and d.has("no", "program", "statically linked"), d
    assert "library" not in d.topics("no")  # one reason is enough


def test_an_excluded_program_names_the_rule(tmp_path, started):
    program = tmp_path / "left-alone"
    shutil.copy(shutil.which("sleep"), program)
    env = scope_environment(tmp_path / "t.ndjson", {"SCOPE_PROCESSES_EXCLUDE": "other,left-*", **control_of(tmp_path)})
    p = started([program, "60"], env, wait_for="left-alone")
    d = doctor(tmp_path, p.pid)
    assert not d.observed and d.has("no", "rules", '"left-*"', "SCOPE_PROCESSES_EXCLUDE"), d


@pytest.mark.parametrize("sets, text", [({"enabled": "false"}, "enabled is false"),
                                        ({"processes.include": "nginx"}, "processes.include")])
def test_other_rules(sets, text, tmp_path, started):
    p = started(["sleep", "60"], scope_environment(tmp_path / "t.ndjson", control_of(tmp_path), sets))
    d = doctor(tmp_path, p.pid)
    assert not d.observed and d.has("no", "rules", text, "(--set)"), d


def test_a_process_that_was_switched_off(tmp_path, started):
    p = started(["sleep", "60"], scope_environment(tmp_path / "t.ndjson", control_of(tmp_path)))
    (tmp_path / "control" / str(p.pid)).write_text("off\n")
    # What it was told a moment ago is not lost by asking.
    d = doctor(tmp_path, p.pid)
    assert not d.observed and d.has("no", "switched off"), d
    assert d.inside["enabled"] is False


def test_control_that_is_switched_off_is_said(tmp_path, started):
    p = started(["sleep", "60"], scope_environment(tmp_path / "t.ndjson", {"SCOPE_CONTROL_ENABLED": "false"}))
    # On a busy machine its reporter may not have begun when it is asked first.
    d = until(lambda: (r := doctor(tmp_path, p.pid)).has("note", "answer", "control.enabled is false") and r)
    assert d and d.observed and d.inside is None, d
    assert d.has("ok", "sink", "can be")  # tried from outside


def test_a_control_directory_that_others_may_write(tmp_path, started):
    env = scope_environment(tmp_path / "t.ndjson", control_of(tmp_path))
    (tmp_path / "control").chmod(0o777)
    p = started(["sleep", "60"], env)
    d = doctor(tmp_path, p.pid)
    assert d.inside is None and d.has("no", "answer", "may be written by others"), d


def test_a_process_that_is_stopped(tmp_path, started):
    p = started(["sleep", "60"], scope_environment(tmp_path / "t.ndjson", control_of(tmp_path)))
    assert until(lambda: doctor(tmp_path, p.pid).inside)
    os.kill(p.pid, signal.SIGSTOP)
    os.waitid(os.P_PID, p.pid, os.WSTOPPED | os.WNOWAIT)
    d = doctor(tmp_path, p.pid)
    assert d.inside is None and d.has("note", "process", "stopped") and d.has("no", "answer", "no answer"), d


def test_a_sink_that_is_away(tmp_path, started):
    env = scope_environment(f"tcp://127.0.0.1:{free_port()}", control_of(tmp_path))
    p = started(["sleep", "60"], env)
    d = until(lambda: (r := doctor(tmp_path, p.pid)).inside and r.inside["sinks"][0]["state"] == "away" and r)
    assert d and d.observed and d.wrong and d.status == 1, d
    assert d.has("no", "sink", "away", "refused")
    assert d.inside["sinks"][0]["queued"] > 0


def test_no_sink_at_all(tmp_path, started):
    env = scope_environment("", control_of(tmp_path))
    del env["SCOPE_NDJSON_TO"]
    p = started(["sleep", "60"], env)
    d = doctor(tmp_path, p.pid)
    # where none is named, OpenTelemetry's default endpoint is meant: nobody listens there now
    assert d.wrong and d.has("no", "sink", "otlp", "http://localhost:4318/v1/metrics", "cannot be reached"), d


def test_what_was_dropped_is_told_with_its_remedy(tmp_path, started):
    env = scope_environment(tmp_path / "t.ndjson", control_of(tmp_path), {"logs.line_max": "256"})
    p = started([PYTHON, "-c", "import time; print('x' * 5000, flush=True); time.sleep(60)"], env,
                wait_for=os.path.basename(os.path.realpath(PYTHON))[:15])
    d = until(lambda: (r := doctor(tmp_path, p.pid)).inside and r.inside["drops"] and r)
    assert d and d.wrong and d.has("no", "dropped", "log_length", "logs.line_max"), d


def test_what_is_wrong_in_the_configuration(tmp_path, started):
    config = tmp_path / "scope.yml"
    config.write_text("metrics:\n  intervall: 5s\n")
    p = started(["sleep", "60"], scope_environment(tmp_path / "t.ndjson", {"SCOPE_CONFIG": str(config), **control_of(tmp_path)}))
    d = doctor(tmp_path, p.pid)
    assert d.observed and d.wrong and d.has("no", "configuration", f"{config}:2:3:", "intervall"), d
    assert d.inside["configuration"] == {"path": str(config), "troubles": 1}


def test_tls_is_said_to_be_read(tmp_path, started):
    p = started([PYTHON, "-c", "import ssl, time; time.sleep(60)"], scope_environment(tmp_path / "t.ndjson", control_of(tmp_path)),
                wait_for=os.path.basename(os.path.realpath(PYTHON))[:15])
    d = until(lambda: (r := doctor(tmp_path, p.pid)).has("note", "tls", "is read at its functions") and r)
    assert d and d.observed, d
    without = started(["sleep", "60"], scope_environment(tmp_path / "t2.ndjson", control_of(tmp_path)))
    assert "tls" not in doctor(tmp_path, without.pid).topics("note")


def test_io_uring_is_said_not_to_be_seen(tmp_path, started):
    numbers = {"x86_64": 425, "aarch64": 425}
    code = ("import ctypes, time\nlibc = ctypes.CDLL(None)\nbuffer = ctypes.create_string_buffer(120)\n"
            f"libc.syscall({numbers[platform.machine()]}, 4, buffer)\ntime.sleep(60)")
    possible = ctypes.CDLL(None).syscall(numbers[platform.machine()], 4, ctypes.create_string_buffer(120)) >= 0
    p = started([PYTHON, "-c", code], scope_environment(tmp_path / "t.ndjson", control_of(tmp_path)),
                wait_for=os.path.basename(os.path.realpath(PYTHON))[:15])
    told = lambda: doctor(tmp_path, p.pid).has("note", "unseen", "io_uring")
    if possible:
        assert until(told)
    else:  # the kernel has none to use: then nothing may be claimed
        time.sleep(1)
        assert not told()


def test_there_is_no_such_process(tmp_path):
    p = subprocess.Popen(["true"])
    p.wait()
    d = doctor(tmp_path, p.pid)
    assert d.status == 1 and not d.observed and d.has("no", "process", "no process"), d


# ------------------------------------------------------------------ nginx: a title over the environment, another user


def test_nginx_is_asked_though_it_has_overwritten_its_environment(tmp_path):
    nginx, port = need("nginx"), free_port()
    tmp_path.chmod(0o755)
    (tmp_path / "logs").mkdir()
    conf = tmp_path / "nginx.conf"
    conf.write_text(f"daemon off; pid {tmp_path}/pid; error_log {tmp_path}/logs/e.log; events {{}} http {{ access_log off; "
                    f"client_body_temp_path {tmp_path}/b; proxy_temp_path {tmp_path}/p; fastcgi_temp_path {tmp_path}/f; "
                    f"uwsgi_temp_path {tmp_path}/u; scgi_temp_path {tmp_path}/s; server {{ listen 127.0.0.1:{port}; return 200 hi; }} }}")
    with socket.socket() as sink:
        sink.bind(("127.0.0.1", 0))
        sink.listen(16)
        to = f"tcp://127.0.0.1:{sink.getsockname()[1]}"
        with Server([nginx, "-e", f"{tmp_path}/logs/e.log", "-c", conf], scope_environment(to), port) as server:
            master = server.process.pid
            with open(f"/proc/{master}/task/{master}/children") as children:
                worker = int(children.read().split()[0])
            for pid in master, worker:
                d = until(lambda: (r := doctor(tmp_path, pid)).inside and r)
                assert d and d.observed and not d.wrong, d
                assert d.has("note", "configuration", "overwritten") and d.inside["sinks"][0]["to"] == to
                assert d.inside["pid"] == pid
            # A reload, too, must not lose what the title has overwritten.
            control = f"/tmp/scope-{os.getuid()}"
            made = not os.path.exists(control)
            os.makedirs(control, mode=0o700, exist_ok=True)
            try:
                with open(f"{control}/{master}", "w") as file:
                    file.write("reload\n")
                time.sleep(1.5)
                d = doctor(tmp_path, master)
                assert d.inside and d.inside["sinks"][0]["to"] == to, d
            finally:
                if made:
                    shutil.rmtree(control)


def test_who_asks_may_name_the_control_directory_that_was_overwritten(tmp_path):
    overwrite = ("import ctypes; libc = ctypes.CDLL(None); at = ctypes.c_void_p.in_dll(libc, 'environ').value; "
                 "text = ctypes.c_void_p.from_address(at).value; size = len(open('/proc/self/environ', 'rb').read()); "
                 "ctypes.memset(text, 0, size); print('.', flush=True); input()")
    control = tmp_path / "control"
    control.mkdir(mode=0o700)
    env = scope_environment(tmp_path / "t.ndjson", {"SCOPE_CONTROL_DIR": str(control)})
    p = subprocess.Popen([PYTHON, "-c", overwrite], env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        p.stdout.readline()
        assert doctor(tmp_path, p.pid).has("no", "answer", "SCOPE_CONTROL_DIR=DIR")
        d = doctor(tmp_path, p.pid, env={"SCOPE_CONTROL_DIR": str(control)})
        assert d.inside and not d.wrong, d
    finally:
        p.communicate(b"\n")


# ------------------------------------------------------------------ users and privileges

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")


@pytest.fixture
def open_path(tmp_path):
    """Our files, for another user to reach."""
    directory = tmp_path
    while directory != directory.parent and os.stat(directory).st_uid == os.geteuid() and directory != directory.parent:
        if not os.stat(directory).st_mode & 0o001:
            directory.chmod(0o755)
        directory = directory.parent
    return tmp_path


@needs_root
def test_who_may_not_look_is_told_what_to_do(tmp_path, started):
    p = started(["sleep", "60"], scope_environment(tmp_path / "t.ndjson"))
    d = doctor(tmp_path, p.pid, prefix=AS_NOBODY)
    assert d.status == 1 and not d.observed
    assert d.has("no", "permission", "belongs to root", "you are nobody", f"sudo scope doctor {p.pid}"), d


@needs_root
def test_root_asks_a_process_of_another_user(open_path, started):
    own = open_path / "own"
    own.mkdir()
    os.chown(own, NOBODY, NOBODY)
    p = started(["sleep", "60"], scope_environment(own / "t.ndjson", {"XDG_RUNTIME_DIR": str(own)}),
                user=NOBODY, group=NOBODY, extra_groups=[])
    d = until(lambda: (r := doctor(open_path, p.pid)).inside and r)
    assert d and d.observed and not d.wrong, d
    assert d.has("ok", "process", "of nobody")
    assert not (own / "scope").exists()


@needs_root
def test_a_privileged_process_is_left_alone(open_path, started):
    program = open_path / "privileged"
    shutil.copy(shutil.which("sleep"), program)
    program.chmod(0o4755)
    p = started([*AS_NOBODY, program, "60"], scope_environment("/dev/null"), wait_for="privileged")
    d = doctor(open_path, p.pid)
    assert not d.observed and d.has("no", "privileged", "setuid"), d
    assert not d.has("ok", "library")


@needs_root
def test_a_setuid_command(tmp_path):
    d = doctor(tmp_path, "--", need("su"), prefix=AS_NOBODY)
    assert not d.observed and d.has("no", "privileged", "setuid", "root") and d.has("no", "rules", '"su"'), d


# ------------------------------------------------------------------ a command


def test_a_command_that_would_be_observed(tmp_path):
    d = doctor(tmp_path, "--", "ls", "-l")
    assert d.observed and not d.wrong and d.status == 0, d
    assert d.has("ok", "library", "it loads") and d.has("ok", "program", "/ls") and d.has("note", "sink", "scope run records")
    assert os.listdir(tmp_path) == []  # it was not run, and nothing is left


def test_commands_that_are_not_there(tmp_path):
    refused = tmp_path / "refused"
    refused.write_text("")
    assert doctor(tmp_path, "--", "no-such-command").has("no", "program", "no such command")
    assert doctor(tmp_path, "--", refused).has("no", "program", "Permission denied")


def test_a_script_is_judged_by_what_runs_it(tmp_path):
    script, chained = tmp_path / "script", tmp_path / "chained"
    script.write_text("#!/usr/bin/env -S perl -w\n")
    chained.write_text(f"#!{need('busybox')} sh\n")
    for file in script, chained:
        file.chmod(0o755)
    d = doctor(tmp_path, "--", script, env={"SCOPE_PROCESSES_EXCLUDE": "perl*"})
    assert d.has("note", "program", str(script), "/usr/bin/env") and d.has("ok", "program", "perl"), d
    assert not d.observed and d.has("no", "rules", "perl*")
    d = doctor(tmp_path, "--", chained)
    assert not d.observed and d.has("no", "program", "statically linked"), d


def test_sinks_are_tried_now(tmp_path):
    with socket.socket() as tcp, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as unixgram:
        tcp.bind(("127.0.0.1", 0))
        tcp.listen()
        unixgram.bind(str(tmp_path / "gram"))
        there = {f"tcp://127.0.0.1:{tcp.getsockname()[1]}": "takes connections", str(tmp_path / "new.ndjson"): "can be made",
                 f"unixgram://{tmp_path}/gram": "is there", "stdout": "standard output"}
        away = {f"tcp://127.0.0.1:{free_port()}": "refused", str(tmp_path / "none" / "t.ndjson"): "No such file",
                f"unix://{tmp_path}/none": "No such file", str(tmp_path): "is a directory"}
        for to, text in there.items():
            d = doctor(tmp_path, "--", "ls", env={"SCOPE_NDJSON_TO": to})
            assert d.status == 0 and d.has("ok", "sink", to, text), d
        for to, text in away.items():
            d = doctor(tmp_path, "--", "ls", env={"SCOPE_NDJSON_TO": to})
            assert d.status == 1 and d.observed and d.has("no", "sink", to, text), d
    port = free_port(socket.SOCK_DGRAM)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.bind(("127.0.0.1", port))
        assert doctor(tmp_path, "--", "ls", env={"SCOPE_STATSD_TO": f"udp://127.0.0.1:{port}"}).has("ok", "sink", "does not tell")
    assert doctor(tmp_path, "--", "ls", env={"SCOPE_STATSD_TO": f"udp://127.0.0.1:{port}"}).has("no", "sink", "nobody listens")


def test_options_of_the_command_count(tmp_path):
    d = doctor(tmp_path, "--set", "enabled=false", "--", "ls")
    assert not d.observed and d.has("no", "rules", "enabled is false", "--set"), d


# ------------------------------------------------------------------ the installation


def test_the_installation(tmp_path):
    d = doctor(tmp_path)
    assert d.observed and d.status == 0, d
    assert d.has("ok", "library", str(LIBRARY.resolve())) and d.has("ok", "control")


def test_an_installation_without_its_library(tmp_path):
    d = doctor(tmp_path, env={"SCOPE_LIBRARY": str(tmp_path / "libscope.so")})
    assert not d.observed and d.status == 1 and d.has("no", "library", "SCOPE_LIBRARY"), d


def test_a_library_that_does_not_load(tmp_path):
    broken = tmp_path / "libscope.so"
    broken.write_bytes(LIBRARY.read_bytes()[:4096])
    d = doctor(tmp_path, env={"SCOPE_LIBRARY": str(broken)})
    assert not d.observed and d.has("no", "library", "does not load"), d


# ------------------------------------------------------------------ for a person


def test_lines_for_a_person(tmp_path):
    done = doctor(tmp_path, "--", "ls", json_=False)
    lines = done.stdout.decode().splitlines()
    assert done.returncode == 0 and lines[-1] == "It would be observed, and nothing is wrong"
    assert all(line.split()[0] in ("ok", "no", "note") for line in lines[:-2]) and b"\033" not in done.stdout


@pytest.mark.parametrize("arguments", [["abc"], ["1", "2"], ["--"], ["--nonsense"], ["--set", "x", "--", "ls"], ["-1"]])
def test_a_wrong_command_line(arguments, tmp_path):
    done = doctor(tmp_path, *arguments, json_=False)
    assert done.returncode == 2 and done.stderr and not done.stdout
