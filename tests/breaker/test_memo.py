"""What is remembered of a breaker, and that a fresh registry which is told of it goes on where the old one was."""

from __future__ import annotations

import math
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from breaker.memo import Memo
from breaker.outcome import SUCCESS
from breaker.permit import Permit, Rejection
from breaker.transition import Cause
from tests.breaker.world import CLOSED, DOWN, HALF_OPEN, ILL, OPEN, TARGETS, World

WALL = 1.7e9
"""Unix time at second 0 of the monotonic clock."""

OPENED = Memo("p", "a", OPEN, Cause.RATE, Cause.RATE, "ill", False, 1, 503, 1000.0, 1060.0)


def changed(memo: Memo = OPENED, **fields: Any) -> Memo:
    return msgspec.structs.replace(memo, **fields)


@pytest.mark.parametrize(
    ("fields", "wall", "left", "age"),
    [
        ({}, 1000.0, 60.0, 0.0),
        ({}, 1000.25, 59.75, 0.25),
        ({}, 1060.0, 0.0, 60.0),
        ({}, 1e9, 0.0, 1e9 - 1000),
        ({}, 999.0, 60.0, 0.0),  # the other machine's clock is ahead
        ({}, 0.0, 60.0, 0.0),
        ({"state": HALF_OPEN}, 1030.0, 0.0, 30.0),
        ({"state": CLOSED, "opened_at": 0.0, "retry_at": 0.0}, 1030.0, 0.0, 0.0),
        ({"opened_at": 1060.0, "retry_at": 1000.0}, 900.0, 0.0, 0.0),
        ({"retry_at": math.inf}, 1000.0, 0.0, 0.0),
        ({"retry_at": math.nan}, 1000.0, 0.0, 0.0),
        ({"retry_at": -math.inf}, 1000.0, 0.0, 0.0),
        ({"opened_at": math.nan}, 1000.0, 0.0, 0.0),
        ({"opened_at": -math.inf}, 1000.0, 60.0, 0.0),
    ],
)
def test_how_long_it_lasts_by_another_clock(fields: dict[str, Any], wall: float, left: float, age: float) -> None:
    memo = changed(**fields)
    assert (memo.left(wall), memo.age(wall)) == (left, age)


@given(st.floats(), st.floats(), st.floats(0, 4e9))
def test_nothing_lasts_longer_than_it_was_opened_for(opened_at: float, retry_at: float, wall: float) -> None:
    memo = changed(opened_at=opened_at, retry_at=retry_at)
    left = memo.left(wall)
    assert 0.0 <= left < math.inf
    assert left <= max(retry_at - opened_at, 0.0) or math.isnan(retry_at - opened_at)
    assert 0.0 <= memo.age(wall) < math.inf


@pytest.mark.parametrize(
    ("cause", "why"),
    [(Cause.TRIAL_FAILED, Cause.TRIAL_FAILED), (Cause.WAITED, Cause.SLOW), (None, Cause.SLOW)],
)
def test_a_trial_under_way_is_no_reason_to_be_open(cause: Cause | None, why: Cause) -> None:
    assert changed(cause=cause, origin=Cause.SLOW).why is why


def test_what_is_remembered_of_each_state() -> None:
    world = World(success_threshold=1)
    registry = world.registry
    world.now = 50.0
    assert registry.memo("p", "a", 50.0, WALL + 50) is None, "reading makes nothing"
    assert registry.memos(50.0, WALL + 50) == []
    world.attempt(SUCCESS)
    assert registry.memos(50.0, WALL + 50) == [], "nothing to remember"
    never = Memo("p", "a", CLOSED, None, Cause.MANUAL, "", False, 0, None, 0.0, 0.0)
    assert registry.memo("p", "a", 50.0, WALL + 50) == never
    world.attempt(ILL, times=2)
    reason = "2 failures in a row, last: 503 overloaded"
    opened = Memo("p", "a", OPEN, Cause.CONSECUTIVE, Cause.CONSECUTIVE, reason, False, 1, 503, WALL + 50, WALL + 110)
    assert registry.memo("p", "a", 70.0, WALL + 70) == opened, "whenever it is asked"
    assert registry.memos(70.0, WALL + 70) == [opened]
    world.now = 110.0
    permit = world.admitted()
    tried = changed(opened, state=HALF_OPEN, cause=Cause.WAITED)
    assert registry.memos(110.0, WALL + 110) == [tried]
    world.settle(permit, SUCCESS)
    closed = changed(tried, state=CLOSED, cause=Cause.RECOVERED, reason="1 trial succeeded", http_status=None)
    closed = changed(closed, opened_at=0.0, retry_at=0.0)
    assert registry.memos(111.0, WALL + 111) == [closed], "the next time it stays open for longer"
    registry.open("p", None, 120.0, 600.0)
    (of_provider, _) = registry.memos(120.0, WALL + 120)
    assert (of_provider.provider, of_provider.model, of_provider.manual) == ("p", None, True)
    assert (of_provider.cause, of_provider.origin, of_provider.openings) == (Cause.MANUAL, Cause.MANUAL, 0)
    assert of_provider.retry_at - of_provider.opened_at == pytest.approx(600.0)


