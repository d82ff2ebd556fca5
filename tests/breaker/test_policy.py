"""When a breaker trips and for how long, as a table; and the words people read."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from breaker.policy import REASON_LIMIT, Seen, Trip, open_time, trip
from breaker.transition import Cause, Scope
from config.settings import Breakers

KNOBS = Breakers(
    failure_threshold=5, failure_rate=0.5, min_requests=10, window=60.0, slow_first_byte=30.0, slow_rate=0.8
)

P, T, K = Scope.PROVIDER, Scope.TARGET, Scope.CREDENTIAL


@pytest.mark.parametrize(
    ("scope", "seen", "cause"),
    [
        (T, Seen(0, 0, 0), None),
        (T, Seen(4, 0, 4), None),
        (T, Seen(5, 0, 5), Cause.CONSECUTIVE),
        (T, Seen(6, 0, 5), Cause.CONSECUTIVE),
        (P, Seen(5, 0, 5), Cause.CONSECUTIVE),
        (K, Seen(5, 0, 5), Cause.CONSECUTIVE),
        # by rate
        (T, Seen(1, 5, 4), None),
        (T, Seen(1, 4, 5), None),
        (T, Seen(1, 5, 5), Cause.RATE),
        (T, Seen(1, 6, 5), None),
        (T, Seen(1, 6, 6), Cause.RATE),
        (K, Seen(1, 5, 5), Cause.RATE),
        (P, Seen(1, 5, 5), Cause.HOST_RATE),
        (P, Seen(1, 6, 5), None),
        # a provider's, with what is blamed on its models
        (P, Seen(0, 0, 0, below=10, models=1), None),
        (P, Seen(0, 5, 0, below=5, models=1), None),
        (P, Seen(0, 5, 0, below=5, models=2), Cause.RATE),
        (P, Seen(0, 6, 0, below=5, models=2), None),
        (P, Seen(0, 0, 0, below=10), None),
        (P, Seen(0, 4, 0, below=5, models=2), None),
        (P, Seen(1, 5, 2, below=3, models=2), Cause.RATE),
        (P, Seen(1, 5, 2, below=3, models=1), None),
        (P, Seen(1, 1, 8, below=1, models=2), Cause.HOST_RATE),
        (P, Seen(1, 6, 1, below=3, models=2), None),
        # by pace
        (T, Seen(0, 10, 0, slow=8, timed=10), Cause.SLOW),
        (T, Seen(0, 10, 0, slow=7, timed=10), None),
        (T, Seen(0, 10, 0, slow=9, timed=9), None),
        (T, Seen(0, 0, 0, slow=10, timed=10), Cause.SLOW),
        # in order, when several hold
        (T, Seen(5, 5, 5, slow=10, timed=10), Cause.CONSECUTIVE),
        (T, Seen(4, 5, 5, slow=10, timed=10), Cause.RATE),
        (P, Seen(5, 5, 5, below=5, models=2), Cause.CONSECUTIVE),
    ],
)
def test_what_trips(scope: Scope, seen: Seen, cause: Cause | None) -> None:
    found = trip(scope, seen, KNOBS, "503 overloaded")
    assert (None if found is None else found.cause) is cause


@pytest.mark.parametrize(
    ("scope", "seen", "last", "expected"),
    [
        (T, Seen(5, 0, 5), "503 overloaded", Trip(Cause.CONSECUTIVE, "5 failures in a row, last: 503 overloaded")),
        (T, Seen(6, 0, 5), "", Trip(Cause.CONSECUTIVE, "6 failures in a row")),
        (T, Seen(5, 0, 5), "", Trip(Cause.CONSECUTIVE, "5 failures in a row")),
        (T, Seen(1, 4, 6), "503", Trip(Cause.RATE, "6 of 10 requests failed in 60 s, last: 503")),
        (P, Seen(1, 4, 6), "refused", Trip(Cause.HOST_RATE, "6 of 10 requests failed in 60 s, last: refused")),
        (
            P,
            Seen(1, 4, 2, below=4, models=2),
            "m: 503",
            Trip(Cause.RATE, "6 of 10 requests failed in 60 s at 2 models or more, last: m: 503"),
        ),
        (
            T,
            Seen(0, 10, 0, slow=9, timed=11),
            "503",
            Trip(Cause.SLOW, "9 of 11 streamed answers took longer than 30 s to begin"),
        ),
    ],
)
def test_reasons_people_understand(scope: Scope, seen: Seen, last: str, expected: Trip) -> None:
    assert trip(scope, seen, KNOBS, last) == expected


@pytest.mark.parametrize(
    ("seen", "reason"),
    [
        (Seen(0, 4, 6), "6 of 10 requests failed in 60 s in the fleet, last: 503"),
        (
            Seen(0, 4, 2, below=4, models=2),
            "6 of 10 requests failed in 60 s in the fleet at 2 models or more, last: 503",
        ),
        (Seen(0, 10, 0, slow=9, timed=11), "9 of 11 streamed answers took longer than 30 s to begin in the fleet"),
    ],
)
def test_reasons_say_where_it_was_seen(seen: Seen, reason: str) -> None:
    found = trip(P, seen, KNOBS, "503", " in the fleet")
    assert found is not None
    assert found.reason == reason


def test_a_single_failure_that_trips_is_no_row() -> None:
    found = trip(T, Seen(1, 0, 1), Breakers(failure_threshold=1), "503")
    assert found == Trip(Cause.CONSECUTIVE, "a failure, last: 503")


def test_two_are_a_row() -> None:
    assert trip(T, Seen(2, 0, 2), Breakers(failure_threshold=2), "") == Trip(Cause.CONSECUTIVE, "2 failures in a row")


def test_what_was_not_seen_is_none_and_does_not_change() -> None:
    assert Seen(1, 2, 3) == Seen(1, 2, 3, below=0, models=0, slow=0, timed=0)
    for struct, field in ((Seen(1, 2, 3), "slow"), (Trip(Cause.SLOW, "why"), "reason")):
        with pytest.raises(AttributeError):
            setattr(struct, field, 1)


def test_seconds_are_shown_as_people_write_them() -> None:
    found = trip(T, Seen(1, 0, 2), Breakers(min_requests=2, window=7.5), "")
    assert found == Trip(Cause.RATE, "2 of 2 requests failed in 7.5 s")
    slow = trip(T, Seen(0, 1, 0, slow=1, timed=1), Breakers(min_requests=1, slow_first_byte=2.5), "")
    assert slow == Trip(Cause.SLOW, "1 of 1 streamed answers took longer than 2.5 s to begin")


def test_no_reason_is_longer_than_its_limit() -> None:
    found = trip(T, Seen(5, 0, 5), KNOBS, "x" * 10_000)
    assert found is not None
    assert len(found.reason) == REASON_LIMIT == 500


@pytest.mark.parametrize("percent", [1, 7, 14, 28, 50, 55, 56, 80, 99, 100])
def test_a_share_that_is_reached_exactly_trips(percent: int) -> None:
    """55 of 100 are 55 %, though 0.55 × 100 is more than 55 in floating point."""
    knobs = Breakers(failure_threshold=1000, failure_rate=percent / 100, min_requests=100, slow_rate=percent / 100)
    rate = trip(T, Seen(1, 100 - percent, percent), knobs, "")
    assert rate is not None
    assert trip(T, Seen(1, 101 - percent, percent - 1), knobs, "") is None
    below = trip(P, Seen(0, 100 - percent, 0, below=percent, models=2), knobs, "")
    assert below is not None
    slow = trip(T, Seen(0, 100, 0, slow=percent, timed=100), knobs, "")
    assert slow is not None


@pytest.mark.parametrize(
    ("openings", "chance", "expected"),
    [
        (0, 0.0, 60.0),
        (1, 0.0, 120.0),
        (2, 0.0, 240.0),
        (3, 0.0, 300.0),
        (30, 0.0, 300.0),
        (5000, 0.0, 300.0),
        (0, 0.5, 57.0),
        (0, 1.0, 54.0),
        (3, 1.0, 270.0),
    ],
)
def test_open_times_grow_and_vary(openings: int, chance: float, expected: float) -> None:
    assert open_time(Breakers(), openings, chance) == pytest.approx(expected)


def test_the_first_open_time_is_bounded_too() -> None:
    assert open_time(Breakers(open_for=600.0, jitter=0.0), 0, 0.5) == 300.0


@pytest.mark.parametrize("openings", range(0, 100))
def test_doubling_goes_on_as_long_as_the_limit_lets_it(openings: int) -> None:
    knobs = Breakers(open_for=1e-9, max_open_for=1e300, jitter=0.0)
    assert open_time(knobs, openings, 0.0) == pytest.approx(1e-9 * 2.0 ** min(openings, 64))


@given(
    openings=st.integers(0, 10**6),
    chance=st.floats(0, 1),
    first=st.floats(0.001, 1e6),
    longest=st.floats(0.001, 1e6),
    jitter=st.floats(0, 1),
)
def test_open_times_keep_their_bounds(
    openings: int, chance: float, first: float, longest: float, jitter: float
) -> None:
    knobs = Breakers(open_for=first, max_open_for=longest, jitter=jitter)
    seconds = open_time(knobs, openings, chance)
    assert 0 <= seconds <= longest
    assert seconds >= min(first, longest) * (1 - jitter) - 1e-9
