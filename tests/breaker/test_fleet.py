"""Breakers in a fleet: who may try an open one out, and the window that all sidecars fill together."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from breaker.fleet import SILENCE, Fleet, Share
from breaker.memo import Memo
from breaker.outcome import SUCCESS, Blame, Status, Verdict
from breaker.registry import Registry
from breaker.transition import Cause
from breaker.transitions import Event
from config.settings import Breakers
from config.words import Mode
from tests.breaker.pair import Pair
from tests.breaker.test_against_reference import CONFIGURED, Breaking, knobs, run
from tests.breaker.world import CLOSED, DOWN, HALF_OPEN, ILL, KEY, OPEN, SPENT, World

WALL = 1.7e9
NOTHING = (0, 0, 0, 0, 0)


# -- leases --------------------------------------------------------------------------------------------------------


def waiting(model: str | None = "a", **knobs: Any) -> World:
    """A fleet's sidecar whose store answers, with a breaker whose open time ended at second 60, which it now is."""
    world = World(**knobs)
    world.registry.join(0.0)
    if model is None:
        world.attempt(DOWN, times=2)
    else:
        world.attempt(ILL, times=2, model=model)
    world.now = 60.0
    world.registry.heard(60.0)
    return world


@pytest.mark.parametrize("model", ["a", None])
def test_without_the_lease_it_stays_open(model: str | None) -> None:
    world = waiting(model)
    rejection = world.refused()
    assert (rejection.kind, rejection.status, rejection.retry_after) == ("open", 503, 1.0)
    assert "another sidecar may be trying it out" in rejection.reason
    assert rejection.reason.endswith("2 failures in a row, last: " + ("refused" if model is None else "503 overloaded"))
    assert world.state("p", model) is OPEN
    assert len(world.told) == 1


@pytest.mark.parametrize("model", ["a", None])
def test_with_the_lease_it_is_tried_out(model: str | None) -> None:
    world = waiting(model, success_threshold=2)
    world.registry.lease("p", model, True)
    assert world.registry.rejection("p", "a", 60.0) is None
    permit = world.admitted()
    assert permit.trial
    assert world.state("p", model) is HALF_OPEN
    breaker = world.registry.breaker("p", model)
    assert breaker is not None
    assert breaker.leased, "it is still ours"
    assert world.refused().kind == "half_open"
    world.settle(permit, SUCCESS)
    world.registry.lease("p", model, False)
    world.attempt(SUCCESS)
    assert world.state("p", model) is CLOSED, "who has begun goes on"
    assert breaker.leased is False


def test_a_lease_is_for_one_trial() -> None:
    world = waiting()
    world.registry.lease("p", "a", True)
    world.attempt(ILL)
    world.now = 180.0
    world.registry.heard(180.0)
    assert world.refused().retry_after == 1.0
    world.registry.lease("p", "a", True)
    world.registry.open("p", "a", 180.0, 10.0)
    world.now = 190.0
    assert world.refused().retry_after == 1.0, "opened by hand, it is no different afterwards"


def test_a_lease_does_not_shorten_the_open_time() -> None:
    world = waiting()
    world.now = 59.0
    world.registry.lease("p", "a", True)
    assert world.refused().retry_after == 1.0
    assert "another sidecar" not in world.refused().reason


@pytest.mark.parametrize(
    ("heard", "now", "passes"),
    [
        (None, 60.0, False),
        (None, 60.49, False),
        (None, 60.5, True),
        (0.0, 60.5, True),
        (59.99, 60.5, True),
        (60.0, 60.5, False),
        (60.1, 60.5, False),
        (60.1, 60.61, True),
        (60.1, 1e6, True),
        (1e6, 1e6, False),
    ],
)
def test_after_a_silence_each_decides_alone(heard: float | None, now: float, passes: bool) -> None:
    world = World()
    world.registry.join(0.0)
    world.attempt(ILL, times=2)
    if heard is not None:
        world.registry.heard(heard)
    world.now = now
    assert (world.registry.rejection("p", "a", now) is None) is passes
    if passes:
        assert world.admitted().trial
        assert world.state("p", "a") is HALF_OPEN
    else:
        world.refused()


