"""What traces cost HTTP servers: the part `traces` of bench.py.

Each server is asked over connections that stay open, by wrk or (TLS and HTTP/2) h2load. CPU time is of the server's threads
apart from ours, and of ours: unlike the rate it hardly depends on neighbours.
"""
import os
import pathlib
import re
import resource
import socket
import statistics
import subprocess
import tempfile
import time

from observe import LIBRARY, Server, clean_environment, free_port, wait_port

CLIENT_CPU, SERVER_CPU = "1", "0"

NGINX = """
daemon off; master_process off; worker_processes 1; pid {d}/nginx.pid; error_log {d}/error.log;
worker_rlimit_nofile 30000; events {{ worker_connections 20000; }}
http {{ access_log {d}/access.log; client_body_temp_path {d}; proxy_temp_path {d}; fastcgi_temp_path {d};
uwsgi_temp_path {d}; scgi_temp_path {d}; keepalive_requests 10000000; keepalive_timeout 600;
server {{ listen 127.0.0.1:{port} {listen}; root {d}; }} }}
"""
TLS = "ssl http2; ssl_certificate {d}/cert; ssl_certificate_key {d}/key"
# Takes OTLP and throws it away.
SINK = """
daemon off; master_process off; worker_processes 1; pid {d}/sink.pid; error_log /dev/null;
events {{ worker_connections 64; }}
http {{ access_log off; client_max_body_size 0; client_body_temp_path {d}; proxy_temp_path {d}; fastcgi_temp_path {d};
uwsgi_temp_path {d}; scgi_temp_path {d}; server {{ listen 127.0.0.1:{port}; location / {{ return 200; }} }} }}
"""
NODE = """
const body = 'x'.repeat(1024);
require('http').createServer((q, r) => { r.setHeader('Content-Type', 'text/plain'); r.end(body); }).listen(%d, '127.0.0.1');
"""
JAVA = """
import com.sun.net.httpserver.HttpServer;
import java.net.InetSocketAddress;
public class Main {
    public static void main(String[] a) throws Exception {
        byte[] body = "x".repeat(1024).getBytes();
        HttpServer s = HttpServer.create(new InetSocketAddress("127.0.0.1", %d), 512);
        s.createContext("/", e -> { e.sendResponseHeaders(200, body.length); e.getResponseBody().write(body); e.close(); });
        s.setExecutor(java.util.concurrent.Executors.newFixedThreadPool(4));
        s.start();
    }
}
"""


def configurations(directory, sink):
    quiet = [f"events.{what}.enabled=false" for what in ("file", "connection", "name", "process")]
    quiet += ["logs.console=false", "logs.files=[]", "logs.syslog=false"]
    ours = {"LD_PRELOAD": str(LIBRARY), "SCOPE_CONFIG": "/dev/null"}
    file = f"file://{directory}/telemetry.ndjson"

    def made(sets, **to):
        return {**ours, **to, "SCOPE_SET": "\n".join(sets)}
    return {
        "bare": {},
        "metrics": made(quiet + ["traces.enabled=false"], SCOPE_NDJSON_TO=file),
        "metrics and spans to /dev/null": made(quiet, SCOPE_NDJSON_TO="file:///dev/null"),
        "metrics and spans to a file": made(quiet, SCOPE_NDJSON_TO=file),
        "metrics and spans over OTLP": made(quiet, SCOPE_OTLP_TO=sink),
        "everything to a file": made([], SCOPE_NDJSON_TO=file),
    }


def cpu_of(pid):
    """Nanoseconds of CPU time: of the program's threads, those that are gone included, and of ours."""
    ours = 0
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        try:
            if (task / "comm").read_text().strip() == "scope":
                ours += int((task / "schedstat").read_text().split()[0])
        except FileNotFoundError:
            pass
    return time.clock_gettime_ns(~pid << 3 | 2) - ours, ours  # as clock_getcpuclockid(3) makes it


def milliseconds(text):
    number, unit = re.match(r"([\d.]+)(us|ms|s)", text).groups()
    return float(number) * {"us": 1e-3, "ms": 1, "s": 1e3}[unit]


def wrk(url, seconds, directory):
    done = subprocess.run(["taskset", "-c", CLIENT_CPU, "wrk", "-t1", "-c32", f"-d{seconds}s", "--latency", url],
                          capture_output=True, text=True, check=True).stdout
    assert "Non-2xx" not in done, done
    return (int(re.search(r"(\d+) requests in", done).group(1)), float(re.search(r"Requests/sec:\s+([\d.]+)", done).group(1)),
            milliseconds(re.search(r"^\s+99%\s+(\S+)$", done, re.M).group(1)))


