"""What holds for all tests."""

from __future__ import annotations

import gc
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from config.compiled import build
from tests.interpreted import why

SDKS = ("test_clients_crowd", "test_clients_others", "test_clients_sdks", "test_fake_clients")
"""Files that drive other people's clients, some of which keep connections beyond the loop they were made in."""


LONGEST = (
    "test_outage",
    "test_storm",
    "test_fleet_counts",
    "test_fleet_trouble",
    "test_fleet_trials",
    "test_store_kill",
    "test_drain",
    "test_slow",
    "test_shipped_units",
    "test_shipped_processes",
)
"""Files whose tests take their time by nature: begun last, they would leave the other workers idle at the end."""


ROOT = Path(__file__).parent.parent

REAL = ("e2e", "hardening")
"""Folders of tests that start real processes."""


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    """Do not even load a file that is for the source alone, where that is not what runs."""
    return (build() == "compiled" and why(str(collection_path.relative_to(ROOT))) is not None) or None


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the longest files, then take those that start real processes, which mostly wait, in turn with others.

    So that workers that wait and workers that compute share the machine at any time.
    """
    files = list(dict.fromkeys(item.path for item in items))
    turn: dict[Path, float] = {}
    for kind in (True, False):
        alike = [file for file in files if (file.parent.name in REAL) is kind]
        turn.update({file: (place + 0.5) / len(alike) for place, file in enumerate(alike)})
    items.sort(key=lambda item: (item.path.stem not in LONGEST, turn[item.path]))
    if build() == "compiled":
        for item in items:
            if reason := why(item.nodeid):
                item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(autouse=True, scope="module")
def leftovers(request: pytest.FixtureRequest) -> Iterator[None]:
    """Collect what those clients leave behind here, not in the middle of a test that has nothing to do with it."""
    yield
    if request.module.__name__.rpartition(".")[2] in SDKS:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)
            gc.collect()
