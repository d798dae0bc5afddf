"""scope summary, and what cmake --install and cpack lay out."""
import os
import shutil
import subprocess

import pytest

from observe import BUILD, LIBRARY, SCOPE


def scope(*arguments, **how):
    env = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "SCOPE_LIBRARY": str(LIBRARY), "SCOPE_CONFIG": "/dev/null"}
    return subprocess.run([str(SCOPE), *map(str, arguments)], env=env, capture_output=True, timeout=60, text=True, **how)


# ------------------------------------------------------------------ summary


def test_summary_shows_what_happened(tmp_path):
    deep = tmp_path / ("d" * 100)
    program = f"echo out; cat {deep}/absent; exit 3"
    assert scope("run", "--quiet", "--out", tmp_path / "r", "--", "sh", "-c", program).returncode == 3
    shown = scope("summary", tmp_path / "r")
    assert shown.returncode == 0 and shown.stderr == "" and "\033" not in shown.stdout
    lines = [line.split() for line in shown.stdout.splitlines()]
    assert any(line[:1] == ["cat"] and line[-2:] == ["exit", "1"] for line in lines)
    assert any(line[-2:] == ["exit", "3"] for line in lines)
    # A long path loses its beginning, and not the error and the operation before it.
    failed = [line for line in lines if len(line) == 4 and line[2].endswith("d/absent")]
    assert failed and failed[0][:2] == ["ENOENT", "open"] and failed[0][2].startswith("...")
    assert "Nothing was dropped." in shown.stdout
    assert scope("summary", "--rows", "1", "-", input=(tmp_path / "r" / "telemetry.ndjson").read_text()).stdout.count("... and")


@pytest.mark.parametrize("arguments,status,text", [([], 1, "there is no recording yet"), (["/nonexistent"], 1, "No such file"),
                                                   (["/etc"], 1, "nothing was recorded there"),
                                                   (["/etc/passwd"], 1, "not NDJSON"), (["--rows", "x"], 2, "takes a number"),
                                                   (["--rows"], 2, "a value is missing"), (["--nonsense"], 2, "no such option")])
def test_summary_says_what_is_wrong(arguments, status, text):
    done = scope("summary", *arguments)
    assert done.returncode == status and text in done.stderr and not done.stdout


# ------------------------------------------------------------------ install


def cmake_install(destination, *options):
    env = {**os.environ, "DESTDIR": str(destination)} if destination else os.environ
    done = subprocess.run(["cmake", "--install", str(BUILD), *options], env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_install_for_the_system(tmp_path):
    cmake_install(tmp_path, "--prefix", "/usr/local")
    local = tmp_path / "usr" / "local"
    assert (local / "lib" / "libscope.so").exists() and (local / "bin" / "scope").exists()
    assert (local / "share" / "man" / "man1" / "scope.1").exists()
    assert (local / "share" / "doc" / "scope" / "docs" / "limits.md").exists()
    configuration = tmp_path / "etc" / "scope" / "scope.yml"  # the one place that is read
    configuration.write_text("tags: {mine: 1}\n")
    cmake_install(tmp_path, "--prefix", "/usr/local")
    assert configuration.read_text() == "tags: {mine: 1}\n"


def test_install_under_a_prefix_stays_there(tmp_path):
    cmake_install(None, "--prefix", str(tmp_path / "p"))
    assert (tmp_path / "p" / "etc" / "scope" / "scope.yml").exists()
    done = subprocess.run([str(tmp_path / "p" / "bin" / "scope"), "run", "--quiet", "--ndjson", str(tmp_path / "o"), "--", "true"],
                          env={"PATH": os.environ["PATH"], "SCOPE_CONFIG": "/dev/null"})
    assert done.returncode == 0 and (tmp_path / "o").stat().st_size


@pytest.mark.skipif(not shutil.which("dpkg-deb"), reason="no dpkg-deb")
def test_package(tmp_path):
    subprocess.run(["cpack", "--config", str(BUILD / "CPackConfig.cmake"), "-B", str(tmp_path)], check=True, capture_output=True)
    package = next(tmp_path.glob("*.deb"))
    listed = subprocess.run(["dpkg-deb", "-c", str(package)], check=True, capture_output=True, text=True).stdout
    files = {line.split()[5] for line in listed.splitlines() if line.startswith("-")}
    assert {"./etc/scope/scope.yml", "./usr/bin/scope", "./usr/lib/libscope.so", "./usr/share/man/man1/scope.1"} <= files
    assert not [f for f in files if "/local/" in f]
    subprocess.run(["dpkg-deb", "-e", str(package), str(tmp_path / "e")], check=True)
    assert (tmp_path / "e" / "conffiles").read_text() == "/etc/scope/scope.yml\n"
