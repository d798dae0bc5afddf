"""Runs every unit test program, in the release build and under the sanitizers."""
import pathlib
import re
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent
NAMES = sorted(p.stem for p in (ROOT / "test" / "unit").glob("test_*.c"))
BUILDS = ["release", "asan", "tsan"]


@pytest.mark.parametrize("build", BUILDS)
@pytest.mark.parametrize("name", NAMES)
def test_unit(build, name):
    done = subprocess.run([ROOT / "build" / build / "unit" / name], capture_output=True, timeout=300,
                          text=True, errors="replace")
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-6000:]
    parts = re.findall(r"\[  SKIPPED \] (\w+)$", done.stdout + done.stderr, re.M)
    if parts:
        pytest.skip(f"{name}: {', '.join(sorted(set(parts)))} could not run here")
