"""How calls reach the library: RTLD_DEEPBIND, RUNPATH, constructors that come first, other interposers."""
import os
import shutil
import subprocess

import pytest
from observe import LIBRARY, PROGRAMS, bare, observe

LIBRARY_SOURCE = r"""
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>
int beside(void);
int work(const char *name) {
    int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    write(fd, "12345", 5);
    close(fd);
    return beside();
}
"""
# What is beside it has a function with the name of one that is watched: the library means that one.
BESIDE_SOURCE = r"""
int fsync(int fd) { return 1000 + fd; }
int beside(void) { return fsync(7); }
"""
USES_BESIDE = r"""
int fsync(int);
int own(void) { return fsync(8); }
"""
PROGRAM_SOURCE = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
int main(int argc, char **argv) {
    void *l = dlopen(argv[1], atoi(argv[2]));
    if (!l) { printf("%s\n", dlerror()); return 1; }
    int (*work)(const char *) = dlsym(l, "work");
    int (*own)(void) = dlsym(RTLD_DEFAULT, "own") ? dlsym(RTLD_DEFAULT, "own") : dlsym(l, "own");
    printf("%d", work("written"));
    printf(" %d\n", own ? own() : -1);
    return dlclose(l);
}
"""
NOW, LAZY, DEEPBIND = os.RTLD_NOW, os.RTLD_LAZY, os.RTLD_DEEPBIND


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A program with a RUNPATH, and the libraries that it finds there."""
    if not shutil.which("gcc"):
        pytest.skip("no gcc here")
    place = tmp_path_factory.mktemp("deep")
    (place / "lib").mkdir()

    def build(name, source, *how):
        (place / f"{name}.c").write_text(source)
        out = place / ("lib/lib%s.so" % name if "-shared" in how else name)
        subprocess.run(["gcc", "-w", "-fPIC", "-o", out, place / f"{name}.c", *how], check=True)

    inside = ["-shared", f"-L{place}/lib", "-Wl,-rpath,$ORIGIN"]
    build("beside", BESIDE_SOURCE, "-shared")
    build("uses", USES_BESIDE, *inside, "-lbeside", "-Wl,-z,lazy")
    for bind in ("lazy", "now"):
        build(f"work{bind}", LIBRARY_SOURCE, *inside, "-Wl,--no-as-needed", "-luses", "-lbeside", f"-Wl,-z,{bind}")
    build("withpath", PROGRAM_SOURCE, "-Wl,-rpath,$ORIGIN/lib", "-ldl")
    build("nopath", PROGRAM_SOURCE, "-ldl")
    return place


@pytest.mark.parametrize("bind", ["lazy", "now"])
@pytest.mark.parametrize("flags", [NOW, LAZY, NOW | DEEPBIND, LAZY | DEEPBIND])
@pytest.mark.parametrize("program, name", [("withpath", "libwork{}.so"), ("nopath", "{place}/lib/libwork{}.so"),
                                           ("nopath", "libwork{}.so"), ("withpath", "{place}/lib/libwork{}.so")])
def test_dlopen(built, tmp_path, program, name, flags, bind):
    command = [built / program, name.format(bind, place=built), flags]
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    alone = bare(command, cwd=tmp_path / "a")
    watched = observe(command, tmp_path, cwd=tmp_path / "b")
    assert (watched.status, watched.stdout, watched.stderr) == (alone.status, alone.stdout, alone.stderr)
    if alone.status == 0:
        unseen = flags & DEEPBIND and program == "withpath" and "/" not in name
        closed = watched.recording.events("scope.file.close", file__path=str(tmp_path / "b" / "written"))
        if unseen:  # only the caller's RUNPATH finds it: the caller's own dlopen must, and it is said
            assert [l for l in watched.recording.lines if l.get("name") == "scope.unobserved"]
        else:
            assert [(e["attributes"]["scope.io.write.bytes"], e["attributes"]["scope.io.write.operations"])
                    for e in closed] == [(5, 1)]


def test_deepbind_of_a_real_library(tmp_path):
    watched = observe([PROGRAMS / "hook_deepbind"], tmp_path, cwd=tmp_path)
    if b"no libz" in watched.stdout:
        pytest.skip("zlib is not installed")
    path = str(tmp_path / "packed.gz")
    assert len(watched.recording.events("scope.file.open", file__path=path)) == 8
    assert len(watched.recording.events("scope.file.close", file__path=path)) == 8


def test_calls_of_another_constructor_are_seen(tmp_path):
    """A library that the program is linked to runs before ours does."""
    if not shutil.which("gcc"):
        pytest.skip("no gcc here")
    (tmp_path / "early.c").write_text(r"""
        #include <stdio.h>
        #include <string.h>
        int early;
        __attribute__((constructor)) static void first(void) {
            FILE *f = fopen("/etc/passwd", "r");
            early = fgetc(f);
            fclose(f);
        }""")
    (tmp_path / "main.c").write_text("extern int early; int main(void) { return early == 'r' ? 0 : 1; }")
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", tmp_path / "libearly.so", tmp_path / "early.c"], check=True)
    subprocess.run(["gcc", "-o", tmp_path / "main", tmp_path / "main.c", f"-L{tmp_path}", "-learly",
                    f"-Wl,-rpath,{tmp_path}"], check=True)
    watched = observe([tmp_path / "main"], tmp_path)
    assert watched.status == 0
    assert len(watched.recording.events("scope.file.open", file__path="/etc/passwd")) == 1
    closed = watched.recording.events("scope.file.close", file__path="/etc/passwd")
    assert [e["attributes"]["scope.io.read.operations"] for e in closed] == [1]


def test_two_copies_report_once(tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    shutil.copy(LIBRARY, other / "libscope.so")
    for preload in (f"{LIBRARY} {other}/libscope.so", f"{other}/libscope.so {LIBRARY}"):
        watched = observe(["/bin/cat", "/etc/hostname"], tmp_path, env={"LD_PRELOAD": preload})
        assert watched.status == 0
        assert len(watched.recording.events("scope.process.start")) == 1
        assert len(watched.recording.events("scope.file.close", file__path="/etc/hostname")) == 1


def test_stdio_counts_each_call_once(tmp_path):
    """What was written reached the file in as many writes as the buffer makes, and no more."""
    source = tmp_path / "out.c"
    source.write_text(r'''
        #include <stdio.h>
        int main(void) {
            char line[64];
            FILE *f = fopen("lines", "w");
            for (int i = 0; i < 10000; i++)
                fprintf(f, "line %04d\n", i);
            fclose(f);
            f = fopen("lines", "r");
            int n = 0;
            while (fgets(line, sizeof(line), f))
                n++;
            fclose(f);
            return n == 10000 ? 0 : 1;
        }''')
    if not shutil.which("gcc"):
        pytest.skip("no gcc here")
    subprocess.run(["gcc", "-o", tmp_path / "out", source], check=True)
    watched = observe([tmp_path / "out"], tmp_path, cwd=tmp_path)
    assert watched.status == 0
    first, second = watched.recording.events("scope.file.close", file__path=str(tmp_path / "lines"))
    block = os.stat(tmp_path).st_blksize
    writes = -(-100000 // block)
    assert first["attributes"]["scope.io.write.bytes"] == 100000
    assert first["attributes"]["scope.io.write.operations"] == writes
    assert second["attributes"]["scope.io.read.bytes"] == 100000
    assert second["attributes"]["scope.io.read.operations"] == writes + 1
