"""Truth by operation: how often each operation is reported equals how often strace saw it.

Each program runs twice: bare under `strace -k`, and watched. A system call is held against the operation
of the function of libc that the program called. What libc does for itself inside a function, and which
therefore passes no name that could be watched, is listed in test/truth/internal, a pair of function and
system call a line; every entry is explained in docs/limits.md. A difference that is not listed fails.
"""
import collections
import json
import os
import re
import shutil
import subprocess

import pytest
import stacks
from observe import LIBRARY, ROOT, Recording, clean_environment, need, scope_environment

TRUTH = ROOT / "test" / "truth"

# What each system call is reported as; where a function of libc is reported by another name, below.
CALLS = {name: name for name in """
    open creat openat openat2 close close_range dup dup2 dup3 fcntl pipe pipe2 eventfd2 memfd_create epoll_create1
    signalfd4 timerfd_create inotify_init1 read readv pread64 preadv preadv2 write writev pwrite64 pwritev pwritev2
    sendfile splice tee vmsplice copy_file_range getdents64 lseek fsync fdatasync sync_file_range fallocate
    ftruncate mmap fstat fstatfs fchmod fchown fchdir stat lstat newfstatat statx statfs access faccessat unlink
    unlinkat rename renameat renameat2 mkdir mkdirat rmdir link linkat symlink symlinkat readlink readlinkat
    truncate chmod fchmodat chown lchown fchownat chdir chroot socket socketpair bind listen accept accept4
    connect sendto sendmsg sendmmsg recvfrom recvmsg recvmmsg shutdown getsockopt""".split()}
CALLS |= {"eventfd": "eventfd2", "epoll_create": "epoll_create1", "inotify_init": "inotify_init1",
          "signalfd": "signalfd4", "faccessat2": "faccessat", "fchmodat2": "fchmodat"}
FUNCTIONS = {
    ("open", "openat"): "open", ("__open_2", "openat"): "open", ("__open64_2", "openat"): "open", ("creat", "openat"): "creat",
    ("stat", "newfstatat"): "stat", ("lstat", "newfstatat"): "lstat", ("fstat", "newfstatat"): "fstat",
    ("__xstat", "newfstatat"): "stat", ("__lxstat", "newfstatat"): "lstat", ("__fxstat", "newfstatat"): "fstat",
    ("stdio", "newfstatat"): "fstat", ("fgets", "newfstatat"): "fstat",
    ("send", "sendto"): "send", ("recv", "recvfrom"): "recv", ("__recv_chk", "recvfrom"): "recv",
    ("pipe", "pipe2"): "pipe", ("popen", "pipe2"): "popen", ("tmpfile", "openat"): "tmpfile",
    ("opendir", "openat"): "opendir", ("shm_open", "openat"): "shm_open",
    ("statvfs", "statfs"): "statfs", ("fstatvfs", "fstatfs"): "fstatfs",
    ("fchmodat", "chmod"): "fchmodat", ("lchmod", "chmod"): "fchmodat",
    ("closefrom", "close_range"): "close_range",
    # What fails before libc has come to the system call that gave the operation its name.
    ("eaccess", "newfstatat", "ENOENT"): "access", ("lchmod", "openat", "ENOENT"): "fchmodat",
} | {(f, "openat"): "mkstemp" for f in ("mkstemp", "mkostemp", "mkstemps", "mkostemps")}
SOCKET_OPERATIONS = set("""socket socketpair bind listen accept accept4 connect send sendto sendmsg sendmmsg recv
    recvfrom recvmsg recvmmsg shutdown getsockopt""".split())
