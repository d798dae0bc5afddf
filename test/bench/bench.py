#!/usr/bin/python3
"""Measures what the library costs, beside the same program without it, interleaved, as ratios.

    test/bench/bench.py [--quick] [calls] [start] [otlp] [nginx] [redis] [idle] [traces] [capture] [instructions] [--write]

With --write the table goes into docs/performance.md. Every figure is a median with its spread over
rounds in which the configurations take turns; noise of the machine falls on all of them alike.
"""
import argparse
import os
import pathlib
import platform
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "test" / "end_to_end"))
from observe import BUILD, LIBRARY, Server, clean_environment, free_port  # noqa: E402

QUICK = False


def configurations(directory):
    """name: (environment, what it means). Telemetry goes to a file; its size is reported by nobody."""
    out = f"file://{directory}/telemetry.ndjson"
    base = {"LD_PRELOAD": str(LIBRARY), "SCOPE_CONFIG": "/dev/null", "SCOPE_NDJSON_TO": out}
    quiet = ["events.file.enabled=false", "events.connection.enabled=false", "events.name.enabled=false",
             "events.process.enabled=false"]
    no_logs = ["logs.console=false", "logs.files=[]", "logs.syslog=false"]
    return {
        "bare": {},
        "metrics": {**base, "SCOPE_SET": "\n".join(quiet + no_logs)},
        "events": {**base, "SCOPE_SET": "\n".join(no_logs)},
        "all": base,
    }


def spread(values):
    values = sorted(values)
    return f"{statistics.median(values):.4g} ({values[0]:.4g}-{values[-1]:.4g})"


