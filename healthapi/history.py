"""When outcomes happened: counts by minute, hour and day, in rings that cost the same however busy a target is.

Counts are kept in three groups, because two questions are asked of them. Uptime asks how many of all counted attempts
succeeded; live status asks the same of those only that were blamed on the target or its provider (semantics 1).

The rings are dense. Sparse cells would be smaller for a target called once a day and ten times larger for one called
every minute; at most 1.9 KiB, however often a target is called, is a bound that can be relied upon.
"""

from __future__ import annotations

import enum
import sys
from array import array
from collections.abc import Sequence
from functools import lru_cache
from typing import Final, Self

from msgspec import Struct

MINUTE: Final = 60
HOUR: Final = 3600
DAY: Final = 86400


class Group(enum.IntEnum):
    """In which way a counted outcome matters; the value is its place in `Counts` and in the rings."""

    SUCCESS = 0
    BLAMED = 1
    """A failure blamed on the target or its provider."""
    OTHER = 2
    """A failure of the caller's key, quota or access: counted, but no sign of the target's health."""


class Counts(Struct, frozen=True, gc=False):
    """How many outcomes of each group a period holds."""

    success: int = 0
    blamed: int = 0
    other: int = 0

    @property
    def total(self) -> int:
        """Every counted outcome."""
        return self.success + self.blamed + self.other

    @property
    def judged(self) -> int:
        """Those that live status looks at."""
        return self.success + self.blamed

    def __add__(self, more: Counts) -> Counts:
        """Both together."""
        return Counts(self.success + more.success, self.blamed + more.blamed, self.other + more.other)


NOTHING: Final = Counts()


class _Ring(Struct, frozen=True):
    """`size` buckets of `width` seconds each, kept from index `start` on."""

    width: int
    size: int
    start: int


# One bucket more than an hour and thirty days have, because a period rarely begins at the edge of a bucket.
_RINGS: Final = (_Ring(MINUTE, 61, 0), _Ring(HOUR, 48, 61), _Ring(DAY, 31, 61 + 48))
_SLOTS: Final = 61 + 48 + 31
SHARED: Final = len(Group) * _SLOTS + len(_RINGS)
"""How many numbers a history takes in the form in which a fleet shares it."""
_NEVER: Final = -1
_NONE_FRESH: Final = [0, 0, 0]


