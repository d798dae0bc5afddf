"""Transparency on real programs: same output, same exit status, same files, bare and watched."""
import hashlib
import os
import pathlib
import subprocess
import textwrap

import pytest
from observe import bare, need, observe

SCRIPTS = {
    "bash": ["bash", "-c", "for i in 1 2 3; do echo $i | cat; done; (exit 3); echo $?; echo done > out; cat < out; ls /nonexistent; trap 'echo bye' EXIT"],
    "bash_pipeline": ["bash", "-o", "pipefail", "-c", "seq 1 20000 | sort -r | head -5; echo ${PIPESTATUS[0]}; yes | head -c 100000 | wc -c"],
    "bash_jobs": ["bash", "-c", "for i in $(seq 30); do (sleep 0.0$i; exit $i) & p+=($!); done; for j in ${p[@]}; do wait $j; echo $?; done"],
    "dash": ["dash", "-c", "echo hello; exec ls -d /"],
    "clean_environment": ["env", "-i", "/bin/sh", "-c", "echo $PATH; env | grep -vE '^(LD_PRELOAD|SCOPE_|TRACE)' | grep -v PWD | sort"],
    "python": ["python3", "-c", "import os,sys,json,subprocess,threading,socket,ssl,sqlite3\n"
               "print(subprocess.check_output(['echo','x']))\n"
               "t=[threading.Thread(target=lambda: os.listdir('/')) for _ in range(20)]\n[x.start() for x in t];[x.join() for x in t]\n"
               "print(os.fork()==0 or os.wait()[1])\nsys.exit(7)"],
    "python_multiprocessing": ["python3", "-c", "import multiprocessing as m\nif __name__=='__main__':\n"
                               " with m.Pool(4) as p: print(p.map(abs, range(-50,0)))"],
    "python_asyncio": ["python3", "-c", "import asyncio\nasync def main():\n"
                       " async def h(r,w):\n  w.write(await r.readline()); await w.drain(); w.close()\n"
                       " s=await asyncio.start_server(h,'127.0.0.1',0); p=s.sockets[0].getsockname()[1]\n"
                       " for i in range(20):\n  r,w=await asyncio.open_connection('127.0.0.1',p); w.write(b'hi%d\\n'%i); print(await r.read()); w.close()\n"
                       "asyncio.run(main())"],
    "python_traceback": ["python3", "-c", "def f(): raise ValueError('no')\nf()"],
    "node": ["node", "-e", "const fs=require('fs'),c=require('child_process');fs.writeFileSync('x','y'.repeat(9999));"
             "console.log(fs.readFileSync('x').length, c.execSync('echo hi').toString());"
             "setTimeout(()=>{console.error('err');process.exit(5)},20)"],
    "node_net": ["node", "-e", "const n=require('net');const s=n.createServer(c=>c.pipe(c)).listen(0,'127.0.0.1',()=>{"
                 "const c=n.connect(s.address().port,'127.0.0.1',()=>c.end('hello'));c.on('data',d=>console.log(''+d));c.on('close',()=>s.close())})"],
    "node_worker": ["node", "-e", "const {Worker}=require('worker_threads');let n=0;for(let i=0;i<4;i++)new Worker(\"require('fs').readdirSync('/')\",{eval:true}).on('exit',()=>{if(++n==4)console.log('ok')})"],
    "perl": ["perl", "-e", "open F,'>','p';print F \"a\\n\" x 1000;close F;print -s 'p',\"\\n\";print `echo sub`;$SIG{ALRM}=sub{print \"alarm\\n\"};alarm 1;sleep 2;exit 9"],
    "ruby": ["ruby", "-e", "puts `echo x`; Thread.new{File.write('r','z'*5000)}.join; puts File.size('r'); p Process.wait2(fork{exit 4})[1].exitstatus; abort 'bad'"],
    "php": ["php", "-r", "file_put_contents('h','abc'); echo file_get_contents('h'), PHP_EOL; echo shell_exec('echo sh'); fwrite(STDERR,'e'); exit(6);"],
    "sqlite": ["sqlite3", "db", "create table t(a);insert into t values(1),(2);select sum(a) from t;pragma journal_mode=wal;insert into t select a from t;select count(*) from t;"],
    "tar": ["bash", "-c", "mkdir d; for i in $(seq 50); do echo $i > d/f$i; done; tar --mtime=@0 --sort=name -czf - d | gzip -d | sha256sum; tar cf x.tar d; rm -r d; tar xf x.tar; ls d | wc -l; rm x.tar"],
    "rsync": ["bash", "-c", "mkdir a; for i in $(seq 20); do echo $i > a/$i; done; rsync -a a/ b/; diff -r a b && ls b | wc -l; touch -d @0 a a/* b b/*"],
    "git": ["bash", "-c", "export GIT_CONFIG_GLOBAL=/dev/null GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@b GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@b GIT_AUTHOR_DATE='1 +0000' GIT_COMMITTER_DATE='1 +0000';"
            "git init -q -b main r; cd r; echo x > f; git add f; git commit -qm m; git log --format=%H; git status --short; git gc -q; git fsck; cd ..; rm -rf r"],
    "gcc": ["bash", "-c", "printf '#include <stdio.h>\\nint main(void){printf(\"built\\\\n\");return 3;}' > m.c; gcc -O2 -o m m.c; ./m; echo $?; gcc -c bad.c; echo $?; rm m"],
    "make": ["bash", "-c", "printf 'all: a b c\\n%%:\\n\\t@echo making $@ > $@.o; cat $@.o\\n' > Makefile; make -s -j1 all; make -j2 -s x y | sort"],
    "coreutils": ["bash", "-c", "echo b > z; cp z y; mv y w; ln -s w l; readlink l; cat l; chmod 600 w; stat -c %a w; truncate -s 100 w; wc -c w; dd if=/dev/zero of=dd bs=1k count=10 2>/dev/null; cmp -s z w; echo $?; mkdir -p q/r; rmdir q/r; find . | sort; shred -n1 -u dd; timeout 0.1 sleep 5; echo $?"],
    "true": ["true"],
    "false": ["false"],
    "not_executable": ["bash", "-c", "/etc/passwd; echo $?; nosuchcommand; echo $?"],
    # Bash names the process id of what was killed on its standard error: kept out.
    "sigsegv": ["bash", "-c", "exec 2>/dev/null; sh -c 'kill -SEGV $$'; echo $?; sh -c 'kill -TERM $$'; echo $?"],
    "killed": ["python3", "-c", "import os,signal;os.kill(os.getpid(),signal.SIGABRT)"],
    "xargs": ["bash", "-c", "seq 200 | xargs -P 4 -n 1 echo | sort -n | sha256sum"],
    "find_exec": ["bash", "-c", "mkdir f; touch f/{a,b,c}; find f -type f -exec sh -c 'echo $1' _ {} \\; | sort"],
    "java": ["java", "-Xshare:auto", "-XX:TieredStopAtLevel=1", "Main.java"],
    "busybox_static": ["busybox", "sh", "-c", "echo static; ls -d /; echo x > bb; cat bb"],
    "setuid_su": ["bash", "-c", "su nobody -s /bin/sh -c 'id -un' 2>&1"],
    "openssl": ["openssl", "dgst", "-sha256", "/etc/debian_version"],
    "gpg_like_pipe": ["bash", "-c", "head -c 300000 /dev/zero | gzip | gzip -d | cksum"],
    "script_fd": ["bash", "-c", "exec 7>seven; echo a >&7; exec 7>&-; exec 200>two; echo b >&200; cat seven two; ulimit -n 64; echo c > three; cat three"],
    "awk_sed": ["bash", "-c", "seq 1000 | awk '{s+=$1} END {print s; print \"to\" > \"awkout\"}'; sed -i s/to/from/ awkout; cat awkout"],
    # Terminals, limits, priorities and personalities that launchers set.
    "script": ["script", "-q", "-e", "-c", "stty size >/dev/null; test -t 0 -a -t 1 && echo a terminal; exit 6", "/dev/null"],
    "launchers": ["bash", "-c", "setsid -w sh -c 'exit 3'; echo $?; nice -n 5 sh -c nice; env -u HOME sh -c 'echo [$HOME]'; timeout 5 sh -c 'echo in time'; "
                  "setarch -R sh -c 'cat /proc/self/personality'; nohup sh -c 'echo away' 2>/dev/null; flock lock sh -c 'echo locked'; "
                  "prlimit --nofile=50 sh -c 'ulimit -n'; stdbuf -oL echo buffered; setpriv --no-new-privs sh -c 'grep NoNewPrivs /proc/self/status'"],
    "namespaces": ["bash", "-c", "unshare -Ur id -u; unshare -r -pf --mount-proc sh -c 'echo $$; ls /proc > list; grep -c ^[0-9] list; rm list'; unshare -n true; echo $?; unshare -m sh -c 'mount -t tmpfs t /mnt && touch /mnt/x && ls /mnt'"],
    "deleted_directory": ["bash", "-c", "mkdir gone; cd gone; rmdir ../gone; basename $(pwd); ls; echo x > y; /bin/pwd >/dev/null; echo $?; cat /etc/hostname | wc -l; echo $?"],
    "heredocs": ["bash", "-c", "cat <<< one; cat <<EOF\ntwo\nEOF\ncat <(echo three); echo four > >(cat > five); wait $!; cat five; coproc { read x; echo got $x; }; echo six >&${COPROC[1]}; cat <&${COPROC[0]}"],
    "big_output": ["bash", "-c", "head -c 3000000 /dev/zero | tr '\\0' x | fold -w 100 | cksum; seq 100000 | cksum"],
    "sigpipe": ["bash", "-c", "yes | head -1; echo ${PIPESTATUS[@]}; python3 -c \"print('x'*1000000)\" 2>&1 | head -c 5"],
    "getent": ["bash", "-c", "getent hosts localhost; getent passwd root; getent services http; getent hosts nosuchhost.invalid; echo $?; locale -a | head -1"],
    "perl_sockets": ["perl", "-e", "use IO::Socket; use POSIX; my $s=IO::Socket::INET->new(Listen=>1,LocalAddr=>'127.0.0.1'); if(!fork){my $c=$s->accept; print $c scalar <$c>; POSIX::_exit(0)}"
                     "my $c=IO::Socket::INET->new(PeerAddr=>'127.0.0.1',PeerPort=>$s->sockport); print $c \"hi there\\n\"; print scalar <$c>; wait; print $?,\"\\n\"; $SIG{USR1}=sub{die \"sig\\n\"}; eval{kill 'USR1',$$; sleep 3}; print $@; exit 4"],
    "python_fork_server": ["python3", "-c", "import multiprocessing as m,os,signal\nif __name__=='__main__':\n c=m.get_context('forkserver')\n with c.Pool(3) as p: print(p.map(abs, range(-30,0)))\n"
                           " c=m.get_context('spawn')\n q=c.Queue(); x=c.Process(target=q.put,args=((1,2),)); x.start(); print(q.get()); x.join(); print(x.exitcode)"],
    "python_mmap_and_files": ["python3", "-c", "import mmap,os,tempfile,shutil\nwith open('m','wb') as f: f.write(b'a'*8192)\nwith open('m','r+b') as f:\n x=mmap.mmap(f.fileno(),0); x[4096:4099]=b'xyz'; x.flush(); x.close()\n"
                              "print(open('m','rb').read()[4090:4100]); shutil.copyfile('m','n'); os.sendfile\nprint(os.path.getsize('n'), os.listxattr('n'), os.scandir)\nt=tempfile.NamedTemporaryFile(); print(t.read()); os.unlink('m'); os.unlink('n')"],
    "node_streams": ["node", "-e", "const fs=require('fs'),z=require('zlib'),p=require('stream');p.pipeline(fs.createReadStream('/usr/bin/env'),z.createGzip(),z.createGunzip(),fs.createWriteStream('e'),e=>{"
                     "console.log(e===undefined, Buffer.compare(fs.readFileSync('e'),fs.readFileSync('/usr/bin/env')));fs.unlinkSync('e');require('dns').lookup('localhost',(e,a)=>console.log(a));process.on('exit',c=>console.log('exit',c));process.exitCode=7})"],
    "ruby_processes": ["ruby", "-e", "r,w=IO.pipe; fork { r.close; w.puts 'from child'; exit! 3 }; w.close; puts r.read; Process.wait; p $?.exitstatus; puts IO.popen(['echo','x'],&:read);"
                       "begin; Process.kill(:TERM, spawn('sleep 10')); rescue; end; Process.wait; p $?.termsig; at_exit { puts 'at exit'; exit 5 }; trap('INT') { puts 'int' }; Process.kill(:INT, $$); sleep 0.1; raise 'end' "],
    "php_processes": ["php", "-r", "$p=proc_open(['cat'],[['pipe','r'],['pipe','w'],['pipe','w']],$x);fwrite($x[0],'in');fclose($x[0]);echo stream_get_contents($x[1]);echo proc_close($p),PHP_EOL;"
                      "$d=pcntl_fork();if(!$d)exit(3);pcntl_wait($s);echo $s,PHP_EOL;register_shutdown_function(function(){echo 'down',PHP_EOL;});trigger_error('odd');exit(4);"],
    "ldd": ["ldd", "--version"],
    "strace_inside": ["strace", "-o", "/dev/null", "-f", "echo", "traced"],
}