def test_what_is_told_of_a_move_is_what_is_remembered_of_it() -> None:
    """Whoever writes a memo down does so when a move is told, and must see all of it."""
    world = World()
    world.attempt(ILL, times=2)
    registry = world.registry
    seen: list[tuple[bool, Cause, int]] = []

    def look(_: object) -> None:
        memo = registry.memo("p", "a", 1.0, WALL)
        assert memo is not None
        seen.append((memo.manual, memo.origin, memo.openings))

    registry._panel._on_transition = look
    registry.open("p", "a", 1.0, 5.0)
    registry.tell(OPENED, 1.0, 1000.0)
    registry.reset("p", "a", 1.0)
    assert seen == [(True, Cause.MANUAL, 1), (False, Cause.RATE, 1), (False, Cause.RATE, 0)]


PLACES = [("p", None), ("q", None), *TARGETS]

steps = st.lists(
    st.one_of(
        st.tuples(st.just("fail"), st.sampled_from(TARGETS), st.sampled_from([ILL, DOWN]), st.integers(1, 4)),
        st.tuples(st.just("pass"), st.sampled_from(TARGETS), st.just(SUCCESS), st.integers(1, 3)),
        st.tuples(st.just("wait"), st.sampled_from([0.5, 10.0, 59.9, 60.0, 125.0, 400.0])),
        st.tuples(st.just("open"), st.sampled_from(PLACES), st.sampled_from([1.0, 90.0, 86_400.0])),
        st.tuples(st.just("close"), st.sampled_from(PLACES)),
        st.tuples(st.just("reset"), st.sampled_from(PLACES)),
    ),
    max_size=20,
)


def lived(happened: list[Any]) -> World:
    """A world in which all that happened, with no permit out."""
    world = World()
    for what, *how in happened:
        if what in ("fail", "pass"):
            (provider, model), verdict, times = how
            for _ in range(times):
                permit = world.ask(provider, model)
                if isinstance(permit, Permit):
                    world.settle(permit, verdict)
        elif what == "wait":
            world.now += how[0]
        elif what == "open":
            world.registry.open(*how[0], world.now, how[1])
        elif what == "close":
            world.registry.close(*how[0], world.now)
        else:
            world.registry.reset(*how[0], world.now)
    return world


@settings(deadline=None, max_examples=300)
@given(
    happened=steps,
    start=st.sampled_from([0.0, 3.7, 1e6]),
    down=st.sampled_from([0.0, 0.4, 30.0, 1000.0]),
    later=st.lists(st.sampled_from([0.0, 0.25, 30.0, 60.0, 299.0, 86_400.0]), max_size=4),
    order=st.randoms(use_true_random=False),
)
def test_a_restart_changes_no_answer(
    happened: list[Any], start: float, down: float, later: list[float], order: Any
) -> None:
    """Another process, whose monotonic clock is another one, refuses and lets through at the same times."""
    old, new = lived(happened), World()
    memos = old.registry.memos(old.now, WALL + old.now)
    order.shuffle(memos)
    wall = WALL + old.now + down
    old.now += down
    new.now = start
    for memo in memos:
        new.registry.tell(memo, new.now, wall)
        assert new.registry.tell(memo, new.now, wall) is False, "it is so already"
    for step in [0.0, *later]:
        old.now += step
        new.now += step
        for provider, model in TARGETS:
            was = old.registry.rejection(provider, model, old.now)
            now = new.registry.rejection(provider, model, new.now)
            assert (was is None) == (now is None)
            if isinstance(was, Rejection) and isinstance(now, Rejection):
                assert now.retry_after == pytest.approx(was.retry_after, abs=1e-5)
                assert (now.reason, now.kind, now.status, now.scope) == (was.reason, was.kind, was.status, was.scope)
    assert {one.event for one in new.told} <= {"told_open"}
    for memo in memos:
        again = new.registry.memo(memo.provider, memo.model, start, wall)
        assert again is not None
        assert again.openings == memo.openings, "growth of open time goes on"
        if memo.state is not CLOSED:
            assert again.state is OPEN
            assert (again.reason, again.origin, again.manual) == (memo.reason, memo.origin, memo.manual)
            assert again.http_status == memo.http_status
