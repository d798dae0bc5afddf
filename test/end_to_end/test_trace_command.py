"""scope trace: recordings as waterfalls. What it reads is written by the library's own encoders
(test/tools/trace_sample.c), so that the two formats and the command cannot drift apart."""
import fcntl
import json
import os
import pty
import re
import struct
import subprocess
import termios
import unicodedata

import pytest

from observe import BUILD, SCOPE

SAMPLE = BUILD / "tools" / "trace_sample"
MS = 10**6
BEGIN = 1700000000 * 10**9  # 2023-11-14 22:13:20 UTC
A, B = "a1" + "0" * 29 + "1", "a2" + "0" * 29 + "2"
SERVER, CLIENT = 2, 3


def quoted(value):
    data = value if isinstance(value, bytes) else str(value).encode()
    return "".join(chr(b) if 32 < b < 127 and b != 37 else f"%{b:02x}" for b in data)


def line(*fields):
    return "\t".join(fields) + "\n"


def service(name, pid=1):
    return line("service", quoted(name), str(pid))


def span(trace, number, parent, start, end, name, kind=1, failed=False, message="", error=""):
    """Times in nanoseconds after BEGIN; end None: not known."""
    return line("span", trace, f"{number:016x}", f"{parent:016x}" if parent else "", str(BEGIN + start),
                str(BEGIN + end if end is not None else 0), str(kind), "2" if failed else "0", quoted(name), quoted(message),
                quoted(error))


def event(time, name, kind="", message=""):
    return line("event", str(BEGIN + time), quoted(name), quoted(kind), quoted(message))


def log(trace, number, time, severity, body, name=""):
    return line("log", trace, f"{number:016x}" if number else "", str(BEGIN + time), str(severity), quoted(body), quoted(name))


def encode(text, form="flat", signals=("traces", "logs")):
    return b"".join(subprocess.run([str(SAMPLE), form, signal], input=text.encode(), capture_output=True, check=True).stdout
                    for signal in signals)


def record(directory, text, form="flat", name="telemetry.ndjson"):
    directory.mkdir(exist_ok=True)
    (directory / name).write_bytes(encode(text, form))
    return directory


def scope(*arguments, columns=None, home="/nonexistent", **how):
    env = {"PATH": os.environ["PATH"], "HOME": str(home), **({"COLUMNS": str(columns)} if columns else {})}
    done = subprocess.run([str(SCOPE), "trace", *map(str, arguments)], env=env, capture_output=True, timeout=60, **how)
    done.stdout, done.stderr = done.stdout.decode("utf-8"), done.stderr.decode("utf-8")
    return done


def shown(*arguments, **how):
    done = scope(*arguments, **how)
    assert done.returncode == 0 and done.stderr == "", done.stderr
    return done.stdout


def row(output, text):
    rows = [l for l in output.splitlines() if text in l]
    assert len(rows) == 1, (text, rows)
    return rows[0]


def bar(output, text):
    return re.search(r"\|([^|]*)\|", row(output, text)).group(1)


SHOP = (service("web")
        + span(A, 1, 0, 0, 1000 * MS, "GET /cart", SERVER)
        + span(A, 2, 1, 100 * MS, 300 * MS, "SELECT cart", CLIENT)
        + span(A, 3, 1, 500 * MS, 900 * MS, "POST /charge", CLIENT, failed=True, message="no answer", error="timeout")
        + event(850 * MS, "exception", "TimeoutError", "gave up")
        + log(A, 1, 400 * MS, 9, "cart 17 loaded") + log(A, 3, 800 * MS, 17, "charge failed") + log(A, 0, 950 * MS, 0, "of no span")
        + service("billing", 2)
        + span(A, 4, 3, 550 * MS, 850 * MS, "POST /charge here", SERVER)
        + span(B, 1, 0, 0, 20 * MS, "cron"))


# ------------------------------------------------------------------ what is drawn