JAVA = textwrap.dedent("""
    import java.io.*; import java.net.*; import java.nio.file.*; import java.util.concurrent.*;
    public class Main { public static void main(String[] a) throws Exception {
      Files.writeString(Path.of("j"), "hello\\n".repeat(1000)); System.out.println(Files.size(Path.of("j")));
      ServerSocket s = new ServerSocket(0, 5, InetAddress.getLoopbackAddress());
      Thread t = new Thread(() -> { try (Socket c = s.accept()) { c.getInputStream().transferTo(c.getOutputStream()); } catch (IOException e) { System.out.println(e); } });
      t.start(); try (Socket c = new Socket(s.getInetAddress(), s.getLocalPort())) { c.getOutputStream().write("ping".getBytes()); c.shutdownOutput();
        System.out.println(new String(c.getInputStream().readAllBytes())); } t.join();
      ExecutorService e = Executors.newFixedThreadPool(8); int sum = 0; for (Future<Integer> f : e.invokeAll(java.util.Collections.nCopies(100, () -> 1))) sum += f.get(); System.out.println(sum); e.shutdown();
      Process p = new ProcessBuilder("sh", "-c", "echo child; exit 3").redirectErrorStream(true).start(); System.out.print(new String(p.getInputStream().readAllBytes())); System.out.println(p.waitFor());
      System.err.println("to stderr"); System.exit(8); } }
""")


