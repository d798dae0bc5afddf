"""Runs programs under the library with an OTLP sink."""
import collections
import os
import subprocess
import time

from observe import bare, scope_environment

# The first log record is then the program's first line: what happens to a first request happens to that.
NO_EVENTS = {f"events.{family}": "false" for family in ("file", "process", "connection", "name")}

Ended = collections.namedtuple("Ended", "status stdout stderr seconds memory")


def otlp_environment(url=None, extra=None, sets=None):
    """SCOPE_OTLP_TO=url; None: `extra` says where to. Short intervals, so that a test need not wait."""
    env = scope_environment("x", {"SCOPE_OTLP_METRICS_INTERVAL": "200ms", "SCOPE_OTLP_LOGS_INTERVAL": "50ms",
                                  "SCOPE_EXIT_BOUND": "5s"}, sets)
    del env["SCOPE_NDJSON_TO"]
    if url is not None:
        env["SCOPE_OTLP_TO"] = url
    env.update(extra or {})
    return {name: value for name, value in env.items() if value is not None}


def run(url=None, extra=None, sets=None, command=("sh", "-c", "echo one"), timeout=60, drop=()):
    """A short program; what it printed and how it ended must be its own."""
    env = otlp_environment(url, extra, sets)
    for name in drop:
        env.pop(name, None)
    return bare(command, env=env, timeout=timeout)


class Living:
    """A program under the library that writes the lines it is told to, until it is told to end.

        with Living(url) as program:
            program.say("one", "two")
        program.ended.seconds            # from the order to end to the end

    Its last act before that is to tell its own highest memory use (ended.memory, KiB).
    """

    PROGRAM = """
import sys, time
for line in iter(sys.stdin.readline, 'end\\n'):
    if line.startswith('many '):
        for i in range(int(line.split()[1])):
            sys.stdout.write('%s %d\\n' % (line.split()[2], i))
    else:
        sys.stdout.write(line)
    sys.stdout.flush()
    sys.stdout.write('@' + line)
    sys.stdout.flush()
"""
    MEMORY = "import re\nsys.stderr.write(re.search(r'VmHWM:\\s+(\\d+)', open('/proc/self/status').read()).group(1))\n"

    def __init__(self, url=None, extra=None, sets=None, drop=(), exit_bound=None):
        env = otlp_environment(url, extra, sets)
        if exit_bound:
            env["SCOPE_EXIT_BOUND"] = exit_bound
        for name in drop:
            env.pop(name, None)
        self.said, self.ended = [], None
        self.process = subprocess.Popen(["/usr/bin/python3", "-c", self.PROGRAM + self.MEMORY], env=env, stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, bufsize=1)

    @property
    def pid(self):
        return self.process.pid

    def order(self, text):
        self.process.stdin.write(text + "\n")
        self.process.stdin.flush()
        while True:
            line = self.process.stdout.readline()
            assert line, "the program ended"
            line = line.rstrip("\n")
            self.said.append(line)
            if line == "@" + text:
                return

    def say(self, *lines):
        """Log lines; when this returns they have been written."""
        for line in lines:
            self.order(line)

    def say_many(self, count, word="many"):
        self.order(f"many {count} {word}")

    def end(self, timeout=60):
        if self.ended is None:
            start = time.monotonic()
            out, err = self.process.communicate("end\n", timeout)
            seconds = time.monotonic() - start
            self.ended = Ended(self.process.returncode, out, err, seconds, int(err or 0))
        return self.ended

    def __enter__(self):
        return self

    def __exit__(self, kind, *exc):
        try:
            if kind is None:
                ended = self.end()
                assert ended.status == 0 and ended.stdout == "", ended
        finally:
            if self.process.poll() is None:
                self.process.kill()
                self.process.communicate()


def bodies(received):
    """How often each log line came."""
    return collections.Counter(l["body"] for l in received.logs(log__iostream="stdout"))


def exported(received, signal="log"):
    """What the library itself counts of one signal's items: by error type, None: taken."""
    name = {"log": "otel.sdk.exporter.log.exported", "metric": "otel.sdk.exporter.metric_data_point.exported",
            "span": "otel.sdk.exporter.span.exported"}[signal]
    from received import by, total
    return collections.Counter({cause: total(points) for cause, points in
                                by(received.metrics(name), lambda p: p["attributes"].get("error.type")).items()})


def report(**numbers):
    """Numbers a run tells, which no test asserts: pytest -rP shows them, and SCOPE_CHECK_REPORT gathers them."""
    text = " ".join(f"{k}={v}" for k, v in numbers.items())
    print(text)
    to = os.environ.get("SCOPE_CHECK_REPORT")
    if to:
        with open(to, "a") as file:
            file.write(f"{os.environ.get('PYTEST_CURRENT_TEST', '')} {text}\n")
