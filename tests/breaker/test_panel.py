"""All breakers together: those of keys, those moved by hand, and how much is kept for what callers make up."""

from __future__ import annotations

import gc

import pytest

from breaker.breaker import Breaker
from breaker.outcome import NO_MODEL, OTHER_MODEL, SUCCESS
from breaker.panel import CREDENTIALS
from breaker.transition import Cause, Scope
from tests.breaker.world import CLOSED, DOWN, ILL, KEY, LIMITED, NO_ACCESS, OPEN, SPENT, World


@pytest.mark.parametrize("verb", ["open", "close", "reset"])
@pytest.mark.parametrize(
    ("provider", "model"), [("r", None), ("r", "a"), ("p", "unheard"), ("q", "a"), ("p", OTHER_MODEL), ("r", NO_MODEL)]
)
def test_what_is_neither_configured_nor_tracked_is_not_made_by_hand(
    verb: str, provider: str, model: str | None
) -> None:
    world = World()
    with pytest.raises(KeyError):
        getattr(world.registry, verb)(provider, model, 0.0, *([5.0] if verb == "open" else []))
    assert list(world.registry.breakers()) == []
    assert len(world.registry) == 0


@pytest.mark.parametrize(("provider", "model"), [("p", None), ("p", "a"), ("q", "c"), ("p", "heard")])
def test_what_is_configured_or_tracked_can_be_moved_by_hand(provider: str, model: str | None) -> None:
    world = World()
    world.attempt(SUCCESS, model="heard")
    breaker = world.registry.open(provider, model, 0.0, 5.0)
    assert breaker is world.registry.breaker(provider, model)
    assert (breaker.state, breaker.retry_in(0.0), breaker.manual) == (OPEN, 5.0, True)
    assert world.refused(provider, model or "any").retry_after == 5.0
    assert world.registry.close(provider, model, 0.0) is breaker
    assert breaker.state is CLOSED
    world.admitted(provider, model or "any").cancel()
    assert world.registry.reset(provider, model, 0.0) is breaker
    assert [transition.cause for transition in world.told] == [Cause.MANUAL, Cause.MANUAL, Cause.RESET]


def ill_all_over() -> World:
    """Everything is open, and held off."""
    world = World()
    keys = [(model, key) for model in ("a", "b") for key in ("", KEY)]
    permits = [(world.admitted("p", model, key), world.admitted("q", "c", key)) for model, key in keys * 2]
    for verdict in (ILL, DOWN, SPENT, NO_ACCESS, LIMITED):
        for one, other in permits:
            world.settle(one, verdict)
            world.settle(other, verdict)
        if verdict is not LIMITED:
            permits = [
                (
                    world.admitted(one.provider, one.model, one.key, force=True),
                    world.admitted("q", "c", one.key, force=True),
                )
                for one, _ in permits
            ]
    assert all(breaker.state is OPEN for breaker in world.registry.breakers())
    assert len(list(world.registry.breakers())) == 5 + 5
    assert len(world.registry.hold_offs(0.0)) == 6
    return world


def still_open(world: World) -> set[tuple[str, str | None, str]]:
    return {(one.provider, one.model, one.key[:2]) for one in world.registry.breakers() if one.state is not CLOSED}


def test_resetting_a_provider_resets_what_is_below_it() -> None:
    world = ill_all_over()
    world.registry.reset("p", None, 0.0)
    assert still_open(world) == {("q", None, ""), ("q", "c", ""), ("q", None, "01"), ("q", "c", "01")}
    assert {held[:2] for held in world.registry.hold_offs(0.0)} == {("q", "c")}
    assert all(one.openings == 0 for one in world.registry.breakers() if one.provider == "p")


def test_resetting_a_target_resets_its_keys() -> None:
    world = ill_all_over()
    before = still_open(world)
    world.registry.reset("p", "a", 0.0)
    assert before - still_open(world) == {("p", "a", ""), ("p", "a", "01")}
    assert {held[:2] for held in world.registry.hold_offs(0.0)} == {("p", "b"), ("q", "c")}


def test_closing_a_provider_closes_its_own_breaker_only() -> None:
    world = ill_all_over()
    before = still_open(world)
    world.registry.close("p", None, 0.0)
    assert before - still_open(world) == {("p", None, "")}


def test_resetting_all() -> None:
    world = ill_all_over()
    world.registry.close("p", "a", 0.0)
    told = len(world.told)
    assert world.registry.reset_all(0.0) == 9
    assert (still_open(world), world.registry.hold_offs(0.0)) == (set(), [])
    assert len(world.told) == told + 9, "of what was closed nothing is told"
    assert world.registry.reset_all(0.0) == 0


