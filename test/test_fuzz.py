"""Runs every fuzz target for a while from its kept corpus (libFuzzer, ASan, UBSan)."""
import os
import pathlib
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent
NAMES = sorted(p.stem for p in (ROOT / "test" / "fuzz").glob("fuzz_*.c"))
SECONDS = 600 if os.environ.get("SCOPE_CHECK_LONG") else 8


@pytest.mark.parametrize("name", NAMES)
def test_fuzz(name, tmp_path):
    corpus = ROOT / "test" / "fuzz" / "corpus" / name.removeprefix("fuzz_")
    assert corpus.is_dir() and any(corpus.iterdir()), f"{corpus} has no seeds"
    found = tmp_path / "found"
    found.mkdir()
    done = subprocess.run([ROOT / "build" / "fuzz" / "fuzz" / name, f"-max_total_time={SECONDS}", "-timeout=5",
                           "-rss_limit_mb=1024", f"-artifact_prefix={tmp_path}/", found, corpus],
                          capture_output=True, timeout=SECONDS + 120, text=True, errors="replace")
    assert done.returncode == 0, done.stderr[-6000:]
    # A target that dies at once, or never runs an input, proves nothing.
    assert "Done " in done.stderr, done.stderr[-2000:]
