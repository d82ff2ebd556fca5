from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from breaker.latency import SIZE, Latencies
from healthapi.cell import Cell, add, dense, empty, sparse

histograms = st.dictionaries(st.integers(0, SIZE - 1), st.integers(1, 1000), max_size=8)
cells = st.builds(
    Cell,
    st.lists(st.integers(0, 1000), min_size=5, max_size=5),
    st.integers(0, 1000),
    st.integers(0, 1000).map(float),
    histograms,
    histograms,
)


def copied(cell: Cell) -> Cell:
    return Cell(cell.counts.copy(), cell.blamed, cell.seconds, cell.response.copy(), cell.first_byte.copy())


@given(cells, cells)
def test_cells_add_up_whichever_comes_first_and_the_other_stays_as_it_was(one: Cell, other: Cell) -> None:
    there, back, kept = copied(one), copied(other), copied(other)
    there.merge(other)
    back.merge(one)
    assert there == back
    assert other == kept
    assert there.calls == one.calls + other.calls
    assert sum(there.response.values()) == sum(one.response.values()) + sum(other.response.values())


@given(cells)
def test_nothing_changes_nothing(cell: Cell) -> None:
    made = copied(cell)
    made.merge(empty())
    assert made == cell


@given(histograms)
def test_a_sparse_histogram_is_the_dense_one_without_its_zeros(histogram: dict[int, int]) -> None:
    assert sparse(dense(histogram)) == histogram
    assert dense(histogram).count == sum(histogram.values())


def test_buckets_that_there_are_none_of_are_left_out() -> None:
    assert dense({-1: 3, 0: 1, SIZE: 4, 1 << 40: 2}).count == 1


def test_it_counts_as_the_dense_one_does() -> None:
    latencies, counted = Latencies(), {}
    for seconds in (0.0005, 0.3, 0.3, 5000.0, float("inf")):
        latencies.add(seconds)
        one = Latencies()
        one.add(seconds)
        add(counted, sparse(one))
    assert sparse(latencies) == counted


def test_groups_are_successes_blamed_and_the_rest() -> None:
    assert Cell([7, 1, 2, 3, 4], 4, 0.0, {}, {}).groups == (7, 4, 6)
