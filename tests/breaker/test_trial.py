"""What trials come to, what slow answers do, and what comes too late to count."""

from __future__ import annotations

from typing import Any

import pytest

from breaker.health import Health
from breaker.outcome import SUCCESS, Blame, Neutral, Status, Verdict
from breaker.target import Standing
from breaker.transition import Cause, Scope
from breaker.transitions import State
from tests.breaker.world import (
    CLOSED,
    DOWN,
    HALF_OPEN,
    ILL,
    KEY,
    LEFT,
    LIMITED,
    NO_ACCESS,
    OPEN,
    SPENT,
    World,
)


def opened(scope: str, cause: str) -> tuple[World, str]:
    """A world where that breaker has opened for that cause, waited, and asks for one success; and the key in use."""
    knobs: dict[str, Any] = {"success_threshold": 1}
    match scope, cause:
        case "provider", "rate":
            world = World(**knobs, failure_threshold=50, min_requests=4)
            permits = [world.admitted("p", model) for model in ("a", "b", "a", "b")]
            for permit in permits:
                world.settle(permit, ILL)
            world.registry.close("p", "a", 0.0)
            world.registry.close("p", "b", 0.0)
        case "provider", "host_rate":
            world = World(**knobs, failure_threshold=50, min_requests=4)
            world.attempt(DOWN, times=4)
        case "provider", "manual":
            world = World(**knobs)
            world.registry.open("p", None, 0.0, 60.0)
        case "target", "slow":
            world = World(**knobs, min_requests=2)
            world.attempt(SUCCESS, times=2, streamed=True, first_byte=31.0)
        case _:
            world = World(**knobs)
            verdict = {"provider": DOWN, "target": ILL, "target_key": NO_ACCESS, "provider_key": SPENT}[scope]
            world.attempt(verdict, times=2, key=KEY)
    assert world.told[0].cause.value == cause
    world.now = 60.0
    return world, KEY if scope.endswith("_key") else ""


PASSED, FAILED, NOTHING = CLOSED, OPEN, HALF_OPEN

TRIALS: list[tuple[str, str, Verdict, State]] = [
    *(
        ("provider", cause, verdict, after)
        for cause in ("consecutive", "host_rate", "manual")
        for verdict, after in [
            (SUCCESS, PASSED),
            (ILL, PASSED),
            (NO_ACCESS, PASSED),
            (SPENT, PASSED),
            (LIMITED, PASSED),
            (DOWN, FAILED),
            (LEFT, NOTHING),
            (Verdict(Neutral.POLICY), NOTHING),
            (Verdict(Neutral.POLICY, Blame.TARGET), NOTHING),
            (Verdict(Neutral.POLICY, Blame.PROVIDER), NOTHING),
            (Verdict(Status.TIMEOUT, Blame.NOBODY), NOTHING),
        ]
    ),
    *(
        ("provider", "rate", verdict, after)
        for verdict, after in [
            (SUCCESS, PASSED),
            (ILL, FAILED),
            (DOWN, FAILED),
            (NO_ACCESS, NOTHING),
            (SPENT, NOTHING),
            (LIMITED, NOTHING),
            (LEFT, NOTHING),
        ]
    ),
    *(
        ("target", cause, verdict, after)
        for cause in ("consecutive", "slow")
        for verdict, after in [
            (SUCCESS, PASSED),
            (ILL, FAILED),
            (DOWN, NOTHING),
            (NO_ACCESS, NOTHING),
            (SPENT, NOTHING),
            (LIMITED, NOTHING),
            (LEFT, NOTHING),
        ]
    ),
    *(
        ("target_key", "consecutive", verdict, after)
        for verdict, after in [
            (SUCCESS, PASSED),
            (NO_ACCESS, FAILED),
            (SPENT, NOTHING),
            (LIMITED, NOTHING),
            (ILL, NOTHING),
            (DOWN, NOTHING),
            (LEFT, NOTHING),
        ]
    ),
    *(
        ("provider_key", "consecutive", verdict, after)
        for verdict, after in [
            (SUCCESS, PASSED),
            (SPENT, FAILED),
            (NO_ACCESS, NOTHING),
            (LIMITED, NOTHING),
            (Verdict(Status.RATE_LIMITED, Blame.PROVIDER_CREDENTIAL), NOTHING),
            (ILL, NOTHING),
            (DOWN, NOTHING),
            (LEFT, NOTHING),
        ]
    ),
]


