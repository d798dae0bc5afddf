"""What libscope.so shows to the loader: exports, needs, versions; compared with lists that are kept.

The lists are in test/symbols. A wrapper that is added or removed changes `exports`, on purpose.
"""
import pathlib
import re
import subprocess

import pytest
from observe import BUILD, LIBRARY, ROOT

LISTS = ROOT / "test" / "symbols"
HTTP = LIBRARY.with_name("libscope-http.so")
BOTH = pytest.mark.parametrize("library", [LIBRARY, HTTP], ids=lambda path: path.name)


def kept(name):
    lines = (LISTS / name).read_text().splitlines()
    return [l.split("#")[0].strip() for l in lines if l.split("#")[0].strip()]


def symbols(library, defined):
    out = subprocess.run(["nm", "-D", "--with-symbol-versions", "--defined-only" if defined else "--undefined-only", library],
                         capture_output=True, text=True, check=True).stdout
    return sorted({line.split()[-1] for line in out.splitlines()})


@pytest.mark.parametrize("build", ["release", "clang"])
def test_exports_are_the_intercepted_names(build):
    got = symbols(ROOT / "build" / build / "libscope.so", True)
    assert got == sorted(kept("exports"))


def test_every_export_is_a_name_that_some_library_has():
    """test/symbols/tls: names of OpenSSL, GnuTLS, NSS and NSPR. test/symbols/glibc: every function name that libc, libpthread, librt, libdl or libresolv of
    glibc 2.31 or 2.36 exports (made by test/symbols/make-glibc), and later additions with their version."""
    known = set(kept("glibc") + kept("tls"))
    assert [s for s in kept("exports") if s not in known] == []


@pytest.mark.parametrize("build", ["release", "clang"])
def test_undefined_symbols(build):
    got = [s.split("@")[0] for s in symbols(ROOT / "build" / build / "libscope.so", False)]
    assert [s for s in got if s not in kept("undefined")] == []


@pytest.mark.parametrize("build", ["release", "clang"])
def test_http_exports_its_one_function(build):
    assert symbols(ROOT / "build" / build / "libscope-http.so", True) == ["scope_http_library"]


@BOTH
def test_needs_libc_alone(library):
    out = subprocess.run(["readelf", "-d", library], capture_output=True, text=True, check=True).stdout
    needed = re.findall(r"\(NEEDED\)\s+Shared library: \[(.*?)\]", out)
    assert set(needed) <= {"libc.so.6", "ld-linux-x86-64.so.2", "ld-linux-aarch64.so.1"}, needed
    assert "libc.so.6" in needed
    # Nothing that makes the loader search elsewhere, run code of a writable page, or write to its text.
    assert not re.search(r"RPATH|RUNPATH|TEXTREL", out)


@BOTH
def test_loads_on_glibc_2_31(library):
    out = subprocess.run(["readelf", "-V", library], capture_output=True, text=True, check=True).stdout
    versions = re.findall(r"GLIBC_(\d+)\.(\d+)", out)
    assert versions
    assert max((int(a), int(b)) for a, b in versions) <= (2, 31)


@BOTH
def test_stack_is_not_executable(library):
    out = subprocess.run(["readelf", "-lW", library], capture_output=True, text=True, check=True).stdout
    assert re.search(r"GNU_STACK\s+\S+ \S+ \S+ \S+ \S+ RW ", out)


def test_no_trace_of_banned_calls():
    """Capture, hook and intercept make no call of libc that could allocate, lock or print."""
    banned = re.compile(r"\b(malloc|calloc|realloc|free|printf|fprintf|snprintf|sprintf|vsnprintf|pthread_mutex_lock|"
                        r"getenv|strtok|fopen|fwrite|fputs|puts|abort|assert|exit|_exit|strdup|asprintf)\s*\(")
    found = []
    for folder in ("capture", "hook", "intercept"):
        for path in sorted((ROOT / "src" / folder).glob("*.c")):
            text = re.sub(r"/\*.*?\*/|//[^\n]*|\"(?:\\.|[^\"\\])*\"", lambda m: re.sub(r"[^\n]", " ", m.group()), path.read_text(), flags=re.S)
            for number, line in enumerate(text.splitlines(), 1):
                if line.startswith("EXPORT") or "REAL" in line:
                    continue  # the wrapper of that very name
                if banned.search(line) and f"{path.name}:{banned.search(line).group(1)}" not in kept("banned-but-meant"):
                    found.append(f"{path.relative_to(ROOT)}:{number}: {line.strip()}")
    assert found == []