@pytest.mark.parametrize("form", ["flat", "otlp"])
def test_a_waterfall_of_what_the_encoders_write(tmp_path, form):
    out = shown(record(tmp_path / "r", SHOP, form))
    lines = out.splitlines()
    assert lines[0].endswith("r: 5 spans in 2 traces")
    assert lines[2] == f"{A}  1 s  2023-11-14 22:13:20.000 UTC"
    assert lines[3] == "  4 spans, 2 services, 1 failed (!)"
    assert [re.sub(r" *\|.*\| +", "  ", l) for l in lines[4:13]] == [
        "   web: GET /cart  1 s",
        "     SELECT cart  200 ms",
        "     +400 ms INFO cart 17 loaded",
        "!    POST /charge  400 ms",
        "!      error: no answer [timeout]",
        "       billing: POST /charge here  300 ms",
        "!      +800 ms ERROR charge failed",
        "       +850 ms event exception: gave up [TimeoutError]",
        "   +950 ms log web: of no span",
    ]
    assert lines[14] == f"{B}  20 ms  2023-11-14 22:13:20.000 UTC"  # the slower one is first
    assert len(lines) == 17 and all(len(l) <= 80 for l in lines[1:])
    # Bars stand where the times say: each a share of the whole.
    whole = bar(out, "GET /cart")
    assert whole == "=" * len(whole) and len(whole) >= 25
    for name, start, end, mark in [("SELECT", 0.1, 0.3, "="), ("!    POST", 0.5, 0.9, "#"), ("here", 0.55, 0.85, "=")]:
        cells = bar(out, name)
        left, width = cells.index(mark), len(cells)
        assert set(cells) == {" ", mark} and abs(left - start * width) <= 1
        assert abs(left + cells.count(mark) - end * width) <= 1


def test_times_are_exact_to_the_nanosecond(tmp_path):
    # As doubles these times would be a quarter of a microsecond apart at the least.
    spans = span(A, 1, 0, 1, 1001, "outer") + span(A, 2, 1, 101, 201, "inner")
    for form in "flat", "otlp":
        out = shown(record(tmp_path / form, spans, form))
        assert out.splitlines()[2].startswith(f"{A}  1 us  ") and row(out, "inner").endswith(" 0.1 us")
        cells = bar(out, "inner")
        assert cells.rstrip() == " " * int(len(cells) / 10) + "=" * len(cells.strip()) and len(cells.strip()) <= len(cells) / 10 + 2


def test_what_is_odd_is_drawn_as_it_is(tmp_path):
    out = shown(record(tmp_path / "r", service("s")
                       + span(A, 1, 0, 100 * MS, 200 * MS, "above")
                       + span(A, 2, 1, 50 * MS, 150 * MS, "early")      # another clock
                       + span(A, 3, 1, 150 * MS, 400 * MS, "outlasts")  # ends after its parent
                       + span(A, 4, 99, 200 * MS, 300 * MS, "orphan")
                       + span(A, 5, 4, 210 * MS, None, "unfinished")
                       + span(A, 6, 7, 300 * MS, 310 * MS, "one") + span(A, 7, 6, 300 * MS, 305 * MS, "other")  # a circle
                       + span(A, 8, 8, 330 * MS, 340 * MS, "itself")
                       + log(A, 77, 390 * MS, 9, "of a span that is not there")))
    assert ("8 spans, 3 parents missing (?), 1 before its parent (<)") in out
    assert row(out, "early").startswith(" <   ") and row(out, "orphan").startswith(" ? s: ")
    assert row(out, "unfinished").startswith("     ") and row(out, "unfinished").endswith(" ?") and bar(out, "unfinished").strip() == ">"
    assert bar(out, "early").startswith("=") and bar(out, "outlasts").endswith("=") and bar(out, "above").endswith(" ")
    assert row(out, "itself").startswith(" ? s: ") and row(out, " s: one").startswith(" ? ")
    assert row(out, "other").startswith("     other")
    assert row(out, "not there").startswith(" ? +340 ms INFO")
    assert f"{A}  350 ms" in out  # from the earliest beginning to the latest end


@pytest.mark.parametrize("form", ["flat", "otlp"])
def test_details_on_demand(tmp_path, form):
    directory = record(tmp_path / "r", SHOP, form)
    lines = shown("--details", directory).splitlines()
    at = lines.index("!      error: no answer [timeout]")
    assert lines[at + 1:at + 3] == ["         kind = client", "         error.type = timeout"]
    assert "kind = " not in shown(directory)


