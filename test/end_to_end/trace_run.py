"""Servers and clients under the library, each with its own recording, and what others counted of the same requests."""
import collections
import os
import pathlib
import shutil
import subprocess
import tempfile
import time
import urllib.parse

from observe import Recording, Server, clean_environment, scope_environment

PYTHON = "/usr/bin/python3"

# One request as an access log has it; a size or time of None was not told by that server.
Line = collections.namedtuple("Line", "method target status size seconds")


def http_spans(recording, kind):
    return [l for l in recording.lines if l["signal"] == "span" and l.get("kind") == kind and "http.request.method" in l["attributes"]]


def target(span):
    """What was asked for: the path with its query."""
    about = span["attributes"]
    if "url.full" in about:
        url = urllib.parse.urlsplit(about["url.full"])
        path, query = url.path, url.query
    else:
        path, query = about["url.path"], about.get("url.query")
    return f"{path}?{query}" if query else path


def told(span, size=True):
    about = span["attributes"]
    return (about["http.request.method"], target(span), about.get("http.response.status_code"),
            about.get("http.response.body.size") if size else None)


def answered(spans):
    return [s for s in spans if "http.response.status_code" in s["attributes"]]


def by(spans, who):
    """Of the requests that say so in their query."""
    return [s for s in spans if target(s).endswith(f"by={who}")]


def lines_of(path):
    """Lines `METHOD TARGET STATUS SIZE SECONDS`, the format that every server here is told to write; `-` is nothing."""
    out = []
    for line in pathlib.Path(path).read_text().splitlines():
        words = line.split()
        if len(words) < 5 or not words[2].isdigit():
            continue
        size = 0 if words[3] == "-" else int(words[3])
        out.append(Line(words[0], words[1], int(words[2]), size, float(words[4])))
    return out


def open_directory():
    """A directory that a server's unprivileged workers may enter."""
    place = pathlib.Path(tempfile.mkdtemp(prefix="scope-trace-"))
    place.chmod(0o777)
    return place


class Place:
    """A directory for one test, gone afterwards unless KEEP is set."""

    def __enter__(self):
        self.path = open_directory()
        return self.path

    def __exit__(self, *exc):
        if not os.environ.get("KEEP"):
            shutil.rmtree(self.path)
        else:
            print("kept", self.path)


UNBOUND = {"events.rate": 0}  # a load makes more connections a second than the default tells of


class Watched(Server):
    """A server under the library. `recording` is whole once it has stopped."""

    def __init__(self, command, place, port=None, name="server", sets=None, env=None, **how):
        self.to = pathlib.Path(place) / f"{name}.ndjson"
        output = open(pathlib.Path(place) / f"{name}.out", "wb")
        how.setdefault("stdout", output)
        how.setdefault("stderr", subprocess.STDOUT)
        super().__init__(command, scope_environment(self.to, env, UNBOUND | (sets or {})), port, **how)

    @property
    def recording(self):
        return Recording(self.to)


def watch(command, place, name, timeout=120, **how):
    """A client under the library, run to its end: (what subprocess.run gives, its recording)."""
    to = pathlib.Path(place) / f"{name}.ndjson"
    done = subprocess.run([str(c) for c in command], env=scope_environment(to, how.pop("env", None), UNBOUND), capture_output=True, timeout=timeout, **how)
    return done, Recording(to)


def until(what, seconds=20):
    """Waits for something that another process is about to do."""
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.02)


def plain(command, **how):
    return subprocess.run([str(c) for c in command], env=clean_environment(), capture_output=True, timeout=120, **how)
