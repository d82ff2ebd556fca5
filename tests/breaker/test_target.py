"""What moves a target's own figures, how it looks to routing, and what does neither."""

from __future__ import annotations

import pytest

from breaker.breaker import Breaker
from breaker.company import Company
from breaker.health import Health
from breaker.outcome import SUCCESS, Blame, Neutral, Outcome, Status, Verdict
from breaker.target import PROVING, SPAN, UNSEEN, Standing, TargetState
from breaker.transition import Scope
from config.settings import Breakers

ILL = Verdict(Status.ERROR, Blame.TARGET)
DOWN = Verdict(Status.NETWORK_ERROR, Blame.PROVIDER)


def fresh(knobs: Breakers | None = None) -> TargetState:
    company = Company(lambda: 0.0, None)
    return TargetState("groq", "llama", Breaker(Scope.TARGET, "groq", "llama", knobs or Breakers(), company))


def outcome(verdict: Verdict, at: float = 1000.0, first_byte: float | None = 0.1) -> Outcome:
    return Outcome("groq", "llama", verdict, False, response_time=0.2, first_byte=first_byte, at=at)


def taken_in(*verdicts: Verdict) -> TargetState:
    state = fresh()
    for second, verdict in enumerate(verdicts):
        state.add(outcome(verdict, 1000.0 + second), 0, float(second))
    return state


def figures(state: TargetState) -> list[int]:
    """Successes and failures heard of."""
    return state.window.counts(2.0)[:2]


@pytest.mark.parametrize(
    ("verdicts", "expected"),
    [
        ((), [0, 0]),
        ((SUCCESS, SUCCESS), [2, 0]),
        ((ILL, DOWN, ILL), [0, 3]),
        ((SUCCESS, SUCCESS, DOWN), [2, 1]),
    ],
)
def test_what_is_heard_of(verdicts: tuple[Verdict, ...], expected: list[int]) -> None:
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
    assert state.standing(2.0) == taken_in(ILL).standing(2.0)
    assert not taken_in(*[verdict] * 9).ill(9.0)


def test_the_window_ages() -> None:
    state = taken_in(SUCCESS, ILL, DOWN)
    assert state.standing(3.0).success_rate == pytest.approx(1 / 3)
    assert state.standing(3.0 + SPAN) == UNSEEN


@pytest.mark.parametrize(
    ("good", "bad", "health"),
    [
        (0, 0, Health.UNKNOWN),
        (4, 0, Health.UNKNOWN),
        (0, 4, Health.UNKNOWN),
        (5, 0, Health.HEALTHY),
        (19, 1, Health.HEALTHY),
        (18, 1, Health.DEGRADED),
        (4, 1, Health.DEGRADED),
        (3, 1, Health.UNKNOWN),
        (3, 2, Health.UNHEALTHY),
        (0, 5, Health.UNHEALTHY),
    ],
)
def test_health_for_routing(good: int, bad: int, health: Health) -> None:
    state = taken_in(*[SUCCESS] * good, *[ILL] * bad)
    standing = state.standing(25.0)
    assert standing.health is health
    assert standing.success_rate == (good / (good + bad) if good + bad else None)
    assert state.ill(25.0) == (health is Health.UNHEALTHY and bad >= 5)


@pytest.mark.parametrize(
    ("good", "bad", "threshold", "ill"),
    [(2, 3, 3, True), (2, 3, 2, True), (2, 3, 4, False), (1, 3, 3, False), (13, 3, 3, False), (11, 3, 3, True)],
)
def test_fewer_failures_than_trip_are_left_to_the_breaker(good: int, bad: int, threshold: int, ill: bool) -> None:
    state = fresh(Breakers(failure_threshold=threshold))
    for verdict in [SUCCESS] * good + [ILL] * bad:
        state.add(outcome(verdict), 0, 1.0)
    assert state.ill(1.0) is ill


def test_the_mean_first_byte_is_of_successes_that_had_one() -> None:
    state = fresh()
    for first_byte in (0.5, None, 1.5):
        state.add(outcome(SUCCESS, first_byte=first_byte), 0, 1.0)
    state.add(outcome(ILL, first_byte=99.0), 0, 1.0)
    assert state.standing(1.0) == Standing(Health.UNKNOWN, 0.75, 1.0)


def test_without_any_first_byte_there_is_no_mean() -> None:
    state = fresh()
    state.add(outcome(SUCCESS, first_byte=None), 0, 1.0)
    assert state.standing(1.0) == Standing(Health.UNKNOWN, 1.0, None)


def test_the_window_reaches_back_five_minutes() -> None:
    state = fresh()
    for _ in range(5):
        state.add(outcome(ILL), 0, 0.0)
    assert state.ill(SPAN - 0.1)
    assert not state.ill(SPAN)
    assert SPAN == 300.0


def test_ill_again_after_having_been_read_as_well() -> None:
    state = fresh()
    for now in (0.0, 1000.0):
        for _ in range(5):
            state.add(outcome(ILL), 0, now)
        assert state.ill(now + 1)
        assert not state.ill(now + 900)


def test_closing_begins_anew_and_older_attempts_say_nothing_of_it() -> None:
    state = taken_in(*[ILL] * 5)
    state.closed(7)
    assert state.standing(5.0) == UNSEEN
    assert not state.ill(5.0)
    state.add(outcome(ILL), 6, 5.0)
    state.add(outcome(SUCCESS), 6, 5.0)
    assert state.standing(5.0) == UNSEEN
    state.add(outcome(SUCCESS), 7, 5.0)
    assert state.standing(5.0).success_rate == 1.0


def test_a_late_failure_does_not_make_a_closed_one_look_ill() -> None:
    state = fresh()
    state.closed(7)
    for _ in range(9):
        state.add(outcome(ILL), 6, 5.0)
    assert not state.ill(5.0)
    assert state.standing(5.0) == UNSEEN


def test_every_twentieth_request_is_a_turn() -> None:
    state = fresh()
    turns = [state.turn() for _ in range(100)]
    assert turns == [number % 20 == 0 for number in range(1, 101)]
    assert PROVING == 20


def test_a_failure_that_left_the_window_is_forgotten_by_asking() -> None:
    state = taken_in(*[ILL] * 5)
    assert state.ill(5.0)
    assert not state.ill(5.0 + SPAN)
    state.add(outcome(ILL), 0, 5.0 + SPAN)
    assert state.window.counts(5.0 + SPAN)[:2] == [0, 1]
    assert not state.ill(5.0 + SPAN), "one failure is left to the breaker"
    for _ in range(4):
        state.add(outcome(ILL), 0, 6.0 + SPAN)
    assert state.ill(6.0 + SPAN)
