"""What every test uses: where the build is, and how a program is run bare and under the library."""
import os
import pathlib
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "test" / "end_to_end"))


def pytest_configure(config):
    config.addinivalue_line("markers", "long: runs only under ./check --long")


def pytest_collection_modifyitems(config, items):
    if os.environ.get("SCOPE_CHECK_LONG"):
        return
    # Long runs are left out, not skipped: they are another command.
    keep = [item for item in items if "long" not in item.keywords]
    config.hook.pytest_deselected(items=[item for item in items if "long" in item.keywords])
    items[:] = keep


@pytest.fixture(scope="session")
def root():
    return ROOT