def test_one_that_has_just_joined_gives_the_store_time_to_answer() -> None:
    world = World()
    world.registry.tell(Memo("p", "a", OPEN, Cause.RATE, Cause.RATE, "ill", False, 1, 503, WALL - 9, WALL), 99.0, WALL)
    world.registry.join(100.0)
    world.now = 100.5
    world.refused()
    world.now = 100.6
    assert world.admitted().trial


@pytest.mark.parametrize("at", [0.0, 1e6])
def test_silence(at: float) -> None:
    fleet = Fleet(at)
    assert fleet.heard_at == -math.inf
    assert (fleet.silent(at), fleet.silent(at + SILENCE), fleet.silent(at + 0.75)) == (False, False, True)
    fleet.heard(at + 1.0)
    fleet.heard(at + 0.5)
    assert fleet.heard_at == at + 1.0, "answers may be told out of order"
    assert (fleet.silent(at + 1.5), fleet.silent(at + 1.75)) == (False, True)


def test_a_force_passes_and_is_no_trial() -> None:
    world = waiting()
    permit = world.admitted(force=True)
    assert not permit.trial
    world.settle(permit, SUCCESS)
    assert world.state("p", "a") is OPEN


def test_what_only_watches_asks_nobody() -> None:
    world = waiting(mode=Mode.OBSERVE)
    assert world.admitted().trial
    assert world.state("p", "a") is HALF_OPEN
    assert world.registry.due(60.0) == []


def test_a_key_is_nobody_elses_business() -> None:
    world = World()
    world.registry.join(0.0)
    world.attempt(SPENT, times=2, key=KEY)
    world.now = 60.0
    world.registry.heard(60.0)
    assert world.registry.due(60.0) == []
    assert world.admitted(key=KEY).trial


def test_alone_nothing_is_leased() -> None:
    world = World()
    world.attempt(ILL, times=2)
    world.now = 60.0
    world.registry.heard(60.0)
    assert world.admitted().trial


def test_joining_again_forgets_nothing() -> None:
    world = waiting()
    world.registry.join(60.0)
    world.now = 60.51
    assert world.admitted().trial


def test_what_is_due() -> None:
    world = World()
    registry = world.registry
    registry.join(0.0)
    for model in ("c", "b", "a"):
        world.attempt(SUCCESS, model=model)
    registry.open("p", "b", 0.0, 60.0)
    registry.open("p", "a", 0.0, 60.0)
    registry.open("q", None, 0.0, 10.0)
    registry.open("p", "c", 0.0, 90.0)
    assert registry.due(9.9) == []
    assert [(one.provider, one.model) for one in registry.due(10.0)] == [("q", None)]
    assert [(one.provider, one.model) for one in registry.due(60.0)] == [("p", "a"), ("p", "b"), ("q", None)]
    registry.lease("p", "b", True)
    world.now = 60.0
    world.admitted(model="b")
    assert world.state("p", "b") is HALF_OPEN
    assert [(one.provider, one.model) for one in registry.due(60.0)] == [("p", "a"), ("p", "b"), ("q", None)]
    registry.reset_all(60.0)
    assert registry.due(60.0) == []


def test_leases_of_what_is_closed_or_unknown_are_nothing() -> None:
    world = World()
    world.attempt(SUCCESS)
    for place in (("p", "a"), ("p", None), ("p", "x"), ("r", None)):
        world.registry.lease(*place, True)
    assert [one.leased for one in world.registry.breakers()] == [False, False]


class Leased(Pair):
    """A sidecar of a fleet that is granted every lease, and whose shares are never delivered."""

    def admit(self, provider: str, model: str, key: str = "", lease: float = math.inf, *, force: bool = False) -> bool:
        for one in self.registry.due(self.now):
            self.registry.lease(one.provider, one.model, True)
        return super().admit(provider, model, key, lease, force=force)

    def compare(self) -> None:
        super().compare()
        self.registry.heard(self.now)
        for one in list(self.registry.breakers()):
            share = self.registry.cut(one.provider, one.model, self.now)
            if share is not None:
                self.registry.uncut(share)


