from __future__ import annotations

import itertools
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Struct
from msgspec.structs import replace

from proxy.rounds import JITTER, Limits, Sent, choose, due_at, room_at, share

NOW = 1.7e9
WIDE = {name: Limits(100, 0, 0.0) for name in "pqr"}


class One(Struct, frozen=True):
    provider: str = "p"
    model: str = "m"
    interval: float = 300.0
    timeout: float = 30.0
    max_tokens: int = 10
    last: float | None = NOW
    failing: bool = False


def test_a_target_is_due_after_its_interval_and_a_little_later() -> None:
    due = due_at(One(), 0.0, 30.0)
    assert NOW + 300 <= due <= NOW + 330
    assert due == due_at(One(), 99.0, 0.0), "the same at every sidecar"


def test_what_fails_does_not_wait_for_more_than_its_interval() -> None:
    assert due_at(One(failing=True), 0.0, 30.0) == NOW + 300


@pytest.mark.parametrize(("interval", "spread", "latest"), [(300, 30, 30), (100, 30, 10), (300, 0, 0)])
def test_of_what_nothing_was_heard_is_due_soon(interval: float, spread: float, latest: float) -> None:
    for number in range(50):
        due = due_at(One(model=str(number), last=None, interval=interval), NOW, spread)
        assert NOW <= due <= NOW + latest


@given(st.text(), st.text(), st.none() | st.floats(0, 1e10))
def test_a_place_in_the_spread_is_a_share(provider: str, model: str, last: float | None) -> None:
    assert 0 <= share(provider, model, last) < 1


def test_places_are_spread_and_change_with_each_attempt() -> None:
    places = [share("p", f"m{number}", NOW) for number in range(1000)]
    tenths = Counter(int(place * 10) for place in places)
    assert all(60 <= tenths[tenth] <= 140 for tenth in range(10)), tenths
    again = [share("p", f"m{number}", NOW + 300) for number in range(1000)]
    assert sum(abs(a - b) > 0.05 for a, b in zip(places, again, strict=True)) > 800
    assert share("p", "\ud800\n\0}", None) >= 0


def test_the_most_patient_first_and_not_too_many() -> None:
    due = [(NOW - 10, One(model="a")), (NOW - 20, One(model="b", interval=7200.0)), (NOW - 30, One(model="c"))]
    assert [one.model for one in choose(due, NOW, 2, WIDE, [])] == ["c", "a"]
    assert [one.model for one in choose(due, NOW, 9, WIDE, [])] == ["c", "a", "b"]
    assert choose([], NOW, 9, WIDE, []) == []


def test_few_models_of_a_provider_in_a_minute() -> None:
    due = [(NOW - number, One("pq"[number % 2], str(number))) for number in range(12)]
    limits = WIDE | {"p": Limits(100, 4, 0.0)}
    before = [Sent(NOW - 59, "p", "0"), Sent(NOW - 59, "p", "x"), Sent(NOW - 61, "p", "y"), Sent(NOW - 1, "q", "z")]
    chosen = choose(due, NOW, 100, limits, before)
    assert Counter(one.provider for one in chosen) == {"q": 6, "p": 3}
    assert "0" in {one.model for one in chosen}, "one that was probed within the minute is no different one"


def test_a_providers_own_round_and_pause() -> None:
    due = [(NOW - number, One("pq"[number % 2], str(number))) for number in range(12)]
    limits = {"p": Limits(2, 0, 30.0), "q": Limits(9, 0, 30.0)}
    assert Counter(one.provider for one in choose(due, NOW, 100, limits, [])) == {"p": 2, "q": 6}
    assert {one.provider for one in choose(due, NOW, 100, limits, [Sent(NOW - 29, "p", "m")])} == {"q"}
    assert {one.provider for one in choose(due, NOW, 100, limits, [Sent(NOW - 30, "p", "m")])} == {"p", "q"}


def test_when_there_is_room_again() -> None:
    limits = {"p": Limits(9, 4, 30.0), "q": Limits(9, 0, 90.0)}
    assert room_at(NOW, limits, []) == NOW
    assert room_at(NOW, limits, [Sent(NOW - 10, "p", "m"), Sent(NOW - 50, "p", "n")]) == NOW + 10
    assert room_at(NOW, limits, [Sent(NOW - 10, "p", "m")]) == NOW + 20, "when its pause is over"
    assert room_at(NOW, limits, [Sent(NOW - 80, "q", "m")]) == NOW + 10
    assert room_at(NOW, limits, [Sent(NOW - 90, "q", "m"), Sent(NOW, "gone", "m")]) == NOW


_TARGETS = st.lists(
    st.tuples(st.sampled_from("pqr"), st.sampled_from([60.0, 300.0, 1800.0]), st.booleans()), min_size=1, max_size=40
)


@settings(max_examples=60, deadline=None)
@given(
    _TARGETS,
    st.integers(1, 12),
    st.sampled_from([0, 4]),
    st.lists(st.tuples(st.integers(0, 3600), st.integers(0, 39)), max_size=60),
)
def test_an_hour_of_rounds(
    targets: list[tuple[str, float, bool]], most: int, pace: int, traffic: list[tuple[int, int]]
) -> None:
    """Nobody twice in an interval, no round too large, no minute too many; and in time where there is room."""
    ones = [One(provider, str(i), interval, last=None) for i, (provider, interval, _) in enumerate(targets)]
    limits = {name: Limits(100, pace, 0.0) for name in "pqr"}
    calls = sorted((NOW + second, index) for second, index in traffic if index < len(ones))
    heard: dict[str, list[float]] = {one.model: [] for one in ones}
    sent: list[Sent] = []
    pause = 30.0
    at = NOW
    while at < NOW + 3600:
        while calls and calls[0][0] <= at:
            when, index = calls.pop(0)
            ones[index] = replace(ones[index], last=when)
            heard[str(index)].append(when)
        due = [(when, one) for one in ones if (when := due_at(one, NOW, pause)) <= at]
        chosen = choose(due, at, most, limits, sent)
        assert len(chosen) <= most
        for one in chosen:
            assert one.last is None or at - one.last >= one.interval
            sent.append(Sent(at, one.provider, one.model))
            ones[int(one.model)] = replace(one, last=at)
            heard[one.model].append(at)
        at += pause if chosen else 1.0
    for provider, moment in itertools.product("pqr", range(0, 3600, 30)):
        minute = {one.model for one in sent if one.provider == provider and 0 <= one.at - NOW - moment < 60}
        assert not pace or len(minute) <= pace
    work = sum(pause / one.interval for one in ones)
    if not pace and work < most * 0.8:  # there is room for all of it
        for one in ones:
            times = [NOW, *heard[one.model], NOW + 3600]
            longest = max(b - a for a, b in itertools.pairwise(times))
            assert longest <= one.interval * (1 + JITTER) + pause * (2 + len(ones) / most), one
