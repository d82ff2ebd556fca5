"""The thresholds of health, to the single request."""

from __future__ import annotations

import pytest

from breaker.health import DEGRADED_FROM, HEALTHY_FROM, MIN_CALLS, Health, health


@pytest.mark.parametrize(
    ("successes", "judged", "expected"),
    [
        (0, 0, Health.UNKNOWN),
        (1, 1, Health.HEALTHY),
        (0, 1, Health.UNHEALTHY),
        (95, 100, Health.HEALTHY),
        (94, 100, Health.DEGRADED),
        (19, 20, Health.HEALTHY),
        (80, 100, Health.DEGRADED),
        (4, 5, Health.DEGRADED),
        (79, 100, Health.UNHEALTHY),
        (0, 10, Health.UNHEALTHY),
        (1000, 1000, Health.HEALTHY),
    ],
)
def test_shares(successes: int, judged: int, expected: Health) -> None:
    assert health(successes, judged) is expected


def test_the_thresholds_are_the_designs() -> None:
    assert (HEALTHY_FROM, DEGRADED_FROM, MIN_CALLS) == (0.95, 0.80, 5)
    assert [word.value for word in Health] == ["healthy", "degraded", "unhealthy", "unknown"]