class LeasedBreaking(Breaking):
    """Whoever is granted every lease behaves as if it were alone."""

    @initialize(
        knobs=knobs,
        other=st.none() | knobs,
        stand_ins=st.sampled_from([[], CONFIGURED, CONFIGURED[:1]]),
        share=st.sampled_from([0.0, 0.5, 0.999]),
        start=st.sampled_from([0.0, 17.25, 86_400.0 * 400]),
    )
    def begin(
        self, knobs: Breakers, other: Breakers | None, stand_ins: list[tuple[str, str]], share: float, start: float
    ) -> None:
        per_provider = {} if other is None else {"q": other}
        self.pair = Leased(
            knobs=knobs,
            per_provider=per_provider,
            configured=CONFIGURED,
            stand_ins=stand_ins,
            share=share,
            start=start,
        )
        self.pair.registry.join(start)


def test_a_fleet_that_grants_everything_is_like_being_alone() -> None:
    LeasedBreaking.steps = 0
    run(LeasedBreaking, 60)
    assert LeasedBreaking.steps >= 2_000


# -- the fleet's window ----------------------------------------------------------------------------------------------


def cut(registry: Registry, provider: str, model: str | None, now: float) -> Share:
    share = registry.cut(provider, model, now)
    assert share is not None
    return share


def test_what_is_in_a_share() -> None:
    world = World(failure_threshold=100, window=30.0)
    registry = world.registry
    assert registry.cut("p", "a", 0.0) is None, "reading makes nothing"
    world.attempt(SUCCESS, times=2)
    world.attempt(ILL)
    world.attempt(DOWN)
    world.attempt(ILL, model="b")
    world.attempt(SUCCESS, streamed=True, first_byte=31.0)
    assert cut(registry, "p", "a", 0.0) == Share("p", "a", 0, (3, 1, 0, 1, 0), (), 3.0, "503 overloaded")
    assert cut(registry, "p", None, 0.0) == Share("p", None, 0, (3, 1, 2, 0, 0), ("a", "b"), 3.0, "b: 503 overloaded")
    assert cut(registry, "p", "a", 0.0) == Share("p", "a", 0, NOTHING, (), 3.0, "")
    world.now = 3.5
    world.attempt(SUCCESS)
    assert cut(registry, "p", None, 3.5) == Share("p", None, 0, (1, 0, 0, 0, 0), (), 3.0, "")
    world.attempt(ILL, model="b")
    assert cut(registry, "p", None, 3.5) == Share("p", None, 0, (0, 0, 1, 0, 0), ("b",), 3.0, "b: 503 overloaded")


def test_models_that_failed_too_long_ago_are_in_no_share() -> None:
    world = World(failure_threshold=100)
    world.attempt(ILL, model="a")
    world.now = 55.0
    world.attempt(ILL, model="b")
    assert cut(world.registry, "p", None, 70.0).models == ("b",)


@pytest.mark.parametrize("state", [OPEN, HALF_OPEN])
def test_what_is_not_closed_takes_no_part(state: str) -> None:
    world = World()
    world.attempt(ILL, times=2)
    if state is HALF_OPEN:
        world.now = 60.0
        world.admitted()
    assert world.state("p", "a") is state
    assert world.registry.cut("p", "a", world.now) is None


def test_what_is_off_takes_no_part() -> None:
    world = World(mode=Mode.OFF)
    world.attempt(ILL, times=2)
    assert world.registry.cut("p", "a", 0.0) is None


