from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from healthapi.history import Counts
from healthapi.status import (
    Availability,
    Health,
    percentage,
    provider_status,
    rate_status,
    system_status,
    target_status,
)

H, D, U, X = Health.HEALTHY, Health.DEGRADED, Health.UNHEALTHY, Health.UNKNOWN
ON, HALF, OFF, UNKNOWN = Availability.ONLINE, Availability.DEGRADED, Availability.OFFLINE, Availability.UNKNOWN
NONE = Counts()


@pytest.mark.parametrize(
    ("success", "blamed", "status"),
    [
        (0, 0, X),
        (100, 0, H),
        (95, 5, H),
        (949, 51, D),
        (80, 20, D),
        (799, 201, U),
        (0, 1, U),
    ],
)
def test_what_a_success_rate_says(success: int, blamed: int, status: Health) -> None:
    assert rate_status(Counts(success, blamed, other=1000)) is status


@pytest.mark.parametrize(
    ("five_minutes", "hour", "intervals", "status"),
    [
        (NONE, NONE, NONE, X),
        (Counts(5), Counts(5, 95), NONE, H),  # enough in five minutes: the hour is not asked
        (Counts(0, 4), Counts(95, 4), NONE, H),  # four are too few, the hour decides
        (Counts(0, 4), Counts(4, 0), Counts(1, 1), U),  # four in the hour are too few as well
        (NONE, NONE, Counts(2), H),  # a probed model is known
        (NONE, NONE, Counts(0, 2), U),
        (NONE, NONE, Counts(1), X),  # never from one sample
        (NONE, NONE, Counts(0, 1), X),
        (Counts(4), Counts(4), Counts(1), X),
        (Counts(0, 0, 50), Counts(0, 0, 50), Counts(0, 0, 50), X),  # callers' bad keys are no sign of anything
        (Counts(4, 1), NONE, NONE, D),
    ],
)
def test_the_period_a_target_is_judged_by(
    five_minutes: Counts, hour: Counts, intervals: Counts, status: Health
) -> None:
    periods = {300.0: five_minutes, 3600.0: hour, 3 * 7200.0: intervals}
    assert target_status(periods.__getitem__, 7200) is status


def test_an_open_breaker_is_unhealthy_whatever_was_seen() -> None:
    assert target_status(lambda _: Counts(100), 7200, breaker_open=True) is U


@settings(deadline=None)
@given(st.integers(0, 50), st.booleans())
def test_no_single_outcome_decides_a_status(others: int, success: bool) -> None:
    alone = Counts(int(success), int(not success), others)
    assert target_status(lambda _: alone, 7200) is X


@settings(deadline=None)
@given(st.integers(20, 500), st.booleans())
def test_one_more_failure_never_makes_a_healthy_target_unhealthy(good: int, failed: bool) -> None:
    assert target_status(lambda _: Counts(good, int(failed)), 7200) is H


@pytest.mark.parametrize(
    ("models", "status"),
    [
        ([], UNKNOWN),
        ([X, X], UNKNOWN),
        ([H], ON),
        ([H, X], ON),
        ([H, D], HALF),
        ([D], HALF),
        ([H, U], HALF),  # half is not more than half
        ([H, U, U], OFF),
        ([U], OFF),
        ([U, X, X, X], OFF),  # unknown ones are not in the count
        ([D, D, U], HALF),
    ],
)
def test_a_provider_by_its_models(models: Sequence[Health], status: Availability) -> None:
    assert provider_status(models) is status


def test_a_provider_with_an_open_breaker_is_offline() -> None:
    assert provider_status([H, H], breaker_open=True) is OFF


@pytest.mark.parametrize(
    ("providers", "status"),
    [
        ([], X),
        ([UNKNOWN], X),
        ([ON], H),
        ([ON, UNKNOWN], H),
        ([ON, HALF], D),
        ([ON, ON, OFF], D),
        ([ON, OFF], U),  # at least half
        ([OFF, UNKNOWN, UNKNOWN], U),
    ],
)
def test_the_system_by_its_providers(providers: Sequence[Availability], status: Health) -> None:
    assert system_status(providers) is status


@pytest.mark.parametrize(("part", "whole", "result"), [(0, 0, None), (0, 3, 0.0), (3, 3, 100.0), (1, 4, 25.0)])
def test_percentages(part: int, whole: int, result: float | None) -> None:
    assert percentage(part, whole) == result


@settings(deadline=None)
@given(st.integers(1, 10**12))
def test_a_hundred_percent_is_never_a_rounded_figure(failures: int) -> None:
    whole = 10**12
    share = percentage(whole - failures, whole)
    assert share is not None
    assert share < 100.0