SOCKETS = re.compile(r"^[^<]*\d+<(?:TCP|UDP|UNIX|NETLINK|RAW|socket:|PING)")
# What a process maps differs with the library in it, and so in how many pieces it reads the list (grep does).
OWN_MAPS = re.compile(r"^\d+</proc/(?:self|\d+)/maps>")
READDIR = {"readdir", "readdir_r"}
# Functions that stand in the slots of a stream's table: what passes there is seen, whoever caused it.
STREAMS = {"_IO_file_read", "_IO_file_write", "_IO_file_seek", "_IO_file_stat", "_IO_file_close",
           "_IO_file_close_it", "_IO_file_doallocate", "_IO_file_seekoff", "_IO_file_sync"}


def internal():
    """{(function, system call)} of test/truth/internal, some with an errno."""
    with open(TRUTH / "internal") as file:
        return {tuple(line.split()) for line in file if line.strip() and not line.startswith("#")}


def through_stream(frames):
    for frame in frames:
        if not stacks.GLIBC.search(frame.path):
            return False
        if stacks.object_of(frame.path).names_at(frame.address) & STREAMS:
            return True
    return False


def called(call, frames):
    if through_stream(frames):
        return "stdio"
    function, exact = stacks.called(frames)
    if function == "fstatat" and not exact:
        # stat, lstat and fstat jump into it; where a pointer was called, only the arguments tell.
        name = re.search(r'^[^"]*"((?:[^"\\]|\\.)*)"', call.args)
        if name and not name.group(1) and "AT_EMPTY_PATH" in call.args:
            return "fstat"
        if call.args.startswith("AT_FDCWD"):
            return "lstat" if "AT_SYMLINK_NOFOLLOW" in call.args else "stat"
    return function


def family(operation, call):
    if operation in SOCKET_OPERATIONS or SOCKETS.match(call.args):
        return "socket"
    return "file"


def counted(calls, listed, seen=None):
    """{(family, operation, errno or "all"): count} as the library should report these calls."""
    want = collections.Counter()
    for call, frames in calls:
        if call.name == "mmap" and "MAP_ANON" in call.args:
            continue  # memory, no file
        if call.name == "read" and OWN_MAPS.match(call.args):
            continue
        function = called(call, frames)
        if function in READDIR:  # an entry a call, and one that says that it was the last
            entries = re.search(r"/\* (\d+) entries \*/", call.args)
            want["file", "readdir", "all"] += int(entries.group(1)) or 1
            continue
        failed = FUNCTIONS.get((function, call.name, call.error))
        entry = not failed and next((e for e in ((function, call.name), (function, call.name, call.error)) if e in listed), None)
        if entry:
            if seen is not None:
                seen.add(entry)
            continue
        operation = failed or FUNCTIONS.get((function, call.name), CALLS[call.name])
        key = family(operation, call), operation
        want[(*key, "all")] += 1
        if call.error:
            want[(*key, call.error)] += 1
    return want


def reported(recording):
    have = collections.Counter()
    for kind in ("file", "socket"):
        for line in recording.metrics(f"scope.{kind}.operation.duration"):
            have[kind, line["attributes"]["scope.operation"], "all"] += line["value"]["count"]
        for line in recording.metrics(f"scope.{kind}.operation.errors"):
            a = line["attributes"]
            have[kind, a["scope.operation"], a["error.type"]] += line["value"]
    for line in recording.events("scope.file.close"):
        if line["attributes"].get("file.path") == "/proc/self/maps":
            have["file", "read", "all"] -= line["attributes"]["scope.io.read.operations"]
    return have


def differences(want, have):
    return {key: f"strace {want[key]}, reported {have[key]}"
            for key in sorted(set(want) | set(have)) if want[key] != have[key]}