def test_what_was_not_delivered_is_in_the_next_share() -> None:
    world = World(failure_threshold=100)
    world.attempt(ILL, times=2)
    share = cut(world.registry, "p", "a", 0.0)
    world.attempt(SUCCESS)
    world.registry.uncut(share)
    world.registry.uncut(share)
    world.now = 10.0
    world.attempt(ILL)
    again = cut(world.registry, "p", "a", 10.0)
    assert again.counts == (1, 3, 0, 0, 0)
    world.registry.shared(again, again.counts, 0, 10.0, 5.0)
    world.registry.uncut(again)
    assert cut(world.registry, "p", "a", 10.0).counts == NOTHING, "it was delivered"


def test_a_share_that_nobody_answers_for_is_lost_and_nothing_else() -> None:
    world = World(failure_threshold=100)
    world.attempt(ILL)
    cut(world.registry, "p", "a", 0.0)
    world.attempt(ILL)
    share = cut(world.registry, "p", "a", 0.0)
    assert share.counts == (0, 1, 0, 0, 0)
    world.registry.uncut(share)
    assert cut(world.registry, "p", "a", 0.0).counts == (0, 1, 0, 0, 0)


def test_an_answer_for_a_share_that_was_taken_back_is_not_heard() -> None:
    world = World(failure_threshold=100, min_requests=2)
    world.attempt(ILL)
    share = cut(world.registry, "p", "a", 0.0)
    world.registry.uncut(share)
    world.registry.shared(share, (0, 2, 0, 0, 0), 0, 0.0, 5.0)
    assert world.told == []


def test_a_share_from_before_a_move_is_not_mistaken_for_one_after_it() -> None:
    world = World(failure_threshold=100, min_requests=2)
    world.attempt(SUCCESS)
    old = cut(world.registry, "p", "a", 0.0)
    world.registry.reset("p", "a", 0.0)
    world.told.clear()
    world.attempt(ILL)
    new = cut(world.registry, "p", "a", 0.0)
    assert new.generation > old.generation
    world.registry.uncut(old)
    world.registry.shared(old, (0, 2, 0, 0, 0), 0, 0.0, 5.0)
    assert world.told == []
    world.registry.shared(new, (0, 2, 0, 0, 0), 0, 0.0, 5.0)
    assert world.causes == [("p", "a", Cause.RATE)]


def moved(world: World, how: str) -> None:
    if how == "tripped":
        while world.state("p", "a") is CLOSED:
            world.attempt(ILL)
        world.registry.close("p", "a", world.now)
    elif how == "closed by hand":
        world.registry.close("p", "a", world.now)
    elif how == "reset":
        world.registry.reset("p", "a", world.now)
    elif how == "all reset":
        world.registry.reset_all(world.now)
    else:
        world.registry.tell(
            Memo("p", "a", CLOSED, Cause.RESET, Cause.RATE, "reset", False, 0, None, 0.0, 0.0), world.now, WALL
        )
    world.told.clear()


MOVES = ["tripped", "closed by hand", "reset", "all reset", "told"]


@pytest.mark.parametrize("how", MOVES)
def test_a_share_from_before_a_move_changes_nothing_after(how: str) -> None:
    world = World(min_requests=4)
    world.attempt(ILL)
    share = cut(world.registry, "p", "a", 0.0)
    moved(world, how)
    world.registry.shared(share, (0, 100, 0, 0, 0), 0, 0.0, 60.0, "503")
    assert (world.state("p", "a"), world.told) == (CLOSED, [])
    world.registry.uncut(share)
    world.attempt(SUCCESS)
    assert cut(world.registry, "p", "a", 0.0).counts == (1, 0, 0, 0, 0)


@pytest.mark.parametrize("how", MOVES)
def test_what_was_heard_before_a_move_is_forgotten(how: str) -> None:
    world = World(min_requests=11, failure_threshold=100 if how != "tripped" else 2)
    world.attempt(SUCCESS)
    world.registry.shared(cut(world.registry, "p", "a", 0.0), (1, 9, 0, 0, 0), 0, 0.0, 60.0)
    moved(world, how)
    world.attempt(ILL)
    assert (world.state("p", "a"), world.told) == (CLOSED, [])


