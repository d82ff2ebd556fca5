"""What the soak makes of what it saw: trends after the first minutes, and counts that must agree."""

from __future__ import annotations

import pytest

from bench.soak import Sample, flat, unaccounted


def test_trends_are_those_after_the_first_minutes() -> None:
    early = [Sample(at, 100 * 2**20 + at * 2**20, 10 + at, at) for at in range(0, 300, 10)]
    late = [Sample(at, 400 * 2**20 + at * 2**20 // 600, 50, 7) for at in range(300, 1800, 10)]
    found = flat([*early, *late], 300)
    assert found["memory_mib_per_10min"] == pytest.approx(1.0, abs=0.01)
    assert (found["descriptors_per_10min"], found["tasks_per_10min"]) == (0, 0)
    assert flat([*early, *late], 0)["memory_mib_per_10min"] > 10


@pytest.mark.parametrize(
    ("detour", "apart"),
    [
        ({"success": 90, "error": 5, "network_error": 5}, 0),
        ({"success": 88, "error": 5, "network_error": 5, "cancelled": 2}, 0),
        ({"success": 88, "error": 5, "network_error": 5, "cancelled": 1}, 1),
        ({"success": 90, "error": 6, "network_error": 5}, 1),
        ({"success": 90, "error": 5, "network_error": 5, "timeout": 3}, 3),
        ({"success": 85, "error": 10, "network_error": 5}, 10),
        ({}, 100),
    ],
)
def test_every_attempt_is_accounted_for(detour: dict[str, int], apart: int) -> None:
    assert unaccounted({"answered": 90, "error": 5, "cut": 3, "torn": 2}, detour) == apart