def both(command, tmp_path, prepare, listed, environment=None, seen=None):
    """Runs the command bare under strace and watched, in the same directory made anew."""
    here, to, trace = tmp_path / "d", tmp_path / "telemetry.ndjson", tmp_path / "strace"
    out = []
    for run in ("bare", "watched"):
        shutil.rmtree(here, ignore_errors=True)
        here.mkdir()
        prepare(here)
        if run == "bare":
            done = stacks.run(command, trace, CALLS, env=clean_environment(environment), cwd=here,
                              stdin=subprocess.DEVNULL, timeout=120)
        else:
            done = subprocess.run(command, env=scope_environment(to, environment), cwd=here, capture_output=True,
                                  stdin=subprocess.DEVNULL, timeout=60)
        out.append((done.returncode, done.stdout))
    assert out[0][0] == out[1][0], done.stderr[-2000:]
    recording = Recording(to)
    assert set(recording.drops()) <= {"log_binary"}
    calls = stacks.parse(trace)
    assert calls, "strace saw nothing"
    return counted(calls, listed, seen), reported(recording), calls


PROGRAMS = {
    "cat": "cat in in nosuch",
    "cp": "cp -p in out",
    "cp -r": "cp -r tree copy",
    "ls": "ls -l . tree nosuch",
    "mv": "mv in tree/moved",
    "rm": "rm -r tree in",
    "mkdir": "mkdir -p a/b/c tree",
    "ln": "ln in hard",
    "ln -s": "ln -s in soft",
    "chmod": "chmod -R u+x tree",
    "touch": "touch in new",
    "head": "head -n 3 in big",
    "sort": "sort -o sorted in",
    "dd": "dd if=big of=copied bs=4000 seek=1 conv=fsync status=none",
    "stat": "stat in tree nosuch",
    "find": "find . -type f -size +1k",
    # By name: in what order -r comes to the files, and so how often it reads, the directory decides.
    "grep": "grep 99 in big given.tar tree/a",
    "sed": "sed -i s/1/2/ in",
    "tar c": "tar cf t.tar in tree",
    "tar x": "tar xf given.tar -C tree",
    "sqlite3": ["sqlite3", "db", "create table t(a); insert into t values(1); insert into t select a+1 from t; select * from t;"],
    "bash redirect": ["bash", "-c", "while read l; do echo \"$l\"; done < in > out; echo more >> out; : > empty; read a < out"],
    "bash tests": ["bash", "-c", "[ -e in ] && [ ! -d in ] && [ -x tree ]; cd tree; echo *; test in -nt a; < nosuch"],
    "bash exec": ["bash", "-c", "exec 5> five; echo x >&5; exec 5>&-; cat <<< text; (exit 3); exec cat in"],
    "bash pipe": ["bash", "-c", "cat in | wc -l; x=$(head -n 1 in); printf '%s\\n' \"$x\""],
    "perl": ["perl", "-e", "open F,'<','in'; @l=<F>; close F; open G,'>>','p'; syswrite G,'abc'; print G 'x' x 9000; close G; "
             "mkdir 'm'; rename 'p','q'; opendir D,'tree'; @e=readdir D; closedir D; unlink 'q','nosuch'; rmdir 'm'; -e 'in'; stat 'big'; "
             "symlink 'in','s'; readlink 's'; chmod 0600,'in'; truncate 'in',10; pipe R,W; close W; sysread R,$b,9"],
}


READS_PART_OF_DIRECTORIES = {"rm"}  # so that what getdents64 gave does not say how many entries were asked for
NEEDED, RUN = set(), set()  # the entries of test/truth/internal that were, by the programs that ran
LISTED_FOR = "glibc 2.36"


def prepare(directory):
    (directory / "in").write_text("".join(f"line {i}\n" for i in range(200)))
    (directory / "big").write_bytes(bytes(range(256)) * 300)
    (directory / "tree" / "sub").mkdir(parents=True)
    for name in ("a", "b", "sub/c"):
        (directory / "tree" / name).write_text(name * 50)
    subprocess.run(["tar", "cf", "given.tar", "tree"], cwd=directory, check=True)


@pytest.mark.parametrize("name", PROGRAMS)
def test_operations_equal_strace(name, tmp_path):
    command = PROGRAMS[name]
    command = command.split() if isinstance(command, str) else command
    need(command[0])
    want, have, _ = both(command, tmp_path, prepare, internal(), seen=NEEDED)
    RUN.add(name)
    if name in READS_PART_OF_DIRECTORIES:
        del want["file", "readdir", "all"], have["file", "readdir", "all"]
    assert not differences(want, have)


