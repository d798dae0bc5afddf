"""Spans of HTTP/1.1 against the word of servers and of clients: the access log, and what each client counts itself.

Both ends are watched, each with a recording of its own. What is asserted for each pair: how many, which status, which
size; and for the server: as many measurements as spans, and durations that agree with its log.
"""
import collections
import statistics

import pytest
from trace_clients import CLIENTS
from trace_run import Place, answered, by, http_spans, lines_of, target, told
from trace_servers import SERVERS, SLOW

# Wall clocks that two processes work out from the same counter differ by microseconds; a margin that no load eats up.
CLOCK = 0.001


def without_sizes(rows):
    return [row[:3] for row in rows]


def agree(counted, spans, lines, who):
    """Rows of spans equal rows of others, as multisets."""
    ours, theirs = collections.Counter(spans), collections.Counter(lines)
    assert ours == theirs, f"{who}: {counted}: only ours {ours - theirs}, only theirs {theirs - ours}"


def check_client(name, said):
    spans = http_spans(said.recording, "client")
    assert not said.recording.drops(), (name, said.recording.drops())
    with_answer = answered(spans)
    assert len(with_answer) == said.counted if said.requests else 0 <= len(with_answer) - said.counted <= said.more, \
        (name, len(with_answer), said.counted)
    # servers close connections on which several requests wait: those are sent, and get no answer
    assert len(spans) - len(with_answer) <= said.more or name == "wrk-pipelined"
    if said.requests:
        rows = [told(s) for s in with_answer]
        if said.requests[0][3] is None:
            agree("asked", without_sizes(rows), without_sizes(said.requests), name)
        else:
            agree("asked", rows, said.requests, name)
    assert said.recording.total("http.client.request.duration") == len(spans)
    return len(spans)


def check_server(site, recording, said, allowed=()):
    """Every line of the access log is a span and the reverse, but for what a load tool tore off when it ended."""
    spans, lines = http_spans(recording, "server"), lines_of(site.log)
    drops = recording.drops()
    assert not set(drops) - set(allowed), drops
    done = answered(spans)
    torn = {name for name, what in said.items() if what.more}
    whole = [s for s in done if target(s).partition("by=")[2] not in torn]
    agree("served", [told(s, site.sizes) for s in whole],
          [(l.method, "" if l.target == "*" else l.target, l.status, l.size if site.sizes else None) for l in lines if l.target.partition("by=")[2] not in torn],
          "the access log")
    for name in torn:
        mine, theirs = by(spans, name), [l for l in lines if l.target.endswith(f"by={name}")]
        assert len(by(done, name)) - said[name].more <= len(theirs) <= len(mine), name
        # A server that closes a connection (each hundred requests, Apache does) has read what was piped behind, and answers none of it.
        assert len(mine) <= len(theirs) + said[name].more or name == "wrk-pipelined", name
        statuses, sizes = {l.status for l in theirs}, {l.size for l in theirs if site.sizes}
        assert {told(s)[2] for s in by(done, name)} <= statuses
        assert not site.sizes or {told(s)[3] for s in by(done, name)} - {None} <= sizes
    assert recording.total("http.server.request.duration") == len(spans)
    check_durations(site, done, lines)
    return spans


def check_durations(site, spans, lines):
    ours, theirs = collections.defaultdict(list), collections.defaultdict(list)
    for span in spans:
        ours[target(span)].append(span["duration"])
    for line in lines:
        theirs[line.target].append(line.seconds * site.unit)
    resolution = 0.001 if site.unit != 1e-6 else 1e-6
    for what in ours.keys() & theirs.keys():  # which of them are there, check_server says
        # the middle of each: what a busy machine does to one record of the two, it does to few
        longer = statistics.median(ours[what]) - statistics.median(theirs[what])
        assert longer >= -resolution - 0.02, (what, ours[what], theirs[what])
        # a program's own log knows nothing of how long a request waited for a thread
        assert site.program or longer <= resolution + 0.02, (what, ours[what], theirs[what])
        if site.program and what.startswith("/slow"):
            assert min(ours[what]) >= SLOW - CLOCK and min(theirs[what]) >= SLOW - resolution, what


@pytest.mark.parametrize("server", SERVERS)
def test_every_request(server, capsys):
    with Place() as place:
        counts, said = {}, {}
        with SERVERS[server](place) as site:
            for name, client in CLIENTS.items():
                here = place / f"client-{name}"
                here.mkdir()
                said[name] = client(site.port, here)
                counts[name] = check_client(name, said[name])
            for running in site.servers:
                running.stop()
        # lighttpd throws the body of a request that it has answered away unseen (MSG_TRUNC), and closes
        spans = check_server(site, site.front.recording, said, ["flow_lost"] if server == "lighttpd" else [])
        for name in CLIENTS:
            mine = by(spans, name)
            if name == "wrk-pipelined":  # of what a server read behind its last answer the client knows nothing
                mine = by(answered(spans), name)
            # what the client never saw answered may have come, or not
            assert 0 <= len(mine) - said[name].counted <= said[name].more, (name, len(mine), said[name].counted)
        with capsys.disabled():
            print(f"\n{server}: " + ", ".join(f"{k} {counts[k]}/{len(by(spans, k))}" for k in CLIENTS))


