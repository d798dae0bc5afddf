"""A real OpenTelemetry Collector (test/end_to_end/collector), run for one test.

    with Collector(tmp_path) as collector:
        run(..., SCOPE_OTLP_TO=collector.url)
    collector.read().logs()            # stopped, or still running: what has been written so far

What it receives it writes as OTLP's JSON lines, one file a signal, in the order in which it came.
"""
import pathlib
import signal
import socket
import subprocess
import time

import pytest
from observe import ROOT, clean_environment, free_port, wait_port
from received import Received

BINARY = ROOT / "build" / "collector" / "otelcol"
SIGNALS = ("traces", "metrics", "logs")


def build(name):
    """The path of what scripts/collector builds. It has a lock: any number may ask at once."""
    done = subprocess.run([ROOT / "scripts" / "collector", name], capture_output=True, text=True)
    if done.returncode == 77:
        pytest.skip(done.stderr.strip())
    assert done.returncode == 0, done.stdout + done.stderr
    return ROOT / "build" / "collector" / name


def listens_udp(port):
    ends = f":{port:04X}"
    return any(line.split()[1].endswith(ends) for line in pathlib.Path("/proc/net/udp").read_text().splitlines()[1:])


class Collector:
    """statsd=True: a StatsD receiver too (`statsd_port`); lines=PATHS: {signal: a file that is read at the start}."""

    def __init__(self, directory, statsd=False, lines=None, port=None, tls=None, client_ca=None):
        build("otelcol")
        self.directory = pathlib.Path(directory) / "collector"
        self.directory.mkdir(exist_ok=True)
        self.port = port or free_port()
        scheme = "https" if tls else "http"
        self.url = f"{scheme}://127.0.0.1:{self.port}"
        self.statsd_port = None
        if statsd:
            self.statsd_port = free_port(socket.SOCK_DGRAM)
        self.log = self.directory / "log"
        self.config = self.directory / "config.yaml"
        self.config.write_text(self.configuration(lines or {}, tls, client_ca))
        self.process = None

    def out(self, name):
        return self.directory / f"{name}.jsonl"

    def configuration(self, lines, tls, client_ca):
        text = ["receivers:", "  otlp:", "    protocols:", "      http:", f"        endpoint: 127.0.0.1:{self.port}"]
        if tls:
            text += ["        tls:", f"          cert_file: {tls[0]}", f"          key_file: {tls[1]}"]
            if client_ca:
                text += [f"          client_ca_file: {client_ca}"]
        if self.statsd_port:
            # ignore_host: each process has a port of its own, and what they say is to be added up.
            text += ["  statsd:", f"    endpoint: 127.0.0.1:{self.statsd_port}", "    aggregation_interval: 200ms",
                     "    ignore_host: true", "    is_monotonic_counter: true", "    counter_type: float",
                     "    timer_histogram_mapping:"]
            for kind in ("histogram", "distribution", "timing"):
                text += [f"      - statsd_type: {kind}", "        observer_type: histogram",
                         "        histogram:", "          max_size: 160"]
        for name in lines:
            text += [f"  otlp_lines/{name}:", f"    path: {lines[name]}"]
        text += ["exporters:"]
        for name in SIGNALS:
            text += [f"  file/{name}:", f"    path: {self.out(name)}", "    append: true", "    flush_interval: 50ms"]
        text += ["service:", "  pipelines:"]
        for name in SIGNALS:
            receivers = ["otlp"] + ([f"otlp_lines/{name}"] if name in lines else [])
            if name == "metrics" and self.statsd_port:
                receivers.append("statsd")
            text += [f"    {name}:", f"      receivers: [{', '.join(receivers)}]", f"      exporters: [file/{name}]"]
        return "\n".join(text) + "\n"

    def start(self):
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen([BINARY, f"--config=file:{self.config}"], env=clean_environment(),
                                            stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            wait_port(self.port, self.process, timeout=60)
            end = time.monotonic() + 30
            while self.statsd_port and not listens_udp(self.statsd_port):
                assert time.monotonic() < end and self.process.poll() is None
                time.sleep(0.02)
        except BaseException as error:
            self.kill()
            raise AssertionError(f"the Collector did not start: {self.log.read_text()}") from error
        return self

    def stop(self):
        """As an operator would; what it has taken is then in its files."""
        if self.process is None:
            return
        process, self.process = self.process, None
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        try:
            status = process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise AssertionError("the Collector did not stop when asked")
        assert status == 0, f"the Collector ended with {status}: {self.log.read_text()}"

    def kill(self):
        """Without a word; what it has not written is lost."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def restart(self):
        self.stop()
        return self.start()

    def __enter__(self):
        return self.start()

    def __exit__(self, kind, *exc):
        if kind is None:
            self.stop()
        else:
            self.kill()

    def read(self):
        return Received.of_files(*(self.out(name) for name in SIGNALS))

    def wait_for(self, what, timeout=30):
        """Until what(read()) is true, or fails; returns what was read."""
        end = time.monotonic() + timeout
        while not what(got := self.read()):
            assert time.monotonic() < end, f"not seen within {timeout} s: {len(got.lines)} lines came"
            time.sleep(0.05)
        return got

    def complaints(self):
        """What the Collector warned of: lines of its log."""
        return [l for l in self.log.read_text().splitlines() if "warn" in l.lower() or "error" in l.lower()]
