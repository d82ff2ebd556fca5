"""What may be spent on further attempts: a share of the requests of the last minute, and never less than ten."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from breaker.budget import LEAST, SPAN, Budget


def after(requests: int, share: float = 0.2, now: float = 0.0) -> Budget:
    budget = Budget(share)
    for _ in range(requests):
        budget.request(now)
    return budget


def spent(budget: Budget, now: float) -> int:
    """Everything that can be spent at one moment."""
    count = 0
    while budget.spend(now):
        count += 1
        assert count < 10_000
    return count


@pytest.mark.parametrize(
    ("requests", "share", "expected"),
    [
        (0, 0.2, 10),
        (49, 0.2, 10),
        (50, 0.2, 10),
        (54, 0.2, 10),
        (55, 0.2, 11),
        (1000, 0.2, 200),
        (1000, 0.0, 10),
        (1000, 1.0, 1000),
    ],
)
def test_how_many(requests: int, share: float, expected: int) -> None:
    budget = after(requests, share)
    assert int(budget.left(0.0)) == expected
    assert spent(budget, 0.0) == expected
    assert budget.left(0.0) < 1
    assert not budget.spend(0.0)


def test_asking_what_is_left_spends_nothing() -> None:
    budget = after(100)
    assert [budget.left(1.0) for _ in range(3)] == [20.0, 20.0, 20.0]


def test_each_attempt_costs_one_and_comes_back_after_a_minute() -> None:
    budget = after(100)
    assert budget.spend(0.0)
    assert budget.left(0.0) == 19.0
    assert budget.left(59.9) == 19.0
    assert budget.left(60.0) == 10.0, "the requests are forgotten too"


def test_a_refused_attempt_costs_nothing() -> None:
    budget = after(0)
    assert spent(budget, 0.0) == 10
    assert not budget.spend(30.0)
    assert budget.left(60.0) == 10.0


def test_it_is_never_below_nothing() -> None:
    budget = after(1000)
    spent(budget, 30.0)
    assert budget.left(61.0) == 0.0, "the requests went, what they paid for did not"


def test_the_designs_numbers() -> None:
    assert (SPAN, LEAST) == (60.0, 10)


@given(st.lists(st.tuples(st.floats(0, 20), st.integers(0, 40), st.integers(0, 40)), max_size=40))
def test_no_minute_sees_more_than_its_share(steps: list[tuple[float, int, int]]) -> None:
    """Whatever comes when: attempts within any minute stay below requests of the two minutes around it × share + 20."""
    budget, now = Budget(0.2), 0.0
    requests: list[float] = []
    taken: list[float] = []
    for wait, asked, wanted in steps:
        now += wait
        for _ in range(asked):
            budget.request(now)
            requests.append(now)
        taken += [now for _ in range(wanted) if budget.spend(now)]
    for at in taken:
        minute = sum(at <= one < at + 54 for one in taken)
        around = sum(at - 60 <= one < at + 54 for one in requests)
        assert minute <= max(10, 0.2 * around)
