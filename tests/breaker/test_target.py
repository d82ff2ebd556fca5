"""What moves a target's own figures, and what does not."""

from __future__ import annotations

import pytest

from breaker.outcome import SUCCESS, Blame, Neutral, Outcome, Status, Verdict
from breaker.target import TargetState
from breaker.window import Counts


def taken_in(*verdicts: Verdict) -> TargetState:
    state = TargetState("groq", "llama", 60.0)
    for second, verdict in enumerate(verdicts):
        outcome = Outcome("groq", "llama", verdict, False, response_time=0.2, first_byte=0.1, at=1000.0 + second)
        state.add(outcome, float(second))
    return state


def figures(state: TargetState) -> tuple[int, int, float | None, float | None]:
    return state.consecutive_successes, state.consecutive_failures, state.last_success_at, state.last_failure_at


ILL = Verdict(Status.ERROR, Blame.TARGET)
DOWN = Verdict(Status.NETWORK_ERROR, Blame.PROVIDER)


@pytest.mark.parametrize(
    ("verdicts", "expected"),
    [
        ((), (0, 0, None, None)),
        ((SUCCESS,), (1, 0, 1000.0, None)),
        ((SUCCESS, SUCCESS), (2, 0, 1001.0, None)),
        ((ILL,), (0, 1, None, 1000.0)),
        ((ILL, DOWN, ILL), (0, 3, None, 1002.0)),
        ((ILL, SUCCESS), (1, 0, 1001.0, 1000.0)),
        ((SUCCESS, SUCCESS, DOWN), (0, 1, 1001.0, 1002.0)),
    ],
)
def test_consecutive_and_last(verdicts: tuple[Verdict, ...], expected: tuple[object, ...]) -> None:
    assert figures(taken_in(*verdicts)) == expected


@pytest.mark.parametrize(
    "verdict",
    [
        Verdict(Status.RATE_LIMITED, Blame.TARGET_CREDENTIAL),
        Verdict(Status.ERROR, Blame.PROVIDER_CREDENTIAL),
        Verdict(Status.ERROR, Blame.NOBODY),
        *(Verdict(kind, Blame.NOBODY) for kind in Neutral),
        *(Verdict(kind, Blame.TARGET) for kind in Neutral),
    ],
)
def test_one_callers_trouble_moves_nothing(verdict: Verdict) -> None:
    state = taken_in(ILL, verdict)
    assert figures(state) == figures(taken_in(ILL))
    assert state.window.counts(2.0) == Counts(error=1)


def test_the_window_holds_what_moved_it_and_moves_on() -> None:
    state = taken_in(SUCCESS, ILL, DOWN)
    assert state.window.counts(3.0) == Counts(success=1, error=1, network_error=1)
    assert state.window.counts(63.0) == Counts()
    assert state.consecutive_failures == 2, "consecutive figures do not age"
