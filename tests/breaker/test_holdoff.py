"""Hold-offs: as long as was asked for, doubling when nothing was, extended and never shortened, and bounded."""

from __future__ import annotations

import pytest

from breaker.holdoff import FIRST, LONGEST, MOST, HoldOffs

PLACE = ("p", "m", "key1")
OTHERS = [("p", "m", "key2"), ("p", "m", ""), ("p", "n", "key1"), ("q", "m", "key1")]


@pytest.mark.parametrize(
    ("asked", "longest", "expected"),
    [
        (5.0, 300.0, 5.0),
        (0.25, 300.0, 0.25),
        (300.0, 300.0, 300.0),
        (301.0, 300.0, 300.0),
        (None, 300.0, 1.0),
        (None, 0.5, 0.5),
    ],
)
def test_as_long_as_was_asked_for(asked: float | None, longest: float, expected: float) -> None:
    held = HoldOffs()
    assert held.limited(PLACE, asked, longest, 100.0) == 100.0 + expected
    assert held.left(PLACE, 100.0) == expected
    assert held.left(PLACE, 100.0 + expected / 2) == expected / 2
    assert held.left(PLACE, 100.0 + expected) == 0.0
    assert held.left(PLACE, 1e9) == 0.0
    for other in OTHERS:
        assert held.left(other, 100.0) == 0.0


@pytest.mark.parametrize("asked", [0.0, -5.0])
def test_no_time_at_all_holds_nothing_off(asked: float) -> None:
    held = HoldOffs()
    held.limited(PLACE, asked, 300.0, 100.0)
    assert held.left(PLACE, 100.0) == 0.0
    assert held.holding(100.0) == []


def test_without_a_word_it_doubles_to_thirty_seconds() -> None:
    held = HoldOffs()
    waits = [held.limited(PLACE, None, 300.0, now) - now for now in (1000.0 * n for n in range(40))]
    assert waits == [1.0, 2.0, 4.0, 8.0, 16.0] + [30.0] * 35
    assert (FIRST, LONGEST) == (1.0, 30.0)


def test_doubling_counts_every_429_and_begins_anew_after_a_success() -> None:
    held = HoldOffs()
    held.limited(PLACE, 7.0, 300.0, 0.0)
    assert held.limited(PLACE, None, 300.0, 100.0) == 102.0
    held.succeeded(PLACE)
    assert held.left(PLACE, 100.0) == 0.0
    assert held.limited(PLACE, None, 300.0, 200.0) == 201.0


def test_a_later_one_extends_and_never_shortens() -> None:
    held = HoldOffs()
    assert held.limited(PLACE, 50.0, 300.0, 0.0) == 50.0
    assert held.limited(PLACE, 10.0, 300.0, 10.0) == 50.0
    assert held.limited(PLACE, 60.0, 300.0, 20.0) == 80.0


def test_success_elsewhere_forgets_nothing() -> None:
    held = HoldOffs()
    held.limited(PLACE, 50.0, 300.0, 0.0)
    for other in OTHERS:
        held.succeeded(other)
    assert held.left(PLACE, 0.0) == 50.0


def test_what_is_held_and_for_how_long() -> None:
    held = HoldOffs()
    assert not held.places
    held.limited(PLACE, 5.0, 300.0, 0.0)
    held.limited(OTHERS[0], 9.0, 300.0, 0.0)
    assert held.places
    assert held.holding(1.0) == [(PLACE, 4.0), (OTHERS[0], 8.0)]
    assert held.holding(5.0) == [(OTHERS[0], 4.0)]
    assert held.holding(9.0) == []


@pytest.mark.parametrize(
    ("provider", "model", "left"),
    [
        ("p", "m", {("p", "n", "k"), ("q", "m", "k")}),
        ("p", None, {("q", "m", "k")}),
        ("r", None, {("p", "m", "k"), ("p", "m", "l"), ("p", "n", "k"), ("q", "m", "k")}),
    ],
)
def test_forgetting(provider: str, model: str | None, left: set[tuple[str, str, str]]) -> None:
    held = HoldOffs()
    for place in [("p", "m", "k"), ("p", "m", "l"), ("p", "n", "k"), ("q", "m", "k")]:
        held.limited(place, 5.0, 300.0, 0.0)
    held.forget(provider, model)
    assert {place for place, _ in held.holding(0.0)} == left


def test_clearing_forgets_everything_how_far_it_had_doubled_too() -> None:
    held = HoldOffs()
    held.limited(PLACE, None, 300.0, 0.0)
    held.clear()
    assert not held.places
    assert held.limited(PLACE, None, 300.0, 0.0) == 1.0


def test_ten_thousand_are_kept_and_those_touched_last() -> None:
    held = HoldOffs()
    assert MOST == 10_000
    for number in range(MOST):
        held.limited(("p", "m", str(number)), 100.0, 300.0, 0.0)
    held.limited(("p", "m", "0"), 100.0, 300.0, 1.0)
    held.limited(("p", "m", "new"), 100.0, 300.0, 1.0)
    assert len(held.holding(1.0)) == MOST
    assert held.left(("p", "m", "0"), 1.0) == 100.0
    assert held.left(("p", "m", "1"), 1.0) == 0.0
    assert held.left(("p", "m", "2"), 1.0) == 99.0
    assert held.left(("p", "m", "new"), 1.0) == 100.0
