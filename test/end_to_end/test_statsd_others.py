"""What the StatsD sink writes, read by somebody else's parser: the one of Prometheus' StatsD exporter, as a Go module."""
import collections
import json
import subprocess

import pytest
from observe import Recording, bare, scope_environment
from otel_collector import build
from test_sinks import receiver

PROGRAM = ("import os, socket, sys\n"
           "f = os.open('/dev/zero', 0)\nfor i in range(1234): os.read(f, 10)\n"
           "try: open('/nosuch')\nexcept OSError: pass\n"
           "s = socket.socket(); s.bind(('127.0.0.1', 0)); s.listen(50)\n"
           "for i in range(25): socket.create_connection(s.getsockname()).close()\n"
           "for name in ('one.invalid', 'two,comma.invalid', 'three|bar.invalid', 'four#x@y.invalid'):\n"
           "    try: socket.getaddrinfo(name, 80)\n"
           "    except OSError: pass\n")
CONTAINER = "83c0a9" + "0" * 58


def parse(lines, mode="dogstatsd"):
    done = subprocess.run([build("statsd_check"), mode], input="\n".join(lines).encode(), capture_output=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return [json.loads(l) for l in done.stdout.splitlines()]


def test_the_parser_itself():
    """What it makes of good and bad lines, so that its silence about ours says something."""
    packed, container, stamped, bad_tag, bad, timer = parse(
        ["a.b:1:2:32|d|#k:v", f"c:5|c|#k:v|c:{CONTAINER}", "g:-5|g|#env:dev|T1656581400", "x:1|c|#novalue", "nonsense", "t:250|ms"])
    assert [e["value"] for e in packed["events"]] == [1, 2, 32] and packed["events"][0]["labels"] == {"k": "v"}
    assert container["events"][0]["labels"] == {"k": "v", "container_id": CONTAINER}
    assert stamped["events"][0]["relative"] and not stamped["errors"]
    assert bad_tag["tag_errors"] == 1 and bad["errors"] and timer["events"][0]["value"] == 0.25


@pytest.mark.parametrize("kind", ["udp", "unixgram"])
@pytest.mark.parametrize("format", ["dogstatsd", "plain"])
def test_every_line_is_understood(kind, format, tmp_path):
    to = tmp_path / "telemetry.ndjson"
    url, taker = receiver(kind, tmp_path)
    try:
        env = scope_environment(to, {"SCOPE_STATSD_TO": url}, sets={
            "statsd.format": format, "tags.team": "blue", "metrics.temporality": "delta", f"resource.attributes.container.id": CONTAINER})
        assert bare(["/usr/bin/python3", "-c", PROGRAM], env=env).status == 0
    finally:
        datagrams = taker.stop()
    lines = [l for d in datagrams for l in d.decode("ascii").split("\n")]
    parsed = parse(lines, format)
    assert len(parsed) == len(lines) > 20
    for one in parsed:
        assert one["events"] and not one["errors"] and not one["tag_errors"], one
    events = [e for one in parsed for e in one["events"]]
    recording = Recording(to)
    if format == "dogstatsd":
        assert all(e["labels"]["container_id"] == CONTAINER and e["labels"]["team"] == "blue" for e in events)
        # Packed values: every measurement of the connects, one by one.
        connects = [e["value"] for e in events if e["name"] == "scope.socket.connect.duration"]
        told = recording.metrics("scope.socket.connect.duration")
        assert len(connects) == recording.total("scope.socket.connect.duration") == 25
        assert sum(connects) == pytest.approx(sum(p["value"]["sum"] for p in told), rel=1e-6)
        assert any(len(one["events"]) > 1 for one in parsed)
    totals = collections.Counter()
    for e in events:
        if e["type"] == "counter":
            totals[e["name"]] += e["value"]
    if format == "plain":
        assert not any(e["labels"] for e in events)
        assert sum(n for name, n in totals.items() if name.startswith("scope.file.io.")) == recording.total("scope.file.io")
        return
    for name in ("scope.file.io", "scope.socket.connections.opened", "scope.file.operation.errors"):
        assert totals[name] == recording.total(name), name
    for name in ("scope.file.operation.duration", "dns.lookup.duration"):
        assert totals[name + ".count"] == recording.total(name), name
    # A gauge below zero would be an amount to take away.
    assert not any(e["relative"] for e in events if e["type"] == "gauge" and not e["value"] < 0)


def test_timestamps_and_ids_of_the_protocol():
    """Were the sink to send |T and |c: as DogStatsD 1.3 and 1.2 have them, they would be read."""
    # With a tag in front: without one this parser takes the colon of |c: for a second value.
    for line in (f"a:1|c|#k:v|c:{CONTAINER}|T1656581400", f"a:1|g|#k:v|c:ci-{CONTAINER}", "a:1|c|#k:v|c:in-123456"):
        one, = parse([line])
        assert one["events"] and not one["errors"], one
