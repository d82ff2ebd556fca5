"""A provider trips by rate on what its models do only when at least two of them fail."""

from __future__ import annotations

import pytest

from breaker.breaker import Breaker
from breaker.company import Company
from breaker.outcome import SUCCESS, Blame, Neutral, Outcome, Status, Verdict
from breaker.provider import ProviderState
from breaker.transition import Cause, Scope, Transition
from breaker.transitions import State
from config.settings import Breakers

ILL = Verdict(Status.ERROR, Blame.TARGET, message="503")
DOWN = Verdict(Status.NETWORK_ERROR, Blame.PROVIDER, message="refused")
KNOBS = Breakers(failure_threshold=100, min_requests=4, window=60.0, jitter=0.0)


class World:
    def __init__(self, knobs: Breakers = KNOBS) -> None:
        self.told: list[Transition] = []
        company = Company(lambda: 0.0, self.told.append)
        self.breaker = Breaker(Scope.PROVIDER, "p", None, knobs, company)
        self.state = ProviderState(self.breaker, knobs.window)

    def hear(self, model: str, verdict: Verdict, now: float, generation: int | None = None) -> None:
        outcome = Outcome("p", model, verdict, False, response_time=0.1, first_byte=None, at=0.0)
        self.state.add(outcome, model, self.breaker.generation if generation is None else generation, now)

    @property
    def causes(self) -> list[Cause]:
        return [transition.cause for transition in self.told]


@pytest.mark.parametrize(
    ("models", "cause"),
    [
        ("aaaa", []),
        ("aaaaaaaa", []),
        ("aaab", [Cause.RATE]),
        ("baaa", [Cause.RATE]),
        ("abab", [Cause.RATE]),
        ("abcd", [Cause.RATE]),
        ("aab", []),
    ],
)
def test_one_ill_model_does_not_condemn_its_host(models: str, cause: list[Cause]) -> None:
    world = World()
    for model in models:
        world.hear(model, ILL, 1.0)
    assert world.causes == cause


@pytest.mark.parametrize(
    ("verdicts", "cause"),
    [
        ([DOWN] * 4, [Cause.HOST_RATE]),
        ([DOWN, DOWN, ILL, ILL], [Cause.HOST_RATE]),
        ([DOWN, ILL, ILL, ILL], []),
        ([SUCCESS, SUCCESS, DOWN, DOWN], [Cause.HOST_RATE]),
        ([SUCCESS, SUCCESS, SUCCESS, DOWN], []),
        ([DOWN, DOWN, SUCCESS, SUCCESS], []),
    ],
)
def test_what_is_the_hosts_own_doing_needs_no_second_model(verdicts: list[Verdict], cause: list[Cause]) -> None:
    world = World()
    for verdict in verdicts:
        world.hear("a", verdict, 1.0)
    assert world.causes == cause


def test_a_host_failure_at_another_model_makes_two() -> None:
    world = World()
    for model, verdict in [("a", ILL), ("a", ILL), ("a", ILL), ("b", DOWN)]:
        world.hear(model, verdict, 1.0)
    assert world.causes == [Cause.RATE]
    assert world.breaker.reason == "4 of 4 requests failed in 60 s at 2 models or more, last: refused"


def test_which_model_it_was_is_in_the_reason() -> None:
    world = World()
    for model in "aaab":
        world.hear(model, ILL, 1.0)
    assert world.breaker.reason.endswith("last: b: 503")


@pytest.mark.parametrize(
    ("first", "second", "trips"),
    [
        (0.0, 0.0, True),
        (0.0, 53.9, True),
        (0.0, 59.9, True),
        (0.0, 60.0, False),
        (5.9, 59.9, True),
        (5.9, 60.0, False),
        (6.0, 60.0, True),
        (6.0, 66.0, False),
        (0.0, 1e6, False),
    ],
)
def test_the_other_model_has_to_have_failed_within_the_window(first: float, second: float, trips: bool) -> None:
    """In the same steps as the window itself: buckets of 6 s on the clock."""
    world = World()
    world.hear("b", ILL, first)
    for _ in range(4):
        world.hear("a", ILL, second)
    assert bool(world.causes) == trips


def test_the_two_that_failed_last_are_known_when_others_come_between() -> None:
    world = World(Breakers(failure_threshold=100, min_requests=8, jitter=0.0))
    for model, now in [("a", 0.0), ("b", 0.0), ("b", 30.0), ("a", 58.0), ("a", 58.0), ("a", 61.0), ("a", 61.0)]:
        world.hear(model, ILL, now)
    assert world.causes == []
    for _ in range(3):
        world.hear("a", ILL, 61.0)
    assert world.causes == [Cause.RATE], "b failed at 30"


@pytest.mark.parametrize("blame", [Blame.NOBODY, Blame.TARGET_CREDENTIAL, Blame.PROVIDER_CREDENTIAL])
def test_one_callers_trouble_is_not_the_hosts(blame: Blame) -> None:
    world = World(Breakers(failure_threshold=1, min_requests=1))
    world.hear("a", Verdict(Status.ERROR, blame), 1.0)
    assert world.breaker.counts(1.0) == (0, 0)
    assert world.causes == []


@pytest.mark.parametrize("kind", list(Neutral))
def test_neutral_outcomes_are_not_heard(kind: Neutral) -> None:
    world = World(Breakers(failure_threshold=1, min_requests=1))
    world.hear("a", Verdict(kind), 1.0)
    assert (world.breaker.counts(1.0), world.causes) == ((0, 0), [])


def test_consecutive_failures_are_the_hosts_own_only() -> None:
    world = World(Breakers(failure_threshold=3, min_requests=100))
    for verdict in [DOWN, ILL, DOWN, ILL]:
        world.hear("a", verdict, 1.0)
    assert (world.breaker.consecutive, world.causes) == (2, [])
    world.hear("a", SUCCESS, 1.0)
    assert world.breaker.consecutive == 0
    for _ in range(3):
        world.hear("a", DOWN, 1.0)
    assert world.causes == [Cause.CONSECUTIVE]
    assert world.breaker.reason == "3 failures in a row, last: refused"


def test_models_that_failed_before_a_transition_are_forgotten() -> None:
    world = World()
    world.hear("b", ILL, 1.0)
    world.breaker.force_close(1.0)
    for _ in range(4):
        world.hear("a", ILL, 1.0)
    assert world.causes == [Cause.MANUAL]


def test_a_late_failure_makes_no_second_model() -> None:
    world = World()
    world.breaker.force_close(1.0)
    world.hear("b", ILL, 1.0, generation=0)
    for _ in range(4):
        world.hear("a", ILL, 1.0)
    assert world.causes == [Cause.MANUAL]
    assert world.breaker.counts(1.0) == (0, 4)


def test_moves_of_other_breakers_make_no_failure_late() -> None:
    world = World()
    for model in "aaab":
        world.hear(model, ILL, 1.0, generation=5)
    assert world.causes == [Cause.RATE]


def test_no_more_than_two_models_are_remembered() -> None:
    world = World(Breakers(failure_threshold=1000, min_requests=1000))
    for number in range(100):
        world.hear(f"m{number}", ILL, 1.0)
    assert [model for model, _ in world.breaker.failed_models] == ["m98", "m99"]


def test_the_hosts_successes_are_those_of_all_models() -> None:
    world = World()
    for model in "abcd":
        world.hear(model, SUCCESS, 1.0)
    assert world.breaker.counts(1.0) == (4, 0)
    assert world.breaker.state is State.CLOSED