def test_the_fleets_window_trips_at_once() -> None:
    world = World(failure_threshold=100, min_requests=10)
    world.attempt(SUCCESS)
    world.attempt(ILL)
    share = cut(world.registry, "p", "a", 0.0)
    world.registry.shared(share, (5, 4, 0, 0, 0), 0, 0.0, 5.0, "502 elsewhere")
    assert world.told == []
    share = cut(world.registry, "p", "a", 0.0)
    world.registry.shared(share, (4, 6, 0, 0, 0), 0, 0.0, 5.0, "502 elsewhere")
    reason = "6 of 10 requests failed in 60 s in the fleet, last: 502 elsewhere"
    assert [(t.event, t.cause, t.reason, t.retry_in) for t in world.told] == [(Event.TRIP, Cause.RATE, reason, 60.0)]
    breaker = world.registry.breaker("p", "a")
    assert breaker is not None
    assert breaker.origin is Cause.RATE
    assert breaker.openings == 1


@pytest.mark.parametrize(("last", "told"), [("", ", last: 503 overloaded"), ("500", ", last: 500")])
def test_where_the_fleet_says_not_how_the_last_one_went(last: str, told: str) -> None:
    world = World(failure_threshold=100, min_requests=2)
    world.attempt(ILL)
    world.registry.shared(cut(world.registry, "p", "a", 0.0), (0, 2, 0, 0, 0), 0, 0.0, 5.0, last)
    assert world.told[0].reason == "2 of 2 requests failed in 60 s in the fleet" + told


@pytest.mark.parametrize(("now", "trips"), [(0.0, True), (4.9, True), (5.0, False)])
def test_a_failure_here_is_judged_with_what_was_heard_as_long_as_that_lasts(now: float, trips: bool) -> None:
    world = World(failure_threshold=100, min_requests=10)
    world.attempt(SUCCESS)
    world.registry.shared(cut(world.registry, "p", "a", 0.0), (4, 4, 0, 0, 0), 0, 0.0, 5.0)
    world.now = now
    world.attempt(SUCCESS)
    assert world.told == []
    world.attempt(ILL)
    assert bool(world.told) is trips
    if trips:
        assert world.told[0].reason == "5 of 10 requests failed in 60 s in the fleet, last: 503 overloaded"


def test_what_is_on_its_way_is_counted_once() -> None:
    """Failures in a share that has not been answered are not yet in what was heard, and are in what comes next."""
    world = World(failure_threshold=100, min_requests=10)
    world.attempt(SUCCESS)
    world.registry.shared(cut(world.registry, "p", "a", 0.0), (8, 3, 0, 0, 0), 0, 0.0, 5.0)
    world.attempt(ILL, times=3)
    share = cut(world.registry, "p", "a", 0.0)
    world.attempt(ILL)
    assert world.told == [], "7 of 15"
    world.registry.shared(share, (8, 6, 0, 0, 0), 0, 0.0, 5.0)
    assert world.told == []
    world.attempt(ILL)
    assert world.told[0].reason.startswith("8 of 16 requests failed in 60 s in the fleet")


def test_the_own_window_comes_first() -> None:
    world = World(failure_threshold=100, min_requests=2)
    world.attempt(SUCCESS)
    world.registry.shared(cut(world.registry, "p", "a", 0.0), (900, 0, 0, 0, 0), 0, 0.0, 5.0)
    world.attempt(ILL)
    assert world.told[0].reason == "1 of 2 requests failed in 60 s, last: 503 overloaded"


def test_failures_in_a_row_are_those_of_one_sidecar() -> None:
    world = World(failure_threshold=3, min_requests=100)
    world.attempt(ILL)
    world.registry.shared(cut(world.registry, "p", "a", 0.0), (0, 50, 0, 0, 0), 0, 0.0, 5.0)
    world.attempt(ILL)
    assert world.told == []
    world.attempt(ILL)
    assert world.causes == [("p", "a", Cause.CONSECUTIVE)]


