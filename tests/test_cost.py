"""What a request and a relayed event cost in bytecodes has not risen by more than a tenth; a rise is seen and told."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from bench import bytecodes
from bench.bytecodes import Costs, baseline, risen

PATIENCE = 50
BURDENED = """
import sys
from bench import bytecodes
from breaker.registry import Registry

admit, look = Registry.admit, Registry.rejection

def burdened(self, provider, model, now, *rest, **more):
    for _ in range(60):
        look(self, provider, model, now)
    return admit(self, provider, model, now, *rest, **more)

Registry.admit = burdened
sys.exit(bytecodes.main())
"""
"""A registry that looks at its breakers sixty times too often for one request."""

kept = pytest.mark.skipif(
    baseline() is None, reason=f"no figures for Python {bytecodes.VERSION}: python -m bench.bytecodes --write"
)


def counted(*command: str, seed: str = "0") -> subprocess.CompletedProcess[str]:
    """Counting takes the hook of the interpreter that coverage wants too: it has a process of its own, without it."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("COV", "COVERAGE"))}
    environment |= {"PYTHONHASHSEED": seed}
    return subprocess.run(
        [sys.executable, *command], env=environment, cwd=bytecodes.ROOT, capture_output=True, text=True,
        timeout=PATIENCE, check=False,
    )  # fmt: skip


def total(costs: Costs, what: str) -> float:
    return sum(costs[what].values())


@pytest.fixture(scope="module")
def now() -> Costs:
    done = counted("-m", "bench.bytecodes")
    assert done.returncode == 0, done.stderr
    found: Costs = json.loads(done.stdout)
    return found


@kept
def test_a_request_and_an_event_cost_no_more_than_they_did(now: Costs) -> None:
    before = baseline()
    assert before is not None
    found = risen(before, now)
    assert not found, "\n".join([*found, "when it is worth that: python -m bench.bytecodes --write"])


def test_the_way_of_a_request_is_what_is_counted(now: Costs) -> None:
    """A tool that counts nothing would find that nothing rises."""
    for file in (
        "proxy/client.py",
        "proxy/dispatch.py",
        "proxy/upstream.py",
        "breaker/registry.py",
        "healthapi/memory.py",
    ):
        assert now["request"][file] > 20, file
    assert {"proxy/upstream.py", "proxy/relay.py", "proxy/inspector.py"} <= now["event"].keys()
    assert 1000 < total(now, "request") < 20_000
    assert 50 < total(now, "event") < 2000


def test_figures_are_the_same_each_time(now: Costs) -> None:
    done = counted("-m", "bench.bytecodes", seed="4711")
    again: Costs = json.loads(done.stdout)
    for what in now:
        assert total(again, what) == pytest.approx(total(now, what), rel=0.01)


@pytest.mark.parametrize(("share", "told"), [(0.09, False), (0.11, True)])
def test_a_rise_of_a_tenth_is_told_with_its_place(share: float, told: bool) -> None:
    before: Costs = {"request": {"proxy/a.py": 600.0, "proxy/b.py": 400.0}, "event": {"proxy/a.py": 100.0}}
    now: Costs = {"request": {**before["request"], "proxy/new.py": 1000 * share}, "event": before["event"]}
    found = risen(before, now)
    assert bool(found) is told
    if told:
        assert found == ["request: 1,110 bytecodes, 1,000 before, +11.0% (at most +10%): proxy/new.py +110"]


def test_what_falls_somewhere_may_rise_elsewhere() -> None:
    before: Costs = {"request": {"proxy/a.py": 600.0, "proxy/b.py": 400.0}, "event": {}}
    assert risen(before, {"request": {"proxy/a.py": 200.0, "proxy/b.py": 800.0}}) == []


@kept
def test_a_burdened_data_plane_fails_the_check() -> None:
    done = counted("-c", BURDENED, "--check")
    assert done.returncode == 1, done.stderr
    (first, *_) = done.stderr.splitlines()
    assert first.startswith("request: ")
    assert "breaker/registry.py +" in first
    assert "event: " not in done.stderr