def tree(directory):
    out = {}
    for path in sorted(directory.rglob("*")):
        name = str(path.relative_to(directory))
        if path.is_symlink():
            out[name] = "-> " + os.readlink(path)
        elif path.is_file():
            data = path.read_bytes()
            # SQLite's file holds a change counter and versions only; it is the same too.
            out[name] = (path.stat().st_mode, len(data), hashlib.sha256(data).hexdigest())
        else:
            out[name] = path.stat().st_mode
    return out


@pytest.mark.parametrize("name", SCRIPTS)
def test_same_as_bare(name, tmp_path):
    command = SCRIPTS[name]
    need(command[0])
    if name == "rsync":
        need("rsync")
    outcomes = []
    for way in ("bare", "watched"):
        directory = tmp_path / way / "d"
        directory.mkdir(parents=True)
        if name == "java":
            (directory / "Main.java").write_text(JAVA)
        run = bare if way == "bare" else lambda c, **how: observe(c, tmp_path, **how)
        outcomes.append((run(command, cwd=directory, timeout=180, stdin=subprocess.DEVNULL), tree(directory)))
    (alone, files), (watched, watched_files) = outcomes
    assert watched.stdout == alone.stdout
    assert watched.status == alone.status
    assert watched.stderr.replace(b"/watched/", b"/bare/") == alone.stderr
    assert {k: v for k, v in watched_files.items()} == files
    if name not in ("busybox_static",):
        assert watched.recording.lines
