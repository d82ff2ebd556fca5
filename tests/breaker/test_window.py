"""The sliding window against a plain list of everything that happened, on a moved clock."""

from __future__ import annotations

from fractions import Fraction
from math import floor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from breaker.window import Mark, Window

WIDTH = 4
columns = st.integers(0, WIDTH - 1)
amounts = st.sampled_from([1, 1, 1, 7, 250_000, 0])

Entry = tuple[float, int, int]
"""When, in which column, how many."""


def counted(*found: tuple[int, int]) -> list[int]:
    return [sum(amount for column, amount in found if column == wanted) for wanted in range(WIDTH)]


class Reference(RuleBasedStateMachine):
    """Every outcome with its time, counted afresh with exact fractions whenever asked."""

    @initialize(
        span=st.sampled_from([0.7, 1.0, 7.0, 60.0, 3600.0]),
        buckets=st.integers(1, 12),
        start=st.sampled_from([0.0, 17.3, 1e6, 1.7e9]),
    )
    def begin(self, span: float, buckets: int, start: float) -> None:
        self.window = Window(span, WIDTH, buckets)
        self.step = Fraction(span / buckets)
        self.span, self.buckets, self.now = span, buckets, start
        self.happened: list[Entry] = []

    def expected(self, at: float) -> list[int]:
        newest = floor(Fraction(at) / self.step)
        inside = [(c, n) for t, c, n in self.happened if floor(Fraction(t) / self.step) > newest - self.buckets]
        return counted(*inside)

    @rule(column=columns, amount=amounts)
    def add(self, column: int, amount: int) -> None:
        self.window.add(column, self.now, amount)
        self.happened.append((self.now, column, amount))

    @rule(column=columns, late=st.floats(0, 1))
    def add_late(self, column: int, late: float) -> None:
        """A result timed a little before the newest one counts as of the newest."""
        if self.happened:
            newest = max(t for t, _, _ in self.happened)
            self.window.add(column, max(0.0, newest - late * self.span))
            self.happened.append((newest, column, 1))

    @rule()
    def clear(self) -> None:
        self.window.clear()
        self.happened.clear()

    @rule(share=st.floats(0, 3))
    def move_the_clock(self, share: float) -> None:
        self.now += share * self.span

    @rule(share=st.floats(0, 3))
    def look_ahead(self, share: float) -> None:
        at = self.now + share * self.span
        assert self.window.counts(at) == self.expected(at)

    @invariant()
    def counts_are_exact(self) -> None:
        if hasattr(self, "window"):
            assert self.window.counts(self.now) == self.expected(self.now)


class Marked(Reference):
    """The same, and now and then somebody marks a moment and asks later for what came after it."""

    @initialize()
    def begin_marking(self) -> None:
        self.marks: list[tuple[Mark, int]] = []

    @rule()
    def mark(self) -> None:
        self.marks.append((self.window.mark(), len(self.happened)))

    @rule()
    def clear(self) -> None:
        super().clear()
        self.marks.clear()

    @rule(share=st.floats(0, 3), at=st.integers(0, 100))
    def ask_for_what_came_since(self, share: float, at: int) -> None:
        now = self.now + share * self.span
        everything, ring = self.happened, self.expected(now)
        assert self.window.since((0, (0,) * WIDTH), now) == ring, "since the beginning"
        if self.marks:
            mark, before = self.marks[at % len(self.marks)]
            self.happened = everything[before:]
            assert self.window.since(mark, now) == self.expected(now)
            self.happened = everything


Reference.TestCase.settings = Marked.TestCase.settings = settings(deadline=None)
TestAgainstReference = Reference.TestCase
TestMarks = Marked.TestCase


@settings(deadline=None)
@given(st.lists(st.tuples(st.floats(0, 100), columns)), st.floats(100, 300))
def test_what_is_surely_inside_counts_and_what_is_surely_outside_does_not(
    happened: list[tuple[float, int]], now: float
) -> None:
    window = Window(60.0, WIDTH)
    for at, column in sorted(happened):
        window.add(column, at)
    total = sum(window.counts(now))
    assert sum(at > now - 54 for at, _ in happened) <= total <= sum(at >= now - 60 for at, _ in happened)


@pytest.mark.parametrize(
    ("at", "held"),
    [(0.0, 2), (5.99, 2), (53.99, 2), (59.9, 2), (60.0, 1), (65.9, 1), (66.0, 0), (1e9, 0)],
)
def test_buckets_leave_one_by_one(at: float, held: int) -> None:
    window = Window(60.0, WIDTH)
    window.add(1, 0.0)
    window.add(0, 6.0)
    assert sum(window.counts(at)) == held


def test_reading_far_ahead_changes_nothing() -> None:
    window = Window(60.0, WIDTH)
    window.add(2, 100.0)
    assert window.counts(10_000.0) == [0] * WIDTH
    window.add(0, 101.0)
    assert window.counts(101.0) == [1, 0, 1, 0]


def test_what_a_mark_tells_does_not_change_with_what_comes_after() -> None:
    window = Window(60.0, WIDTH)
    window.add(1, 1.0)
    mark = window.mark()
    assert window.since(mark, 1.0) == [0] * WIDTH
    window.add(1, 1.0, 2)
    window.add(3, 7.0)
    assert window.since(mark, 7.0) == [0, 2, 0, 1]
    assert window.since(mark, 60.5) == [0, 0, 0, 1], "what has left the window is not told any more"
    assert (window.oldest(7.0), window.oldest(60.5), window.oldest(0.0)) == (-8, 1, -8)


def test_what_was_read_is_the_readers_own() -> None:
    window = Window(60.0, WIDTH)
    window.counts(1.0)[0] = 99
    assert window.counts(1.0) == [0] * WIDTH


def test_a_read_behind_the_newest_sees_the_newest() -> None:
    window = Window(60.0, WIDTH)
    window.add(1, 1000.0)
    assert window.counts(0.0) == [0, 1, 0, 0]


@pytest.mark.parametrize("column", range(WIDTH))
def test_each_column_is_counted_by_itself(column: int) -> None:
    window = Window(60.0, WIDTH)
    window.add(column, 1.0)
    window.add(column, 1.0, 5)
    assert window.counts(1.0) == [6 if one == column else 0 for one in range(WIDTH)]


def test_a_cleared_window_is_like_a_new_one() -> None:
    window = Window(60.0, WIDTH)
    window.add(1, 1e6)
    window.clear()
    window.add(1, 3.0)
    assert window.counts(3.0) == [0, 1, 0, 0]
    assert window.counts(63.0) == [0, 0, 0, 0], "it is not where the old one was"


@pytest.mark.parametrize(
    ("span", "width", "buckets"),
    [(0.0, 1, 10), (-1.0, 1, 10), (60.0, 0, 10), (60.0, -1, 10), (60.0, 1, 0), (60.0, 1, -1)],
)
def test_a_window_of_nothing_is_refused(span: float, width: int, buckets: int) -> None:
    with pytest.raises(ValueError, match="positive span"):
        Window(span, width, buckets)


def test_the_smallest_window_there_is() -> None:
    window = Window(1.0, 1, 1)
    window.add(0, 0.5)
    assert window.counts(0.9) == [1]
    assert window.counts(1.0) == [0]


def test_a_time_on_the_edge_is_in_the_bucket_that_begins_there() -> None:
    window = Window(60.0, WIDTH)
    for at in (1.0, 6.0, 12.0):
        window.add(0, at)
    assert [sum(window.counts(at)) for at in (59.9, 60.0, 65.9, 66.0, 71.9, 72.0)] == [3, 2, 2, 1, 1, 0]
