"""Who must admit an attempt and who hears of it; modes; what is known, and that reads make nothing."""

from __future__ import annotations

import math

import pytest

from breaker.health import Health
from breaker.outcome import NO_MODEL, OTHER_MODEL, SUCCESS, Blame, Neutral, Status, Verdict
from breaker.registry import Registry
from breaker.target import Standing
from breaker.transition import Cause, Scope
from config.settings import Breakers
from config.words import Mode
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
    OTHER_KEY,
    SPENT,
    TARGETS,
    World,
)


def test_nothing_is_refused_while_all_is_well() -> None:
    world = World()
    permit = world.admitted(key=KEY)
    assert not permit.trial
    assert (permit.provider, permit.model, permit.key, permit.out) == ("p", "a", KEY, True)
    assert world.registry.rejection("p", "a", 0.0, KEY) is None


@pytest.mark.parametrize(
    ("verdict", "model", "key", "refused", "let_through"),
    [
        (ILL, "a", "", [("p", "a", ""), ("p", "a", KEY)], [("p", "b", ""), ("q", "c", "")]),
        (DOWN, "a", "", [("p", "a", ""), ("p", "b", KEY), ("p", "new", "")], [("q", "c", "")]),
        (NO_ACCESS, "a", KEY, [("p", "a", KEY)], [("p", "a", ""), ("p", "a", OTHER_KEY), ("p", "b", KEY)]),
        (SPENT, "a", KEY, [("p", "a", KEY), ("p", "b", KEY)], [("p", "a", ""), ("p", "b", OTHER_KEY), ("q", "c", KEY)]),
        (LIMITED, "a", KEY, [("p", "a", KEY)], [("p", "a", ""), ("p", "a", OTHER_KEY), ("p", "b", KEY)]),
        (LIMITED, "a", "", [("p", "a", "")], [("p", "a", KEY), ("p", "b", "")]),
    ],
)
def test_whom_a_failure_concerns(
    verdict: Verdict,
    model: str,
    key: str,
    refused: list[tuple[str, str, str]],
    let_through: list[tuple[str, str, str]],
) -> None:
    world = World()
    permits = [world.admitted("p", model, key) for _ in range(2)]
    for permit in permits:
        world.settle(permit, verdict)
    for place in refused:
        world.refused(*place)
    for place in let_through:
        world.admitted(*place).cancel()
        assert world.registry.rejection(*place[:2], world.now, place[2]) is None


@pytest.mark.parametrize(
    ("verdict", "key", "kind", "status", "scope", "wait"),
    [
        (ILL, "", "open", 503, Scope.TARGET, 60.0),
        (DOWN, "", "open", 503, Scope.PROVIDER, 60.0),
        (NO_ACCESS, KEY, "credential", 403, Scope.CREDENTIAL, 60.0),
        (SPENT, KEY, "credential", 402, Scope.CREDENTIAL, 60.0),
        (LIMITED, KEY, "hold_off", 429, Scope.CREDENTIAL, 2.0),
    ],
)
def test_what_a_refusal_says(verdict: Verdict, key: str, kind: str, status: int, scope: Scope, wait: float) -> None:
    world = World()
    permits = [world.admitted(key=key) for _ in range(2)]
    for permit in permits:
        world.settle(permit, verdict)
    rejection = world.refused(key=key)
    assert (rejection.kind, rejection.status, rejection.scope, rejection.retry_after) == (kind, status, scope, wait)
    assert rejection.reason
    assert KEY not in rejection.reason, "no whole fingerprint in what goes out"


def test_a_hold_off_says_so_in_words() -> None:
    world = World()
    world.attempt(LIMITED)
    assert world.refused().reason == "it asked not to be called for a while (429)"


