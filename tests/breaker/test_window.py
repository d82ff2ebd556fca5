"""The sliding window against a plain list of everything that happened, on a moved clock."""

from __future__ import annotations

from fractions import Fraction
from math import floor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from breaker.outcome import Status
from breaker.window import Counts, Window

statuses = st.sampled_from(list(Status))


def counted(*found: Status) -> Counts:
    return Counts(**{status.value: found.count(status) for status in Status})


class Reference(RuleBasedStateMachine):
    """Every outcome with its time, counted afresh with exact fractions whenever asked."""

    @initialize(
        span=st.sampled_from([0.7, 1.0, 7.0, 60.0, 3600.0]),
        buckets=st.integers(1, 12),
        start=st.sampled_from([0.0, 17.3, 1e6, 1.7e9]),
    )
    def begin(self, span: float, buckets: int, start: float) -> None:
        self.window = Window(span, buckets)
        self.step = Fraction(span / buckets)
        self.span, self.buckets, self.now = span, buckets, start
        self.happened: list[tuple[float, Status]] = []

    def expected(self, at: float) -> Counts:
        newest = floor(Fraction(at) / self.step)
        return counted(*(s for t, s in self.happened if floor(Fraction(t) / self.step) > newest - self.buckets))

    @rule(status=statuses)
    def add(self, status: Status) -> None:
        self.window.add(status, self.now)
        self.happened.append((self.now, status))

    @rule(status=statuses, late=st.floats(0, 1))
    def add_late(self, status: Status, late: float) -> None:
        """A result timed a little before the newest one counts as of the newest."""
        if self.happened:
            newest = max(t for t, _ in self.happened)
            self.window.add(status, max(0.0, newest - late * self.span))
            self.happened.append((newest, status))

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


Reference.TestCase.settings = settings(deadline=None)
TestAgainstReference = Reference.TestCase


@settings(deadline=None)
@given(st.lists(st.tuples(st.floats(0, 100), statuses)), st.floats(100, 300))
def test_what_is_surely_inside_counts_and_what_is_surely_outside_does_not(
    happened: list[tuple[float, Status]], now: float
) -> None:
    window = Window(60.0)
    for at, status in sorted(happened, key=lambda pair: pair[0]):
        window.add(status, at)
    total = window.counts(now).total
    assert sum(at > now - 54 for at, _ in happened) <= total <= sum(at >= now - 60 for at, _ in happened)


@pytest.mark.parametrize(
    ("at", "held"),
    [(0.0, 2), (5.99, 2), (53.99, 2), (59.9, 2), (60.0, 1), (65.9, 1), (66.0, 0), (1e9, 0)],
)
def test_buckets_leave_one_by_one(at: float, held: int) -> None:
    window = Window(60.0)
    window.add(Status.ERROR, 0.0)
    window.add(Status.SUCCESS, 6.0)
    assert window.counts(at).total == held


def test_reading_far_ahead_changes_nothing() -> None:
    window = Window(60.0)
    window.add(Status.TIMEOUT, 100.0)
    assert window.counts(10_000.0) == Counts()
    window.add(Status.SUCCESS, 101.0)
    assert window.counts(101.0) == counted(Status.TIMEOUT, Status.SUCCESS)


def test_a_read_behind_the_newest_sees_the_newest() -> None:
    window = Window(60.0)
    window.add(Status.ERROR, 1000.0)
    assert window.counts(0.0).error == 1


@pytest.mark.parametrize("status", list(Status))
def test_each_status_has_its_own_count(status: Status) -> None:
    window = Window(60.0)
    window.add(status, 1.0)
    counts = window.counts(1.0)
    assert counts == counted(status)
    assert counts.total == 1
    assert counts.failures == (status is not Status.SUCCESS)


@pytest.mark.parametrize(("span", "buckets"), [(0.0, 10), (-1.0, 10), (60.0, 0), (60.0, -1)])
def test_a_window_of_nothing_is_refused(span: float, buckets: int) -> None:
    with pytest.raises(ValueError, match="positive span"):
        Window(span, buckets)