@pytest.mark.parametrize(("scope", "cause", "verdict", "after"), TRIALS)
def test_what_a_trial_comes_to(scope: str, cause: str, verdict: Verdict, after: State) -> None:
    world, key = opened(scope, cause)
    breaker = next(
        one for one in world.registry.breakers() if one.generation == world.told[0].generation or one.state is OPEN
    )
    permit = world.admitted(key=key)
    assert (permit.trial, breaker.state, breaker.trials_out) == (True, HALF_OPEN, 1)
    world.settle(permit, verdict)
    assert (breaker.state, breaker.trials_out) == (after, 0)


@pytest.mark.parametrize(
    ("verdict", "pace", "after"),
    [
        (SUCCESS, {"streamed": True, "first_byte": 31.0}, FAILED),
        (SUCCESS, {"streamed": True, "first_byte": 30.0}, PASSED),
        (SUCCESS, {"streamed": False, "first_byte": 31.0}, PASSED),
        (SUCCESS, {"streamed": True, "first_byte": 31.0, "reasoning": True}, PASSED),
        (LEFT, {"streamed": True, "first_byte": None, "response_time": 31.0}, FAILED),
        (LEFT, {"streamed": True, "first_byte": None, "response_time": 30.0}, NOTHING),
    ],
)
def test_a_trial_of_what_opened_for_slowness_has_to_be_quick(
    verdict: Verdict, pace: dict[str, Any], after: State
) -> None:
    world, _ = opened("target", "slow")
    world.settle(world.admitted(), verdict, **pace)
    assert world.state("p", "a") is after


@pytest.mark.parametrize(("first_byte", "after"), [(None, CLOSED), (30.0, CLOSED), (30.1, OPEN)])
def test_first_content_that_comes_too_late_fails_such_a_trial(first_byte: float | None, after: State) -> None:
    world, _ = opened("target", "slow")
    permit = world.admitted()
    permit.proved(world.now, first_byte)
    assert world.state("p", "a") is after
    if after is OPEN:
        assert world.told[-1].reason == "a trial failed: first content after 30.1 s"
    world.settle(permit, SUCCESS, streamed=True, first_byte=first_byte)


def test_a_slow_trial_of_another_cause_passes() -> None:
    world, _ = opened("target", "consecutive")
    permit = world.admitted()
    permit.proved(world.now, 99.0)
    assert world.state("p", "a") is CLOSED
    permit.cancel()


def test_a_failed_trial_of_a_key_tells_its_own_status() -> None:
    world, key = opened("provider_key", "consecutive")
    assert world.told[0].scope is Scope.CREDENTIAL
    world.attempt(Verdict(Status.ERROR, Blame.PROVIDER_CREDENTIAL, http_status=401), key=key)
    assert world.refused(key=key).status == 401, "402 opened it first, 401 opened it again"


def test_a_proved_stream_that_breaks_after_closing_is_a_new_failure() -> None:
    world, _ = opened("target", "consecutive")
    permit = world.admitted()
    permit.proved(world.now)
    assert world.state("p", "a") is CLOSED
    world.settle(permit, ILL)
    breaker = world.registry.breaker("p", "a")
    assert breaker is not None
    assert (breaker.consecutive, breaker.counts(world.now)) == (1, (0, 1))
    assert world.registry.standing("p", "a", world.now) == Standing(Health.UNKNOWN, 0.0, None)


def test_a_proved_stream_that_breaks_before_closing_relapses() -> None:
    world = World(success_threshold=2)
    world.attempt(ILL, times=2)
    world.now = 60.0
    permit = world.admitted()
    permit.proved(world.now)
    assert world.state("p", "a") is HALF_OPEN
    world.settle(permit, ILL)
    assert (world.state("p", "a"), world.told[-1].cause) == (OPEN, Cause.TRIAL_FAILED)


def test_a_stream_that_breaks_at_its_model_is_no_relapse_of_a_host_that_was_down() -> None:
    """A trial with that result would have been a success: the host answers."""
    world = World(success_threshold=2)
    world.attempt(DOWN, times=2)
    world.now = 60.0
    permit = world.admitted()
    permit.proved(world.now)
    world.settle(permit, ILL)
    assert world.state("p") is HALF_OPEN


