from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from healthapi.alerts.least import Least


@given(st.lists(st.integers()), st.integers(1, 10))
def test_it_keeps_the_least_in_order(things: list[int], most: int) -> None:
    least: Least[int] = Least(most)
    for thing in things:
        least.add(thing)
    assert least.kept == sorted(things)[:most]
    assert least.more is (len(things) > most)
