"""Who asks for the right to try a breaker out, who keeps it, and who gives it up."""

from __future__ import annotations

from breaker.outcome import Outcome, Status, Verdict
from breaker.permit import Permit
from breaker.registry import Registry
from breaker.transitions import State
from config.settings import Breakers
from healthapi.fleet.keys import identity
from healthapi.fleet.trials import BACK, BETWEEN, UNUSED, Trials

HOST, MODEL = identity("acme", None), identity("acme", "m")


class Place:
    """One sidecar: its registry, in which breakers were opened by hand until 10, and what it asks and hears."""

    def __init__(self, *models: str | None) -> None:
        self.registry = Registry(tracked=10, configured=[("acme", "m")], per_provider={"acme": Breakers()})
        self.registry.join(0.0)
        for model in models:
            self.registry.open("acme", model, 0.0, 10.0)
        self.trials = Trials(self.registry, b"prefix", b"me")

    def turn(self, now: float, **answers: int) -> tuple[dict[bytes, bytes], bool]:
        """Ask once and be answered as `host` and `model` say (0 no, 1 yes, 2 yes and wanted); what was asked for."""
        self.registry.heard(now)
        due = self.registry.due(now)
        (call,) = self.trials.ask(due, now, now)
        _, _, *words = call.args
        asked = dict(zip(words[::2], words[1::2], strict=True))
        by_name = {HOST: answers.get("host", 0), MODEL: answers.get("model", 0)}
        again = self.trials.answered(due, [by_name[identity(one.provider, one.model)] for one in due], now, now)
        return {
            name: word for name, word in asked.items() if isinstance(name, bytes) and isinstance(word, bytes)
        }, again

    def may(self, now: float) -> bool:
        return self.registry.rejection("acme", "m", now) is None

    def permit(self, now: float) -> Permit:
        found = self.registry.admit("acme", "m", now)
        assert isinstance(found, Permit)
        return found

    def state(self) -> State:
        memo = self.registry.memo("acme", "m", 0.0, 0.0)
        assert memo is not None
        return memo.state


def success(at: float) -> Outcome:
    return Outcome("acme", "m", Verdict(Status.SUCCESS), False, 0.1, None, at)


def test_nobody_asks_before_it_is_due() -> None:
    place = Place("m")
    assert place.trials.ask(place.registry.due(9.9), 9.9, 9.9) == []
    assert place.turn(10.0, model=0) == ({MODEL: b"ask"}, False)
    assert not place.may(10.0)


def test_who_has_the_right_may_try() -> None:
    place = Place("m")
    place.turn(10.0, model=1)
    assert place.may(10.0)
    assert place.turn(10.2, model=0)[0] == {MODEL: b"keep"}
    assert not place.may(10.2)


def test_a_right_that_is_not_used_goes_to_who_wants_it() -> None:
    place = Place("m")
    place.turn(10.0, model=1)
    assert place.turn(10.0 + UNUSED - 0.1, model=2) == ({MODEL: b"keep"}, False)
    assert place.may(10.9)
    assert place.turn(10.0 + UNUSED, model=2) == ({MODEL: b"keep"}, True)
    assert not place.may(11.0)
    assert place.turn(11.0, model=0)[0] == {MODEL: b"drop"}
    assert place.turn(11.2, model=0)[0] == {MODEL: b"keep"}  # which it has not: it stands back
    assert place.turn(11.0 + BACK, model=0)[0] == {MODEL: b"ask"}


def test_a_right_that_nobody_wants_is_kept() -> None:
    place = Place("m")
    for now in (10.0, 20.0, 90.0):
        place.turn(now, model=1)
        assert place.may(now)


def test_a_trial_that_is_out_keeps_the_right() -> None:
    place = Place("m")
    place.turn(10.0, model=1)
    place.permit(10.0)
    for now in (11.0, 20.0, 60.0):
        assert place.turn(now, model=2) == ({MODEL: b"keep"}, False)
    assert place.state() is State.HALF_OPEN


def test_after_a_trial_there_is_more_time_for_the_next() -> None:
    place = Place("m")
    place.turn(10.0, model=1)
    permit = place.permit(10.0)
    permit.settle(success(10.5), 10.5)
    place.turn(10.6, model=2)
    place.turn(10.5 + BETWEEN, model=2)
    assert place.state() is State.HALF_OPEN
    assert place.turn(10.6 + BETWEEN, model=2)[1]
    assert place.state() is State.OPEN
    assert not place.may(10.6 + BETWEEN)


def test_what_another_one_tries_out_is_open_here() -> None:
    place = Place("m")
    place.turn(10.0, model=1)
    place.permit(10.0).settle(success(10.1), 10.1)
    assert place.state() is State.HALF_OPEN
    place.turn(10.2, model=0)
    assert place.state() is State.OPEN
    assert not place.may(10.2)


def test_a_model_is_of_no_use_without_its_provider() -> None:
    place = Place(None, "m")
    assert place.turn(10.0, host=0) == ({HOST: b"ask", MODEL: b"keep"}, False)
    assert place.turn(10.2, host=1) == ({HOST: b"ask", MODEL: b"keep"}, True)
    assert place.turn(10.2, host=1, model=1) == ({HOST: b"keep", MODEL: b"ask"}, False)
    assert place.may(10.2)
    # Both are there since then: only now the time runs in which they must be used.
    assert place.turn(10.2 + UNUSED - 0.1, host=2, model=1)[0] == {HOST: b"keep", MODEL: b"keep"}
    assert place.may(11.1)
    assert place.turn(10.2 + UNUSED, host=2, model=1)[1]
    # Without the provider's the model's goes at once to whoever wants it.
    assert place.turn(11.2, host=0, model=2)[0] == {HOST: b"drop", MODEL: b"keep"}
    assert place.turn(11.2, host=0, model=0)[0] == {HOST: b"keep", MODEL: b"drop"}


def test_all_rights_are_given_up_in_the_end() -> None:
    place = Place(None, "m")
    place.turn(10.0, host=1)
    place.turn(10.0, host=1, model=1)
    (call,) = place.trials.drop(place.registry.due(10.0))
    assert call.args == (b"me", 0, HOST, b"drop", MODEL, b"drop")
    assert Place("m").trials.drop([]) == []
