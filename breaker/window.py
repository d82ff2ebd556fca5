"""A sliding window of outcomes: a ring of equal buckets with exact counts.

Counts are exact, never decayed averages, because a reason a person reads ("6 of 10 requests failed in 60 s") has to be
true. The window moves in steps of one bucket: it reaches back at most `span` and at least `span` less one bucket.
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from breaker.outcome import Status

_COLUMN: Final = {status: column for column, status in enumerate(Status)}
_WIDTH: Final = len(_COLUMN)


class Counts(Struct, frozen=True):
    """How many outcomes of each status a window holds."""

    success: int = 0
    error: int = 0
    timeout: int = 0
    rate_limited: int = 0
    network_error: int = 0

    @property
    def failures(self) -> int:
        """Every outcome but success."""
        return self.error + self.timeout + self.rate_limited + self.network_error

    @property
    def total(self) -> int:
        """Every outcome."""
        return self.success + self.failures


class Window:
    """Outcomes of the last `span` seconds, by status.

    Times are seconds of one monotonic clock. A time before the newest one added is taken for the newest: results are
    timed where they happen and may arrive a little out of order. Reading changes nothing, however far ahead it looks.
    """

    __slots__ = ("_buckets", "_cells", "_newest", "_step", "_totals")

    def __init__(self, span: float, buckets: int = 10) -> None:
        """Make an empty window.

        Raises:
            ValueError: `span` or `buckets` is not positive.
        """
        if span <= 0 or buckets <= 0:
            raise ValueError(f"a window needs a positive span and at least one bucket, not {span} s in {buckets}")
        self._buckets = buckets
        self._step = span / buckets
        self._newest = 0
        self._cells = [0] * (buckets * _WIDTH)  # one row of statuses per bucket, rows in a ring
        self._totals = [0] * _WIDTH

    def add(self, status: Status, now: float) -> None:
        """Count one outcome."""
        tick = int(now // self._step)
        if tick > self._newest:
            self._move(tick)
        column = _COLUMN[status]
        self._cells[self._newest % self._buckets * _WIDTH + column] += 1
        self._totals[column] += 1

    def counts(self, now: float) -> Counts:
        """What the window holds at `now`."""
        gone = self._gone(int(now // self._step))
        if not gone:
            return Counts(*self._totals)
        lost = [sum(column) for column in zip(*map(self._row, gone), strict=True)]
        return Counts(*(total - less for total, less in zip(self._totals, lost, strict=True)))

    def _gone(self, tick: int) -> range:
        """The buckets that a window ending with the bucket `tick` no longer holds."""
        oldest = self._newest - self._buckets + 1
        return range(oldest, min(oldest + tick - self._newest, self._newest + 1))

    def _row(self, tick: int) -> list[int]:
        start = tick % self._buckets * _WIDTH
        return self._cells[start : start + _WIDTH]

    def _move(self, tick: int) -> None:
        """Make `tick` the newest bucket and empty those that fall out."""
        for old in self._gone(tick):
            start = old % self._buckets * _WIDTH
            self._totals = [total - less for total, less in zip(self._totals, self._row(old), strict=True)]
            self._cells[start : start + _WIDTH] = [0] * _WIDTH
        self._newest = tick