def test_every_kind_of_detail_of_both_encoders(tmp_path):
    """otlp_sample has all that the data model can hold; flat lines of the same are written by hand."""
    subprocess.run([str(BUILD / "tools" / "otlp_sample"), str(tmp_path)], check=True, capture_output=True)
    out = shown("--details", "--id", "5b8e", tmp_path / "traces.jsonl")
    link = "link = trace " + "090807" + "0" * 26 + " span 06" + "0" * 14
    for text in "kind = server", "most = 9223372036854775807", "yes = true", "tenth = 0.1", "latin = caf\\xe9 c:\\\\x", link:
        assert row(out, "   " + text)
    (tmp_path / "flat.ndjson").write_text(json.dumps(
        {"time": 1.5, "signal": "span", "name": "x", "kind": "server", "duration": 0.25, "trace_id": A, "span_id": "1" * 16,
         "links": [{"trace_id": "090807" + "0" * 26, "span_id": "06" + "0" * 14}],
         "attributes": {"most": 2**63 - 1, "yes": True, "tenth": 0.5, "list": ["a", "b"]}, "resource": {}}) + "\n")
    out = shown("--details", tmp_path / "flat.ndjson")
    for text in "kind = server", "most = 9223372036854775807", "yes = true", "tenth = 0.5", 'list = ["a","b"]', link:
        assert row(out, "   " + text)


def test_the_same_span_twice_counts_once(tmp_path):
    one = service("s") + span(A, 1, 0, 0, 10 * MS, "GET", failed=True) + span(A, 2, 1, 1 * MS, 2 * MS, "child")
    out = shown(record(record(tmp_path / "r", one), one, name="telemetry.ndjson.1"))
    assert "  2 spans, 1 failed (!), 2 were there twice\n" in out and row(out, "GET") and row(out, "child")


# ------------------------------------------------------------------ much


