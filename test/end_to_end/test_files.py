"""Files: what is reported of the programs test/programs/file_*.c is what those programs do.

The numbers here follow from the programs' sources; errors are held against strace of a bare run.
"""
import collections
import re
import subprocess

import pytest
from observe import PROGRAMS, need, observe

# What libc makes of a name, where it is not the system call of that name.
CALLED = {"open": "openat", "opendir": "openat", "stat": "newfstatat", "lstat": "newfstatat", "fstat": "newfstatat",
          "pipe": "pipe2", "faccessat": "faccessat2"}
# Refused by libc, so that no system call is made.
REFUSED = {("mkstemp", "EINVAL"), ("mkdir", "EINVAL"), ("shm_open", "EINVAL")}
# What libc does by itself: remove() tries unlink before rmdir, fdopendir() looks at the descriptor.
INTERNAL = collections.Counter({("unlink", "EISDIR"): 2, ("newfstatat", "EBADF"): 1})


def run(name, tmp_path, every_event=True):
    here = tmp_path / "here"
    here.mkdir()
    outcome = observe([PROGRAMS / name], tmp_path, cwd=here)
    if every_event:
        assert not outcome.recording.drops()
    return outcome.recording, str(here)


def closed(recording, path):
    """What was done through all descriptors of a path."""
    total = collections.Counter()
    for event in recording.events("scope.file.close", file__path=path):
        for key, value in event["attributes"].items():
            if key.startswith("scope.io.") and isinstance(value, int):
                total[key.removeprefix("scope.io.")] += value
    return total


def test_errors_equal_strace(tmp_path):
    need("strace")
    bare = tmp_path / "bare"
    bare.mkdir()
    trace = tmp_path / "strace"
    subprocess.run(["strace", "-f", "-qq", "-o", trace, PROGRAMS / "file_errno"], cwd=bare, check=True, capture_output=True)
    truth = collections.Counter()
    for line in trace.read_text().splitlines():
        found = re.match(r"\d+\s+(\w+)\(.* = -1 (E\w+) \(", line)
        # not ours to count: terminal questions, numbers that are no system call, and what the loader looks for
        if found and found[1] != "ioctl" and not found[1].startswith("syscall_") and "/etc/ld.so" not in line:
            truth[found.groups()] += 1
    recording, _ = run("file_errno", tmp_path)
    got = collections.Counter()
    for point in recording.metrics("scope.file.operation.errors"):
        key = point["attributes"]["scope.operation"], point["attributes"]["error.type"]
        if key not in REFUSED:
            got[CALLED.get(key[0], key[0]), key[1]] += point["value"]
    assert got + INTERNAL == truth


def test_bytes_that_never_come_into_the_program(tmp_path):
    recording, here = run("file_copies", tmp_path)
    source, target = closed(recording, f"{here}/from"), closed(recording, f"{here}/to")
    # sendfile 1000 and, at the end of the file, 0; copy_file_range 3000; splice 2000
    assert (source["read.bytes"], source["read.operations"]) == (6000, 4)
    assert (source["write.bytes"], source["write.operations"]) == (8192, 1)
    assert (target["write.bytes"], target["write.operations"]) == (6000, 4)
    memory = closed(recording, "/memfd:scratch")
    assert (memory["write.bytes"], memory["read.bytes"]) == (100, 50)
    # an eventfd is no file: it has its metrics, and no events
    assert [recording.total("scope.file.io", scope__descriptor__kind="event", scope__io__direction=way) for way in ("read", "write")] == [16, 8]
    assert recording.total("scope.file.operation.duration", scope__operation="sendfile") == 2
    mapped, = recording.events("scope.file.map", file__path=f"{here}/from")
    assert (mapped["attributes"]["scope.map.length"], mapped["attributes"]["scope.map.offset"]) == (4096, 4096)
    shared, = [e for e in recording.events("scope.file.open") if e["attributes"]["scope.operation"] == "shm_open"]
    assert shared["attributes"]["file.path"].startswith("/dev/shm/scope-test-")


def test_through_syscall(tmp_path):
    recording, here = run("file_syscall", tmp_path)
    file = closed(recording, f"{here}/file")
    assert (file["write.bytes"], file["write.operations"]) == (4 + 8 + 1, 3)
    assert (file["read.bytes"], file["read.operations"]) == (12 + 4, 2)
    renamed, = recording.events("scope.file.rename")
    assert renamed["attributes"]["file.path"] == f"{here}/file"
    assert renamed["attributes"]["scope.file.new_path"] == f"{here}/file2"
    # three descriptors and two pipes, one by one; then close_range for the rest
    assert recording.total("scope.file.operation.duration", scope__operation="close_range") == 1
    # each of three children opened, wrote and closed /dev/null; the one on its parent's memory is not seen
    assert recording.total("scope.file.operation.duration", scope__operation="open", scope__descriptor__kind="device") == 2


def test_names_are_absolute(tmp_path):
    recording, here = run("file_where", tmp_path)
    opened = [e["attributes"]["file.path"] for e in recording.events("scope.file.open")]
    # but where the directory's own name is longer than the kernel tells: about 20 of 60 levels
    assert {p for p in opened if not p.startswith("/")} <= {"file", "."}
    assert sum(not p.startswith("/") for p in opened) <= 25
    assert f"{here}/sub/file" in opened  # openat of a descriptor
    renamed = {(e["attributes"]["file.path"], e["attributes"]["scope.file.new_path"])
               for e in recording.events("scope.file.rename")}
    assert (f"{here}/sub/file", f"{here}/moved") in renamed  # two descriptors
    deleted = {e["attributes"]["file.path"] for e in recording.events("scope.file.delete")}
    assert f"{here}/moved" in deleted
    # directories deeper than what fits into a frame, up to where libc's own getcwd gives up
    deep = "/".join(["d" * 100] * 30)
    assert f"{here}/{deep}/file" in opened
    elsewhere = {p for p in opened if p.endswith("/not-here-at-all")}
    assert elsewhere <= {f"{here}/not-here-at-all", "/tmp/not-here-at-all", "/usr/bin/not-here-at-all"}


@pytest.mark.parametrize("name", ["file_jump", "file_reuse", "file_numbers"])
def test_counts_survive(name, tmp_path):
    """Nothing is counted twice or by halves where handlers jump and numbers are reused: as many descriptors
    were closed as opened, but for those that were open at the end."""
    recording, _ = run(name, tmp_path, every_event=False)  # more than their limits let pass; counters are exact
    count = lambda operation: recording.total("scope.file.operation.duration", scope__operation=operation)
    failed = sum(p["value"] for p in recording.metrics("scope.file.operation.errors", scope__operation="open"))
    if name == "file_reuse":
        # 1000 of each kind, 2000 short threads and the last; pipes have two ends
        assert count("open") - failed == 1000 + 1000 + 2000 + 1
        assert count("pipe2") == 1000
        assert count("close") == 1000 + 1000 + 2 * 1000 + 2000
    elif name == "file_numbers":
        assert count("close") >= 65536 - 3
    else:
        assert count("open") > 1000 and count("close") > 1000
