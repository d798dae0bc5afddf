"""Living with others: allocators, sanitizers, debuggers, tracers, other preloaded libraries, sandboxes, other libcs.

What each program does is the same bare and under the library, whoever else is in the process or looks at it.
"""
import os
import pathlib
import re
import signal
import subprocess
import sys
import time

import pytest
from observe import LIBRARY, PROGRAMS, Recording, bare, clean_environment, free_port, need, observe, scope_environment, wait_port
from test_lifecycle import compile_c

PYTHON = "/usr/bin/python3" if os.path.exists("/usr/bin/python3") else sys.executable

# Threads, files, sockets, a child, and an exit by the libc's own way: what most of these tests run.
BUSY = r"""
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
static void *work(void *p) {
    char buffer[200]; struct stat st; int pair[2];
    for (int i = 0; i < 20; i++) {
        FILE *f = fopen("/etc/passwd", "r");
        if (!f || !fgets(buffer, sizeof(buffer), f)) abort();
        fclose(f);
        free(memset(malloc(1000 + i), 1, 1000));
        stat("/nonexistent", &st);
        socketpair(AF_UNIX, SOCK_STREAM, 0, pair);
        send(pair[0], buffer, 5, 0); recv(pair[1], buffer, 5, 0);
        close(pair[0]); close(pair[1]);
    }
    return p;
}
int main(int argc, char **argv) {
    pthread_t t[4]; struct addrinfo *a; int status;
    for (long i = 0; i < 4; i++) pthread_create(&t[i], NULL, work, (void *)i);
    for (long i = 0; i < 4; i++) { void *r; pthread_join(t[i], &r); if (r != (void *)i) abort(); }
    if (getaddrinfo("127.0.0.1", "80", NULL, &a) == 0) freeaddrinfo(a);
    FILE *f = fopen("made", "w+"); fprintf(f, "%d %s\n", 42, "in a file"); rewind(f);
    char line[64]; printf("read back: %s", fgets(line, sizeof(line), f)); fclose(f); unlink("made");
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) { work(NULL); printf("child\n"); exit(4); }
    waitpid(pid, &status, 0); printf("child: %x\n", status);
    printf("system: %x\n", system("echo from a shell; exit 5"));
    fprintf(stderr, "to standard error\n");
    printf("buffered until the end");
    return 3;
}
"""


def same(command, tmp_path, env=None, sets=None, reported=True, timeout=120, preload=None, **how):
    """Runs it bare and watched, holds one against the other, and gives the recording."""
    other = {"LD_PRELOAD": preload} if preload else {}
    alone = bare(command, env={**(env or {}), **other}, cwd=tmp_path, timeout=timeout, **how)
    for order in ([f"{preload}:{LIBRARY}", f"{LIBRARY}:{preload}"] if preload else [str(LIBRARY)]):
        watched = observe(command, tmp_path, env={**(env or {}), "LD_PRELOAD": order}, sets=sets, cwd=tmp_path,
                          timeout=timeout, **how)
        assert watched[:3] == alone[:3], order
        if reported:
            assert watched.recording.lines, "nothing was reported"
    return watched.recording


def library(name):
    """A library by its file's name, wherever the distribution has it."""
    for place in ("/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib64", "/usr/lib"):
        for path in sorted(pathlib.Path(place).glob(f"{name}*")) + sorted(pathlib.Path(place).glob(f"*/{name}*")):
            return path
    pytest.skip(f"{name} is not installed and could not be")


# ------------------------------------------------------------------ allocators and others in LD_PRELOAD


@pytest.mark.parametrize("name", ["libjemalloc.so.2", "libtcmalloc_minimal.so.4", "libmimalloc.so.2"])
def test_allocators_beside_us(name, tmp_path):
    program = compile_c(tmp_path, "busy", BUSY, "-lpthread")
    same([program], tmp_path, preload=str(library(name)))
    same([PYTHON, "-c", "import json,threading,subprocess\nt=[threading.Thread(target=lambda: open('/etc/passwd').read()) for _ in range(9)]\n"
          "[x.start() for x in t];[x.join() for x in t]\nprint(subprocess.check_output(['echo','x']), json.dumps({'a':1}))"],
         tmp_path, preload=str(library(name)))


