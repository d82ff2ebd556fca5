"""A permit is given back exactly once, whatever is tried."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from breaker.outcome import NO_MODEL, SUCCESS, Blame, Neutral, Outcome, Status, Verdict
from breaker.permit import Permit, PermitError, Rejection
from breaker.registry import Registry
from breaker.transition import Scope
from config.settings import Breakers


def outcome(provider: str = "groq", model: str = "llama", verdict: Verdict = SUCCESS) -> Outcome:
    return Outcome(provider, model, verdict, streamed=False, response_time=0.2, first_byte=0.1, at=1_700_000_000.0)


def admitted(registry: Registry, model: str = "llama") -> Permit:
    permit = registry.admit("groq", model, 1.0)
    assert isinstance(permit, Permit)
    return permit


@settings(deadline=None)
@given(st.lists(st.sampled_from(["admit", "settle", "neutral", "cancel", "again", "foreign"]), max_size=60))
def test_open_permits_are_counted_and_end_once(steps: list[str]) -> None:
    registry = Registry(tracked=10)
    out: list[Permit] = []
    back: list[Permit] = []
    for step in steps:
        if step == "admit":
            out.append(admitted(registry))
        elif step == "again" and back:
            with pytest.raises(PermitError):
                back[0].settle(outcome(), 2.0)
            with pytest.raises(PermitError):
                back[-1].cancel()
        elif step == "foreign" and out:
            with pytest.raises(PermitError):
                out[0].settle(outcome(model="other"), 2.0)
        elif step in {"settle", "neutral", "cancel"} and out:
            permit = out.pop()
            if step == "cancel":
                permit.cancel()
            else:
                permit.settle(outcome(verdict=SUCCESS if step == "settle" else Verdict(Neutral.CANCELLED)), 2.0)
            back.append(permit)
        assert registry.open_permits == len(out)
        assert all(permit.out for permit in out)
        assert not any(permit.out for permit in back)


@pytest.mark.parametrize(
    ("provider", "model"), [("openai", "llama"), ("aaaa", "llama"), ("groq", "Llama"), ("groq", NO_MODEL)]
)
def test_the_outcome_of_another_target_is_refused_and_changes_nothing(provider: str, model: str) -> None:
    registry = Registry(tracked=10)
    permit = admitted(registry)
    with pytest.raises(PermitError, match=r"on a permit for groq/llama"):
        permit.settle(outcome(provider, model), 2.0)
    assert permit.out
    assert registry.open_permits == 1
    assert len(registry) == 0
    assert permit.settle(outcome(), 2.0).model == "llama"


def test_twice_is_refused_and_counts_once() -> None:
    registry = Registry(tracked=10)
    permit = admitted(registry)
    permit.settle(outcome(verdict=Verdict(Status.ERROR, Blame.TARGET)), 2.0)
    for again in (permit.cancel, lambda: permit.settle(outcome(), 2.0)):
        with pytest.raises(PermitError, match="given back twice"):
            again()
    state = registry.find("groq", "llama")
    assert state is not None
    assert state.window.counts(2.0)[:2] == [0, 1]
    assert registry.open_permits == 0


def test_permits_for_one_target_are_not_equal() -> None:
    registry = Registry(tracked=10)
    assert admitted(registry) != admitted(registry)


def test_a_rejection_says_why_and_until_when() -> None:
    rejection = Rejection("breaker open", 12.5, 503, "open", Scope.PROVIDER)
    assert (rejection.reason, rejection.retry_after, rejection.status) == ("breaker open", 12.5, 503)
    assert (rejection.kind, rejection.scope) == ("open", Scope.PROVIDER)
    with pytest.raises(AttributeError):
        rejection.status = 200  # type: ignore[misc]


def trial(registry: Registry) -> Permit:
    """The one trial of a target that was opened by hand."""
    registry.open("groq", "llama", 0.0, 1.0)
    permit = admitted(registry)
    assert permit.trial
    return permit


def known() -> Registry:
    return Registry(tracked=10, configured=[("groq", "llama")], breakers=Breakers(success_threshold=2))


def test_first_content_gives_a_trial_back_and_not_the_permit() -> None:
    registry = known()
    permit = trial(registry)
    assert isinstance(registry.admit("groq", "llama", 1.0), Rejection)
    permit.proved(1.0, 0.3)
    assert (permit.out, permit.trial, registry.open_permits) == (True, False, 1)
    breaker = registry.breaker("groq", "llama")
    assert breaker is not None
    assert (breaker.trials_out, breaker.trial_successes) == (0, 1)
    permit.proved(2.0, 0.3)
    assert breaker.trial_successes == 1, "proved once"
    permit.settle(outcome(), 3.0)
    assert breaker.trial_successes == 1, "the end of it is no second success"
    assert registry.open_permits == 0


def test_first_content_of_what_is_no_trial_changes_nothing() -> None:
    registry = known()
    permit = admitted(registry)
    permit.proved(1.0, 99.0)
    assert not permit.trial
    assert registry.breaker("groq") is None
    permit.cancel()


@pytest.mark.parametrize("end", ["cancel", "settle"])
def test_first_content_after_the_end_changes_nothing(end: str) -> None:
    registry = known()
    permit = trial(registry)
    permit.cancel() if end == "cancel" else permit.settle(outcome(verdict=Verdict(Neutral.CANCELLED)), 1.0)
    permit.proved(1.0, 0.3)
    breaker = registry.breaker("groq", "llama")
    assert breaker is not None
    assert (breaker.trials_out, breaker.trial_successes) == (0, 0)


@pytest.mark.parametrize("refused", ["twice", "foreign"])
def test_a_trial_given_back_wrongly_is_still_what_it_was(refused: str) -> None:
    registry = known()
    permit = trial(registry)
    if refused == "twice":
        permit.cancel()
    with pytest.raises(PermitError):
        permit.settle(outcome(model="llama" if refused == "twice" else "other"), 2.0)
    breaker = registry.breaker("groq", "llama")
    assert breaker is not None
    assert (breaker.trials_out, breaker.trial_successes) == (int(refused == "foreign"), 0)
