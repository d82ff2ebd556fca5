"""Log-bucketed latencies: the error of a quantile, addition, hostile numbers."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from breaker.latency import BOUNDS, PER_OCTAVE, SIZE, Latencies

measurable = st.floats(min_value=0.001, max_value=3600.0)


def seen(*seconds: float) -> Latencies:
    latencies = Latencies()
    for value in seconds:
        latencies.add(value)
    return latencies


@settings(deadline=None)
@given(st.lists(measurable, min_size=1, max_size=200), st.floats(min_value=0, max_value=1))
def test_a_quantile_is_within_five_percent_of_a_latency_that_was_seen(values: list[float], q: float) -> None:
    exact = sorted(values)[max(1, math.ceil(q * len(values))) - 1]
    answer = seen(*values).quantile(q)
    assert answer is not None
    assert abs(answer - exact) <= 0.05 * exact


@settings(deadline=None)
@given(st.lists(measurable), st.lists(measurable))
def test_merging_is_adding(mine: list[float], theirs: list[float]) -> None:
    merged, other = seen(*mine), seen(*theirs)
    merged.merge(other)
    assert merged.counts == seen(*mine, *theirs).counts
    assert other.counts == seen(*theirs).counts
    other.add(1.0)
    assert merged.count == len(mine) + len(theirs), "merged counts are shared with the other one"


@settings(deadline=None)
@given(st.floats(allow_nan=True, allow_infinity=True))
def test_no_number_is_lost_or_raises(value: float) -> None:
    latencies = seen(value)
    assert latencies.count == 1
    assert len(latencies.counts) == SIZE


@pytest.mark.parametrize(
    ("seconds", "bucket"),
    [
        (-math.inf, 0),
        (-1.0, 0),
        (0.0, 0),
        (math.nan, 0),
        (0.000_999, 0),
        (0.001, 0),
        (0.001_000_1, 1),
        (0.002, PER_OCTAVE),
        (0.002_000_1, PER_OCTAVE + 1),
        (BOUNDS[-1], SIZE - 2),
        (5000.0, SIZE - 1),
        (math.inf, SIZE - 1),
    ],
)
def test_bounds_belong_to_the_bucket_below_them(seconds: float, bucket: int) -> None:
    assert seen(seconds).counts.index(1) == bucket


@pytest.mark.parametrize(
    ("values", "q", "answer"),
    [
        ([], 0.5, None),
        ([0.0], 0.0, 0.001),
        ([0.0], 1.0, 0.001),
        ([9999.0], 0.5, BOUNDS[-1]),
        ([0.0, 9999.0], 0.5, 0.001),
        ([0.0, 9999.0], 0.51, BOUNDS[-1]),
    ],
)
def test_quantiles_at_the_ends(values: list[float], q: float, answer: float | None) -> None:
    assert seen(*values).quantile(q) == answer


@pytest.mark.parametrize("q", [-0.01, 1.01, math.nan])
def test_a_quantile_outside_zero_to_one_is_refused(q: float) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        seen(1.0).quantile(q)


def test_the_shape() -> None:
    assert Latencies.bounds is BOUNDS
    assert BOUNDS[0] == 0.001
    assert BOUNDS[-1] >= 3600.0
    assert list(BOUNDS) == sorted(set(BOUNDS))
    assert BOUNDS[::PER_OCTAVE] == tuple(0.001 * 2**n for n in range(23)), "metrics thin to exact powers of two"
