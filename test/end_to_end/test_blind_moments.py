"""Moments in which the library cannot look, or must not be in the way: what it says afterwards is still true."""
import os
import socket
import subprocess
import sys
import time

import pytest
from observe import PROGRAMS, Recording, bare, observe, scope_environment

PYTHON = sys.executable


def test_a_vfork_that_comes_first_on_a_thread_is_not_taken_for_it(tmp_path):
    seen = observe([PROGRAMS / "proc_vfork_thread"], tmp_path, cwd=tmp_path).recording
    opened = {os.path.basename(e["attributes"]["file.path"]): e["attributes"]["thread.id"]
              for e in seen.events("scope.file.open")}
    assert "of-the-parent" in opened
    assert "of-the-child" not in opened  # it ran on the parent's memory: nobody's record
    assert opened["of-the-parent"] > next(iter(seen.pids()))


def test_what_changed_while_it_was_switched_off_is_not_taken_for_what_was(tmp_path):
    to, control, diagnostics = tmp_path / "t.ndjson", tmp_path / "control", tmp_path / "diagnostics"
    control.mkdir(mode=0o700)
    (tmp_path / "sub").mkdir()
    code = ("import os, sys\n"
            "say = lambda: (print('.', flush=True), sys.stdin.readline())\n"
            "fd = os.open('first', os.O_CREAT | os.O_RDWR); os.write(fd, b'1'); say()\n"
            "os.close(fd); fd = os.open('second', os.O_CREAT | os.O_RDWR); os.chdir('sub'); say()\n"
            "os.write(fd, b'22'); os.close(os.open('third', os.O_CREAT | os.O_RDWR)); os.close(fd)\n")
    env = scope_environment(to, {"SCOPE_CONTROL_DIR": str(control), "SCOPE_DIAGNOSTICS_TO": str(diagnostics),
                                 "SCOPE_DIAGNOSTICS_LEVEL": "info"}, {"events.interval": "100ms"})
    p = subprocess.Popen([PYTHON, "-c", code], env=env, cwd=tmp_path, text=True,
                         stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def switch(word):
        p.stdout.readline()
        new = control / "new"
        new.write_text(word)
        new.chmod(0o600)
        os.rename(new, control / str(p.pid))
        end = time.monotonic() + 20
        while not (diagnostics.exists() and f"switched {word}" in diagnostics.read_text()):
            assert time.monotonic() < end
            time.sleep(0.02)
        p.stdin.write("\n")
        p.stdin.flush()

    try:
        switch("off")
        switch("on")
        assert p.wait(20) == 0
    finally:
        p.kill()
        p.stdin.close()
        p.stdout.close()
        p.wait()
    closed = {e["attributes"]["file.path"]: e["attributes"]["scope.io.write.bytes"]
              for e in Recording(to).events("scope.file.close")
              if e["attributes"]["file.path"].startswith(str(tmp_path)) and e["attributes"]["scope.io.write.bytes"]}
    assert closed.get(str(tmp_path / "second")) == 2
    assert closed.get(str(tmp_path / "first"), 1) == 1
    opened = [e["attributes"]["file.path"] for e in Recording(to).events("scope.file.open")]
    assert str(tmp_path / "sub" / "third") in opened


def test_a_sink_that_hangs_does_not_make_unshare_fail(tmp_path):
    code = ("import ctypes, os, time\n"
            "for i in range(20000): os.close(os.open('/etc/passwd', 0))\n"
            "time.sleep(1.5)\n"
            "print(ctypes.CDLL(None).unshare(0x10000000))\n"
            "time.sleep(1.2); time.sleep(0.01)\n"
            "print(len(os.listdir('/proc/self/task')))\n")
    if bare([PYTHON, "-c", code]).stdout.split() != [b"0", b"1"]:
        pytest.skip("user namespaces are not to be had here")
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        s.bind(("127.0.0.1", 0))
        s.listen(1)  # and nobody ever reads
        out = subprocess.run([PYTHON, "-c", code], capture_output=True, timeout=60,
                             env=scope_environment(f"tcp://127.0.0.1:{s.getsockname()[1]}"))
    assert out.stdout.split() == [b"0", b"2"]  # and the reporter is there again
