"""Trials that are kept for probes: users' requests wait for a moment, and no longer."""

from __future__ import annotations

from typing import Any

import pytest

from breaker.outcome import SUCCESS
from breaker.permit import Permit
from tests.breaker.world import CLOSED, DOWN, HALF_OPEN, ILL, KEY, OPEN, SPENT, World


def tripped(model: str | None = "a", **knobs: Any) -> World:
    """A breaker whose open time ended at second 60, which it now is, reserved until 62."""
    world = World(**knobs)
    world.attempt(ILL if model else DOWN, times=2)
    world.now = 60.0
    breaker = world.registry.breaker("p", model)
    assert breaker is not None
    breaker.reserved = 62.0
    return world


def probe(world: World, key: str = "") -> Permit:
    assert world.registry.rejection("p", "a", world.now, key, probe=True) is None
    return world.admitted(key=key, probe=True)


@pytest.mark.parametrize("model", ["a", None])
def test_a_user_waits_and_a_probe_does_not(model: str | None) -> None:
    world = tripped(model)
    refused = world.refused()
    assert (refused.kind, refused.status, refused.retry_after) == ("open", 503, 1.0)
    assert "a probe is to try it out first: 2 failures in a row" in refused.reason
    assert world.state("p", model) is OPEN
    permit = probe(world)
    assert permit.trial
    assert world.state("p", model) is HALF_OPEN
    assert world.refused().kind == "half_open"
    assert world.registry.rejection("p", "a", world.now, probe=True) is not None, "one at a time"


def test_all_trials_are_probes_until_it_closes() -> None:
    world = tripped(success_threshold=3)
    for _ in range(2):
        permit = probe(world)
        world.refused()
        world.settle(permit, SUCCESS)
        assert world.refused().kind == "half_open", "between two trials too"
    world.settle(probe(world), SUCCESS)
    assert world.state("p", "a") is CLOSED
    breaker = world.registry.breaker("p", "a")
    assert breaker is not None
    assert breaker.reserved == 0.0
    world.attempt(SUCCESS)


@pytest.mark.parametrize("model", ["a", None])
def test_a_promise_that_is_not_kept_ends(model: str | None) -> None:
    world = tripped(model)
    world.now = 61.99
    world.refused()
    world.now = 62.0
    assert world.admitted().trial


def test_a_promise_may_be_taken_back() -> None:
    world = tripped()
    world.refused()
    for one in world.registry.unwell():
        one.reserved = 0.0
    assert world.admitted().trial


def test_no_promise_outlives_a_relapse_or_a_move_by_hand() -> None:
    world = tripped()
    world.settle(probe(world), ILL)
    assert world.state("p", "a") is OPEN
    assert [one.reserved for one in world.registry.unwell()] == [0.0]
    world.registry.unwell()[0].reserved = 1e9
    world.registry.open("p", "a", world.now, 5.0)
    world.now += 5
    assert world.admitted().trial


def test_a_promise_does_not_shorten_the_open_time() -> None:
    world = tripped()
    world.now = 59.0
    assert world.registry.rejection("p", "a", world.now, probe=True) is not None
    assert world.refused().retry_after == 1.0


def test_a_key_is_kept_too() -> None:
    world = World()
    world.attempt(SPENT, key=KEY, times=2)
    world.now = 60.0
    (one,) = world.registry.unwell()
    assert (one.key, one.credential) == (KEY, KEY[:8])
    one.reserved = 62.0
    assert world.refused(key=KEY).status == 402
    world.settle(probe(world, KEY), SUCCESS)
    assert world.refused(key=KEY).status == 402
    world.settle(probe(world, KEY), SUCCESS)
    assert world.registry.unwell() == []


def test_while_it_only_watches_nobody_waits() -> None:
    world = tripped(mode="observe")
    assert world.registry.rejection("p", "a", world.now) is None
    assert not world.admitted().trial


def test_who_gets_the_right_to_try_hears_of_it_at_once() -> None:
    world = World()
    heard: list[str] = []
    world.registry.join(0.0)
    world.registry.lent(lambda one: heard.append(one.name))
    world.attempt(ILL, times=2)
    world.now = 60.0
    world.registry.heard(60.0)
    assert world.registry.rejection("p", "a", world.now, probe=True) is not None, "without it a probe waits too"
    for granted in (False, True, True, False, True):
        world.registry.lease("p", "a", granted)
    world.registry.lease("q", "c", True)
    assert heard == ["p/a", "p/a"]
    assert probe(world).trial


def test_models_that_once_worked() -> None:
    world = World()
    for model in ("x", "y", "z"):
        world.attempt(SUCCESS, model=model)
    world.attempt(SUCCESS, model="x")
    world.attempt(ILL, model="typo")
    world.attempt(SUCCESS, provider="q", model="other")
    world.attempt(SUCCESS, model="a")
    assert list(world.registry.proven("p")) == ["x", "z", "y"]
