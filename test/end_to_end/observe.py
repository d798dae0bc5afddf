"""Runs programs bare and under the library, and reads what the library reported.

A program is run exactly as an operator would: LD_PRELOAD and SCOPE_* in the environment, an NDJSON
file as the sink. `observe` gives its outcome and a Recording of every line of that file.
"""
import collections
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
BUILD = pathlib.Path(os.environ.get("SCOPE_BUILD", ROOT / "build" / "release"))
LIBRARY = BUILD / "libscope.so"
SCOPE = BUILD / "scope"
PROGRAMS = BUILD / "programs"

Outcome = collections.namedtuple("Outcome", "status stdout stderr recording")


class Recording:
    """The lines of one or more NDJSON files."""

    def __init__(self, *paths):
        self.lines = []
        for path in paths:
            if os.path.exists(path):
                with open(path, "rb") as file:
                    for number, line in enumerate(file, 1):
                        if not line.strip():
                            continue
                        try:
                            self.lines.append(json.loads(line.decode("utf-8")))
                        except ValueError as error:
                            raise AssertionError(f"{path}:{number}: {error}: {line[:200]!r}")

    @staticmethod
    def _fits(line, pid, attributes):
        if pid is not None and line["resource"].get("process.pid") != pid:
            return False
        own = line.get("attributes", {})
        return all(own.get(key.replace("__", ".")) == value for key, value in attributes.items())

    def metrics(self, name, pid=None, **attributes):
        """Points of a metric; attribute names with `__` for a dot: scope__operation="read"."""
        return [l for l in self.lines if l["signal"] == "metric" and l["name"] == name
                and self._fits(l, pid, attributes)]

    def events(self, name, pid=None, **attributes):
        return [l for l in self.lines if l["signal"] == "log" and l.get("name") == name
                and self._fits(l, pid, attributes)]

    def logs(self, pid=None, **attributes):
        """Plain log lines: records without an event name."""
        return [l for l in self.lines if l["signal"] == "log" and not l.get("name")
                and self._fits(l, pid, attributes)]

    def total(self, name, pid=None, **attributes):
        """The sum of a counter's (delta) points, or of a histogram's counts."""
        total = 0
        for line in self.metrics(name, pid, **attributes):
            value = line["value"]
            total += value["count"] if isinstance(value, dict) else value
        return total

    def drops(self):
        """Everything the library says it dropped, by cause."""
        out = collections.Counter()
        for line in self.metrics("scope.dropped"):
            out[line["attributes"]["scope.drop.cause"]] += line["value"]
        return out

    def pids(self):
        return {l["resource"].get("process.pid") for l in self.lines}


def clean_environment(extra=None):
    env = {k: v for k, v in os.environ.items()
           if not k.startswith(("SCOPE_", "OTEL_")) and k != "LD_PRELOAD"}
    env.update(extra or {})
    return env


def scope_environment(to, extra=None, sets=None):
    """The environment that puts the library in, reporting to the NDJSON file `to`."""
    # What is under test is what is reported, not whether a busy disk takes it within half a second.
    env = clean_environment({"LD_PRELOAD": str(LIBRARY), "SCOPE_NDJSON_TO": str(to),
                             "SCOPE_CONFIG": "/dev/null", "SCOPE_EXIT_BOUND": "5s"})
    if sets:
        env["SCOPE_SET"] = "\n".join(f"{k}={v}" for k, v in sets.items())
    env.update(extra or {})
    return env


def bare(command, env=None, timeout=60, **how):
    """Runs the command without us."""
    done = subprocess.run([str(c) for c in command], env=clean_environment(env),
                          capture_output=True, timeout=timeout, **how)
    return Outcome(done.returncode, done.stdout, done.stderr, None)


def observe(command, directory, env=None, sets=None, timeout=60, **how):
    """Runs the command under the library; its report goes to a file of its own in `directory`."""
    to = pathlib.Path(directory) / f"telemetry-{os.getpid()}-{time.monotonic_ns()}.ndjson"
    done = subprocess.run([str(c) for c in command], env=scope_environment(to, env, sets),
                          capture_output=True, timeout=timeout, **how)
    return Outcome(done.returncode, done.stdout, done.stderr, Recording(to))


def free_port(kind=socket.SOCK_STREAM):
    with socket.socket(socket.AF_INET, kind) as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_port(port, process=None, timeout=20):
    """Until something listens on 127.0.0.1:port; fails when `process` ends before."""
    end = time.monotonic() + timeout
    while time.monotonic() < end:
        if process is not None and process.poll() is not None:
            raise AssertionError(f"the server ended with {process.returncode}")
        with socket.socket() as s:
            s.settimeout(1)
            if s.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    raise AssertionError(f"nothing listens on {port} after {timeout} s")


class Server:
    """A server process: started, waited for, and stopped by its process id."""

    def __init__(self, command, env, port=None, stop=signal.SIGTERM, **how):
        how.setdefault("stdout", subprocess.DEVNULL)
        how.setdefault("stderr", subprocess.DEVNULL)
        self.stop_signal = stop
        self.process = subprocess.Popen([str(c) for c in command], env=env, **how)
        if port is not None:
            try:
                wait_port(port, self.process)
            except BaseException:
                self.process.kill()
                self.process.wait()
                raise

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.stop()

    def stop(self, timeout=20):
        if self.process.poll() is None:
            self.process.send_signal(self.stop_signal)
            try:
                self.process.wait(timeout)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
                raise AssertionError("the server did not stop when asked")
        return self.process.returncode


def need(program):
    """The path of a program that a test needs, or a skip that says which is missing."""
    import pytest
    path = shutil.which(program)
    if not path:
        pytest.skip(f"{program} is not installed and could not be")
    return path
