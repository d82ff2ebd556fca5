"""Another configuration for a registry that has seen much: what stays, what goes, and what the new knobs change."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import pytest

from breaker.fleet import Pool
from breaker.outcome import SUCCESS
from breaker.transition import Cause
from breaker.window import Window
from config.settings import Breakers
from config.words import Mode
from tests.breaker.world import (
    CLOSED,
    DOWN,
    HALF_OPEN,
    ILL,
    KEY,
    LIMITED,
    NO_ACCESS,
    OPEN,
    OTHER_KEY,
    TARGETS,
    World,
)


def adopt(
    world: World,
    *,
    providers: Collection[str] = ("p", "q"),
    configured: Collection[tuple[str, str]] = TARGETS,
    tracked: int = 100,
    **knobs: Any,
) -> None:
    found = Breakers(**({"failure_threshold": 2, "min_requests": 100, "jitter": 0.0} | knobs))
    world.registry.adopt(
        world.now,
        tracked=tracked,
        configured=configured,
        breakers=Breakers(),
        per_provider=dict.fromkeys(providers, found),
        stand_ins=[],
        budget=0.5,
    )
    for breaker in world.registry.breakers():
        breaker.fit(world.now)


# -- what stays --------------------------------------------------------------------------------------------------------


def test_what_is_open_stays_open_for_as_long() -> None:
    world = World(open_for=60.0)
    world.attempt(ILL, times=2)
    world.attempt(DOWN, "q", "c", times=2)
    world.now = 20.0
    adopt(world, open_for=5.0, failure_threshold=9)
    assert (world.state("p", "a"), world.state("q")) == (OPEN, OPEN)
    assert world.refused().retry_after == 40.0
    world.now = 60.0
    permit = world.admitted()
    assert permit.trial
    world.settle(permit, ILL)
    assert world.refused().retry_after == 10.0, "from here on the new open time holds, doubled as it is the second"


def test_a_trial_that_is_out_decides() -> None:
    world = World(success_threshold=2)
    world.attempt(ILL, times=2)
    world.now = 100.0
    permit = world.admitted()
    adopt(world, success_threshold=1)
    assert world.state("p", "a") is HALF_OPEN
    world.settle(permit, SUCCESS)
    assert world.state("p", "a") is CLOSED


def test_failures_before_count_with_those_after() -> None:
    world = World(failure_threshold=5)
    world.attempt(ILL, times=2)
    adopt(world, failure_threshold=3)
    assert world.state("p", "a") is CLOSED
    world.attempt(ILL)
    assert world.state("p", "a") is OPEN


def test_a_window_of_another_length_goes_on_counting() -> None:
    world = World(failure_threshold=100, min_requests=10, window=60.0)
    world.now = 100.0
    world.attempt(SUCCESS, times=5)
    world.attempt(ILL, times=4)
    adopt(world, failure_threshold=100, min_requests=10, window=300.0)
    breaker = world.registry.breaker("p", "a")
    assert breaker is not None
    assert breaker.counts(world.now) == (5, 4)
    world.now = 250.0
    assert breaker.counts(world.now) == (5, 4), "longer than the window that they were counted in"
    world.attempt(ILL)
    assert world.state("p", "a") is OPEN
    assert world.told[-1].reason == "5 of 10 requests failed in 300 s, last: 503 overloaded"


def test_two_ill_models_are_remembered_over_a_change_of_window() -> None:
    world = World(failure_threshold=100, min_requests=4, failure_rate=1.0, window=60.0)
    world.now = 1000.0
    world.attempt(ILL, "p", "a", times=2)
    adopt(world, failure_threshold=100, min_requests=4, failure_rate=1.0, window=90.0)
    world.attempt(ILL, "p", "b", times=2)
    assert world.state("p") is OPEN


def test_hold_offs_keys_and_permits_stay() -> None:
    world = World()
    world.attempt(LIMITED, key=KEY)
    world.attempt(NO_ACCESS, "p", "b", KEY, times=2)
    permit = world.admitted("q", "c")
    adopt(world)
    assert world.refused("p", "a", KEY).kind == "hold_off"
    assert world.refused("p", "b", KEY).kind == "credential"
    assert world.registry.open_permits == 1
    world.settle(permit, SUCCESS)
    assert world.registry.open_permits == 0


def test_a_key_that_was_replaced_leaves_no_open_breaker_that_nobody_would_ever_try_out() -> None:
    world = World()
    for key in (KEY, OTHER_KEY):
        world.attempt(NO_ACCESS, "p", "a", key, times=2)
        world.attempt(NO_ACCESS, "q", "c", key, times=2)
    world.registry.key_replaced("p", KEY, world.now)
    assert sorted((one.provider, one.key) for one in world.registry.unwell()) == [
        ("p", OTHER_KEY), ("q", KEY), ("q", OTHER_KEY),
    ]  # fmt: skip
    assert (world.told[-1].state, world.told[-1].reason) == (CLOSED, "its key was replaced")
    assert [one.key for one in world.registry.breakers() if one.provider == "p" and one.key] == [OTHER_KEY]
    world.settle(world.admitted("p", "a", KEY), SUCCESS)


def test_budgets_go_on_under_the_new_share() -> None:
    world = World()
    budget = world.registry.budget("p")
    for _ in range(100):
        budget.request(world.now)
    assert budget.left(world.now) == 20
    adopt(world)
    assert world.registry.budget("p").left(world.now) == 50


# -- what goes ---------------------------------------------------------------------------------------------------------


def test_of_a_provider_that_is_gone_nothing_stays_open() -> None:
    world = World()
    world.attempt(ILL, times=2)
    world.attempt(LIMITED, "p", "b", OTHER_KEY)
    world.attempt(NO_ACCESS, "p", "b", KEY, times=2)
    world.attempt(DOWN, "q", "c", times=2)
    world.registry.budget("p").request(world.now)
    adopt(world, providers=["q"], configured=[("q", "c")])
    assert {one.provider for one in world.registry.unwell()} == {"q"}
    assert [one for one in world.registry.breakers() if one.provider == "p" and not one.closed] == []
    assert world.registry.breaker("p") is None
    assert world.registry.hold_offs(world.now) == []
    assert "p" not in world.registry.budgets()
    assert ("p", "a", Cause.RESET) in world.causes


def test_what_is_still_under_way_there_is_judged_no_more() -> None:
    world = World()
    world.attempt(SUCCESS)
    permits = [world.admitted() for _ in range(4)] + [world.admitted("p", "new")]
    adopt(world, providers=["q"], configured=[("q", "c")])
    for permit in permits:
        world.settle(permit, DOWN)
    world.registry.budget("p").request(world.now)
    assert world.registry.open_permits == 0
    assert world.registry.breaker("p") is None
    assert world.registry.unwell() == []
    assert world.registry.find("p", "new") is None
    assert "p" not in world.registry.budgets()


def test_a_provider_that_comes_back_is_judged_again() -> None:
    world = World()
    adopt(world, providers=["q"])
    adopt(world)
    world.attempt(DOWN, times=2)
    assert world.state("p") is OPEN


@pytest.mark.parametrize(("mode", "state"), [(Mode.OFF, CLOSED), (Mode.OBSERVE, OPEN)])
def test_breakers_that_are_off_are_not_open(mode: Mode, state: Any) -> None:
    world = World()
    world.attempt(ILL, times=2)
    adopt(world, mode=mode)
    assert world.state("p", "a") is state
    world.admitted()


# -- what is tracked ---------------------------------------------------------------------------------------------------


def test_configured_targets_change_places() -> None:
    gone: list[tuple[str, str]] = []
    world = World(tracked=3)
    world.registry._panel._on_forget = lambda provider, model: gone.append((provider, model))
    for model in ("a", "b", "x"):
        world.attempt(SUCCESS, "p", model)
    adopt(world, tracked=2, configured=[("p", "x")])
    assert len(gone) == 1
    assert gone[0] in [("p", "a"), ("p", "b")], "one too many, and not the configured one"
    world.attempt(SUCCESS, "p", "y")
    world.attempt(SUCCESS, "p", "z")
    assert world.registry.find("p", "x") is not None, "pinned now"
    assert world.registry.find("p", "a") is None


# -- windows -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("before", "after"), [(60.0, 300.0), (300.0, 60.0), (60.0, 60.0), (10.0, 3.3)])
def test_a_resized_window_holds_what_fits_into_it(before: float, after: float) -> None:
    window = Window(before, 2)
    times = [1000.0 + before * n / 40 for n in range(40)]
    for at in times:
        window.add(0, at)
    now = times[-1]
    other = window.resized(after, now)
    held = other.counts(now)[0]
    sure = sum(at > now - min(after, before) + max(after, before) / 10 for at in times)
    possible = sum(at > now - after - before / 10 for at in times)
    assert sure <= held <= possible
    assert other.counts(now + after + after / 10) == [0, 0]
    other.add(1, now)
    assert other.counts(now)[1] == 1


def test_an_empty_window_stays_empty() -> None:
    assert Window(60.0, 2).resized(30.0, 1e6).counts(1e6) == [0, 0]


def test_a_share_begun_with_the_old_window_is_not_given_twice() -> None:
    world = World(failure_threshold=100)
    world.attempt(SUCCESS, times=5)
    share = world.registry.cut("p", "a", world.now)
    assert share is not None
    assert share.counts[0] == 5
    adopt(world, failure_threshold=100, window=120.0)
    world.registry.uncut(share)
    world.attempt(SUCCESS, times=2)
    later = world.registry.cut("p", "a", world.now)
    assert later is not None
    assert later.counts[0] == 2
    assert Pool().heard(0.0) is None
