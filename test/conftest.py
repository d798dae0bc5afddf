"""What every test uses: where the build is, which tests run, and which may be skipped."""
import os
import pathlib
import re
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "test" / "end_to_end"))

skipped = {}


def pytest_configure(config):
    config.addinivalue_line("markers", "long: runs only under ./check --long")


def pytest_collection_modifyitems(config, items):
    if os.environ.get("SCOPE_CHECK_LONG"):
        return
    # Long runs are left out, not skipped: they are another command.
    keep = [item for item in items if "long" not in item.keywords]
    config.hook.pytest_deselected(items=[item for item in items if "long" in item.keywords])
    items[:] = keep


def pytest_runtest_logreport(report):
    if report.skipped:
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        skipped[report.nodeid] = reason


def may_skip():
    lines = (ROOT / "test" / "may_skip").read_text().splitlines()
    return [line.split()[0] for line in lines if line.strip() and not line.startswith("#")]


def is_reference_machine():
    """Debian 12 as root: where every test must run."""
    release = pathlib.Path("/etc/os-release")
    text = release.read_text() if release.exists() else ""
    return 'VERSION_ID="12"' in text and "ID=debian" in text and os.geteuid() == 0


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session, exitstatus):
    if hasattr(session.config, "workerinput") or not is_reference_machine():
        return
    allowed = may_skip()
    session.config.not_allowed = [f"{node}: {why}" for node, why in skipped.items()
                                  if not any(re.search(pattern, node) for pattern in allowed)]
    if session.config.not_allowed and exitstatus == 0:
        session.exitstatus = 1


def pytest_terminal_summary(terminalreporter, config):
    for line in getattr(config, "not_allowed", []):
        terminalreporter.write_line(f"SKIPPED and not in test/may_skip: {line}", red=True)


@pytest.fixture(scope="session")
def root():
    return ROOT
