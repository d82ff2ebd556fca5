from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from breaker.latency import BOUNDS
from breaker.outcome import Kind
from config.settings import Sla
from healthapi.cell import STATUSES, Cell, empty
from healthapi.history import DAY, HOUR, MINUTE
from healthapi.views.sla import (
    BURNS,
    DAYS,
    HOURS,
    Found,
    allowed_rate,
    burn_rate,
    burn_rates,
    by_hour,
    by_minute,
    error_budget,
    provider_sla,
)
from tests.healthapi.samples import NOW

HOUR_NOW = int(NOW // HOUR)
QUICK, SLOW = 70, 130  # places of latencies: about a second, about six minutes
GOALS = st.floats(0.001, 99.999).map(lambda goal: Sla(availability=goal))
COUNTS = st.integers(0, 10**9)


def cell(good: int, bad: int = 0, other: int = 0, *, place: int = QUICK) -> Cell:
    counts = [0] * len(STATUSES)
    counts[0], counts[1] = good, bad + other
    return Cell(counts, bad, 0.0, {place: good + bad + other}, {})


def found(*cells: tuple[int, Cell], now: float = NOW) -> Found:
    made = Found()
    for hours_ago, one in cells:
        made.hour(HOUR_NOW - hours_ago, one, now)
    return made


def test_nothing_seen_is_never_perfect() -> None:
    told = provider_sla("groq", Sla(), None, Found(), NOW)
    whole = told.last_30_days
    assert (whole.calls, whole.failures) == (0, 0)
    assert [whole.availability, whole.p95_ms, whole.p95_first_byte_ms, whole.met] == [None] * 4
    assert told.error_budget.left_percentage is None
    assert told.burn_rates == dict.fromkeys(BURNS)
    assert (len(told.hours), len(told.days)) == (HOURS, DAYS)
    assert {window.met for window in (*told.hours, *told.days)} == {None}


def test_hours_and_days_are_those_up_to_now() -> None:
    told = provider_sla("groq", Sla(), None, Found(), NOW + 5.5 * HOUR)
    assert told.hours[0].at == "2025-12-31T06:00:00.000Z"
    assert told.hours[-1].at == "2026-01-01T05:00:00.000Z"
    assert (told.days[0].at, told.days[-1].at) == ("2025-12-03T00:00:00.000Z", "2026-01-01T00:00:00.000Z")
    assert (told.from_, told.to) == (told.days[0].at, "2026-01-01T05:30:00.000Z")


@pytest.mark.parametrize(
    ("one", "availability", "met"),
    [
        (cell(99, 1), 99.0, True),
        (cell(98, 1), 100 * 98 / 99, False),
        (cell(100, 0), 100.0, True),
        (cell(0, 5), 0.0, False),
        (cell(99, 1, 50), 99.0, True),  # a caller's key or quota is no outage of the provider's
        (cell(0, 0, 50), None, None),
        (cell(100, 0, place=SLOW), 100.0, False),
    ],
)
def test_a_window_against_the_objective(one: Cell, availability: float | None, *, met: bool | None) -> None:
    told = provider_sla("groq", Sla(availability=99.0, p95=30.0), None, found((0, one)), NOW)
    for figures in (told.hours[-1], told.days[-1], told.last_30_days):
        assert figures.calls == one.calls
        assert figures.failures == one.blamed
        assert figures.availability == availability
        assert figures.met is met


def test_hours_days_and_all_of_it_add_up() -> None:
    made = found((0, cell(1)), (0, cell(2, 1)), (23, cell(4)), (24, cell(8)), (29 * 24, cell(16)))
    told = provider_sla("groq", Sla(), None, made, NOW)
    assert [window.calls for window in told.hours if window.calls] == [4, 4]
    assert [window.calls for window in told.days if window.calls] == [16, 12, 4]
    assert told.last_30_days.calls == sum(window.calls for window in told.days) == 32
    assert told.error_budget.used_failures == 1


def test_p95_is_of_response_and_first_byte() -> None:
    made = Cell([20, 0, 0, 0, 0], 0, 0.0, {QUICK: 19, SLOW: 1}, {10: 20})
    figures = provider_sla("groq", Sla(), None, found((0, made)), NOW).last_30_days
    assert figures.p95_ms is not None
    assert BOUNDS[QUICK - 1] * 1000 <= figures.p95_ms <= BOUNDS[QUICK] * 1000
    assert figures.p95_first_byte_ms is not None
    assert figures.p95_first_byte_ms <= BOUNDS[10] * 1000


def test_the_kind_and_the_name_are_told() -> None:
    told = provider_sla("gr\udcffoq", Sla(availability=99.9, p95=1.5), Kind.PROBE, Found(), NOW)
    assert (told.provider, told.kind) == ("gr?oq", "probe")
    assert (told.objective.availability, told.objective.p95_ms) == (99.9, 1500.0)


@pytest.mark.parametrize(
    ("good", "bad", "goal", "allowed", "left"),
    [
        (990, 10, 99.0, 10.0, 0.0),
        (995, 5, 99.0, 10.0, 50.0),
        (1000, 0, 99.0, 10.0, 100.0),
        (980, 20, 99.0, 10.0, -100.0),
        (999, 1, 99.9, 1.0, 0.0),
        (0, 0, 99.0, 0.0, None),
        (1, 0, 99.999, 0.00001, 100.0),
    ],
)
def test_the_error_budget(good: int, bad: int, goal: float, allowed: float, left: float | None) -> None:
    budget = error_budget(good, bad, Sla(availability=goal))
    assert (budget.allowed_failures, budget.used_failures) == (allowed, bad)
    assert budget.left_percentage == (None if left is None else pytest.approx(left, abs=1e-9))


@given(COUNTS, COUNTS, GOALS)
def test_the_budget_is_spent_exactly_when_the_objective_is_missed(good: int, bad: int, goal: Sla) -> None:
    assume(good + bad)
    budget = error_budget(good, bad, goal)
    assert budget.left_percentage is not None
    assert budget.left_percentage <= 100.0
    assert (budget.left_percentage >= 0) == (bad <= budget.allowed_failures)
    margin = 1e-6  # sums are rounded: what is closer than that may go either way
    availability = 100 * good / (good + bad)
    if availability > goal.availability + margin:
        assert budget.left_percentage >= 0
    if availability < goal.availability - margin:
        assert budget.left_percentage < 0


@given(COUNTS, COUNTS, GOALS)
def test_a_burn_rate_of_one_spends_exactly_what_is_allowed(good: int, bad: int, goal: Sla) -> None:
    rate = burn_rate(good, bad, goal)
    left = error_budget(good, bad, goal).left_percentage
    if not good + bad:
        assert rate is left is None
        return
    assert rate is not None
    assert left is not None
    assert rate >= 0
    assert left == pytest.approx(100 * (1 - rate), rel=1e-3, abs=1e-3)


@given(st.lists(st.tuples(COUNTS, COUNTS), min_size=1, max_size=20), GOALS)
def test_what_is_left_does_not_depend_on_how_it_is_cut(parts: list[tuple[int, int]], goal: Sla) -> None:
    good, bad = sum(one[0] for one in parts), sum(one[1] for one in parts)
    made = found(*((place, cell(*one)) for place, one in enumerate(parts)))
    assert provider_sla("groq", goal, None, made, NOW).error_budget == error_budget(good, bad, goal)


@given(GOALS)
def test_something_is_always_allowed(goal: Sla) -> None:
    assert 0 < allowed_rate(goal) < 1


def test_burn_rates_look_back_as_far_as_they_say() -> None:
    hours = {HOUR_NOW - ago: (99, 1) for ago in range(200)}
    hours[HOUR_NOW - 3] = (0, 100)
    rates = burn_rates(hours, (0, 50), Sla(availability=99.0), NOW)
    assert rates == {
        "1h": pytest.approx(100.0),
        "6h": pytest.approx((100 + 6) / 700 / 0.01),
        "24h": pytest.approx((100 + 24) / 2500 / 0.01),
        "3d": pytest.approx((100 + 72) / 7300 / 0.01),
    }
    assert burn_rates({HOUR_NOW - 8: (0, 9)}, (0, 0), Sla(), NOW) == {
        "1h": None,
        "6h": None,
        "24h": pytest.approx(100.0),
        "3d": pytest.approx(100.0),
    }


def test_the_minutes_of_the_last_hour_add_up() -> None:
    made = Found()
    made.minute(cell(9, 1))
    made.minute(cell(10, 0, 5))
    assert made.recent == (19, 1)
    assert made.whole == empty()


@given(st.floats(NOW, NOW + 400 * DAY))
def test_all_that_is_asked_for_is_what_history_keeps(now: float) -> None:
    hours, minutes = by_hour(now), by_minute(now)
    assert hours.first * HOUR > now - 30 * DAY
    assert hours.first * HOUR % DAY == 0
    assert hours.last * HOUR <= now < (hours.last + 1) * HOUR
    assert minutes.first * MINUTE <= now - HOUR
    assert minutes.last * MINUTE <= now