def h2load(url, seconds, directory):
    log = pathlib.Path(directory, "h2load.log")
    done = subprocess.run(["taskset", "-c", CLIENT_CPU, "h2load", "-c16", "-m4", f"-D{seconds}", f"--log-file={log}", url],
                          capture_output=True, text=True, check=True).stdout
    took = sorted(int(line.split()[2]) for line in log.read_text().splitlines())
    log.unlink()
    assert " 0 failed, 0 errored" in done, done
    return (int(re.search(r"(\d+) succeeded", done).group(1)), float(re.search(r"([\d.]+) req/s", done).group(1)),
            took[len(took) * 99 // 100] / 1000)


def servers(directory):
    """name: (command and port, URL, client). The files that they need are made."""
    def nginx(listen):
        def start(port):
            conf = pathlib.Path(directory, "nginx.conf")
            conf.write_text(NGINX.format(d=directory, port=port, listen=listen.format(d=directory)))
            return ["nginx", "-c", conf, "-p", directory]
        return start

    def script(name, text, *command):
        def start(port):
            pathlib.Path(directory, name).write_text(text % port)
            return [*command, pathlib.Path(directory, name)]
        return start
    return {
        "nginx, 1 KiB file, access log, wrk -c32": (nginx(""), "http://127.0.0.1:{}/file", wrk),
        "nginx, 1 KiB file, access log, TLS and HTTP/2, h2load -c16 -m4": (nginx(TLS), "https://127.0.0.1:{}/file", h2load),
        "node, http, 1 KiB, wrk -c32": (script("main.js", NODE, "node"), "http://127.0.0.1:{}/", wrk),
        "Java, HttpServer with four threads, 1 KiB, wrk -c32": (script("Main.java", JAVA, "java", "-XX:+UseSerialGC", "-Dsun.net.httpserver.nodelay=true"),
                                                                "http://127.0.0.1:{}/", wrk),
    }


def lines_of_spans(directory):
    count = 0
    for path in pathlib.Path(directory).glob("telemetry.ndjson*"):
        with open(path, "rb") as file:
            count += sum(b'"signal":"span"' in line for line in file)
        path.unlink()
    return count


def measure(start, url, client, environment, seconds, directory):
    """(requests/s, p99 ms, the program's us of CPU a request, ours, spans a request)"""
    port = free_port()
    with Server(["taskset", "-c", SERVER_CPU, *start(port)], clean_environment(environment), port) as server:
        warm = client(url.format(port), 1, directory)[0]
        before = cpu_of(server.process.pid)
        requests, rate, p99 = client(url.format(port), seconds, directory)
        after = cpu_of(server.process.pid)
    theirs, ours = ((b - a) / requests / 1e3 for a, b in zip(before, after))
    pathlib.Path(directory, "access.log").unlink(missing_ok=True)
    return rate, p99, theirs, ours, lines_of_spans(directory) / (requests + warm)


def rows_of(got, spread):
    middle = {name: [statistics.median(column) for column in zip(*results)] for name, results in got.items()}
    rows = []
    for name, results in got.items():
        rate, p99, theirs, ours, spans = zip(*results)
        told = f"{statistics.median(spans):.2f}" if name.endswith("file") else "-"
        rows.append([name, spread(rate), f"{middle[name][0] / middle['bare'][0]:.2f}", spread(p99), spread(theirs),
                     f"{middle[name][2] - middle['bare'][2]:+.2f}", spread(ours), told])
    return rows


def hold(port, count):
    """So many connections, each of which has had one answer and stays open."""
    held = []
    for _ in range(count):
        s = socket.create_connection(("127.0.0.1", port))
        s.sendall(b"GET /file HTTP/1.1\r\nHost: localhost\r\n\r\n")
        got = b""
        while not got.endswith(b"x" * 1024):
            got += s.recv(4096)
        held.append(s)
    return held


def resident_kib(pid):
    return int(re.search(r"VmRSS:\s+(\d+)", pathlib.Path(f"/proc/{pid}/status").read_text()).group(1))


def idle_connections(directory, configs, count):
    """Resident memory of nginx with so many idle connections."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    count = min(count, hard - 200)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    start = servers(directory)["nginx, 1 KiB file, access log, wrk -c32"][0]
    rows, bare = [], None
    for name, environment in configs.items():
        port = free_port()
        with Server(start(port), clean_environment(environment), port) as server:
            pid = server.process.pid
            time.sleep(0.5)
            before = resident_kib(pid)
            held = hold(port, count)
            time.sleep(3)
            after = resident_kib(pid)
            for s in held:
                s.close()
        grown = after - before
        bare = grown if bare is None else bare
        rows.append([name, f"{before / 1024:.1f}", f"{after / 1024:.1f}", f"{(grown - bare) * 1024 / count:.0f}"])
        lines_of_spans(directory)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return count, rows


def ask(connection, count):
    for _ in range(count):
        connection.sendall(b"GET /file HTTP/1.1\r\nHost: localhost\r\nUser-Agent: bench\r\n\r\n")
        got = b""
        while not got.endswith(b"x" * 1024):
            got += connection.recv(65536)


def counted(start, environment, requests, directory):
    """Instructions of each thread of nginx, by callgrind, from its start to its end."""
    port = free_port()
    command = ["valgrind", "--tool=callgrind", "--separate-threads=yes", f"--callgrind-out-file={directory}/counts", *start(port)]
    process = subprocess.Popen([str(c) for c in command], env=clean_environment(environment), stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL)
    try:
        wait_port(port, process, 60)
        with socket.create_connection(("127.0.0.1", port)) as connection:
            ask(connection, requests)
            time.sleep(2.5)  # for our thread to read them
            process.terminate()
            while process.poll() is None:  # valgrind hands a signal on when the thread wakes up
                try:
                    socket.create_connection(("127.0.0.1", port)).close()
                except OSError:
                    pass
                time.sleep(0.2)
    finally:
        process.kill()
        process.wait()
    totals = []
    for path in sorted(pathlib.Path(directory).glob("counts-*")):
        totals.append(int(re.search(r"^(?:totals|summary): (\d+)", path.read_text(), re.M).group(1)))
        path.unlink()
    pathlib.Path(directory, "counts").unlink(missing_ok=True)
    return [*totals, 0][:2]


def instructions(table):
    """What no neighbour disturbs: instructions outside the kernel that a request takes, on either thread."""
    few, many = 200, 1200
    rows = []
    with tempfile.TemporaryDirectory() as directory:
        os.chmod(directory, 0o755)
        pathlib.Path(directory, "file").write_bytes(b"x" * 1024)
        start = servers(directory)["nginx, 1 KiB file, access log, wrk -c32"][0]
        bare = None
        for name, environment in configurations(directory, "http://127.0.0.1:9").items():
            if "OTLP" in name:
                continue
            pair = [counted(start, environment, n, directory) for n in (few, many)]
            theirs, ours = ((b - a) / (many - few) for a, b in zip(*pair))
            bare = theirs if bare is None else bare
            rows.append([name, f"{theirs:.0f}", f"{theirs - bare:+.0f}", f"{ours:.0f}"])
            lines_of_spans(directory)
    return table("nginx, instructions outside the kernel for each request (callgrind; 1,000 requests on one connection)",
                 ["configuration", "nginx's thread", "added", "our thread"], rows)


def part(quick, spread, table, only=None):
    rounds, seconds = (1, 2) if quick else (3, 3)
    blocks = []
    with tempfile.TemporaryDirectory() as directory:
        os.chmod(directory, 0o755)
        pathlib.Path(directory, "file").write_bytes(b"x" * 1024)
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
                        "-subj", "/CN=localhost", "-keyout", f"{directory}/key", "-out", f"{directory}/cert"],
                       check=True, capture_output=True)
        sink_port = free_port()
        sink_conf = pathlib.Path(directory, "sink.conf")
        sink_conf.write_text(SINK.format(d=directory, port=sink_port))
        with Server(["taskset", "-c", CLIENT_CPU, "nginx", "-c", sink_conf, "-p", directory], clean_environment(), sink_port):
            configs = configurations(directory, f"http://127.0.0.1:{sink_port}")
            for title, (start, url, client) in servers(directory).items():
                if only and only not in title:
                    continue
                got = {name: [] for name in configs}
                for _ in range(rounds):
                    for name, environment in configs.items():
                        got[name].append(measure(start, url, client, environment, seconds, directory))
                blocks.append(table(f"{title} ({rounds} rounds of {seconds} s)",
                                    ["configuration", "requests/s", "of bare", "p99 ms", "the program's threads, CPU us/request", "added",
                                     "our thread, CPU us/request", "spans/request"], rows_of(got, spread)))
                print(blocks[-1], flush=True)
            if not only:
                count, rows = idle_connections(directory, configs, 1000 if quick else 10000)
                blocks.append(table(f"nginx with {count} idle connections that have had one answer each",
                                    ["configuration", "resident MiB before", "with them", "bytes a connection beyond bare"], rows))
    return "\n".join(blocks)
