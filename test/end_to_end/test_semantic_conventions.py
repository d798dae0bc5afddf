"""Names and units against what OpenTelemetry publishes (the package opentelemetry-semantic-conventions)."""
import importlib.util
import pathlib
import re

import pytest
from observe import Recording, bare, scope_environment
from otlp_decode import use_venv

# Metrics that we name without `scope.` and that the package lacks, each with its reason. None: keep it so.
NOT_IN_THE_PACKAGE = {}
# Attributes that OpenTelemetry's specification, not its conventions, defines.
SPECIFICATIONS_OWN = {"otel.metric.overflow"}

PROGRAM = ("import os, socket, subprocess, threading, syslog\n"
           "f = os.open('/dev/zero', 0)\nfor i in range(12): os.read(f, 10)\n"
           "try: open('/nosuch')\nexcept OSError: pass\n"
           "s = socket.socket(); s.bind(('127.0.0.1', 0)); s.listen(50)\n"
           "for i in range(3): socket.create_connection(s.getsockname()).close()\n"
           "try: socket.create_connection(('127.0.0.1', 1))\nexcept OSError: pass\n"
           "try: socket.getaddrinfo('one.invalid', 80)\nexcept OSError: pass\n"
           "t = threading.Thread(target=lambda: None); t.start(); t.join()\n"
           "subprocess.run(['/bin/true']); print('ERROR x'); os.mkdir('d'); os.rename('d', 'e'); os.rmdir('e')\n")


@pytest.fixture(scope="module")
def published():
    """(metric names with units, attribute names) of all versions' modules in the package."""
    use_venv()
    place = pathlib.Path(next(iter(importlib.util.find_spec("opentelemetry.semconv").submodule_search_locations)))
    metrics, attributes = {}, set()
    for path in place.rglob("*.py"):
        text = path.read_text()
        if "attributes" in path.name or "attributes" in str(path.parent):
            attributes |= set(re.findall(r'^[A-Z0-9_]+\s*:\s*Final\s*=\s*\(?\s*"([a-z0-9_.]+)"', text, re.M))
        attributes |= set(re.findall(r'^    [A-Z0-9_]+ = "([a-z0-9_.]+)"', text, re.M))
        if "metrics" in str(path):
            for name, doc in re.findall(r'^[A-Z0-9_]+\s*:\s*Final\s*=\s*\(?\s*"([a-z0-9_.]+)"\s*\)?\s*\n"""(.*?)"""', text, re.M | re.S):
                unit = re.search(r"^Unit: (.*)$", doc, re.M)
                metrics.setdefault(name, unit.group(1) if unit else None)
            for name, unit in re.findall(r'name=(?:[A-Z0-9_]+|"([a-z0-9_.]+)"),.*?unit="([^"]*)"', text, re.S):
                if name:
                    metrics.setdefault(name, unit)
    assert len(metrics) > 100 and len(attributes) > 300
    return metrics, attributes


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    place = tmp_path_factory.mktemp("names")
    to = place / "t"
    assert bare(["/usr/bin/python3", "-c", PROGRAM], env=scope_environment(to), cwd=place).status == 0
    return Recording(to)


def test_metric_names(published, recording):
    metrics, _ = published
    ours = {l["name"]: l["unit"] for l in recording.lines if l["signal"] == "metric" and not l["name"].startswith("scope.")}
    assert ours.keys() >= {"dns.lookup.duration", "process.cpu.time", "process.memory.usage"}
    assert not NOT_IN_THE_PACKAGE.keys() & metrics.keys(), "it has them by now"
    unknown = sorted(ours.keys() - metrics.keys() - NOT_IN_THE_PACKAGE.keys())
    assert not unknown
    wrong = {name: (unit, metrics[name]) for name, unit in ours.items() if metrics.get(name) and metrics[name] != unit}
    assert not wrong


def test_metric_names_of_the_source(published, root):
    """Those too that no run of a test sends: all that the table of metrics names."""
    metrics, _ = published
    text = (root / "src" / "report" / "metrics.c").read_text()
    named = set(re.findall(r'"((?:process|dns|http|otel|system|rpc|db)\.[a-z0-9_.]+)"', text))
    attributes_there = published[1]
    assert len(named) > 8
    unknown = sorted(n for n in named if n not in metrics and n not in attributes_there and n not in NOT_IN_THE_PACKAGE)
    assert not unknown


def test_attribute_names(published, recording):
    _, attributes = published
    ours = set()
    for line in recording.lines:
        ours |= line["attributes"].keys() | line["resource"].keys()
    unknown = sorted(n for n in ours if not n.startswith("scope.") and n not in attributes and n not in SPECIFICATIONS_OWN)
    assert not unknown
