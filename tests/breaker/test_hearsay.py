"""What a registry is told by a store or another sidecar: what it makes of that, and what it does not."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from breaker.memo import Memo
from breaker.outcome import NO_MODEL, OTHER_MODEL, SUCCESS
from breaker.policy import REASON_LIMIT
from breaker.registry import Registry
from breaker.transition import Cause, Scope
from breaker.transitions import Event
from config.settings import Breakers
from config.words import Mode
from tests.breaker.world import CLOSED, HALF_OPEN, ILL, KEY, LIMITED, NO_ACCESS, OPEN, SPENT, World

WALL = 1.7e9

OPENED = Memo("p", "a", OPEN, Cause.RATE, Cause.RATE, "told", False, 2, 503, WALL - 20.0, WALL + 40.0)
TRIED = msgspec.structs.replace(OPENED, state=HALF_OPEN, cause=Cause.WAITED)
RECOVERED = Memo("p", "a", CLOSED, Cause.RECOVERED, Cause.RATE, "2 trials succeeded", False, 2, None, 0.0, 0.0)
RESET = Memo("p", "a", CLOSED, Cause.RESET, Cause.RATE, "reset by hand", False, 0, None, 0.0, 0.0)


def changed(memo: Memo, **fields: Any) -> Memo:
    return msgspec.structs.replace(memo, **fields)


def world_in(state: str, **knobs: Any) -> World:
    """A world at second 100 whose p/a is as named."""
    world = World(**knobs)
    world.now = 40.0
    world.attempt(SUCCESS)
    if state != "closed":
        world.attempt(ILL, times=2)
    world.now = 100.0
    if state == "half_open":
        world.admitted()
    world.told.clear()
    assert world.state("p", "a").value == state
    return world


@pytest.mark.parametrize("state", ["closed", "open", "half_open"])
@pytest.mark.parametrize("memo", [OPENED, TRIED])
def test_what_is_open_elsewhere_is_open_here(state: str, memo: Memo) -> None:
    world = world_in(state)
    assert world.registry.tell(memo, 100.0, WALL)
    breaker = world.registry.breaker("p", "a")
    assert breaker is not None
    left = 40.0 if memo is OPENED else 0.0
    assert (breaker.state, breaker.closed, breaker.cause, breaker.origin) == (OPEN, False, Cause.RATE, Cause.RATE)
    assert (breaker.reason, breaker.manual, breaker.openings, breaker.http_status) == ("told", False, 2, 503)
    assert (breaker.opened_at, breaker.retry_at, breaker.trials_out) == (80.0, 100.0 + left, 0)
    assert [(t.event, t.cause, t.reason, t.retry_in, t.now) for t in world.told] == [
        (Event.TOLD_OPEN, Cause.RATE, "told", left, 100.0)
    ]
    assert world.registry.tell(memo, 100.0, WALL) is False
    assert world.registry.tell(memo, 100.5, WALL + 0.5004) is False, "clocks are read one after the other"
    assert len(world.told) == 1


@pytest.mark.parametrize(
    ("fields", "is_told"),
    [
        ({}, False),
        ({"retry_at": WALL + 40.0009}, False),
        ({"retry_at": WALL + 40.0011}, True),
        ({"reason": "another"}, True),
        ({"cause": Cause.SLOW}, True),
    ],
)
def test_news_of_what_is_open_already(fields: dict[str, Any], is_told: bool) -> None:
    world = world_in("closed")
    world.registry.tell(OPENED, 100.0, WALL)
    memo = changed(OPENED, opened_at=WALL - 21.0, **fields)
    assert world.registry.tell(memo, 100.0, WALL) is is_told
    assert len(world.told) == 1 + is_told


def test_a_trial_elsewhere_is_no_news_to_one_that_waits_for_it() -> None:
    """However long it has waited, and whatever it opened for the second time: it goes on waiting."""
    world = world_in("half_open")
    relapse = changed(OPENED, cause=Cause.TRIAL_FAILED, retry_at=WALL)
    assert world.registry.tell(relapse, 100.0, WALL)
    assert world.registry.tell(changed(TRIED, retry_at=WALL), 107.0, WALL + 7) is False
    breaker = world.registry.breaker("p", "a")
    assert breaker is not None
    assert (breaker.cause, breaker.retry_at) == (Cause.TRIAL_FAILED, 100.0)


@pytest.mark.parametrize("state", ["open", "half_open"])
def test_what_has_recovered_elsewhere_is_closed_here(state: str) -> None:
    world = world_in(state)
    assert world.registry.tell(RECOVERED, 100.0, WALL)
    assert world.registry.memo("p", "a", 100.0, WALL) == RECOVERED
    assert [(t.event, t.cause, t.reason, t.retry_in) for t in world.told] == [
        (Event.TOLD_CLOSED, Cause.RECOVERED, "2 trials succeeded", None)
    ]
    assert world.registry.tell(RECOVERED, 100.0, WALL) is False
    world.admitted().cancel()


def test_openings_that_still_count_are_taken_over_and_shrink_from_then_on() -> None:
    world = world_in("closed", open_for=10.0, max_open_for=1000.0)
    assert world.registry.tell(RECOVERED, 100.0, WALL) is False
    assert world.told == []
    breaker = world.registry.breaker("p", "a")
    assert breaker is not None
    assert breaker.openings == 2
    world.now = 159.9
    world.attempt(SUCCESS)
    assert breaker.openings == 2, "not all at once because the clock of this process is far on"
    world.now = 160.0
    world.attempt(SUCCESS)
    assert breaker.openings == 1
    assert world.registry.tell(changed(RECOVERED, openings=1), 160.0, WALL) is False
    world.now = 219.9
    world.attempt(SUCCESS)
    assert breaker.openings == 1, "the same once more changes nothing"
    world.attempt(ILL, times=2)
    assert world.refused().retry_after == 20.0


def test_a_memo_of_growth_makes_what_is_configured_and_nothing_else() -> None:
    registry = World().registry
    for provider, model in [("p", "a"), ("q", None), ("p", "unheard"), ("r", None), ("r", "a"), ("p", OTHER_MODEL)]:
        memo = changed(RECOVERED, provider=provider, model=model)
        assert registry.tell(changed(memo, openings=0), 0.0, WALL) is False
        assert registry.tell(memo, 0.0, WALL) is False
    assert [(one.provider, one.model, one.openings) for one in registry.breakers()] == [("q", None, 2), ("p", "a", 2)]
    registry = World().registry
    assert registry.tell(changed(RECOVERED, openings=0), 0.0, WALL) is False
    assert list(registry.breakers()) == []


@pytest.mark.parametrize(
    ("provider", "model", "is_made"),
    [
        ("p", "a", True),
        ("p", None, True),
        ("p", "invented", True),
        ("p", "a/b}\n\x00\ud800" + "x" * 5000, True),
        ("p", NO_MODEL, True),
        ("p", OTHER_MODEL, False),
        ("r", None, False),
        ("r", "a", False),
        ("r", NO_MODEL, False),
    ],
)
def test_what_is_open_elsewhere_is_made_here(provider: str, model: str | None, is_made: bool) -> None:
    world = World()
    memo = changed(OPENED, provider=provider, model=model)
    assert world.registry.tell(memo, 100.0, WALL) is is_made
    breaker = world.registry.breaker(provider, model)
    assert (breaker is not None) is is_made
    assert len(list(world.registry.breakers())) == is_made
    if is_made:
        world.now = 100.0
        rejection = world.refused(provider, model or "any")
        assert (rejection.retry_after, rejection.scope) == (40.0, Scope.PROVIDER if model is None else Scope.TARGET)
        assert world.registry.memo(provider, model, 100.0, WALL) == memo


def test_invented_names_push_out_each_other_and_nothing_else() -> None:
    world = World(unproven=3)
    world.attempt(SUCCESS, model="proven")
    for number in range(10):
        assert world.registry.tell(changed(OPENED, model=f"m{number}"), 0.0, WALL)
    kept = {one.model for one in world.registry.breakers() if one.scope is Scope.TARGET}
    assert kept == {"proven", "m7", "m8", "m9"}
    assert len(world.registry._company.unwell) == 3


@pytest.mark.parametrize("mode", list(Mode))
def test_modes(mode: Mode) -> None:
    world = World(mode=mode)
    assert world.registry.tell(OPENED, 0.0, WALL) is (mode is not Mode.OFF)
    assert world.state("p", "a") is (CLOSED if mode is Mode.OFF else OPEN)
    world.registry.open("p", "b", 0.0, 5.0)
    assert world.registry.tell(changed(RECOVERED, model="b"), 0.0, WALL), "closing is never wrong"
    assert world.state("p", "b") is CLOSED


def test_a_manual_opening_stays_one() -> None:
    world = World()
    memo = changed(OPENED, cause=Cause.MANUAL, origin=Cause.MANUAL, manual=True, openings=0, http_status=None)
    assert world.registry.tell(memo, 0.0, WALL)
    assert world.registry.memo("p", "a", 5.0, WALL + 5) == memo
    world.now = 40.0
    world.admitted().cancel()
    tried = world.registry.memo("p", "a", 40.0, WALL + 40)
    assert tried == changed(memo, state=HALF_OPEN, cause=Cause.WAITED)
    assert world.registry.tell(OPENED, 40.0, WALL)
    assert world.registry.memo("p", "a", 40.0, WALL) == OPENED


def test_what_out_of_a_store_is_kept_within_bounds() -> None:
    world = World(max_open_for=300.0)
    memo = changed(OPENED, reason="x" * 10_000, openings=-3)
    assert world.registry.tell(memo, 0.0, WALL)
    breaker = world.registry.breaker("p", "a")
    assert breaker is not None
    assert (breaker.reason, breaker.openings) == ("x" * REASON_LIMIT, 0)
    assert world.registry.tell(memo, 0.0, WALL) is False
    assert world.registry.tell(changed(RECOVERED, openings=-1), 0.0, WALL)
    assert breaker.openings == 0
    assert world.registry.tell(changed(OPENED, openings=10**30), 0.0, WALL)
    world.now = 40.0
    world.attempt(ILL)
    assert world.refused().retry_after == 300.0


def ill_below() -> World:
    """p with all its models, the keys there, and q/c: open, and p/a held off."""
    world = World(failure_threshold=1)
    permits = [world.admitted("p", "a", KEY), world.admitted("p", "a", KEY), world.admitted("p", "a", KEY)]
    permits += [world.admitted("p", "b"), world.admitted("q", "c"), world.admitted("p", "a")]
    for permit, verdict in zip(permits, (LIMITED, NO_ACCESS, SPENT, ILL, ILL, ILL), strict=True):
        world.settle(permit, verdict)
    world.registry.open("p", None, 0.0, 60.0)
    world.told.clear()
    return world


@pytest.mark.parametrize("model", ["a", None])
def test_a_reset_elsewhere_does_here_what_a_reset_by_hand_does(model: str | None) -> None:
    by_hand, told = ill_below(), ill_below()
    for world in (by_hand, told):
        world.settle(world.admitted("p", "fine", force=True), SUCCESS)
    by_hand.registry.reset("p", model, 0.0)
    assert told.registry.tell(changed(RESET, model=model), 0.0, WALL)

    def seen(world: World) -> list[object]:
        return [
            [(b.provider, b.model, b.key, b.state, b.openings, b.cause, b.reason) for b in world.registry.breakers()],
            [(t.provider, t.model, t.credential, t.was, t.state, t.cause, t.reason) for t in world.told if t.model],
            world.registry.hold_offs(0.0),
            [world.registry.rejection(*target, 0.0, KEY) for target in (("p", "a"), ("p", "b"), ("q", "c"))],
        ]

    assert seen(told)[2:] == seen(by_hand)[2:]
    assert sorted(map(str, seen(told)[0])) == sorted(map(str, seen(by_hand)[0]))  # type: ignore[call-overload]
    assert sorted(map(str, seen(told)[1])) == sorted(map(str, seen(by_hand)[1]))  # type: ignore[call-overload]
    assert {t.event for t in told.told} >= {Event.TOLD_CLOSED}


def test_a_reset_of_what_is_closed_clears_it() -> None:
    world = world_in("closed")
    world.attempt(ILL)
    world.settle(world.admitted(key=KEY), LIMITED)
    world.registry.tell(RECOVERED, 100.0, WALL)
    assert world.registry.tell(RESET, 100.0, WALL)
    breaker = world.registry.breaker("p", "a")
    assert breaker is not None
    assert (breaker.state, breaker.openings, breaker.consecutive, breaker.counts(100.0)) == (CLOSED, 0, 0, (0, 0))
    assert world.registry.hold_offs(100.0) == []
    assert world.registry.standing("p", "a", 100.0).success_rate is None


def test_a_reset_of_what_is_unknown_is_nothing() -> None:
    world = World()
    assert world.registry.tell(RESET, 0.0, WALL) is False
    assert world.registry.tell(changed(RESET, provider="r", model=None), 0.0, WALL) is False
    assert list(world.registry.breakers()) == []


def test_keys_are_never_told_of() -> None:
    world = ill_below()
    assert {(memo.provider, memo.model) for memo in world.registry.memos(0.0, WALL)} == {
        ("p", None),
        ("p", "a"),
        ("p", "b"),
        ("q", "c"),
    }


def test_an_attempt_from_before_it_was_told_changes_nothing_after() -> None:
    world = world_in("closed", failure_threshold=1)
    late = world.admitted()
    world.registry.tell(OPENED, 100.0, WALL)
    world.registry.tell(RECOVERED, 100.0, WALL)
    world.settle(late, ILL)
    assert world.state("p", "a") is CLOSED


def test_tracking() -> None:
    registry = Registry(tracked=1, unproven=1, configured=[("p", "a")], per_provider={"p": Breakers()})
    registry.track("p", "a", True)
    registry.track("p", "x", True)
    registry.track("p", "y", False)
    registry.track("p", "z", False)
    registry.track("p", OTHER_MODEL, True)
    assert [(one.provider, one.model) for one in registry] == [("p", "a"), ("p", "z")]
    assert [one.counts(0.0) for one in registry.breakers()] == [(0, 0), (0, 0)]
    assert registry.standing("p", "z", 0.0).success_rate is None