def test_a_reset_forgets_what_closed_breakers_had_seen_too() -> None:
    world = World(failure_threshold=2)
    world.attempt(ILL)
    world.attempt(SPENT, key=KEY)
    world.registry.reset_all(0.0)
    assert all((one.consecutive, one.counts(0.0)) == (0, (0, 0)) for one in world.registry.breakers())


@pytest.mark.parametrize("everything", [True, False])
def test_a_reset_forgets_which_models_had_failed(everything: bool) -> None:
    world = World(failure_threshold=100, min_requests=4)
    world.attempt(ILL, model="a")
    world.registry.reset_all(0.0) if everything else world.registry.reset("p", None, 0.0)
    world.attempt(ILL, model="b", times=4)
    assert world.state("p") is CLOSED, "of the failures since then all are b's"


def test_a_keys_breaker_comes_with_its_first_failure() -> None:
    world = World()
    world.attempt(SUCCESS, key=KEY)
    world.attempt(NO_ACCESS)
    assert len(list(world.registry.breakers())) == 2
    world.attempt(NO_ACCESS, key=KEY)
    found = [breaker for breaker in world.registry.breakers() if breaker.scope is Scope.CREDENTIAL]
    assert [(one.provider, one.model, one.key, one.counts(0.0)) for one in found] == [("p", "a", KEY, (0, 1))]
    world.attempt(SUCCESS, key=KEY)
    assert (found[0].consecutive, found[0].counts(0.0)) == (0, (1, 1))


def test_keys_that_begin_alike_are_apart() -> None:
    world = World()
    world.attempt(SPENT, times=2, key=KEY)
    world.admitted(key=KEY[:8] + "x" * 8).cancel()
    world.refused(key=KEY)


def test_ten_thousand_keys_are_kept_and_those_used_last() -> None:
    world = World(failure_threshold=1)
    assert CREDENTIALS == 10_000
    for number in range(CREDENTIALS):
        world.attempt(SPENT, key=f"key{number}")
    world.now = 60.0
    world.attempt(SPENT, key="key0")
    world.attempt(SPENT, key="new")
    kept = [breaker.key for breaker in world.registry.breakers() if breaker.scope is Scope.CREDENTIAL]
    assert len(kept) == CREDENTIALS
    assert {"key0", "key2", "new"} <= set(kept)
    assert "key1" not in kept
    assert world.registry.rejection("p", "a", 60.0, "key1") is None
    assert world.registry.rejection("p", "a", 60.0, "key0") is not None


def test_a_success_keeps_a_keys_breaker_young() -> None:
    world = World()
    world.attempt(SPENT, key="mine")
    for number in range(CREDENTIALS - 1):
        world.attempt(SPENT, key=f"key{number}")
    world.attempt(SUCCESS, key="mine")
    world.attempt(SPENT, key="new")
    kept = {breaker.key for breaker in world.registry.breakers()}
    assert "mine" in kept
    assert "key0" not in kept


def breakers_alive() -> int:
    gc.collect()
    return sum(isinstance(one, Breaker) for one in gc.get_objects())


def test_a_forgotten_target_leaves_no_breaker_behind() -> None:
    before = breakers_alive()
    world = World(unproven=1, min_requests=1000)
    for number in range(50):
        world.attempt(ILL, model=f"m{number}", times=2)
    assert breakers_alive() - before <= 2
    assert world.registry.breaker("p", "m48") is None
    assert world.refused(model="m49").scope is Scope.TARGET


def test_a_trial_that_outlives_its_target_leaves_no_breaker_behind() -> None:
    before = breakers_alive()
    world = World(unproven=1)
    for number in range(20):
        world.attempt(ILL, model=f"m{number}", times=2)
        world.now += 60.0
        trial = world.admitted(model=f"m{number}")
        world.attempt(ILL, model="pushes it out")
        told = len(world.told)
        world.settle(trial, ILL)
        assert len(world.told) == told, "of what is not kept nothing is told"
        world.now += 600.0
    del trial
    world.told.clear()
    assert breakers_alive() - before <= 3


def test_a_breaker_of_a_key_that_went_leaves_nothing_behind() -> None:
    world = World(failure_threshold=1)
    before = breakers_alive()
    for number in range(CREDENTIALS + 500):
        world.attempt(SPENT, key=f"key{number}")
    assert breakers_alive() - before <= CREDENTIALS + 2