def table(title, columns, rows):
    lines = [f"### {title}", "", "| " + " | ".join(columns) + " |", "|" + " --- |" * len(columns)]
    lines += ["| " + " | ".join(str(c) for c in row) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def wipe(directory):
    for path in pathlib.Path(directory).glob("telemetry.ndjson*"):
        path.unlink()


def calls():
    ops = {"write": 400000, "read": 400000, "pread": 300000, "lseek": 400000, "stat": 150000, "open_close": 60000,
           "unix_send_recv": 60000, "tcp_send_recv": 20000, "log_write": 100000, "fwrite": 2000000,
           "fwrite_unbuffered": 300000, "epoll_wait": 200000, "poll": 200000}
    program = BUILD / "bench" / "calls"
    rounds = 2 if QUICK else 5
    rows = []
    with tempfile.TemporaryDirectory() as directory:
        configs = configurations(directory)
        for op, count in ops.items():
            cost = {name: [] for name in configs}
            for _ in range(rounds):
                for name, env in configs.items():
                    done = subprocess.run(["taskset", "-c", "1", program, op, "3", str(count)], cwd=directory,
                                          env=clean_environment(env), capture_output=True, check=True, text=True)
                    cost[name] += [float(l.split()[0]) for l in done.stdout.splitlines()]
                    wipe(directory)
            bare = statistics.median(cost["bare"])
            row = [op, spread(cost["bare"])]
            for name in list(configs)[1:]:
                middle = statistics.median(cost[name])
                row.append(f"{spread(cost[name])} +{middle - bare:.0f} x{middle / bare:.2f}")
            rows.append(row)
            print(" | ".join(row), flush=True)
    return table("One call, ns of the calling thread's CPU time: median (least-most), added, ratio",
                 ["call", "bare", "metrics", "metrics and events", "everything"], rows)


def short_lives(env, count):
    """Milliseconds from /bin/true's start to its exit, the mean of `count`."""
    environment = clean_environment(env)
    begun = time.perf_counter()
    for _ in range(count):
        os.waitpid(os.posix_spawn("/bin/true", ["true"], environment), 0)
    return (time.perf_counter() - begun) / count * 1e3


def added(cost):
    """Rows of what each configuration costs beside the bare one."""
    bare = statistics.median(cost["bare"])
    return [[name, spread(values), f"+{statistics.median(values) - bare:.3f}", f"x{statistics.median(values) / bare:.2f}"]
            for name, values in cost.items()]


def start():
    """Process start to exit, /bin/true, by posix_spawn and wait."""
    rounds, each = (3, 60) if QUICK else (9, 200)
    cost = {}
    with tempfile.TemporaryDirectory() as directory:
        # Step by step, where the time goes: a library with nothing in it, ours that does nothing, ours
        # without a sink (its thread, and the delivery at exit), and then what is measured elsewhere too.
        empty = pathlib.Path(directory, "empty.so")
        subprocess.run(["gcc", "-shared", "-fPIC", "-x", "c", "-o", empty, "-"], input=b"int empty;", check=True)
        ours = {"LD_PRELOAD": str(LIBRARY), "SCOPE_CONFIG": "/dev/null"}
        configs = {"bare": {}, "an empty library": {"LD_PRELOAD": str(empty)}, "switched off": {**ours, "SCOPE_ENABLED": "false"},
                   "no sink": ours, **configurations(directory)}
        cost = {name: [] for name in configs}
        for _ in range(rounds):
            for name, env in configs.items():
                cost[name].append(short_lives(env, each))
                if name == "all":
                    with open(f"{directory}/telemetry.ndjson") as file:
                        exits = sum('"scope.process.exit"' in l for l in file)
                    assert exits == each, f"{exits} of {each} processes were delivered"
                wipe(directory)
    return table(f"/bin/true from start to exit, ms ({rounds} rounds of {each}; every process's exit was in the file)",
                 ["configuration", "ms", "added", "ratio"], added(cost))


NGINX = """
daemon off; master_process off; worker_processes 1; pid {d}/nginx.pid; error_log {d}/error.log;
events {{ worker_connections 512; }}
http {{ access_log {d}/access.log; client_body_temp_path {d}; proxy_temp_path {d}; fastcgi_temp_path {d};
uwsgi_temp_path {d}; scgi_temp_path {d}; keepalive_requests 1000000;
server {{ listen 127.0.0.1:{port}; root {d}; }} }}
"""


def otlp():
    """Short processes that export over OTLP to a real Collector, and to where nobody listens; and the encoder alone."""
    from otel_collector import Collector
    rounds, each = (2, 40) if QUICK else (5, 200)
    ours = {"LD_PRELOAD": str(LIBRARY), "SCOPE_CONFIG": "/dev/null"}
    with tempfile.TemporaryDirectory() as directory, Collector(directory) as collector:
        file = {**ours, "SCOPE_NDJSON_TO": f"file://{directory}/telemetry.ndjson"}
        configs = {"bare": {}, "NDJSON to a file": file, "OTLP, nobody listens": {**ours, "SCOPE_OTLP_TO": f"http://127.0.0.1:{free_port()}"},
                   "OTLP to a Collector": {**ours, "SCOPE_OTLP_TO": collector.url}}
        cost = {name: [] for name in configs}
        for _ in range(rounds):
            for name, env in configs.items():
                cost[name].append(short_lives(env, each))
                wipe(directory)
        exits = sum(1 for line in collector.read().lines if line.get("name") == "scope.process.exit")
        assert exits == rounds * each, f"{exits} of {rounds * each} processes were delivered"
    first = table(f"/bin/true from start to exit, ms ({rounds} rounds of {each}; each of {rounds * each} processes was delivered to the Collector)",
                  ["configuration", "ms", "added", "ratio"], added(cost))
    made = subprocess.run([BUILD / "bench" / "otlp_bench"], capture_output=True, text=True, check=True).stdout
    return first + "\n### The encoder alone, ten attributes of twenty characters an item (test/bench/otlp_bench)\n\n```\n" + made + "```\n"


def cpu_seconds(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_kib(pid):
    return int(re.search(r"VmRSS:\s+(\d+)", pathlib.Path(f"/proc/{pid}/status").read_text()).group(1))


def to_ms(text):
    number, unit = re.match(r"([\d.]+)(us|ms|s)", text).groups()
    return float(number) * {"us": 1e-3, "ms": 1, "s": 1e3}[unit]


def nginx(pinned=True):
    rounds, seconds = (1, 2) if QUICK else (4, 4)
    out = []
    for placing, server_cpu, client_cpu in (("client on the other core", "0", "1"), ("client on the same core", "0", "0")):
        with tempfile.TemporaryDirectory() as directory:
            os.chmod(directory, 0o755)
            pathlib.Path(directory, "file").write_bytes(b"x" * 1024)
            got = {}
            for _ in range(rounds):
                for name, env in configurations(directory).items():
                    port = free_port()
                    conf = pathlib.Path(directory, "nginx.conf")
                    conf.write_text(NGINX.format(d=directory, port=port))
                    with Server(["taskset", "-c", server_cpu, "nginx", "-c", conf, "-p", directory], clean_environment(env), port) as s:
                        before = resident_kib(s.process.pid)
                        cpu = cpu_seconds(s.process.pid)
                        done = subprocess.run(["taskset", "-c", client_cpu, "wrk", "-t1", "-c32", f"-d{seconds}s", "--latency",
                                               f"http://127.0.0.1:{port}/file"], capture_output=True, text=True, check=True)
                        cpu = cpu_seconds(s.process.pid) - cpu
                        requests = int(re.search(r"(\d+) requests in", done.stdout).group(1))
                        rate = float(re.search(r"Requests/sec:\s+([\d.]+)", done.stdout).group(1))
                        p50, p99 = (to_ms(re.search(rf"^\s+{p}%\s+(\S+)$", done.stdout, re.M).group(1)) for p in (50, 99))
                        got.setdefault(name, []).append((rate, p50, p99, cpu / requests * 1e6, before, resident_kib(s.process.pid)))
                    wipe(directory)
                    for log in pathlib.Path(directory).glob("*.log"):
                        log.unlink()
        out.append(server_table(f"nginx, 1 KiB file, access log, wrk -c32 keep-alive, {placing} ({rounds} rounds of {seconds} s)", got))
    return "\n".join(out)


def server_table(title, got):
    bare = statistics.median(r[0] for r in got["bare"])
    rows = []
    for name, results in got.items():
        columns = list(zip(*results))
        rows.append([name, spread(columns[0]), f"{statistics.median(columns[0]) / bare:.2f}", spread(columns[1]), spread(columns[2]),
                     spread(columns[3]), f"{statistics.median(columns[4]) / 1024:.1f} -> {statistics.median(columns[5]) / 1024:.1f}"])
    return table(title, ["configuration", "requests/s", "of bare", "p50 ms", "p99 ms", "server CPU us/request", "resident MiB"], rows)


def redis():
    rounds, n = (1, 50000) if QUICK else (4, 200000)
    out = []
    for pipeline in (1, 16):
        got = {}
        with tempfile.TemporaryDirectory() as directory:
            for _ in range(rounds):
                for name, env in configurations(directory).items():
                    port = free_port()
                    with Server(["taskset", "-c", "0", "redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "",
                                 "--dir", directory], clean_environment(env), port) as s:
                        before = resident_kib(s.process.pid)
                        cpu = cpu_seconds(s.process.pid)
                        done = subprocess.run(["taskset", "-c", "1", "redis-benchmark", "-p", str(port), "-n", str(n), "-c", "50",
                                               "-P", str(pipeline), "-t", "get", "--csv"], capture_output=True, text=True, check=True)
                        cpu = cpu_seconds(s.process.pid) - cpu
                        fields = done.stdout.strip().splitlines()[-1].replace('"', "").split(",")
                        got.setdefault(name, []).append((float(fields[1]), float(fields[4]), float(fields[6]), cpu / n * 1e6,
                                                         before, resident_kib(s.process.pid)))
                    wipe(directory)
        out.append(server_table(f"redis GET, redis-benchmark -c 50 -P {pipeline} -n {n}, client on the other core ({rounds} rounds)", got))
    return "\n".join(out)


def idle():
    """Memory, wake-ups and CPU of a process that sleeps, its threads included."""
    rows = []
    seconds = 5 if QUICK else 20
    with tempfile.TemporaryDirectory() as directory:
        for name, env in configurations(directory).items():
            with Server(["sleep", "600"], clean_environment(env)) as s:
                time.sleep(1.5)
                pid = s.process.pid

                def switches():
                    total = 0
                    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
                        status = (task / "status").read_text()
                        total += sum(int(x) for x in re.findall(r"ctxt_switches:\s+(\d+)", status))
                    return total
                cpu, before = cpu_seconds(pid), switches()
                time.sleep(seconds)
                rollup = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
                private = sum(int(x) for x in re.findall(r"Private_(?:Clean|Dirty):\s+(\d+)", rollup))
                rows.append([name, f"{resident_kib(pid) / 1024:.2f}", f"{private / 1024:.2f}", f"{(switches() - before) / seconds:.2f}",
                             f"{(cpu_seconds(pid) - cpu) / seconds * 100:.2f} %"])
            wipe(directory)
    return table(f"sleep(1), watched for {seconds} s", ["configuration", "resident MiB", "private MiB", "wake-ups/s", "CPU"], rows)


def traces():
    import traces as part
    return part.part(QUICK, spread, table)


def instructions():
    import traces as part
    return part.instructions(table)


def capture():
    """What a traced request costs on either thread, without the system around it."""
    made = subprocess.run([BUILD / "bench" / "trace_bench", "5" if QUICK else "25"], capture_output=True, text=True, check=True).stdout
    return "### A traced HTTP request on its own (build/release/bench/trace_bench)\n\n```\n" + made + "```\n"


def machine():
    model = re.search(r"model name\s*:\s*(.*)", pathlib.Path("/proc/cpuinfo").read_text()).group(1)
    return f"{model}, {os.cpu_count()} cores, Linux {platform.release()}, {platform.libc_ver()[0]} {platform.libc_ver()[1]}"


def main():
    global QUICK
    parts = {"calls": calls, "start": start, "otlp": otlp, "nginx": nginx, "redis": redis, "idle": idle, "traces": traces, "capture": capture, "instructions": instructions}
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", choices=[*parts, []])
    parser.add_argument("--quick", action="store_true", help="one or two rounds: does it run")
    parser.add_argument("--write", action="store_true", help="into docs/performance.md")
    options = parser.parse_args()
    QUICK = options.quick
    made = {}
    for name in options.parts or parts:
        made[name] = parts[name]()
        print("\n" + made[name], flush=True)
    if options.write:
        page = ROOT / "docs" / "performance.md"
        text = page.read_text()
        for name, block in made.items():
            begin, end = f"<!-- {name} -->\n", f"<!-- /{name} -->"
            head, rest = text.split(begin, 1)
            stamp = f"Measured {time.strftime('%Y-%m-%d')} on {machine()}, by `test/bench/bench.py {name}`.\n\n"
            text = head + begin + stamp + block + end + rest.split(end, 1)[1]
        page.write_text(text)


if __name__ == "__main__":
    main()