class History:
    """Counts of one target and one kind of traffic by minute (1 h), hour (48 h) and day (31 days), in UTC.

    Time is what outcomes say (`Outcome.at`); no clock is read. A clock that moves back within a ring's
    span adds to the buckets it comes back to; one that moves back further starts that ring afresh, since a ring that
    waited for its old future to come round again would be blind until then.
    """

    __slots__ = ("_counts", "_fresh", "_minute", "_newest", "_places")

    def __init__(self) -> None:
        """Start with nothing seen."""
        # By group, all three rings in one array; None while there was no such outcome, as is usual for failures.
        self._counts: list[array[int] | None] = [None for _ in Group]
        # Told once a second: it counts here, and the rings hear of it when the minute turns.
        self._fresh = [0, 0, 0]
        self._newest = [0 for _ in _RINGS]
        self._minute = _NEVER
        self._places: tuple[int, ...] = ()

    def count(self, minute: int, groups: Sequence[int]) -> None:
        """Count outcomes by `Group` that ended within a Unix minute."""
        if minute != self._minute:
            self._turn_to(minute)
        fresh = self._fresh
        for group, number in enumerate(groups):
            fresh[group] += number

    def put(self, width: int, bucket: int, groups: Sequence[int]) -> None:
        """Count in the ring of buckets of one width alone, in seconds: what a store kept of it."""
        self._settle()
        index = next(i for i, ring in enumerate(_RINGS) if ring.width == width)
        ring = _RINGS[index]
        self._advance(index, bucket)
        if bucket > self._newest[index] - ring.size:
            for group, number in enumerate(groups):
                if number:
                    self._count(group, ring.start + bucket % ring.size, number)
        self._minute = _NEVER

    @classmethod
    def read(cls, raw: bytes) -> Self:
        """From the form in which a fleet shares it.

        Big-endian unsigned numbers of 32 bits: for each `Group` the slots of all rings, then the newest bucket of each
        ring. What is missing at the end is 0.
        """
        made = cls()
        numbers = array("I", raw[: 4 * SHARED].ljust(4 * SHARED, b"\0"))
        if sys.byteorder == "little":
            numbers.byteswap()
        for group in Group:
            counts = numbers[group * _SLOTS : (group + 1) * _SLOTS]
            made._counts[group] = counts if any(counts) else None
        made._newest = list(numbers[-len(_RINGS) :])
        return made

    def counts(self, span: float, now: float) -> Counts:
        """What the last `span` seconds before `now` held.

        Answered from the finest ring that reaches back so far, in whole buckets: all of the period and at most one
        bucket more. Buckets later than `now` belong to it too: a clock set back makes nothing unhappen.
        """
        index = _finest(span)
        ring, newest = _RINGS[index], self._newest[index]
        oldest = int((now - span) // ring.width)
        if oldest > newest:
            return NOTHING
        self._settle()
        oldest = max(oldest, newest - ring.size + 1)
        first, end = ring.start + oldest % ring.size, ring.start + newest % ring.size + 1
        return Counts(*[_sum(counts, ring, first, end) if counts else 0 for counts in self._counts])

    def merge(self, other: History) -> None:
        """Add everything another one still holds, as far as it is not too old here; the other is not changed."""
        self._settle()
        other._settle()
        for index, newest in enumerate(other._newest):
            self._advance(index, newest)
        for group, theirs in enumerate(other._counts):
            for place, number in enumerate(theirs or ()):
                if number and self._reaches(other, place):
                    self._count(group, place, number)
        self._minute = _NEVER

    def _reaches(self, other: History, place: int) -> bool:
        """Whether the bucket another one keeps at a place is not too old to be kept here."""
        index = next(i for i, ring in enumerate(_RINGS) if place < ring.start + ring.size)
        ring, newest = _RINGS[index], other._newest[index]
        bucket = newest - (newest - (place - ring.start)) % ring.size
        return bucket > self._newest[index] - ring.size

    def _turn_to(self, minute: int) -> None:
        """Make this minute the one that is added to."""
        self._settle()
        places = []
        for index, ring in enumerate(_RINGS):
            bucket = minute * MINUTE // ring.width
            if bucket <= self._newest[index] - ring.size:
                self._newest[index] = bucket - ring.size
            self._advance(index, bucket)
            places.append(ring.start + bucket % ring.size)
        self._minute, self._places = minute, tuple(places)

    def _settle(self) -> None:
        """Put what was added since the minute turned into the rings."""
        if self._fresh == _NONE_FRESH:
            return
        for group, fresh in enumerate(self._fresh):
            if fresh:
                for place in self._places:
                    self._count(group, place, fresh)
        self._fresh = [0, 0, 0]

    def _count(self, group: int, place: int, number: int) -> None:
        counts = self._counts[group]
        if counts is None:
            counts = self._counts[group] = array("I", bytes(4 * _SLOTS))
        counts[place] += number

    def _advance(self, index: int, bucket: int) -> None:
        """Make `bucket` the newest of a ring, unless a later one is, and empty what it takes over."""
        ring, newest = _RINGS[index], self._newest[index]
        for stale in range(max(newest, bucket - ring.size) + 1, bucket + 1):
            for counts in self._counts:
                if counts is not None:
                    counts[ring.start + stale % ring.size] = 0
        self._newest[index] = max(newest, bucket)


@lru_cache
def _finest(span: float) -> int:
    """The ring that reaches back far enough in the smallest steps; the longest one when none does."""
    return next((i for i, ring in enumerate(_RINGS) if span <= (ring.size - 1) * ring.width), len(_RINGS) - 1)


def _sum(counts: array[int], ring: _Ring, first: int, end: int) -> int:
    """The sum from one place of a ring up to another, which may lie before it."""
    if first < end:
        return sum(counts[first:end])
    return sum(counts[first : ring.start + ring.size]) + sum(counts[ring.start : end])
