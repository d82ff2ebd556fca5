"""A sliding window of counts: a ring of equal buckets.

Counts are exact, never decayed averages, because a reason a person reads ("6 of 10 requests failed in 60 s") has to be
true. The window moves in steps of one bucket: it reaches back at most `span` and at least `span` less one bucket.
Counting is on the way of every request and costs a comparison; adding up is done by who asks.
"""

from __future__ import annotations

import math

Mark = tuple[int, tuple[int, ...]]
"""A moment of one window: the number of its newest bucket, and what that held. Good until the window is cleared."""


class Window:
    """Whole numbers counted in columns over the last `span` seconds.

    Times are seconds of one monotonic clock. A time before the newest one counted is taken for the newest: results are
    timed where they happen and may arrive a little out of order. Reading changes nothing, however far ahead it looks.
    """

    __slots__ = ("_end", "_newest", "_row", "_rows", "_width", "step")

    def __init__(self, span: float, width: int, buckets: int = 10) -> None:
        """Make an empty window of `width` columns.

        Raises:
            ValueError: `span`, `width` or `buckets` is not positive.
        """
        if span <= 0 or width <= 0 or buckets <= 0:
            raise ValueError(f"a window needs a positive span, width and number of buckets: {span} s {width} {buckets}")
        self._width = width
        self.step = span / buckets
        """Seconds of a bucket."""
        self._rows = [[0] * width for _ in range(buckets)]
        self.clear()

    def clear(self) -> None:
        """Forget everything."""
        for row in self._rows:
            row[:] = [0] * self._width
        self._newest = 0
        self._end = 0.0  # of the newest bucket; no time is before it, so that the first count moves the window
        self._row = self._rows[0]

    def at(self, now: float) -> list[int]:
        """The columns of the bucket that `now` is in, to count in."""
        if now >= self._end:
            self._move(now)
        return self._row

    def add(self, column: int, now: float, amount: int = 1) -> None:
        """Count `amount` in `column`."""
        self.at(now)[column] += amount

    def counts(self, now: float) -> list[int]:
        """What each column holds at `now`."""
        ahead = max(self._tick(now) - self._newest, 0)
        buckets = len(self._rows)
        held = [self._rows[tick % buckets] for tick in range(self._newest - buckets + 1 + ahead, self._newest + 1)]
        return [sum(column) for column in zip(*held, strict=True)] if held else [0] * self._width

    def oldest(self, now: float) -> int:
        """The number of the oldest bucket that is still held at `now`."""
        return max(self._tick(now), self._newest) - len(self._rows) + 1

    def mark(self) -> Mark:
        """This moment, to ask `since` with."""
        return self._newest, tuple(self._row)

    def since(self, mark: Mark, now: float) -> list[int]:
        """What was counted after `mark` was made, as far as the window still holds it at `now`."""
        marked, before = mark
        buckets, oldest = len(self._rows), self.oldest(now)
        found = [0] * self._width
        for tick in range(max(marked, oldest), self._newest + 1):
            found = [held + more for held, more in zip(found, self._rows[tick % buckets], strict=True)]
        return [held - less for held, less in zip(found, before, strict=True)] if marked >= oldest else found

    def spans(self, span: float) -> bool:
        """Whether it reaches back so many seconds."""
        return self.step == span / len(self._rows)

    def resized(self, span: float, now: float) -> Window:
        """A window of another `span` that holds what this one does at `now`, as far as it reaches back.

        What was counted counts as of the end of the bucket it was in. Marks of this one mean nothing to the other.
        """
        other = Window(span, self._width, len(self._rows))
        buckets = len(self._rows)
        for tick in range(max(self._newest - buckets + 1, 0), self._newest + 1):
            row = self._rows[tick % buckets]
            if any(row):
                there = other.at(min(math.nextafter((tick + 1) * self.step, 0.0), now))
                there[:] = [held + more for held, more in zip(there, row, strict=True)]
        return other

    def _tick(self, now: float) -> int:
        """The number of the bucket that `now` is in."""
        return int(now // self.step)

    def _move(self, now: float) -> None:
        """Make the bucket of `now` the newest, and empty those that fall out."""
        tick = self._tick(now)
        buckets = len(self._rows)
        if tick > self._newest:
            for gone in range(max(self._newest + 1, tick - buckets + 1), tick + 1):
                self._rows[gone % buckets][:] = [0] * self._width
            self._newest = tick
        self._end = (self._newest + 1) * self.step
        self._row = self._rows[self._newest % buckets]
