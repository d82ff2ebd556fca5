"""A sliding window of counts: a ring of equal buckets.

Counts are exact, never decayed averages, because a reason a person reads ("6 of 10 requests failed in 60 s") has to be
true. The window moves in steps of one bucket: it reaches back at most `span` and at least `span` less one bucket.
"""

from __future__ import annotations


class Window:
    """Whole numbers counted in columns over the last `span` seconds.

    Times are seconds of one monotonic clock. A time before the newest one added is taken for the newest: results are
    timed where they happen and may arrive a little out of order. Reading changes nothing, however far ahead it looks.
    """

    __slots__ = ("_buckets", "_cells", "_newest", "_step", "_totals", "_width")

    def __init__(self, span: float, width: int, buckets: int = 10) -> None:
        """Make an empty window of `width` columns.

        Raises:
            ValueError: `span`, `width` or `buckets` is not positive.
        """
        if span <= 0 or width <= 0 or buckets <= 0:
            raise ValueError(f"a window needs a positive span, width and number of buckets: {span} s {width} {buckets}")
        self._buckets = buckets
        self._width = width
        self._step = span / buckets
        self.clear()

    def clear(self) -> None:
        """Forget everything."""
        self._newest = 0
        self._cells = [0] * (self._buckets * self._width)  # one row of columns per bucket, rows in a ring
        self._totals = [0] * self._width

    def add(self, column: int, now: float, amount: int = 1) -> None:
        """Count `amount` in `column`."""
        tick = int(now // self._step)
        if tick > self._newest:
            self._move(tick)
        self._cells[self._newest % self._buckets * self._width + column] += amount
        self._totals[column] += amount

    def counts(self, now: float) -> list[int]:
        """What each column holds at `now`."""
        totals = self._totals.copy()
        for tick in self._gone(int(now // self._step)):
            start = tick % self._buckets * self._width
            for column in range(self._width):
                totals[column] -= self._cells[start + column]
        return totals

    def _gone(self, tick: int) -> range:
        """The buckets that a window ending with the bucket `tick` no longer holds."""
        oldest = self._newest - self._buckets + 1
        return range(oldest, min(oldest + tick - self._newest, self._newest + 1))

    def _move(self, tick: int) -> None:
        """Make `tick` the newest bucket and empty those that fall out."""
        width = self._width
        for old in self._gone(tick):
            start = old % self._buckets * width
            for column in range(width):
                self._totals[column] -= self._cells[start + column]
                self._cells[start + column] = 0
        self._newest = tick
