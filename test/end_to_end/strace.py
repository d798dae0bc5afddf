"""Reads what `strace -f -yy` saw: the truth that the library's counts are held against.

Each Call has the thread, the system call's name, its arguments as text, the result (or None), the
errno's name (or None), and the descriptor decorations: strace prints 3</path> and
4<TCP:[127.0.0.1:1->127.0.0.1:2]>.
"""
import collections
import re
import subprocess

Call = collections.namedtuple("Call", "tid name args result error")

LINE = re.compile(r"^(\d+)\s+(.*)$")
CALL = re.compile(r"^(\w+)\((.*)\)\s+= (-?\d+|0x[0-9a-f]+|\?)(?:<((?:->|[^<>]|<[^<>]*>)*)>(?:\(deleted\))?)?(?: (E[A-Z0-9]+) \(.*\))?(?: .*)?$", re.S)
UNFINISHED = re.compile(r"^(\w+)\((.*?)\s*<unfinished \.\.\.>$", re.S)
RESUMED = re.compile(r"^<\.\.\. (\w+) resumed>(.*)$", re.S)
FD = re.compile(r"^(-?\d+)<(.*)$")

ARGUMENTS = ["strace", "-f", "-yy", "-s", "64", "-qq", "-o"]


def run(command, to, *options, env=None, **how):
    """Runs `command` under strace, its calls into the file `to`; env is the program's own."""
    return subprocess.run([*ARGUMENTS, str(to), *options, *[str(c) for c in command]], env=env,
                          capture_output=True, **how)


def completed(lines):
    """Each completed call and the number of the line that completes it, in that order."""
    waiting = {}
    for number, line in enumerate(lines):
        found = LINE.match(line.rstrip("\n"))
        if not found:
            continue
        tid, rest = int(found.group(1)), found.group(2)
        part = UNFINISHED.match(rest)
        if part:
            waiting[tid] = (part.group(1), part.group(2))
            continue
        part = RESUMED.match(rest)
        if part:
            name, begun = waiting.pop(tid, (part.group(1), ""))
            rest = f"{name}({begun}{' ' if begun.endswith(',') else ''}{part.group(2)}"
        call = CALL.match(rest)
        if not call:
            continue
        name, args, result, decoration, error = call.groups()
        value = None if result == "?" else int(result, 8 if re.match("0[0-7]", result) else 0)
        yield Call(tid, name, args if decoration is None else args + f" => {result}<{decoration}>",
                   value, error), number


def parse(path):
    """All completed calls of the file, in order of completion."""
    with open(path, errors="surrogateescape") as file:
        return [call for call, _ in completed(file)]


def first_descriptor(call):
    """(number, what it is) of the first argument, or (None, None)."""
    return descriptor(call.args)


def descriptor(text):
    """(number, what it is) of a decorated descriptor at the start of text, or (None, None)."""
    found = FD.match(text)
    if not found:
        return None, None
    depth, what = 1, []
    for c in found.group(2):
        depth += (c == "<") - (c == ">" and not what[-1:] == ["-"])
        if not depth:
            break
        what.append(c)
    return int(found.group(1)), "".join(what)


def by_file(calls, prefix):
    """For each path below prefix: operations and bytes, as {path: Counter}.

    Keys: open, close, read_ops, read_bytes, write_ops, write_bytes, errors.
    """
    out = collections.defaultdict(collections.Counter)
    reads = {"read", "readv", "pread64", "preadv", "preadv2"}
    copies = {"copy_file_range": ("read", "write"), "sendfile": ("write", "read"), "splice": ("read", "write")}
    writes = {"write", "writev", "pwrite64", "pwritev", "pwritev2"}
    for call in calls:
        if call.name in ("open", "openat", "creat", "openat2") and call.result is not None and call.result >= 0:
            opened = re.search(r" => \d+<(.*)>$", call.args)
            if opened and opened.group(1).startswith(prefix):
                out[opened.group(1)]["open"] += 1
            continue
        if call.name in copies:
            # Bytes go from one descriptor to the other: a read of the one and a write of the other.
            ends = [what for _, what in map(descriptor, re.findall(r"(?:^|, )(\d+<.*?>)(?=,|$)", call.args)) if what]
            for what, way in zip(ends, copies[call.name]):
                if what.startswith(prefix):
                    out[what][f"{way}_ops"] += 1
                    out[what][f"{way}_bytes"] += max(call.result or 0, 0)
                    out[what]["errors"] += bool(call.error)
            continue
        number, what = first_descriptor(call)
        if what is None or not what.startswith(prefix):
            continue
        count = out[what.removesuffix(" (deleted)")]
        if call.name == "close":
            count["close"] += 1
        elif call.name in reads | writes:
            way = "read" if call.name in reads else "write"
            count[f"{way}_ops"] += 1
            if call.error:
                count["errors"] += 1
            elif call.result is not None:
                count[f"{way}_bytes"] += call.result
    return out
