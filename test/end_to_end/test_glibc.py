"""The built library on other glibc versions: in minimal roots of Debian 11 (2.31) and 13 (2.41)."""
import os
import shutil
import subprocess

import pytest
from hostile_server import HostileServer
from observe import LIBRARY, ROOT, Recording, clean_environment

SCRIPT = r"""
set -e
echo one | cat > /work/f; cat /work/f; ls /work >/dev/null
perl -e 'open F, "<", "/work/f"; print <F>; fork ? wait : exit 3; print $? >> 8, "\n"; printf "%s\n", join ",", map { `echo $_` =~ s/\n//r } 1..3'
python3 -c 'import threading,os; t=[threading.Thread(target=lambda: open("/work/f").read()) for _ in range(20)]; [x.start() for x in t]; [x.join() for x in t]; print("threads"); os._exit(4)' || echo $?
stat -c %s /work/f
bash -c 'kill -TERM $$' || echo $?
"""


@pytest.mark.parametrize("suite", ["bullseye", "trixie"])
def test_other_glibc(suite, tmp_path):
    if os.geteuid() != 0 or not shutil.which("debootstrap"):
        pytest.skip("making a root directory needs root and debootstrap")
    place = ROOT / "build" / "roots" / suite
    place.parent.mkdir(parents=True, exist_ok=True)
    made = subprocess.run([ROOT / "test" / "end_to_end" / "make-root", suite, place], capture_output=True, text=True)
    if made.returncode:
        pytest.skip(f"Debian {suite} could not be installed: {made.stderr.strip()[-200:]}")
    outcomes = []
    for way in ("bare", "watched"):
        work = place / "work"
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir()
        shutil.copy(LIBRARY, place / "libscope.so")
        env = clean_environment({"PATH": "/usr/bin:/bin", "HOME": "/root"})
        if way == "watched":
            env.update({"LD_PRELOAD": "/libscope.so", "SCOPE_NDJSON_TO": "/telemetry.ndjson", "SCOPE_CONFIG": "/dev/null"})
        (place / "telemetry.ndjson").unlink(missing_ok=True)
        # chroot(8) itself runs bare: the library is for the programs inside.
        command = ["env", "-i", *[f"{k}={v}" for k, v in env.items()], "/bin/bash", "-c", SCRIPT]
        done = subprocess.run(["chroot", place, *command], capture_output=True, timeout=120)
        outcomes.append((done.returncode, done.stdout, done.stderr))
    assert outcomes[1] == outcomes[0]
    recording = Recording(place / "telemetry.ndjson")
    assert {e["attributes"].get("file.path") for e in recording.events("scope.file.close")} >= {"/work/f"}
    assert len(recording.events("scope.process.exit")) >= 5
    # The library that is loaded for HTTP is content with this glibc too.
    shutil.copy(LIBRARY.with_name("libscope-http.so"), place / "libscope-http.so")
    with HostileServer() as server:
        command = ["env", "LD_PRELOAD=/libscope.so", f"SCOPE_OTLP_TO={server.url}", "SCOPE_EXIT_BOUND=5s", "/bin/echo", "over HTTP"]
        done = subprocess.run(["chroot", place, "env", "-i", *command], capture_output=True, timeout=60)
        assert (done.returncode, done.stdout, done.stderr) == (0, b"over HTTP\n", b"")
    assert "over HTTP" in [line.get("body") for line in server.received().lines]