def test_the_longest_wait_is_told() -> None:
    world = World()
    permits = [world.admitted(key=KEY) for _ in range(7)]
    for permit, verdict in zip(permits, [ILL, ILL, DOWN, DOWN, SPENT, SPENT, LIMITED], strict=True):
        world.settle(permit, verdict)
        world.now += 1.0
    assert world.refused(key=KEY).kind == "credential"
    assert world.refused().scope is Scope.PROVIDER
    world.registry.open("p", "a", world.now, 1000.0)
    assert world.refused(key=KEY).retry_after == 1000.0
    late = Verdict(Status.RATE_LIMITED, Blame.TARGET_CREDENTIAL, retry_after=250.0)
    held = World()
    permits = [held.admitted() for _ in range(3)]
    for permit, verdict in zip(permits, [ILL, ILL, late], strict=True):
        held.settle(permit, verdict)
    assert (held.refused().kind, held.refused().retry_after) == ("hold_off", 250.0)


def test_of_two_open_breakers_both_must_let_through() -> None:
    world = World()
    world.registry.open("p", None, 0.0, 10.0)
    world.registry.open("p", "a", 0.0, 20.0)
    world.now = 10.0
    assert world.refused().scope is Scope.TARGET
    assert world.state("p") is OPEN, "no trial, no move"
    world.now = 20.0
    permit = world.admitted()
    assert permit.trial
    assert (world.state("p"), world.state("p", "a")) == (HALF_OPEN, HALF_OPEN)
    world.settle(permit, SUCCESS)
    assert [breaker.trial_successes for breaker in world.registry.breakers()] == [1, 1]


def test_all_half_open_breakers_take_the_trial_or_none() -> None:
    world = World(half_open_requests=1)
    world.registry.open("p", None, 0.0, 10.0)
    world.registry.open("p", "a", 0.0, 10.0)
    world.now = 10.0
    of_b = world.admitted("p", "b")
    assert world.refused().kind == "half_open"
    assert world.refused().retry_after == 1.0
    target = world.registry.breaker("p", "a")
    assert target is not None
    assert (target.state, target.trials_out) == (OPEN, 0)
    of_b.cancel()
    world.admitted().cancel()
    assert [breaker.trials_out for breaker in world.registry.breakers()] == [0, 0]


def test_a_hold_off_lets_no_trial_through() -> None:
    world = World()
    world.attempt(Verdict(Status.RATE_LIMITED, Blame.TARGET_CREDENTIAL, retry_after=60.0))
    world.registry.open("p", "a", 0.0, 10.0)
    world.now = 10.0
    assert world.refused().kind == "hold_off"
    assert world.state("p", "a") is OPEN


@pytest.mark.parametrize("blame", list(Blame))
def test_what_is_neutral_is_no_failure_of_anything(blame: Blame) -> None:
    world = World(failure_threshold=1, min_requests=1)
    world.attempt(ILL, model="b")
    world.attempt(SUCCESS, key=KEY)
    world.told.clear()
    for kind in Neutral:
        world.attempt(Verdict(kind, blame), key=KEY, times=3)
    assert world.causes == []


def test_the_name_for_all_others_has_no_breaker() -> None:
    world = World()
    for verdict in (ILL, ILL, ILL):
        world.attempt(verdict, model=OTHER_MODEL)
    assert world.registry.breaker("p", OTHER_MODEL) is None
    assert world.causes == []
    world.attempt(DOWN, model=OTHER_MODEL, times=2)
    assert world.causes == [("p", None, Cause.CONSECUTIVE)]


def test_requests_without_a_model_have_one() -> None:
    world = World()
    world.attempt(ILL, model=NO_MODEL, times=2)
    assert world.refused(model=NO_MODEL).scope is Scope.TARGET


def test_observed_everything_moves_and_nothing_is_refused() -> None:
    world = World(mode=Mode.OBSERVE, success_threshold=1)
    world.attempt(ILL, times=5)
    world.attempt(LIMITED)
    assert world.state("p", "a") is OPEN
    assert world.registry.rejection("p", "a", 0.0) is None
    assert [held[:3] for held in world.registry.hold_offs(0.0)] == [("p", "a", "")]
    world.now = 60.0
    first, second = world.admitted(), world.admitted()
    assert (first.trial, second.trial) == (True, False)
    world.settle(second, SUCCESS)
    assert world.state("p", "a") is HALF_OPEN
    world.settle(first, SUCCESS)
    assert world.state("p", "a") is CLOSED