def test_equal_siblings_are_one_line(tmp_path):
    text = service("s") + span(A, 1, 0, 0, 100 * MS, "GET") + span(A, 200, 1, 95 * MS, 96 * MS, "SELECT", failed=True)
    for i in range(40):
        text += span(A, 10 + i, 1, i * MS, i * MS + (3 * MS if i == 20 else MS // 4), "SELECT")
    text += "".join(span(A, 100 + i, 1, i * MS, (i + 1) * MS, "rare") for i in range(3))
    directory = record(tmp_path / "r", text)
    out = shown(directory)
    folded = row(out, "SELECT x 40, 12.8 ms in all")
    assert folded.endswith(" <=3 ms")
    cells = bar(out, "SELECT x 40")
    assert cells.count("=") and cells.rstrip().count("=") <= len(cells) * 0.45 + 1
    assert out.count("rare") == 3 and len([l for l in out.splitlines() if l.startswith("!    SELECT ")]) == 1
    every = shown(directory, "--all")
    assert every.count("SELECT") == 41 and "in all" not in every


def test_a_large_trace_is_cut_to_what_matters(tmp_path):
    text = service("s") + span(A, 1, 0, 0, 10**9, "top-1-")
    for i in range(2000):  # all different, so none is folded
        text += span(A, 10 + i, 1, i * 1000, i * 1000 + 500 + (10**8 if i == 1234 else 0), f"op-{i}-", failed=i == 1500)
    text += "".join(span(A, 10000 + i, 9999 + i if i else 1, i, 10**6 - i, f"deep-{i}-", failed=i == 250) for i in range(300))
    text += "".join(log(A, 1, i, 17 if i == 333 else 9, f"line-{i}-") for i in range(500))
    directory = record(tmp_path / "r", text)
    out = shown(directory)
    for name in "top-1-", "op-1234-", "op-1500-", "line-333-":  # the slow, the failed
        row(out, name)
    # Deep inside as well: with its depth and the nearest ones that it is in.
    assert re.match(r"! +\(\d+\) deep-250-", row(out, "deep-250-")) and "deep-249-" in out
    rest = row(out, "... ").strip()
    spans_left, notes_left = (int(n.replace(",", "")) for n in re.match(
        r"\.\.\. ([\d,]+) more spans, ([\d,]+) more log records or events: --all shows them$", rest).groups())
    assert spans_left == 2301 - len(re.findall(r"op-\d+-|deep-\d+-", out)) and 2200 < spans_left < 2300
    assert notes_left == 500 - len(re.findall(r"line-\d+-", out))
    every = shown(directory, "--all")
    assert len(re.findall(r"op-\d+-|deep-\d+-", every)) == 2301 and len(re.findall(r"line-\d+-", every)) == 500 and "..." not in every


def test_what_has_no_room_is_counted(tmp_path):
    text = service("s") + "".join(span(f"{t:032x}", s, s - 1, s, 1000 + s, "x") for t in range(1, 41) for s in range(1, 101))
    text += "".join(log(f"{t:032x}", 1, s, 9, f"record {t} {s}") for t in range(1, 41) for s in range(100))
    directory = record(tmp_path / "r", text)
    done = scope("--memory", "256KiB", directory)
    left = re.fullmatch(r"scope trace: ([\d,]+) spans and ([\d,]+) log records or events left out: no room in 256.0 KiB \(.*\)\n", done.stderr)
    spans, logs = (int(n.replace(",", "")) for n in left.groups())
    assert done.returncode == 0 and 0 < spans < 4000 and 0 < logs < 4000
    assert f"{4000 - spans:,} spans in" in done.stdout.splitlines()[0] and "(not all: there was no room)" in done.stdout.splitlines()[0]
    # One trace alone has room, all of it.
    assert "100 spans in 1 trace" in shown("--memory", "256KiB", "--id", f"{7:032x}", directory).splitlines()[0]


# ------------------------------------------------------------------ what is shown


def heads(output):
    return [l.split()[0] for l in output.splitlines() if re.match(r"[0-9a-f]{32}  ", l)]


def test_options_choose_traces(tmp_path):
    ids = [f"{c}" * 32 for c in "1234567"]
    text = service("s") + "".join(span(t, 1, 0, 0, (i + 1) * 10 * MS, f"t{i}", failed=i == 2) for i, t in enumerate(ids))
    text += log(ids[4], 1, 0, 17, "an error") + log(ids[5], 1, 0, 13, "a warning") + log("9" * 32, 1, 0, 17, "of a trace that is elsewhere")
    directory = record(tmp_path / "r", text)
    assert heads(shown(directory)) == ids[::-1]
    assert heads(shown("--errors", directory)) == [ids[4], ids[2]]
    assert heads(shown("--slower-than", "50ms", directory)) == [ids[6], ids[5]]
    assert "7 traces, 2 of them as asked for" in shown("--slower-than", "0.05s", directory)
    limited = shown("--limit", "2", directory)
    assert heads(limited) == [ids[6], ids[5]] and "; the 2 slowest" in limited and "... 5 more traces" in limited
    assert heads(shown("--id", ids[3][:2].upper(), directory)) == [ids[3]]
    assert heads(shown("--id", ids[0], directory)) == [ids[0]]


def test_a_prefix_of_several_is_refused(tmp_path):
    directory = record(tmp_path / "r", SHOP)
    done = scope("--id", "a", directory)
    assert done.returncode == 1 and not done.stdout and "2 traces begin so" in done.stderr and A in done.stderr and B in done.stderr
    done = scope("--id", "b", directory)
    assert done.returncode == 1 and not done.stdout and "no trace here begins so" in done.stderr


@pytest.mark.parametrize("arguments,status,text", [
    ([], 1, "there is no recording yet"), (["/nonexistent"], 1, "No such file"), (["/etc"], 1, "nothing was recorded there"),
    (["/etc/passwd"], 1, "not NDJSON"), (["--id", "xyz"], 2, "hexadecimal"), (["--id", "0" * 33], 2, "hexadecimal"),
    (["--slower-than", "5"], 2, "takes a duration"), (["--limit", "0"], 2, "takes a number"), (["--limit", "-1"], 2, "takes a number"),
    (["--memory", "1"], 2, "takes a size"), (["--limit"], 2, "a value is missing"), (["--nonsense"], 2, "no such option"),
    (["a", "b"], 2, "one recording")])
def test_says_what_is_wrong(arguments, status, text):
    done = scope(*arguments)
    assert done.returncode == status and text in done.stderr and not done.stdout


def test_help_names_every_option():
    out = shown("--help")
    for option in "--id", "--slower-than", "--errors", "--limit", "--all", "--details", "--memory":
        assert option in out
    listed = subprocess.run([str(SCOPE), "help"], capture_output=True, text=True).stdout
    assert re.search(r"^  trace ", listed, re.M) and max(map(len, out.splitlines())) <= 100


# ------------------------------------------------------------------ recordings


def test_all_files_of_a_recording_are_read(tmp_path):
    parts = [span(A, n + 1, n, n * MS, 90 * MS, f"part-{n}") for n in range(5)]
    names = ["telemetry.ndjson", "telemetry.ndjson.1", "telemetry.ndjson.12", "other-traces.jsonl", "other-traces.jsonl.1"]
    for name, part in zip(names, parts):
        record(tmp_path / "r", service("s") + part, "otlp" if "jsonl" in name else "flat", name)
    (tmp_path / "r" / "run.json").write_text("{\n}\n")
    (tmp_path / "r" / "notes.txt").write_text("not ours\n")
    out = shown(tmp_path / "r")
    assert out.splitlines()[0].endswith("5 spans in 1 trace") and all(f"part-{n}" in out for n in range(5)) and "?" not in out


def test_the_newest_recording_and_standard_input(tmp_path):
    runs = tmp_path / ".local" / "state" / "scope" / "runs"
    runs.mkdir(parents=True)
    record(runs / "z-older", service("s") + span(B, 1, 0, 0, MS, "older"))
    directory = record(runs / "a-newer", SHOP)
    for number in range(3):  # made last changed, whatever the clock's grain
        os.utime(directory)
    assert shown(home=tmp_path).splitlines()[0].startswith(str(directory))
    assert shown("-", input=encode(SHOP)).splitlines()[1:] == shown(directory).splitlines()[1:]


def test_broken_lines_are_counted_and_passed_over(tmp_path):
    directory = record(tmp_path / "r", SHOP)
    whole = shown(directory)
    path = directory / "telemetry.ndjson"
    good = path.read_bytes()
    last = encode(service("s") + span(A, 9, 1, 0, MS, "cut off"))
    path.write_bytes(b"not JSON\n\n[1]\n" + b"x" * (17 << 20) + b"\n" + good + b'{"signal":"span","name":"of no trace"}\n'
                     b'{"signal":"log"}\n{"resourceSpans":7}\n{"resourceSpans":[{"scopeSpans":[{"spans":[7,{}]}]}]}\n' + last[:-20])
    done = scope(directory)
    assert done.returncode == 0 and done.stdout == whole
    assert done.stderr == ("scope trace: 4 lines were no JSON objects and were passed over\n"
                           "scope trace: 3 spans without a valid id left out\n")


def test_a_recording_without_spans(tmp_path):
    out = shown(record(tmp_path / "r", service("s") + log("", 0, 0, 9, "a line")))
    assert out.endswith("no spans in 1 line\n")


# ------------------------------------------------------------------ terminals

HOSTILE = ["\x1b[31mred\x1b]0;title\x07", "a\nb\rc\td", "\x9b31m\x85", "\u202egnp.exe", "a\u200bb\ufeffc", "nul\0here", "e" + "\u0301" * 50,
           "\U000e0041tag", "\x7f\x08"]


def columns_of(text):
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def assert_harmless(output):
    for c in output:
        assert c == "\n" or unicodedata.category(c) not in ("Cc", "Cf", "Zl", "Zp"), repr(c)


@pytest.mark.parametrize("form", ["flat", "otlp"])
@pytest.mark.parametrize("columns", [40, 80, 133])
def test_texts_of_strangers_do_no_harm(tmp_path, form, columns):
    text = ""
    for i, hostile in enumerate(HOSTILE + [b"latin caf\xe9 \xff\xfe", "\u6f22\u5b57" * 30, "\U0001f600" * 40, "long " * 60, ""]):
        text += service(hostile, i) + span(A, i + 1, i, i, 1000 - i, hostile, failed=True, message=hostile, error=hostile)
        text += event(5, hostile, hostile, hostile) + log(A, i + 1, 5, 17, hostile) + log(A, i + 1, 6, 9, "", hostile or "e")
    directory = record(tmp_path / "r\x1b[2J", text, form)
    assert_harmless(shown("--details", "--all", directory, columns=columns))
    out = shown(directory, columns=columns)
    assert_harmless(out)
    assert "\u0301" * 3 not in out and "caf\\xe9" in out and "\u6f22" in out
    for l in out.splitlines()[4:]:
        assert columns_of(l) <= columns or l.startswith("   ... "), l
    # Wide characters leave the bars in line.
    assert len({columns_of(l[:l.index("|")]) for l in out.splitlines() if "|" in l}) == 1
    bad = scope(str(tmp_path) + "/\x1b[31m")
    assert bad.returncode == 1 and "\x1b" not in bad.stderr
    summary = subprocess.run([str(SCOPE), "summary", str(directory)], capture_output=True)
    assert summary.returncode == 0
    assert_harmless(summary.stdout.decode())


def on_a_terminal(*arguments, columns, **env):
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    process = subprocess.Popen([str(SCOPE), "trace", *map(str, arguments)], stdout=slave, env={"TERM": "xterm", **env})
    os.close(slave)
    out = b""
    while True:
        try:
            more = os.read(master, 65536)
        except OSError:
            more = b""
        if not more:
            break
        out += more
    os.close(master)
    assert process.wait() == 0
    return out.decode().replace("\r\n", "\n")


def test_width_and_colour(tmp_path):
    directory = record(tmp_path / "r", SHOP)
    plain = shown(directory)

    def width(output):
        return max(len(l) for l in output.splitlines() if "|" in l)
    assert width(plain) == 80 and width(shown(directory, columns=120)) == 120
    coloured = on_a_terminal(directory, columns=100)
    uncoloured = re.sub(r"\x1b\[\d*m", "", coloured)
    assert coloured != uncoloured and "\x1b" not in uncoloured and width(uncoloured) == 100
    assert uncoloured == shown(directory, columns=100)
    assert on_a_terminal(directory, columns=100, NO_COLOR="1") == uncoloured
    assert on_a_terminal(directory, columns=100, TERM="dumb") == uncoloured
    assert width(on_a_terminal(directory, columns=100, COLUMNS="60", NO_COLOR="1")) == 60


# ------------------------------------------------------------------ the format


def test_lines_in_another_order_and_of_the_collector(tmp_path):
    """What jq or another program made of our lines, and OTLP as the Collector's file exporter writes it."""
    (tmp_path / "r").mkdir()
    flat = [json.loads(l) for l in encode(SHOP).splitlines()]
    (tmp_path / "r" / "x.ndjson").write_text("".join(json.dumps(l, sort_keys=True) + "\n" for l in flat))
    assert shown(tmp_path / "r").splitlines()[1:] == shown(record(tmp_path / "s", SHOP)).splitlines()[1:]
    otlp = [json.loads(l) for l in encode(SHOP, "otlp").splitlines()]
    kinds = ["", "SPAN_KIND_INTERNAL", "SPAN_KIND_SERVER", "SPAN_KIND_CLIENT"]
    for l in otlp:
        for resource in l.get("resourceSpans", []):
            for each in resource["scopeSpans"]:
                for s in each["spans"]:
                    s["kind"] = kinds[s["kind"]]
                    s["startTimeUnixNano"] = int(s["startTimeUnixNano"])
                    if "status" in s and "code" in s["status"]:
                        s["status"]["code"] = {1: "STATUS_CODE_OK", 2: "STATUS_CODE_ERROR"}[s["status"]["code"]]
    (tmp_path / "r" / "x.ndjson").write_text("".join(json.dumps(l) + "\n" for l in otlp))
    assert shown(tmp_path / "r").splitlines()[1:] == shown(record(tmp_path / "s", SHOP)).splitlines()[1:]
