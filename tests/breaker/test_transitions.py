"""The table of the state machine, every pair of state and event; and a breaker in each state under each event."""

from __future__ import annotations

import copy

import pytest

from breaker.breaker import Breaker
from breaker.circuit import Circuit
from breaker.company import Company
from breaker.transition import Cause, Scope, Transition
from breaker.transitions import TABLE, Event, IllegalEventError, State, after
from breaker.window import Window
from config.settings import Breakers

CLOSED, OPEN, HALF_OPEN = State.CLOSED, State.OPEN, State.HALF_OPEN

LEGAL = {
    (CLOSED, Event.TRIP): OPEN,
    (OPEN, Event.WAITED): HALF_OPEN,
    (HALF_OPEN, Event.RECOVERED): CLOSED,
    (HALF_OPEN, Event.RELAPSED): OPEN,
    (CLOSED, Event.FORCE_OPEN): OPEN,
    (OPEN, Event.FORCE_OPEN): OPEN,
    (HALF_OPEN, Event.FORCE_OPEN): OPEN,
    (CLOSED, Event.FORCE_CLOSE): CLOSED,
    (OPEN, Event.FORCE_CLOSE): CLOSED,
    (HALF_OPEN, Event.FORCE_CLOSE): CLOSED,
    (CLOSED, Event.RESET): CLOSED,
    (OPEN, Event.RESET): CLOSED,
    (HALF_OPEN, Event.RESET): CLOSED,
    (CLOSED, Event.TOLD_OPEN): OPEN,
    (OPEN, Event.TOLD_OPEN): OPEN,
    (HALF_OPEN, Event.TOLD_OPEN): OPEN,
    (CLOSED, Event.TOLD_CLOSED): CLOSED,
    (OPEN, Event.TOLD_CLOSED): CLOSED,
    (HALF_OPEN, Event.TOLD_CLOSED): CLOSED,
}
"""Written out once more by hand."""

PAIRS = [(state, event) for state in State for event in Event]
ILLEGAL = [pair for pair in PAIRS if pair not in LEGAL]


def test_the_table_is_the_one_of_the_design() -> None:
    assert TABLE == LEGAL


def test_every_event_leads_somewhere_from_somewhere() -> None:
    assert {event for _, event in TABLE} == set(Event)
    assert set(TABLE.values()) == set(State)


def test_words() -> None:
    assert [state.value for state in State] == ["closed", "open", "half_open"]
    assert [event.value for event in Event] == [
        "trip",
        "waited",
        "recovered",
        "relapsed",
        "force_open",
        "force_close",
        "reset",
        "told_open",
        "told_closed",
    ]
    assert [cause.value for cause in Cause] == [
        "consecutive",
        "rate",
        "host_rate",
        "slow",
        "trial_failed",
        "waited",
        "recovered",
        "manual",
        "reset",
    ]
    assert [scope.value for scope in Scope] == ["provider", "target", "credential"]


@pytest.mark.parametrize(("state", "event"), LEGAL)
def test_legal_pairs(state: State, event: Event) -> None:
    assert after(state, event) is LEGAL[state, event]


@pytest.mark.parametrize(("state", "event"), ILLEGAL)
def test_illegal_pairs_raise_and_change_nothing(state: State, event: Event) -> None:
    before = dict(TABLE)
    with pytest.raises(IllegalEventError) as caught:
        after(state, event)
    assert str(caught.value) == f"{event} cannot happen to a breaker that is {state}"
    assert before == TABLE


def breaker_in(state: State, told: list[Transition]) -> Breaker:
    """A breaker that has come to `state` with something seen there, and what it tells from then on."""
    company = Company(lambda: 0.0, told.append)
    breaker = Breaker(Scope.TARGET, "p", "m", Breakers(failure_threshold=3), company)
    if state is not CLOSED:
        breaker.force_open(0.0, 10.0)
    if state is HALF_OPEN:
        breaker._move(Event.WAITED, Cause.WAITED, "waited", 10.0)
    breaker.bad(breaker.generation, 10.0, "ill") if state is CLOSED else None
    told.clear()
    return breaker


def everything(thing: object) -> object:
    """All that a breaker holds, what is inside its window and its company too."""
    if isinstance(thing, Breaker | Company | Window):
        slots = [name for kind in type(thing).__mro__ for name in getattr(kind, "__slots__", ())]
        return {name: everything(getattr(thing, name)) for name in slots}
    return thing.state if isinstance(thing, Circuit) else copy.copy(thing)


@pytest.mark.parametrize(("state", "event"), ILLEGAL)
def test_an_illegal_event_changes_nothing_of_a_breaker(state: State, event: Event) -> None:
    told: list[Transition] = []
    breaker = breaker_in(state, told)
    before = everything(breaker)
    with pytest.raises(IllegalEventError):
        breaker._move(event, Cause.MANUAL, "by mistake", 99.0, 5.0)
    assert everything(breaker) == before
    assert told == []


@pytest.mark.parametrize(("state", "event"), LEGAL)
def test_a_legal_event_moves_a_breaker_and_is_told(state: State, event: Event) -> None:
    told: list[Transition] = []
    breaker = breaker_in(state, told)
    generation = breaker.generation
    breaker._move(event, Cause.MANUAL, "why", 99.0, 5.0)
    assert breaker.state is LEGAL[state, event]
    assert breaker.closed == (breaker.state is CLOSED)
    assert breaker.generation > generation
    assert breaker.counts(99.0) == (0, 0)
    assert [(t.was, t.event, t.state, t.generation, t.now) for t in told] == [
        (state, event, LEGAL[state, event], breaker.generation, 99.0)
    ]
    assert told[0].retry_in == (5.0 if breaker.state is OPEN else None)