def test_off_nothing_is_judged() -> None:
    world = World(mode=Mode.OFF)
    world.attempt(ILL, times=20)
    world.attempt(DOWN, times=20)
    world.attempt(SPENT, times=20, key=KEY)
    world.attempt(LIMITED, times=20)
    assert (world.told, world.registry.hold_offs(0.0)) == ([], [])
    assert world.registry.breaker("p") is None
    assert world.registry.standing("p", "a", 0.0).health is Health.UNHEALTHY, "records go on"
    world.registry.open("p", None, 0.0, 100.0)
    assert world.registry.rejection("p", "a", 0.0) is None
    world.admitted().cancel()


def test_each_provider_has_its_own_knobs() -> None:
    registry = Registry(
        tracked=10, breakers=Breakers(failure_threshold=2), per_provider={"p": Breakers(failure_threshold=3)}
    )
    assert registry.knobs("p").failure_threshold == 3
    assert registry.knobs("elsewhere").failure_threshold == 2
    assert Registry(tracked=1).knobs("p") == Breakers()


def test_force_passes_what_is_open_and_moves_nothing_there() -> None:
    world = World()
    world.attempt(ILL, times=2)
    told = len(world.told)
    for verdict in (SUCCESS, ILL, LEFT):
        permit = world.admitted(force=True)
        assert not permit.trial
        world.settle(permit, verdict)
    assert (world.state("p", "a"), len(world.told)) == (OPEN, told)
    assert world.registry.open_permits == 0


def test_force_passes_hold_offs_and_trials_that_are_out() -> None:
    world = World()
    world.attempt(LIMITED)
    world.admitted(force=True).cancel()
    world.registry.open("q", "c", 0.0, 1.0)
    world.now = 5.0
    assert world.admitted("q", "c").trial
    forced = world.admitted("q", "c", force=True)
    assert not forced.trial
    forced.cancel()
    breaker = world.registry.breaker("q", "c")
    assert breaker is not None
    assert breaker.trials_out == 1, "the trial is still out"


def test_reads_create_nothing_and_move_nothing() -> None:
    world = World()
    registry = world.registry
    for provider, model in [*TARGETS, ("p", "unheard"), ("r", "m")]:
        assert registry.find(provider, model) is None
        assert registry.breaker(provider, model) is None
        assert registry.breaker(provider) is None
        assert registry.rejection(provider, model, 0.0, KEY) is None
        assert registry.standing(provider, model, 0.0) == Standing()
        assert registry.ill(provider, model, 0.0) is False
        assert registry.turn(provider, model) is True
    world.admitted(key=KEY).cancel()
    world.settle(world.admitted(key=KEY), LEFT)
    assert list(registry.breakers()) == []
    assert registry.hold_offs(0.0) == []
    assert (len(registry), list(registry), registry.lapsed_leases, registry.open_permits) == (0, [], 0, 0)
    registry.open("p", "a", 0.0, 1.0)
    before = len(world.told)
    for _ in range(3):
        assert registry.rejection("p", "a", 99.0) is None
    assert (world.state("p", "a"), len(world.told)) == (OPEN, before), "only asking for leave moves it"


@pytest.mark.parametrize(
    ("verdicts", "ill"),
    [("FSFS", False), ("FSFSF", True), ("FSFSSSSSS", True), ("FSFSSSSSSS", False), ("SSSSF", False)],
)
def test_ill_is_unhealthy_with_no_breaker_in_between(verdicts: str, ill: bool) -> None:
    world = World(failure_threshold=2)
    for letter in verdicts:
        world.attempt(SUCCESS if letter == "S" else ILL)
    assert world.registry.ill("p", "a", 0.0) is ill
    world.registry.open("p", "a", 0.0, 1.0)
    assert world.registry.ill("p", "a", 0.0) is False


