"""Transparency: every program in test/programs behaves the same bare and under the library.

Each program does one hazardous thing (shared/reference/hazards.md) and prints what it saw. A line
`scope-test: key=value ...` in its source steers the run:
  args=a,b        arguments
  env=NAME:value  environment
  stdin=text      standard input
  unordered       lines of output may come in any order (threads)
  unseen          nothing of it can be delivered
Programs in C++ (.cc) are compiled here; `-fnon-call-exceptions` lets their signal handlers throw.
docs/hazards.md says which hazard each stands for.
"""
import pathlib
import re
import subprocess

import pytest
from observe import PROGRAMS, bare, need, observe

SOURCES = sorted((pathlib.Path(__file__).parent.parent / "programs").glob("*.c*"))


def steering(source):
    found = re.search(r"scope-test:([^\n*]*)", source.read_text())
    words = found.group(1).split() if found else []
    return {w.split("=", 1)[0]: (w.split("=", 1)[1] if "=" in w else True) for w in words}


@pytest.fixture(scope="session")
def built(tmp_path_factory):
    """The program of a source: cmake's for C, compiled here for C++."""
    place = tmp_path_factory.mktemp("programs")

    def find(source):
        if source.suffix == ".c":
            return PROGRAMS / source.stem
        program = place / source.stem
        if not program.exists():
            need("g++")
            subprocess.run(["g++", "-w", "-O1", "-std=c++17", "-fnon-call-exceptions", "-o", program, source, "-lpthread"],
                           check=True)
        return program
    return find


@pytest.mark.parametrize("sets", [{}, {"memory.pool": "64KiB", "events.interval": "20ms", "metrics.interval": "50ms"}],
                         ids=["default", "busy"])
@pytest.mark.parametrize("source", SOURCES, ids=lambda s: s.stem)
def test_same_as_bare(source, sets, built, tmp_path):
    steer = steering(source)
    command = [built(source), *[a for a in str(steer.get("args", "")).split(",") if a]]
    env = dict([steer["env"].split(":", 1)]) if "env" in steer else {}
    outcomes = []
    for run in (bare, lambda c, **h: observe(c, tmp_path, sets=sets, **h)):
        here = tmp_path / f"cwd{len(outcomes)}"
        here.mkdir()
        outcomes.append((run(command, env=env, cwd=here, timeout=120,
                             input=str(steer.get("stdin", "")).encode()), here))
    (alone, place), (watched, watched_place) = outcomes
    shown = [o.stdout if "unordered" not in steer else b"\n".join(sorted(o.stdout.split(b"\n")))
             for o in (alone, watched)]
    assert watched.status == alone.status
    assert shown[1] == shown[0]
    assert watched.stderr == alone.stderr
    left = [sorted((str(p.relative_to(d)), p.stat().st_size if p.is_file() else -1) for p in d.rglob("*"))
            for d in (place, watched_place)]
    assert left[1] == left[0], "the program left other files behind"
    own = [l for l in watched.recording.lines if "/telemetry-" in l["attributes"].get("file.path", "")]
    assert not own, "our own export was observed"
    # Every hazard program makes at least one call that is watched, and the record of it was delivered.
    if "unseen" not in steer:
        assert watched.recording.lines, "nothing was reported"
