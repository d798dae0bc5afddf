"""Reads what `strace -k` saw: each system call with the function of libc that the program had called.

Inside libc a call may be any number of frames deep; the function that the program called is the
outermost of the frames of glibc's own objects that stand directly above the system call. What runs
below main and below a thread's function is cut off: there libc calls the program.
"""
import bisect
import collections
import functools
import re
import subprocess

import strace

Frame = collections.namedtuple("Frame", "path symbol address")
FRAME = re.compile(r"^ > (.*?)\((.*)\) \[0x([0-9a-f]+)\]$")
GLIBC = re.compile(r"/(?:libc|libpthread|libdl|librt|libm|libresolv|libanl|libutil|libnss_(?:files|dns|compat|db))[.-][^/]*$")
LOADER = re.compile(r"/ld[.-][^/]*$")
# The frames that call main and threads' functions.
STARTS = {"__libc_start_main", "clone", "__clone", "clone3", "__clone3"}


def command(command, to, calls):
    """The command under strace with stacks, only the named system calls, into the file `to`."""
    names = ",".join(f"?{name}" for name in sorted(calls))
    return ["strace", "-k", "-f", "-yy", "-s", "64", "-qq", "-e", f"trace={names}", "-e", "signal=none",
            "-o", str(to), *[str(c) for c in command]]


def run(program, to, calls, env=None, **how):
    return subprocess.run(command(program, to, calls), env=env, capture_output=True, **how)


def parse(path):
    """[(Call, [Frame])] of every completed call of the file."""
    frames, lines = [], []
    with open(path, errors="surrogateescape") as file:
        for line in file:
            if line.startswith(" > "):
                found = FRAME.match(line.rstrip("\n"))
                if found:
                    where, symbol, address = found.groups()
                    frames[-1].append(Frame(where, symbol, int(address, 16)))
                else:
                    frames[-1].append(Frame(line[3:].rstrip("\n"), "", 0))
            else:
                lines.append(line)
                frames.append([])
    return [(call, frames[at]) for call, at in strace.completed(lines)]


class Object:
    """What an ELF file exports and imports. Frames name places in it by their offset in the file."""

    def __init__(self, path):
        self.path = path
        self.exports = collections.defaultdict(set)  # address -> names
        self.sizes = {}
        self.imports = {}  # address of a GOT slot -> name
        self.segments = []  # (offset, address, size) of what is executable
        self.data = b""
        try:
            self.data = open(path, "rb").read()
        except OSError:
            return
        listing = subprocess.run(["readelf", "-W", "--dyn-syms", "-r", "-l", path], capture_output=True,
                                 text=True).stdout
        for line in listing.splitlines():
            part = line.split()
            if len(part) >= 5 and part[2:3] and part[2].startswith(("R_X86_64_JUMP_SLO", "R_X86_64_GLOB_DAT")):
                self.imports[int(part[0], 16)] = part[4].split("@")[0]
            elif len(part) >= 8 and part[3] in ("FUNC", "IFUNC") and part[6] != "UND":
                address = int(part[1], 16)
                self.exports[address].add(part[7].split("@")[0])
                self.sizes[address] = max(int(part[2], 0), self.sizes.get(address, 0))
            elif len(part) >= 6 and part[0] == "LOAD":
                self.segments.append((int(part[1], 16), int(part[2], 16), int(part[4], 16)))
        self.starts = sorted(self.exports)

    def address_of(self, offset):
        for start, address, size in self.segments:
            if start <= offset < start + size:
                return address + offset - start
        return None

    def bytes_at(self, address, size):
        for start, begin, length in self.segments:
            if begin <= address < begin + length:
                return self.data[start + address - begin:start + address - begin + size]
        return b""

    def names_at(self, offset):
        """The names of the exported function there; none: a function without a name outside."""
        address = self.address_of(offset)
        # A return address after the last instruction of a function belongs to it too.
        at = bisect.bisect_left(self.starts, address) - 1 if address is not None and self.data else -1
        if at < 0 or address > self.starts[at] + self.sizes[self.starts[at]]:
            return set()
        return self.exports[self.starts[at]]

    def function_at(self, offset):
        """The plainest of them, or None."""
        return min(self.names_at(offset), key=plainness, default=None)

    def called_at(self, offset):
        """The import that the call before this return address goes to; None: not to be told from it."""
        back = self.address_of(offset)
        if back is None:
            return None
        if self.bytes_at(back - 6, 2) == b"\xff\x15":  # call *slot(%rip)
            return self.imports.get(back + displacement(self.bytes_at(back - 4, 4)))
        if self.bytes_at(back - 5, 1) != b"\xe8":  # call stub
            return None
        stub = back + displacement(self.bytes_at(back - 4, 4))
        code = self.bytes_at(stub, 16)
        skip = 4 if code.startswith(b"\xf3\x0f\x1e\xfa") else 0  # endbr64
        skip += code[skip:skip + 1] == b"\xf2"  # bnd
        if code[skip:skip + 2] != b"\xff\x25":  # jmp *slot(%rip)
            return None
        return self.imports.get(stub + skip + 6 + displacement(code[skip + 2:skip + 6]))


def displacement(code):
    return int.from_bytes(code, "little", signed=True)


def plainness(name):
    return name.startswith("_"), name.endswith("64"), len(name), name


@functools.lru_cache(maxsize=None)
def object_of(path):
    return Object(path)


def plain(name, glibc):
    """open for open64 and __open64: the plainest of the names that stand for one function."""
    for path in glibc:
        for names in object_of(path).exports.values():
            if name in names:
                return min(names, key=plainness)
    return name


def called(frames):
    """(name, exact): the function of libc that was called; "ld.so": the loader; "": a raw system call.

    Not exact: functions that leave their work to another by a jump are told by the other's name.
    "posix_spawn": the child of one, where libc runs by itself; of popen and system too.
    """
    names, glibc, caller, started = [], [], None, False
    for frame in frames:
        if LOADER.search(frame.path):
            name = "ld.so"
        elif GLIBC.search(frame.path):
            name = object_of(frame.path).function_at(frame.address)
        else:
            caller = frame
            break
        if name in STARTS:
            started = True
            break
        names.append(name)
        if frame.path not in glibc:
            glibc.append(frame.path)
    if not names:
        return "", True
    if not caller and not started and names[-1] is None:
        return "posix_spawn", True
    # A function that jumped into another has no frame; its caller's code names it.
    name = object_of(caller.path).called_at(caller.address) if caller else None
    if name:
        return plain(name, glibc), True
    return next((n for n in reversed(names) if n), "?"), False