def test_an_ill_target_whose_provider_was_never_judged() -> None:
    world = World(mode=Mode.OFF, failure_threshold=5)
    world.attempt(ILL, times=5)
    assert world.registry.breaker("p") is None
    assert world.registry.ill("p", "a", 0.0) is True


def test_turns_are_each_targets_own() -> None:
    world = World()
    world.attempt(SUCCESS, model="a")
    world.attempt(SUCCESS, model="b")
    assert sum(world.registry.turn("p", "a") for _ in range(40)) == 2
    assert sum(world.registry.turn("p", "b") for _ in range(19)) == 0


def test_budgets_are_each_providers_own() -> None:
    registry = Registry(tracked=1, budget=0.5)
    budget = registry.budget("p")
    for _ in range(100):
        budget.request(0.0)
    assert registry.budget("p") is budget
    assert (budget.left(0.0), registry.budget("q").left(0.0)) == (50.0, 10.0)
    assert set(registry.budgets()) == {"p", "q"}
    assert Registry(tracked=1).budget("p").left(0.0) == 10.0


def test_the_designs_share_of_further_attempts() -> None:
    budget = Registry(tracked=1).budget("p")
    for _ in range(100):
        budget.request(0.0)
    assert budget.left(0.0) == 20.0


def test_lapsed_leases_are_counted() -> None:
    world = World()
    world.registry.open("p", "a", 0.0, 1.0)
    world.now = 1.0
    lost = world.admitted(lease=5.0)
    world.now = 6.0
    found = world.admitted()
    assert (world.registry.lapsed_leases, found.trial) == (1, True)
    assert world.registry.open_permits == 2
    world.settle(lost, SUCCESS)
    found.cancel()
    breaker = world.registry.breaker("p", "a")
    assert breaker is not None
    assert (breaker.trial_successes, world.registry.open_permits) == (0, 0)


def test_a_lease_may_be_endless() -> None:
    world = World()
    world.registry.open("p", "a", 0.0, 1.0)
    world.now = 1.0
    world.admitted(lease=math.inf)
    world.now = 1e9
    world.refused()
    assert world.registry.lapsed_leases == 0


def test_a_hold_off_ends_by_itself_and_a_success_forgets_it() -> None:
    world = World()
    world.attempt(Verdict(Status.RATE_LIMITED, Blame.TARGET_CREDENTIAL, retry_after=10.0), key=KEY)
    early = world.admitted(key=OTHER_KEY)
    assert world.refused(key=KEY).retry_after == 10.0
    world.now = 4.0
    assert world.refused(key=KEY).retry_after == 6.0
    assert world.registry.hold_offs(4.0) == [("p", "a", "01234567", 6.0)]
    world.settle(early, SUCCESS)
    world.refused(key=KEY)
    world.now = 10.0
    permit = world.admitted(key=KEY)
    assert not permit.trial
    world.settle(permit, LIMITED)
    assert world.refused(key=KEY).retry_after == 2.0, "429s go on"
    world.now = 12.0
    world.attempt(SUCCESS, key=KEY)
    world.attempt(LIMITED, key=KEY)
    assert world.refused(key=KEY).retry_after == 1.0


def test_no_hold_off_is_longer_than_the_longest_open_time() -> None:
    world = World(max_open_for=20.0)
    world.attempt(Verdict(Status.RATE_LIMITED, Blame.TARGET_CREDENTIAL, retry_after=7200.0))
    assert world.refused().retry_after == 20.0


def test_a_rate_limit_is_no_failure_of_anything() -> None:
    world = World(failure_threshold=1, min_requests=1)
    world.attempt(LIMITED, key=KEY)
    assert world.told == []
    assert [breaker.scope for breaker in world.registry.breakers()] == [Scope.PROVIDER, Scope.TARGET]
    assert all(breaker.counts(0.0) == (0, 0) for breaker in world.registry.breakers())