@pytest.mark.parametrize(
    ("counts", "models", "cause"),
    [
        ((5, 0, 5, 0, 0), 1, None),
        ((5, 0, 5, 0, 0), 2, Cause.RATE),
        ((5, 5, 0, 0, 0), 0, Cause.HOST_RATE),
        ((0, 0, 0, 10, 0), 0, None),
    ],
)
def test_a_providers(counts: Sequence[int], models: int, cause: Cause | None) -> None:
    world = World(failure_threshold=100, min_requests=10)
    world.attempt(SUCCESS)
    world.registry.shared(cut(world.registry, "p", None, 0.0), counts, models, 0.0, 5.0, "a: 503")
    assert [transition.cause for transition in world.told] == ([] if cause is None else [cause])
    if cause is Cause.RATE:
        told = "5 of 10 requests failed in 60 s in the fleet at 2 models or more, last: a: 503"
        assert world.told[0].reason == told


@pytest.mark.parametrize(
    ("elsewhere", "here", "trips"), [(2, ["a"], True), (0, ["a", "b"], True), (1, ["a"], False), (0, ["a"], False)]
)
def test_two_models_that_failed_here_or_elsewhere(elsewhere: int, here: list[str], trips: bool) -> None:
    world = World(failure_threshold=100, min_requests=10)
    world.attempt(SUCCESS)
    world.registry.shared(cut(world.registry, "p", None, 0.0), (4, 0, 10 - 4 - len(here), 0, 0), elsewhere, 0.0, 5.0)
    assert world.told == []
    for model in here:
        world.attempt(ILL, model=model)
    assert world.causes == ([("p", None, Cause.RATE)] if trips else [])


@pytest.mark.parametrize("stands_in", [True, False])
def test_slow_answers_elsewhere_trip_what_something_could_stand_in_for(stands_in: bool) -> None:
    world = World(stand_ins=[("p", "a")] if stands_in else [("p", "b")], min_requests=10)
    world.attempt(SUCCESS)
    world.registry.shared(cut(world.registry, "p", "a", 0.0), (10, 0, 0, 8, 2), 0, 0.0, 5.0)
    assert world.causes == ([("p", "a", Cause.SLOW)] if stands_in else [])
    if stands_in:
        assert world.told[0].reason == "8 of 10 streamed answers took longer than 30 s to begin in the fleet"


def test_a_slow_answer_here_is_judged_with_those_elsewhere() -> None:
    world = World(min_requests=10)
    world.attempt(SUCCESS)
    world.registry.shared(cut(world.registry, "p", "a", 0.0), (9, 0, 0, 7, 2), 0, 0.0, 5.0)
    assert world.told == []
    world.attempt(SUCCESS, streamed=True, first_byte=31.0)
    assert world.causes == [("p", "a", Cause.SLOW)]


def test_an_answer_for_what_is_gone_is_nothing() -> None:
    world = World(unproven=1)
    world.attempt(ILL, model="x")
    share = cut(world.registry, "p", "x", 0.0)
    world.attempt(ILL, model="y")
    world.registry.shared(share, (0, 50, 0, 0, 0), 0, 0.0, 5.0)
    world.registry.uncut(share)
    assert world.registry.breaker("p", "x") is None


@pytest.mark.parametrize("counts", [(), (1, 2, 3, 4), (1, 2, 3, 4, 5, 6)])
def test_an_answer_of_another_shape_is_refused(counts: Sequence[int]) -> None:
    world = World()
    world.attempt(ILL)
    share = cut(world.registry, "p", "a", 0.0)
    with pytest.raises(ValueError, match="values to unpack"):
        world.registry.shared(share, counts, 0, 0.0, 5.0)
    assert world.told == []
    world.registry.uncut(share)
    assert cut(world.registry, "p", "a", 0.0).counts == (0, 1, 0, 0, 0)