@pytest.mark.parametrize("name", ["libjemalloc.so.2", "libtcmalloc_minimal.so.4", "libmimalloc.so.2"])
def test_allocators_that_the_program_is_linked_with(name, tmp_path):
    program = compile_c(tmp_path, "linked", BUSY, "-lpthread", str(library(name)))
    same([program], tmp_path)


def test_fakeroot_fakes_on(tmp_path):
    need("fakeroot")
    script = "touch f; chown 1:2 f; stat -c %u:%g f; mknod dev c 1 3; stat -c %F dev; chmod 4755 f; stat -c %a f; rm f dev; id -u; exit 7"
    same(["fakeroot", "sh", "-c", script], tmp_path)
    if os.geteuid() == 0 and os.path.exists("/usr/bin/setpriv"):
        open_to_others(tmp_path)
        tmp_path.chmod(0o777)
        same(["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "fakeroot", "sh", "-c", script],
             tmp_path, env={"HOME": "/tmp"})


COUNTER = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>
static long opens, reads, writes, sends, forks;
#define NEXT(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))
int open(const char *p, int f, ...) { va_list l; va_start(l, f); int m = va_arg(l, int); va_end(l); opens++; return NEXT(open)(p, f, m); }
FILE *fopen(const char *p, const char *m) { opens++; return NEXT(fopen)(p, m); }
ssize_t read(int fd, void *b, size_t n) { reads++; return NEXT(read)(fd, b, n); }
ssize_t write(int fd, const void *b, size_t n) { writes++; return NEXT(write)(fd, b, n); }
ssize_t send(int fd, const void *b, size_t n, int f) { sends++; return NEXT(send)(fd, b, n, f); }
pid_t fork(void) { forks++; return NEXT(fork)(); }
__attribute__((destructor)) static void tell(void) {
    if (opens + sends + forks) dprintf(2, "%ld opens %ld reads %ld writes %ld sends %ld forks\n", opens, reads, writes, sends, forks);
}
"""


def test_another_vendors_wrappers(tmp_path):
    """A preloaded library that wraps what we wrap sees each of the program's calls once, and none of ours, on either side of us."""
    counter = compile_c(tmp_path, "counter.so", COUNTER, "-shared", "-fPIC", "-ldl")
    program = compile_c(tmp_path, "calls", """
        #include <fcntl.h>
        #include <stdio.h>
        #include <sys/socket.h>
        #include <sys/wait.h>
        #include <unistd.h>
        int main(void) { char c; int pair[2], status; socketpair(AF_UNIX, SOCK_STREAM, 0, pair);
            for (int i = 0; i < 50; i++) { int fd = open("/dev/zero", O_RDONLY); read(fd, &c, 1); close(fd); send(pair[0], &c, 1, 0); }
            FILE *f = fopen("/etc/passwd", "r"); printf("%c\\n", fgetc(f)); fclose(f); usleep(50000); fflush(stdout);
            if (fork() == 0) { write(1, "child\\n", 6); return 3; }
            wait(&status); printf("%x\\n", status); return 4; }""")
    recording = same([program], tmp_path, preload=str(counter), sets={"events.interval": "10ms"})
    assert recording.events("scope.file.open", file__path="/dev/zero")


def test_an_auditor_of_the_loader(tmp_path):
    """LD_AUDIT: it looks at every object and every binding, ours too."""
    auditor = compile_c(tmp_path, "auditor.so", """
        #define _GNU_SOURCE
        #include <link.h>
        unsigned la_version(unsigned v) { return v; }
        unsigned la_objopen(struct link_map *m, Lmid_t id, uintptr_t *cookie) { return LA_FLG_BINDTO | LA_FLG_BINDFROM; }
        uintptr_t la_symbind64(Elf64_Sym *s, unsigned n, uintptr_t *a, uintptr_t *b, unsigned *flags, const char *name) { return s->st_value; }
        """, "-shared", "-fPIC")
    program = compile_c(tmp_path, "busy", BUSY, "-lpthread")
    same([program], tmp_path, env={"LD_AUDIT": str(auditor)})
    for setting in ("LD_BIND_NOW", "LD_DEBUG_OUTPUT", "LD_DYNAMIC_WEAK"):
        same([program], tmp_path, env={setting: str(tmp_path / "1")})


def open_to_others(path):
    for p in [path, *path.parents]:
        if p.stat().st_uid == os.geteuid() and str(p).startswith("/tmp/"):
            p.chmod(p.stat().st_mode | 0o755)


def test_faketime_fakes_on(tmp_path):
    need("faketime")
    recording = same(["faketime", "-f", "@2001-02-03 04:05:06", "sh", "-c", "date -u +%F; touch f; date -u -r f +%Y; rm f; exit 2"], tmp_path)
    # What time we report is what the kernel says, not what the program is told.
    assert all(l["time"] > 1e9 for l in recording.lines)


def test_two_copies_of_the_library(tmp_path):
    """One of them works; both may be named, by a script that is run under another, say, or by an upgrade."""
    copy = tmp_path / "libscope.so"
    copy.write_bytes(LIBRARY.read_bytes())
    program = compile_c(tmp_path, "busy", BUSY, "-lpthread")
    same([program], tmp_path, preload=str(copy))
    recording = same(["sh", "-c", f"{program}; echo $?; exit 3"], tmp_path, preload=str(copy))
    assert [l["body"] for l in recording.logs()].count("child") == 1


def test_named_twice(tmp_path):
    program = compile_c(tmp_path, "busy", BUSY, "-lpthread")
    alone = bare([program], cwd=tmp_path)
    twice = observe([program], tmp_path, env={"LD_PRELOAD": f"{LIBRARY} {LIBRARY}:{LIBRARY}"}, cwd=tmp_path)
    assert twice[:3] == alone[:3]
    assert [l["body"] for l in twice.recording.logs()].count("child") == 1


def test_a_new_version_over_the_old_while_it_runs(tmp_path):
    """Installed by rename, as packages are: who has the old one keeps it, children get the new one."""
    copy = tmp_path / "libscope.so"
    copy.write_bytes(LIBRARY.read_bytes())
    code = ("import os,shutil,subprocess,sys\n"
            f"shutil.copy({str(LIBRARY)!r}, {str(copy)!r} + '.new'); os.rename({str(copy)!r} + '.new', {str(copy)!r})\n"
            "print(subprocess.run(['sh','-c','echo child; exit 3']).returncode); open('/etc/passwd').read()\n")
    alone = bare([PYTHON, "-c", code], cwd=tmp_path)
    watched = observe([PYTHON, "-c", code], tmp_path, env={"LD_PRELOAD": str(copy)}, cwd=tmp_path)
    assert watched[:3] == alone[:3]
    assert len(watched.recording.pids()) == 2


# ------------------------------------------------------------------ names that the program has as well


def test_a_program_with_the_names_of_our_dependencies(tmp_path):
    """It exports what libyaml, PCRE2, jansson, OpenSSL and curl export; ours are hidden, and its own are never called."""
    names = ["yaml_parser_initialize", "yaml_parser_parse", "yaml_parser_delete", "pcre2_compile_8", "pcre2_match_8",
             "pcre2_code_free_8", "json_loads", "SSL_read", "SSL_write", "SSL_CTX_new", "OPENSSL_init_ssl",
             "curl_global_init", "ring_init", "conf_load", "region_new", "reporter_new", "lane_bind", "fold_new",
             "hook_region", "record_write", "heap_alloc", "diagnostics", "queue_new", "transport_new", "dns_parse"]
    source = "#include <stdlib.h>\n" + "\n".join(f"int {n}(void) {{ abort(); }}" for n in names) + BUSY
    program = compile_c(tmp_path, "names", source, "-lpthread", "-rdynamic")
    config = tmp_path / "scope.yml"
    config.write_text("events:\n  interval: 50ms\nlogs:\n  exclude: ['^read (back|ahead)']\n")
    recording = same([program], tmp_path, env={"SCOPE_CONFIG": str(config)})
    bodies = [l["body"] for l in recording.logs()]
    assert "child" in bodies and not any(b.startswith("read back") for b in bodies), "the filter did not work"


# ------------------------------------------------------------------ sanitizers


@pytest.mark.parametrize("kind,flags", [("gcc-asan", []), ("gcc-asan-static", ["-static-libasan"]), ("gcc-tsan", []), ("gcc-ubsan", []),
                                        ("gcc-lsan", []), ("clang-asan", []), ("clang-tsan", []), ("clang-msan", [])],
                         ids=lambda v: v if isinstance(v, str) else "")
def test_sanitized_programs(kind, flags, tmp_path):
    compiler, sanitizer = kind.split("-")[:2]
    need(compiler)
    source = tmp_path / "busy.c"
    source.write_text(BUSY)
    which = {"asan": "address", "tsan": "thread", "ubsan": "undefined", "lsan": "leak", "msan": "memory"}[sanitizer]
    subprocess.run([compiler, "-w", "-g", "-O1", f"-fsanitize={which}", *flags, "-o", tmp_path / "busy", source, "-lpthread"], check=True)
    # By a shell, as a user would: gcc's shared ASan refuses to start behind any other library, and is left alone.
    recording = same(["sh", "-c", "./busy; echo $?"], tmp_path)
    names = {l["resource"].get("process.executable.name") for l in recording.lines}
    assert ("busy" in names) == (kind != "gcc-asan")


def test_a_sanitizer_still_finds_what_it_looks_for(tmp_path):
    need("clang")
    for which, text, word in (("address", "char *p = malloc(10); free(p); return p[3];", "heap-use-after-free"),
                              ("address", "for (int i = 0; i < 9; i++) { volatile char *p = malloc(1000); p[1] = 1; p = 0; } return 0;", "LeakSanitizer")):
        source = tmp_path / "wrong.c"
        source.write_text("#include <stdlib.h>\n#include <fcntl.h>\n#include <unistd.h>\nint main(void) { close(open(\"/dev/null\", O_RDONLY)); " + text + " }")
        subprocess.run(["clang", "-w", "-g", "-O0", f"-fsanitize={which}", "-o", tmp_path / "wrong", source], check=True)
        alone = bare([tmp_path / "wrong"], cwd=tmp_path)
        watched = observe([tmp_path / "wrong"], tmp_path, cwd=tmp_path)
        assert watched.status == alone.status
        assert word in alone.stderr.decode() and word in watched.stderr.decode()
        assert "libscope" not in watched.stderr.decode()


# ------------------------------------------------------------------ valgrind


VALGRIND = ["valgrind", "--error-exitcode=9", "--leak-check=full", "--show-leak-kinds=definite,indirect,possible",
            "--errors-for-leak-kinds=definite,indirect,possible", "--num-callers=30", "-q"]


def in_words(stderr):
    """Valgrind's own lines, without its process numbers and addresses."""
    return [re.sub(r"0x[0-9A-Fa-f]+|==\d+==", "", l) for l in stderr.decode().splitlines() if l.startswith("==")]


@pytest.mark.parametrize("command", [["./busy"], ["ls", "-l", "/usr"], [PYTHON, "-c", "pass"],
                                     ["sh", "-c", "echo hi; cat /etc/passwd >/dev/null; exit 3"]],
                         ids=["busy", "ls", "python", "sh"])
def test_valgrind_reports_nothing_of_ours(command, tmp_path):
    need("valgrind")
    compile_c(tmp_path, "busy", BUSY, "-lpthread", "-g")
    alone = bare(VALGRIND + command, cwd=tmp_path, timeout=200, env={"PYTHONMALLOC": "malloc"})
    # The program alone is watched: valgrind itself is a static launcher, which hands the environment on.
    watched = observe(VALGRIND + command, tmp_path, cwd=tmp_path, timeout=200, env={"PYTHONMALLOC": "malloc"})
    assert (watched.status, watched.stdout) == (alone.status, alone.stdout), watched.stderr.decode()
    assert in_words(watched.stderr) == in_words(alone.stderr)
    assert watched.recording.lines, "nothing was reported"


@pytest.mark.parametrize("tool", ["helgrind", "drd"])
def test_valgrinds_race_detectors(tool, tmp_path):
    """The program does what it does. They do not know what atomic stores order, and have doubts about our rings: see docs/limits.md."""
    need("valgrind")
    compile_c(tmp_path, "busy", BUSY, "-lpthread", "-g")
    command = ["valgrind", f"--tool={tool}", "-q", "./busy"]
    watched = observe(command, tmp_path, cwd=tmp_path, timeout=200)
    alone = bare(command, cwd=tmp_path, timeout=200)
    assert (watched.status, watched.stdout) == (alone.status, alone.stdout)
    assert watched.recording.lines


# ------------------------------------------------------------------ debuggers and tracers


class Running:
    """A watched program that goes on until its standard input ends; then it exits with 5."""

    def __init__(self, tmp_path):
        self.to = tmp_path / "running.ndjson"
        code = ("import sys,threading,time\nstop=[]\ndef f():\n while not stop: open('/etc/passwd').read(); time.sleep(0.001)\n"
                "t=threading.Thread(target=f); t.start(); print('on', flush=True)\nfor l in sys.stdin: print('got', l, end='', flush=True)\n"
                "stop.append(1); t.join(); sys.exit(5)")
        self.process = subprocess.Popen([PYTHON, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                        env=scope_environment(self.to, sets={"events.interval": "50ms"}))
        assert self.process.stdout.readline() == b"on\n"

    def __enter__(self):
        return self

    def finish(self):
        out, err = self.process.communicate(b"more\n", timeout=60)
        assert (self.process.returncode, out, err) == (5, b"got more\n", b"")
        return Recording(self.to)

    def __exit__(self, *exc):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


def can_trace():
    probe = subprocess.run(["strace", "-o", "/dev/null", "true"], capture_output=True)
    if probe.returncode:
        pytest.skip("this machine lets nobody trace")


def test_strace_attaches_and_leaves(tmp_path):
    need("strace")
    can_trace()
    with Running(tmp_path) as running:
        tracer = subprocess.Popen(["strace", "-f", "-o", str(tmp_path / "trace"), "-p", str(running.process.pid)],
                                  stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(0.5)
        tracer.send_signal(signal.SIGINT)
        tracer.wait(20)
        recording = running.finish()
        assert "openat" in (tmp_path / "trace").read_text()
        assert recording.total("scope.file.operation.duration", scope__operation="open") > 0 or recording.events("scope.file.open")


def test_gdb_attaches_walks_every_stack_and_leaves(tmp_path):
    need("gdb")
    can_trace()
    with Running(tmp_path) as running:
        done = subprocess.run(["gdb", "-nx", "-batch", "-p", str(running.process.pid), "-ex", "thread apply all bt", "-ex", "detach"],
                              capture_output=True, timeout=120, env=clean_environment({"DEBUGINFOD_URLS": ""}))
        text = done.stdout.decode()
        assert text.count("\nThread ") == 3, text + done.stderr.decode()
        assert "corrupt stack" not in text and "inside" not in done.stderr.decode()
        running.finish()


def test_gdb_starts_a_watched_program_and_breaks_in_our_wrappers(tmp_path):
    """What it is told to stop at is ours; from there up to main every frame is found, and `finish` comes back."""
    need("gdb")
    can_trace()
    program = compile_c(tmp_path, "small", "#include <fcntl.h>\n#include <unistd.h>\nint main(void) { char c; int fd = open(\"/etc/passwd\", O_RDONLY);"
                        " read(fd, &c, 1); write(1, &c, 1); return 6; }", "-g")
    env = scope_environment(tmp_path / "gdb.ndjson")
    preload = env.pop("LD_PRELOAD")
    done = subprocess.run(["gdb", "-nx", "-batch", "-ex", "set startup-with-shell off", "-ex", f"set environment LD_PRELOAD {preload}",
                           "-ex", "break main", "-ex", "run", "-ex", "tbreak read", "-ex", "continue", "-ex", "bt", "-ex", "finish",
                           "-ex", "delete", "-ex", "continue", str(program)],
                          capture_output=True, timeout=120, env={**env, "DEBUGINFOD_URLS": ""}, stdin=subprocess.DEVNULL)
    text = done.stdout.decode()
    assert re.search(r"#0 .*\bread ", text) and re.search(r"#1 .*\bmain ", text), text + done.stderr.decode()
    assert "exited with code 06" in text


def test_perf_or_none_counts_it(tmp_path):
    need("perf")
    probe = bare(["perf", "stat", "-e", "task-clock", "true"])
    if probe.status:
        pytest.skip("this machine lets nobody use perf")
    done = observe(["perf", "stat", "-o", tmp_path / "perf", "-e", "task-clock", "sh", "-c", "echo counted; exit 4"], tmp_path)
    assert (done.status, done.stdout, done.stderr) == (4, b"counted\n", b"")


# ------------------------------------------------------------------ other machines and libcs


SMALL = '#include <stdio.h>\n#include <stdlib.h>\n#include <unistd.h>\nint main(void) { printf("%s\\n", getenv("MARK")); return system("echo child of it; exit 2") >> 8; }'


@pytest.mark.parametrize("compiler,flags", [("musl-gcc", []), ("musl-gcc", ["-static"]), ("gcc", ["-static"]), ("gcc", ["-m32"]),
                                            ("gcc", ["-static-pie"]), ("gcc", ["-m32", "-static"])], ids=lambda v: v if isinstance(v, str) else "".join(v))
def test_programs_we_cannot_be_in(compiler, flags, tmp_path):
    """musl, static and 32-bit children: nothing on their standard error, and their own children are followed where that can be."""
    need(compiler)
    source = tmp_path / "small.c"
    source.write_text(SMALL)
    made = subprocess.run([compiler, "-w", *flags, "-o", tmp_path / "small", source], capture_output=True)
    if made.returncode:
        pytest.skip(f"{compiler} {' '.join(flags)} cannot link here")
    recording = same(["sh", "-c", "./small; echo $?; exec ./small"], tmp_path, env={"MARK": "kept"})
    names = [l["resource"].get("process.executable.name") for l in recording.lines]
    assert "small" not in names
    # and straight under LD_PRELOAD, where the loader of another class complains by itself: not ours to mend
    if "-static" in flags or "-static-pie" in flags:
        same(["./small"], tmp_path, env={"MARK": "kept"}, reported=False)


def test_privileged_programs_are_not_ours(tmp_path):
    """A setuid program: the loader ignores us there and takes LD_PRELOAD away; nothing is said, and it has its rights."""
    need("setpriv")
    if os.geteuid() != 0:
        pytest.skip("needs root to make one")
    program = compile_c(tmp_path, "privileged", '#include <stdio.h>\n#include <stdlib.h>\n#include <unistd.h>\nint main(void) {'
                        ' printf("%d %d %s\\n", getuid(), geteuid(), getenv("LD_PRELOAD") ? "kept" : "none"); fflush(stdout);'
                        ' return system("echo from it; exit 2") >> 8; }')
    open_to_others(tmp_path)
    tmp_path.chmod(0o777)
    program.chmod(0o4755)
    command = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "sh", "-c", f"{program}; echo $?; exec {program}"]
    # Somewhere that everybody can read the library from, so that it is not for that reason alone.
    copy = tmp_path / "libscope.so"
    copy.write_bytes(LIBRARY.read_bytes())
    copy.chmod(0o755)
    alone = bare(command, cwd=tmp_path)
    assert b"65534 0 none" in alone.stdout or pytest.skip("this file system has no setuid")
    seen = observe(command, tmp_path, env={"LD_PRELOAD": str(copy)}, cwd=tmp_path)
    assert seen[:3] == alone[:3]
    assert "privileged" not in {l["resource"].get("process.executable.name") for l in seen.recording.lines}


def test_another_clock(tmp_path):
    """A time namespace: CLOCK_MONOTONIC is a million seconds further on; what we time and wait for goes by it."""
    need("unshare")
    command = ["unshare", "-T", "--monotonic", "1000000", "--boottime", "1000000", "sh", "-c", "echo in it; sleep 0.3; cat /etc/hostname; exit 4"]
    if bare(command).status != 4:
        pytest.skip("this machine makes no time namespaces")
    now = time.time()
    recording = same(command, tmp_path, sets={"events.interval": "50ms"})
    assert all(abs(l["time"] - now) < 60 for l in recording.lines)
    assert "in it" in [l["body"] for l in recording.logs()]


# ------------------------------------------------------------------ programs that start others elsewhere


def test_ssh_to_this_machine(tmp_path):
    need("ssh")
    sshd = "/usr/sbin/sshd"
    if not os.path.exists(sshd) or os.geteuid() != 0:
        pytest.skip("needs sshd, as root")
    pathlib.Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    port = free_port()
    for key in ("host", "user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / key], check=True)
    (tmp_path / "keys").write_text((tmp_path / "user.pub").read_text())
    (tmp_path / "sshd_config").write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {tmp_path}/host\nAuthorizedKeysFile {tmp_path}/keys\nPidFile none\n"
        "StrictModes no\nUsePAM no\nPasswordAuthentication no\nPermitRootLogin yes\nPermitUserEnvironment no\nAcceptEnv none\n"
        "Subsystem sftp internal-sftp\nPrintMotd no\n")
    to = tmp_path / "sshd.ndjson"
    for watched_server in (False, True):
        env = scope_environment(to) if watched_server else clean_environment()
        server = subprocess.Popen([sshd, "-D", "-e", "-f", str(tmp_path / "sshd_config")], env=env, stderr=subprocess.PIPE)
        try:
            wait_port(port, server)
            ssh = ["ssh", "-p", str(port), "-F", "none", "-i", str(tmp_path / "user"), "-o", f"UserKnownHostsFile={tmp_path}/known",
                   "-o", "StrictHostKeyChecking=accept-new", "-o", "LogLevel=ERROR", "-o", "BatchMode=yes", "127.0.0.1"]
            text = "echo out; echo err >&2; cat; env | grep -E '^(LD_PRELOAD|SCOPE_)'; exit 7"
            done = observe([*ssh, text], tmp_path, input=b"through it\n" * 3000)
            assert (done.status, done.stdout, done.stderr) == (7, b"out\n" + b"through it\n" * 3000, b"err\n")
            assert done.recording.lines
            # A terminal there, its size and its end.
            done = observe([*ssh[:-1], "-tt", "127.0.0.1", "tty >/dev/null && echo terminal; exit 3"], tmp_path, stdin=subprocess.DEVNULL)
            assert done.status == 3 and b"terminal" in done.stdout
        finally:
            server.terminate()
            server.communicate(timeout=20)
    assert not Recording(to).lines or {l["resource"].get("process.executable.name") for l in Recording(to).lines} <= {"sh", "dash", "bash", "cat", "grep", "env"}


def test_sshd_and_others_are_left_alone(tmp_path):
    """By default: nothing of theirs is reported, and what they run is followed as it was."""
    copy = tmp_path / "sshd"
    copy.symlink_to("/bin/true")
    program = compile_c(tmp_path, "sshd-like", SMALL)
    (tmp_path / "place").mkdir()
    alone = tmp_path / "place" / "sshd"
    alone.write_bytes(program.read_bytes())
    alone.chmod(0o755)
    seen = observe([alone], tmp_path, env={"MARK": "x"})
    assert seen[:3] == bare([alone], env={"MARK": "x"})[:3]
    names = {l["resource"].get("process.executable.name") for l in seen.recording.lines}
    assert "sshd" not in names


# ------------------------------------------------------------------ limits


def under(limit, command, tmp_path):
    """The command with a resource limit, set by a launcher, bare and watched."""
    code = f"import os,resource,sys\nresource.setrlimit(resource.{limit[0]},({limit[1]},{limit[1]}))\nos.execvp(sys.argv[1],sys.argv[1:])"
    return same([PYTHON, "-c", code, *command], tmp_path, reported=False)


@pytest.mark.parametrize("limit", [("RLIMIT_AS", 300 << 20), ("RLIMIT_AS", 64 << 20), ("RLIMIT_NOFILE", 5), ("RLIMIT_NOFILE", 4),
                                   ("RLIMIT_FSIZE", 0), ("RLIMIT_STACK", 256 << 10), ("RLIMIT_DATA", 32 << 20), ("RLIMIT_MEMLOCK", 0),
                                   ("RLIMIT_SIGPENDING", 0), ("RLIMIT_CORE", 0)], ids=lambda v: f"{v[0]}-{v[1]}")
def test_limits(limit, tmp_path):
    if limit[0] == "RLIMIT_NOFILE":
        # Threads would fight for the few there are: one counts how many it gets, and its child.
        compile_c(tmp_path, "few", """
            #include <fcntl.h>
            #include <stdio.h>
            #include <sys/wait.h>
            #include <unistd.h>
            int main(void) { int n = 0, status; usleep(3000); while (open("/dev/null", O_RDONLY) >= 0) n++; printf("%d\\n", n); perror("open");
                             FILE *f = fopen("/etc/passwd", "r"); printf("%d\\n", f != NULL); fflush(stdout);
                             if (fork() == 0) { close(3); usleep(3000); printf("child %d\\n", dup(0)); return 5; }
                             wait(&status); printf("%x\\n", status); return 4; }""")
        under(limit, ["./few"], tmp_path)
    else:
        compile_c(tmp_path, "busy", BUSY, "-lpthread")
        under(limit, ["./busy"], tmp_path)
    under(limit, ["sh", "-c", "echo a; (echo b); cat /etc/passwd | tail -n 1; exit 3"], tmp_path)


# ------------------------------------------------------------------ libraries opened with RTLD_DEEPBIND


def test_calls_of_phps_extensions_are_in_the_recording(tmp_path):
    """Extensions are opened with RTLD_DEEPBIND: no preloaded symbol reaches them; their GOT does."""
    need("php")
    if b"sockets" not in bare(["php", "-m"]).stdout or b"Phar" not in bare(["php", "-m"]).stdout:
        pytest.skip("php has no extension with I/O of its own")
    code = ("$p = new Phar('a.phar'); $p['in.txt'] = 'text in it'; unset($p); echo file_get_contents('phar://a.phar/in.txt'), PHP_EOL;"
            "$s = socket_create_listen(0); socket_getsockname($s, $a, $port); $c = socket_create(AF_INET, SOCK_STREAM, SOL_TCP);"
            "socket_connect($c, '127.0.0.1', $port); $d = socket_accept($s); socket_write($c, 'hello', 5); echo socket_read($d, 5), PHP_EOL;"
            "socket_close($c); socket_close($d); unlink('a.phar');"
            "if (function_exists('posix_mkfifo')) { posix_mkfifo('fifo', 0600); unlink('fifo'); } exit(5);")
    recording = same(["php", "-d", "phar.readonly=0", "-r", code], tmp_path)
    assert recording.events("scope.connection.open") or recording.total("scope.socket.connections") > 0
    sent = [e for e in recording.events("scope.connection.close")]
    assert any(5 in e["attributes"].values() for e in sent), "the extension's bytes were not seen"


def test_rubys_extensions(tmp_path):
    need("ruby")
    code = ("require 'socket'; require 'zlib'; require 'openssl'; require 'json'; require 'etc'; s = TCPServer.new('127.0.0.1', 0);"
            "t = Thread.new { c = s.accept; c.write(c.read(5)); c.close }; c = TCPSocket.new('127.0.0.1', s.addr[1]); c.write('hello');"
            "puts c.read; t.join; Zlib::GzipWriter.open('z') { |g| g.write 'x' * 100000 }; puts Zlib::GzipReader.open('z', &:read).size;"
            "puts OpenSSL::Digest::SHA256.hexdigest('a'); File.unlink('z'); exit 6")
    recording = same(["ruby", "-e", code], tmp_path)
    assert any(5 in e["attributes"].values() for e in recording.events("scope.connection.close"))


# ------------------------------------------------------------------ clients over TLS


def test_openssl_and_wget_over_tls(tmp_path):
    need("openssl")
    need("wget")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", tmp_path / "key", "-out", tmp_path / "cert",
                    "-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"],
                   check=True, capture_output=True)
    (tmp_path / "page.txt").write_bytes(b"a page\n" * 20000)
    port = free_port()
    to = tmp_path / "server.ndjson"
    server = subprocess.Popen(["openssl", "s_server", "-accept", f"127.0.0.1:{port}", "-cert", "cert", "-key", "key", "-WWW", "-quiet"],
                              cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=scope_environment(to, sets={"events.interval": "50ms"}))
    try:
        wait_port(port, server)
        same(["wget", "-q", "-O", "-", "--ca-certificate=cert", f"https://127.0.0.1:{port}/page.txt"], tmp_path)
        same(["openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-CAfile", "cert", "-quiet", "-verify_quiet", "-ign_eof"], tmp_path,
             input=b"GET /page.txt HTTP/1.0\r\n\r\n")
    finally:
        server.terminate()
        server.wait(20)
    assert Recording(to).lines
