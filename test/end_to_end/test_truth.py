"""Truth: what is reported equals what `strace -f` counts for the same programs.

By file: one run, watched and traced at once; for each file below the test's directory the opens, reads,
writes and their bytes are equal. By operation: a bare run under `strace -k`; every system call whose
outermost libc function is one that a program calls is counted once by the library in a watched run.
What libc does for itself is listed in test/truth/internal.
"""
import collections
import os
import pathlib
import re
import subprocess

import pytest
import strace
from observe import LIBRARY, ROOT, Recording, clean_environment, need, observe, scope_environment

PY_FILES = """
import os, mmap, shutil
with open('a', 'w') as f:
    for i in range(3000): f.write('line %d\\n' % i)
with open('a', 'rb', buffering=0) as f:
    while f.read(1000): pass
fd = os.open('b', os.O_RDWR | os.O_CREAT); os.write(fd, b'x' * 70000); os.pread(fd, 100, 5); os.pwrite(fd, b'yy', 9)
os.readv(fd, [bytearray(10), bytearray(20)]); os.writev(fd, [b'1', b'22', b'333']); os.lseek(fd, 0, 0); os.fsync(fd); d = os.dup(fd); os.read(d, 64); os.close(d); os.close(fd)
shutil.copyfile('b', 'c'); os.rename('c', 'd'); os.mkdir('dir'); open('dir/e', 'w').close(); os.listdir('dir'); os.unlink('dir/e'); os.rmdir('dir')
dfd = os.open('.', os.O_RDONLY | os.O_DIRECTORY); g = os.open('g', os.O_CREAT | os.O_WRONLY, dir_fd=dfd); os.write(g, b'abc'); os.close(g); os.close(dfd)
os.chdir('/'); 
for name in ('nosuch', '/root/nosuch/x'):
    try: open(name)
    except OSError: pass
"""

PROGRAMS = {
    "cat": ["cat", "in", "in"],
    "cp": ["cp", "in", "out"],
    "bash": ["bash", "-c", "while read l; do echo \"$l\"; done < in > out; echo more >> out; cat < out | head -3 > out2; : > empty"],
    "tar": ["bash", "-c", "tar cf t.tar in big; mkdir x; tar xf t.tar -C x; cat x/big > /dev/null"],
    "sed": ["sed", "-i", "s/1/2/", "in"],
    "sort": ["sort", "-o", "sorted", "big"],
    "dd": ["dd", "if=big", "of=copied", "bs=1000", "status=none"],
    "python": ["python3", "-c", PY_FILES],
    "perl": ["perl", "-e", "open F,'<','in'; @l=<F>; close F; open G,'>>','p'; syswrite G,'abc'; print G 'x' x 9000; close G; open H,'+<','p'; seek H,5,0; read H,$b,10; close H"],
    "sqlite": ["sqlite3", "db", "create table t(a); insert into t values(1); insert into t select a+1 from t; select * from t;"],
    "grep": ["grep", "-r", "99", "."],
    "node": ["node", "-e", "const fs=require('fs');fs.writeFileSync('n','y'.repeat(99999));fs.appendFileSync('n','z');fs.readFileSync('n');fs.createReadStream('big').pipe(fs.createWriteStream('n2'))"],
    "java": ["java", "-Xshare:auto", "-XX:TieredStopAtLevel=1", "J.java"],
    "ruby": ["ruby", "-e", "File.write('r','z'*5000); File.open('r','a'){|f| 100.times{f.puts 'x'}}; File.foreach('r'){}; IO.copy_stream('r','r2')"],
    "php": ["php", "-r", "file_put_contents('h', str_repeat('q', 20000)); $f=fopen('h','r+'); fread($f,100); fwrite($f,'zz'); fclose($f); copy('h','h2');"],
    "gcc": ["bash", "-c", "echo 'int main(void){return 0;}' > m.c; gcc -c m.c -o m.o; gcc m.o -o m; ar rc l.a m.o"],
    "git": ["bash", "-c", "git init -q . 2>/dev/null; git add in; git -c user.name=a -c user.email=b commit -qm x; git status --short"],
}

JAVA = """
import java.io.*; import java.nio.file.*; import java.nio.*; import java.nio.channels.*;
public class J { public static void main(String[] a) throws Exception {
  Files.writeString(Path.of("j"), "x".repeat(12345)); Files.readString(Path.of("j"));
  try (BufferedReader r = new BufferedReader(new FileReader("in"))) { while (r.readLine() != null) {} }
  try (RandomAccessFile f = new RandomAccessFile("k", "rw")) { f.write(new byte[5000]); f.seek(10); f.read(new byte[100]); }
  try (FileChannel c = FileChannel.open(Path.of("j"))) { c.read(ByteBuffer.allocate(500), 7); } } }
"""


def prepare(directory):
    (directory / "in").write_text("".join(f"line {i}\n" for i in range(200)))
    (directory / "big").write_bytes(bytes(range(256)) * 1500)
    (directory / "J.java").write_text(JAVA)


def reported_by_file(recording, prefix):
    out = collections.defaultdict(collections.Counter)
    for event in recording.events("scope.file.open"):
        a = event["attributes"]
        if a.get("file.path", "").startswith(prefix) and "error.type" not in a:
            out[a["file.path"]]["open"] += 1
    for event in recording.events("scope.file.close"):
        a = event["attributes"]
        if a.get("file.path", "").startswith(prefix):
            for key in ("read", "write"):
                out[a["file.path"]][f"{key}_ops"] += a[f"scope.io.{key}.operations"]
                out[a["file.path"]][f"{key}_bytes"] += a[f"scope.io.{key}.bytes"]
    return out


@pytest.mark.parametrize("name", PROGRAMS)
def test_files_equal_strace(name, tmp_path):
    command = PROGRAMS[name]
    need(command[0])
    here = tmp_path / "d"
    here.mkdir()
    prepare(here)
    to, trace = tmp_path / "telemetry.ndjson", tmp_path / "strace"
    environment = scope_environment(to)
    preload = [f"{k}={environment.pop(k)}" for k in ("LD_PRELOAD",)]
    done = strace.run(["env", *preload, *command], trace, env=environment, cwd=here, timeout=240)
    assert done.returncode == 0, done.stderr[-2000:]
    truth = strace.by_file(strace.parse(trace), str(here) + "/")
    got = reported_by_file(Recording(to), str(here) + "/")
    keys = ("open", "read_ops", "read_bytes", "write_ops", "write_bytes")
    want = {p: {k: c[k] for k in keys} for p, c in truth.items() if any(c[k] for k in keys)}
    have = {p: {k: c[k] for k in keys} for p, c in got.items() if any(c[k] for k in keys)}
    assert want, "the program touched no file"
    assert have == want