class Store:
    """One breaker's window of a whole fleet: each count with the time it was delivered at."""

    def __init__(self, span: float = 60.0) -> None:
        self._span = span
        self._rows: list[tuple[float, Share]] = []

    def flush(self, registry: Registry, provider: str, model: str | None, now: float) -> None:
        share = registry.cut(provider, model, now)
        if share is not None:
            self._rows.append((now, share))
            rows = [one for at, one in self._rows if at > now - self._span]
            counts = [sum(column) for column in zip(*(one.counts for one in rows), strict=True)]
            models = {name for one in rows for name in one.models}
            last = [one.last for one in rows if one.last]
            registry.shared(share, counts, min(len(models), 2), now, 5.0, last[-1] if last else "")


def test_a_provider_that_fails_a_little_everywhere_trips_everywhere() -> None:
    """Four sidecars see five requests each in turn, too few to judge by: together they are enough."""
    worlds = [World(failure_threshold=100, min_requests=10) for _ in range(4)]
    store = Store()
    for second, world in enumerate(worlds):
        for one in worlds:
            one.now = float(second)
        world.attempt(SUCCESS, times=2)
        world.attempt(ILL, model="ab"[second % 2], times=3)
        for one in worlds:
            store.flush(one.registry, "p", None, one.now)
    assert {world.state("p") for world in worlds} == {OPEN}
    assert {world.told[0].reason for world in worlds[:2]} == {
        "6 of 10 requests failed in 60 s in the fleet at 2 models or more, last: b: 503 overloaded"
    }


class Shares(RuleBasedStateMachine):
    """Whatever is cut, taken back, delivered or counted in between: the fleet gets everything exactly once."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World(failure_threshold=10_000, failure_rate=1.0, min_requests=10_000)
        self.world.attempt(SUCCESS)
        self.counted, self.delivered = [1, 0], [0, 0]
        self.out: Share | None = None

    @rule(times=st.integers(1, 3), good=st.booleans())
    def count(self, times: int, good: bool) -> None:
        self.world.attempt(SUCCESS if good else ILL, times=times)
        self.counted[0 if good else 1] += times

    @rule(step=st.sampled_from([0.0, 0.01, 0.5]))
    def wait(self, step: float) -> None:
        self.world.now += step

    @rule(fate=st.sampled_from(["delivered", "not delivered", "later"]))
    def flush(self, fate: str) -> None:
        share = self.out or cut(self.world.registry, "p", "a", self.world.now)
        self.out = share if fate == "later" else None
        if fate == "delivered":
            self.delivered[0] += share.counts[0]
            self.delivered[1] += share.counts[1]
            self.world.registry.shared(share, (*self.delivered, 0, 0, 0), 0, self.world.now, 5.0)
        elif fate == "not delivered":
            self.world.registry.uncut(share)

    @invariant()
    def nothing_is_lost_or_told_twice(self) -> None:
        if self.out is None:
            share = cut(self.world.registry, "p", "a", self.world.now)
            self.world.registry.uncut(share)
            assert [self.delivered[0] + share.counts[0], self.delivered[1] + share.counts[1]] == self.counted


Shares.TestCase.settings = settings(deadline=None)
TestShares = Shares.TestCase


@given(st.lists(st.tuples(st.sampled_from([0, 1, 2, 3]), st.booleans()), max_size=60), st.integers(2, 12))
@settings(deadline=None)
def test_a_fleet_trips_as_one_that_sees_everything(happened: list[tuple[int, bool]], least: int) -> None:
    """Flushed after every request, some sidecar has tripped as soon as one that sees all of it would have."""
    knobs: dict[str, Any] = {"failure_threshold": 10_000, "min_requests": least}
    fleet, alone, store = [World(**knobs) for _ in range(4)], World(**knobs), Store()
    verdicts = {True: SUCCESS, False: Verdict(Status.ERROR, Blame.TARGET, message="503")}
    for who, good in happened:
        alone.attempt(verdicts[good])
        fleet[who].attempt(verdicts[good])
        store.flush(fleet[who].registry, "p", "a", 0.0)
        tripped = any(world.told for world in fleet)
        assert tripped or not alone.told
        if tripped:
            return