NO_FILES = set("""getaddrinfo gethostbyname gethostbyaddr getnameinfo res_query dns fork vfork clone posix_spawn execve exit
    abort wait4 pthread_create syslog""".split())


def test_every_call_equals_strace(tmp_path):
    """A program that makes every watched call on files and sockets, succeeding and failing."""
    need("gcc")
    program = tmp_path / "ops"
    subprocess.run(["gcc", "-O0", "-w", "-fno-builtin", "-o", program, TRUTH / "ops.c"], check=True)
    want, have, _ = both([str(program)], tmp_path, lambda directory: None, internal(), seen=NEEDED)
    RUN.add("ops")
    assert not differences(want, have)
    operations = set(re.findall(r'X\(\w+,\s+"(\w+)",', (ROOT / "src" / "capture" / "ops.h").read_text()))
    assert operations - {operation for _, operation, _ in have} == NO_FILES


# Exported for something else than an operation on a file or a socket.
ELSEWHERE = set("""__fork __vfork __wait __waitpid _Exit _Fork _exit abort clone daemon execl execle execlp execv execve execveat execvp execvpe fexecve fork kill
    posix_spawn posix_spawnp pthread_exit quick_exit raise thrd_create thrd_exit vfork wait wait3 wait4 waitid waitpid
    __res_nquery __res_nquerydomain __res_nsearch __res_query __res_querydomain __res_search getaddrinfo
    gethostbyaddr gethostbyaddr_r gethostbyname gethostbyname2 gethostbyname2_r gethostbyname_r getnameinfo
    res_nquery res_nquerydomain res_nsearch res_query res_querydomain res_search
    __syslog_chk __vsyslog_chk closelog openlog setlogmask syslog vsyslog
    __poll_chk __ppoll_chk clock_nanosleep epoll_pwait epoll_pwait2 epoll_wait msgrcv nanosleep pause poll ppoll
    pselect select sem_clockwait sem_timedwait sem_wait semop semtimedop sigsuspend sigtimedwait sigwait sigwaitinfo sleep usleep
    dlclose dlmopen dlopen mlockall prctl setegid seteuid setgid setns setregid setresgid setresuid setreuid setuid sigaltstack
    unshare
    aio_read aio_read64 aio_write aio_write64 lio_listio lio_listio64""".split())
ELSEWHERE |= {line.strip() for line in open(ROOT / "test" / "symbols" / "tls") if not line.startswith("#")}
NOT_IN_LIBC = {"openat2"}  # the program makes it through syscall()


def names_of(*options):
    listing = subprocess.run(["nm", "-D", *options], capture_output=True, text=True, check=True).stdout
    return {line.split()[-1].split("@")[0] for line in listing.splitlines()}


def test_the_program_makes_every_call_that_is_watched(tmp_path):
    need("gcc")
    program = tmp_path / "ops"
    subprocess.run(["gcc", "-O0", "-w", "-fno-builtin", "-o", program, TRUTH / "ops.c"], check=True)
    watched = names_of("--defined-only", LIBRARY)
    assert not watched - names_of("--undefined-only", program) - NOT_IN_LIBC - ELSEWHERE


def test_what_libc_does_for_itself_is_explained():
    """The last of this file: the programs above have shown which entries are needed."""
    page = (ROOT / "docs" / "limits.md").read_text()
    functions = {entry[0] for entry in internal()} - {"ld.so"}
    assert not {f for f in functions if f"`{f}`" not in page}
    assert "the loader's" in page
    if NEEDED and LISTED_FOR == os.confstr("CS_GNU_LIBC_VERSION") and RUN == {*PROGRAMS, "ops"}:
        unneeded = internal() - NEEDED
        assert not unneeded, "no program makes these calls"