def test_first_content_of_a_trial_from_before_a_relapse_makes_it_no_younger() -> None:
    world = World(half_open_requests=2, success_threshold=2)
    world.attempt(ILL, times=2)
    world.now = 60.0
    late, first = world.admitted(), world.admitted()
    world.settle(first, ILL)
    world.now = 180.0
    second = world.admitted()
    late.proved(world.now, 0.1)
    world.settle(late, ILL)
    assert world.state("p", "a") is HALF_OPEN, "issued before the last transition, it changes nothing"
    second.cancel()


@pytest.mark.parametrize(
    ("verdict", "pace", "trips"),
    [
        (SUCCESS, {"streamed": True, "first_byte": 30.1}, True),
        (SUCCESS, {"streamed": True, "first_byte": 30.0}, False),
        (SUCCESS, {"streamed": False, "first_byte": 99.0}, False),
        (SUCCESS, {"streamed": True, "first_byte": 99.0, "reasoning": True}, False),
        (SUCCESS, {"streamed": True, "first_byte": None, "response_time": 99.0}, False),
        (Verdict(Status.TIMEOUT), {"streamed": True, "first_byte": None, "response_time": 30.1}, True),
        (Verdict(Status.TIMEOUT), {"streamed": True, "first_byte": None, "response_time": 30.0}, False),
        (Verdict(Status.ERROR), {"streamed": True, "first_byte": None, "response_time": 99.0}, False),
        (LEFT, {"streamed": True, "first_byte": None, "response_time": 30.1}, True),
        (LEFT, {"streamed": True, "first_byte": None, "response_time": 30.0}, False),
        (LEFT, {"streamed": True, "first_byte": None, "response_time": 2.0}, False),
        (LEFT, {"streamed": True, "first_byte": 1.0, "response_time": 99.0}, False),
        (LEFT, {"streamed": False, "first_byte": None, "response_time": 99.0}, False),
        (LEFT, {"streamed": True, "first_byte": None, "response_time": 99.0, "reasoning": True}, False),
        (Verdict(Neutral.CALLER_ERROR), {"streamed": True, "first_byte": None, "response_time": 99.0}, False),
    ],
)
def test_what_is_slow(verdict: Verdict, pace: dict[str, Any], trips: bool) -> None:
    world = World(min_requests=3, failure_threshold=100)
    world.attempt(Verdict(Status.ERROR, Blame.NOBODY), first_byte=None)
    world.attempt(verdict, times=3, **pace)
    assert world.causes == ([("p", "a", Cause.SLOW)] if trips else [])


def test_quick_answers_count_against_slow_ones() -> None:
    world = World(min_requests=3, slow_rate=0.6)
    for first_byte in (1.0, 1.0, 99.0, 99.0):
        world.attempt(SUCCESS, streamed=True, first_byte=first_byte)
    assert world.causes == []
    world.attempt(SUCCESS, streamed=True, first_byte=99.0)
    assert world.causes == [("p", "a", Cause.SLOW)]


def test_what_nothing_could_stand_in_for_is_never_too_slow() -> None:
    world = World(stand_ins=[("p", "b")], min_requests=1)
    world.attempt(SUCCESS, times=20, streamed=True, first_byte=99.0)
    assert world.causes == []


def test_callers_who_give_up_on_a_target_that_never_answered_trip_it() -> None:
    """The first thing ever seen of a configured target: nobody gets a byte, and all leave."""
    world = World(min_requests=10)
    world.attempt(LEFT, times=10, streamed=True, first_byte=None, response_time=45.0)
    assert world.causes == [("p", "a", Cause.SLOW)]


def test_a_closing_begins_health_anew_for_what_was_asked_after_it() -> None:
    world = World(success_threshold=1)
    late = [world.admitted() for _ in range(10)]
    world.attempt(ILL, times=2)
    world.now = 60.0
    world.attempt(SUCCESS)
    assert world.state("p", "a") is CLOSED
    for permit in late:
        world.settle(permit, ILL)
    assert world.registry.standing("p", "a", 60.0).health is Health.UNKNOWN
    assert world.registry.standing("p", "a", 60.0).success_rate is None


def test_a_provider_that_closes_begins_health_anew_for_its_targets() -> None:
    world = World(success_threshold=1, failure_threshold=5)
    world.attempt(DOWN, times=5)
    assert world.registry.ill("p", "a", 0.0) is False, "its breaker decides"
    world.now = 60.0
    assert world.registry.standing("p", "a", 60.0).health is Health.UNHEALTHY
    world.attempt(SUCCESS)
    assert world.registry.standing("p", "a", 60.0).success_rate is None
    assert world.registry.standing("q", "c", 60.0).success_rate is None
