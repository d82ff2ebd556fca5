"""Which targets a registry keeps, against a plain reference and case by case. Breakers are off here."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from breaker.breaker import Breaker
from breaker.company import Company
from breaker.outcome import NO_MODEL, OTHER_MODEL, SUCCESS, Blame, Neutral, Outcome, Status, Verdict
from breaker.permit import Permit
from breaker.registry import Registry
from breaker.target import TargetState
from breaker.tracked import Tracked
from breaker.transition import Scope
from config.settings import Breakers
from config.words import Mode

FAILURE = Verdict(Status.ERROR, Blame.TARGET)
REFUSED = Verdict(Status.ERROR, Blame.TARGET_CREDENTIAL)
NEUTRAL = Verdict(Neutral.CALLER_ERROR)
Key = tuple[str, str]
OFF = Breakers(mode=Mode.OFF)


def attempt(
    registry: Registry, model: str, verdict: Verdict = SUCCESS, *, provider: str = "p", now: float = 1.0
) -> str:
    """One attempt at a model; the name it was counted under."""
    permit = registry.admit(provider, model, now)
    assert isinstance(permit, Permit)
    outcome = Outcome(provider, model, verdict, streamed=False, response_time=0.2, first_byte=None, at=1e9 + now)
    tracked = permit.settle(outcome, now)
    assert outcome.model == model, "the caller's own outcome was changed"
    assert tracked.verdict is verdict
    return tracked.model


def names(registry: Registry) -> set[str]:
    return {state.model for state in registry}


class Bounds(RuleBasedStateMachine):
    """A plain list of (target, proven), oldest attempt first, searched and cut afresh each time."""

    @initialize(
        tracked=st.integers(0, 6),
        unproven=st.integers(0, 4),
        configured=st.sets(st.sampled_from([("p", "m0"), ("p", "m1"), ("q", "m2"), ("p", NO_MODEL)])),
    )
    def begin(self, tracked: int, unproven: int, configured: set[Key]) -> None:
        self.forgotten: list[Key] = []
        self.expected_forgotten: list[Key] = []
        self.tracked, self.unproven, self.configured = tracked, unproven, configured
        self.registry = Registry(
            breakers=OFF,
            tracked=tracked,
            unproven=unproven,
            configured=configured,
            on_forget=lambda provider, model: self.forgotten.append((provider, model)),
        )
        self.known: list[tuple[Key, bool]] = []

    def pinned(self, key: Key) -> bool:
        return key in self.configured or key[1] == NO_MODEL

    def drop_oldest(self, keys: list[Key]) -> None:
        self.known = [(key, proven) for key, proven in self.known if key != keys[0]]
        self.expected_forgotten.append(keys[0])

    @rule(
        provider=st.sampled_from("pq"),
        model=st.sampled_from([*(f"m{i}" for i in range(12)), NO_MODEL, OTHER_MODEL]),
        verdict=st.sampled_from([SUCCESS, FAILURE, REFUSED, NEUTRAL]),
    )
    def attempt(self, provider: str, model: str, verdict: Verdict) -> None:
        key = (provider, model)
        if verdict.counted and model != OTHER_MODEL:
            proven = verdict is SUCCESS or self.pinned(key) or (key, True) in self.known
            self.known = [known for known in self.known if known[0] != key] + [(key, proven)]
            shaky = [key for key, proven in self.known if not proven]
            sound = [key for key, proven in self.known if proven]
            loose = [key for key in sound if not self.pinned(key)]
            if len(shaky) > self.unproven:
                self.drop_oldest(shaky)
            if len(sound) > self.tracked and loose:
                self.drop_oldest(loose)
        named = attempt(self.registry, model, verdict, provider=provider)
        known = key in dict(self.known) or self.pinned(key)
        assert named == (model if known else OTHER_MODEL)
        assert self.registry.name(provider, model) == named

    @invariant()
    def the_same_is_known(self) -> None:
        if not hasattr(self, "registry"):
            return
        keys = {key for key, _ in self.known}
        assert {(state.provider, state.model) for state in self.registry} == keys
        assert len(self.registry) == len(keys)
        assert self.forgotten == self.expected_forgotten
        assert self.registry.open_permits == 0
        assert sum(not proven for _, proven in self.known) <= self.unproven


Bounds.TestCase.settings = settings(deadline=None)
TestBounds = Bounds.TestCase


def test_invented_names_push_out_each_other_and_nothing_proven() -> None:
    forgotten: list[Key] = []
    registry = Registry(breakers=OFF, tracked=10_000, on_forget=lambda *key: forgotten.append(key))
    attempt(registry, "good")
    for number in range(2500):
        assert attempt(registry, f"bad{number}", FAILURE) == f"bad{number}"
    assert len(registry) == 1001
    assert registry.find("p", "good") is not None
    assert forgotten == [("p", f"bad{number}") for number in range(1500)], "oldest out first, each told once"


def test_proven_ones_are_bounded_and_the_longest_unused_goes() -> None:
    forgotten: list[Key] = []
    registry = Registry(breakers=OFF, tracked=10_000, on_forget=lambda *key: forgotten.append(key))
    for number in range(10_000):
        attempt(registry, f"m{number}")
    attempt(registry, "m0", FAILURE)
    attempt(registry, "one more")
    assert len(registry) == 10_000
    assert forgotten == [("p", "m1")]
    assert registry.find("p", "m0") is not None


def test_configured_targets_never_leave() -> None:
    registry = Registry(breakers=OFF, tracked=2, unproven=1, configured=[("p", "a"), ("p", "b"), ("p", "c")])
    for model in ("a", "b", "c"):
        assert attempt(registry, model, FAILURE) == model
    assert attempt(registry, "x") == OTHER_MODEL
    assert attempt(registry, "y", FAILURE) == "y"
    assert attempt(registry, "z", FAILURE) == "z"
    assert names(registry) == {"a", "b", "c", "z"}


def test_a_configured_target_takes_the_room_of_a_proven_one() -> None:
    registry = Registry(breakers=OFF, tracked=1, configured=[("p", "mine")])
    attempt(registry, "found")
    attempt(registry, "mine")
    assert names(registry) == {"mine"}


def test_one_success_moves_a_name_off_the_small_shelf_for_good() -> None:
    registry = Registry(breakers=OFF, tracked=10, unproven=1)
    attempt(registry, "late", FAILURE)
    attempt(registry, "late")
    attempt(registry, "late", FAILURE)
    attempt(registry, "bad", FAILURE)
    attempt(registry, "worse", FAILURE)
    assert names(registry) == {"late", "worse"}
    state = registry.find("p", "late")
    assert state is not None
    assert state.window.counts(1.0)[:2] == [1, 2], "moving kept what was known"


def test_a_name_that_went_starts_afresh() -> None:
    registry = Registry(breakers=OFF, tracked=10, unproven=1)
    attempt(registry, "bad", FAILURE)
    attempt(registry, "worse", FAILURE)
    attempt(registry, "bad", FAILURE)
    state = registry.find("p", "bad")
    assert state is not None
    assert state.window.counts(1.0)[:2] == [0, 1]


@pytest.mark.parametrize("verdict", [SUCCESS, FAILURE])
def test_without_room_everything_is_other_and_nothing_breaks(verdict: Verdict) -> None:
    registry = Registry(breakers=OFF, tracked=0, unproven=0)
    assert attempt(registry, "m", verdict) == OTHER_MODEL
    assert len(registry) == 0


@pytest.mark.parametrize("verdict", [SUCCESS, FAILURE, NEUTRAL])
def test_a_caller_who_says_other_gets_nothing_tracked(verdict: Verdict) -> None:
    registry = Registry(breakers=OFF, tracked=10)
    assert attempt(registry, OTHER_MODEL, verdict) == OTHER_MODEL
    assert len(registry) == 0


def test_requests_without_a_model_are_one_target_per_provider() -> None:
    registry = Registry(breakers=OFF, tracked=10, unproven=0)
    assert attempt(registry, NO_MODEL, FAILURE) == NO_MODEL
    assert attempt(registry, NO_MODEL, FAILURE, provider="q") == NO_MODEL
    assert len(registry) == 2


@pytest.mark.parametrize("kind", list(Neutral))
def test_neutral_outcomes_create_nothing_and_change_nothing(kind: Neutral) -> None:
    registry = Registry(breakers=OFF, tracked=10, unproven=1, configured=[("p", "mine")])
    attempt(registry, "known", FAILURE)
    neutral = Verdict(kind)
    assert attempt(registry, "known", neutral) == "known"
    assert attempt(registry, "mine", neutral) == "mine"
    assert attempt(registry, "invented", neutral) == OTHER_MODEL
    assert attempt(registry, NO_MODEL, neutral) == NO_MODEL
    assert names(registry) == {"known"}
    state = registry.find("p", "known")
    assert state is not None
    assert state.window.counts(1.0)[:2] == [0, 1]


def test_a_neutral_outcome_does_not_make_a_name_younger() -> None:
    registry = Registry(breakers=OFF, tracked=10, unproven=2)
    attempt(registry, "old", FAILURE)
    attempt(registry, "new", FAILURE)
    attempt(registry, "old", NEUTRAL)
    attempt(registry, "newest", FAILURE)
    assert names(registry) == {"new", "newest"}


def test_reads_create_nothing() -> None:
    registry = Registry(breakers=OFF, tracked=10, configured=[("p", "mine")])
    assert registry.find("p", "mine") is None
    assert registry.name("p", "mine") == "mine"
    assert registry.name("p", NO_MODEL) == NO_MODEL
    assert registry.name("p", "unknown") == OTHER_MODEL
    permit = registry.admit("p", "mine", 1.0)
    assert isinstance(permit, Permit)
    permit.cancel()
    assert list(registry) == []
    assert len(registry) == 0


def test_an_attempt_settled_after_its_target_went_is_tracked_anew() -> None:
    registry = Registry(breakers=OFF, tracked=10, unproven=1)
    permit = registry.admit("p", "slow", 1.0)
    attempt(registry, "slow", FAILURE)
    attempt(registry, "other", FAILURE)
    assert isinstance(permit, Permit)
    permit.settle(Outcome("p", "slow", SUCCESS, True, response_time=9.0, first_byte=1.0, at=1e9), 10.0)
    assert names(registry) == {"slow", "other"}


def test_what_a_table_of_targets_knows_by_itself() -> None:
    gone: list[str] = []

    def make(provider: str, model: str) -> TargetState:
        return TargetState(provider, model, Breaker(Scope.TARGET, provider, model, OFF, Company(lambda: 0.0, None)))

    targets = Tracked(1, 1, [("p", "mine")], make, lambda state: gone.append(state.model))
    assert ("p", "mine") in targets, "it would never leave"
    assert ("q", NO_MODEL) in targets
    assert ("p", "bad") not in targets
    assert (len(targets), list(targets), targets.get(("p", "mine"))) == (0, [], None)
    state = targets.attempted(("p", "bad"), succeeded=False)
    assert targets.get(("p", "bad")) is state
    assert targets.attempted(("p", "bad"), succeeded=True) is state
    targets.attempted(("p", "worse"), succeeded=False)
    assert [one.model for one in targets] == ["bad", "worse"]
    assert targets.attempted(("p", "mine"), succeeded=False).model == "mine"
    assert (gone, len(targets)) == (["bad"], 2)
