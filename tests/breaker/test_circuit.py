"""The adapter against the real pybreaker: state and listener are its own, its clock and counting are not used."""

from __future__ import annotations

import itertools
import subprocess
import sys
from pathlib import Path

import pybreaker
import pytest

from breaker.circuit import Circuit
from breaker.transitions import State

THEIRS = {State.CLOSED: "closed", State.OPEN: "open", State.HALF_OPEN: "half-open"}


def test_it_begins_closed_and_has_a_name() -> None:
    circuit = Circuit("groq/llama")
    assert circuit.state is State.CLOSED
    assert circuit.name == "groq/llama"


@pytest.mark.parametrize(("was", "state"), list(itertools.product(State, State)))
def test_each_state_can_be_entered_from_each(was: State, state: State) -> None:
    circuit = Circuit("c")
    circuit.move(was)
    circuit.move(state)
    assert circuit.state is state
    assert circuit._circuit.current_state == THEIRS[state]
    assert circuit._circuit.state.name == THEIRS[state]


def test_what_pybreaker_does_by_itself_is_heard() -> None:
    circuit = Circuit("c")
    circuit._circuit.open()
    assert circuit.state is State.OPEN
    circuit._circuit.half_open()
    assert circuit.state is State.HALF_OPEN
    circuit._circuit.close()
    assert circuit.state is State.CLOSED


def test_failures_it_was_never_meant_to_count_do_not_trip_it() -> None:
    circuit = Circuit("c")

    def fail() -> None:
        raise OSError

    for _ in range(100):
        with pytest.raises(OSError):  # noqa: PT011
            circuit._circuit.call(fail)
    assert circuit.state is State.CLOSED


def test_other_listeners_find_what_they_look_at() -> None:
    heard: list[tuple[str, str]] = []

    class Listener(pybreaker.CircuitBreakerListener):
        def state_change(self, cb: object, old_state: object, new_state: object) -> None:
            heard.append((old_state.name, new_state.name))  # type: ignore[attr-defined]

    circuit = Circuit("c")
    circuit._circuit.add_listener(Listener())
    circuit.move(State.OPEN)
    circuit.move(State.HALF_OPEN)
    assert heard == [("closed", "open"), ("open", "half-open")]


def test_circuits_are_apart() -> None:
    one, other = Circuit("one"), Circuit("other")
    one.move(State.OPEN)
    assert other.state is State.CLOSED


def test_it_is_the_only_file_that_knows_the_library() -> None:
    root = Path(__file__).parents[2]
    found = [path for path in (root / "breaker").glob("*.py") if "import pybreaker" in path.read_text(encoding="utf-8")]
    assert [path.name for path in found] == ["circuit.py"]


def test_reading_state_costs_no_call_into_the_library() -> None:
    circuit = Circuit("c")
    circuit._circuit = object()
    assert circuit.state is State.CLOSED


def test_importing_it_starts_no_thread() -> None:
    code = "import threading, breaker.circuit; print(threading.active_count())"
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=root)
    assert done.stdout.strip() == "1"
