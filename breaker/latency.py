"""Latencies as log-bucketed counts: one fixed array shape that merges by addition.

The same shape serves records, history, metrics and, later, a hash in Redis, where addition is all there is. Sketches
from libraries answer quantiles more finely, but a server that only knows how to increment cannot add them up.

Bounds double every `PER_OCTAVE` buckets, so every `PER_OCTAVE`th one is a power of two milliseconds: metrics expose
those and stay exact. Neighbouring bounds differ by a factor of 2^(1/7) = 1.104; a bucket is answered by the value that
is equally far, relatively, from both of its ends: it is off by at most (1.104 - 1) / (1.104 + 1) = 4.95 %.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from typing import ClassVar, Final

LOWEST: Final = 0.001
"""Upper bound of the first bucket in seconds: whatever is faster is counted there."""

PER_OCTAVE: Final = 7
"""Buckets for each doubling."""

OCTAVES: Final = 22
"""Doublings covered: 1 ms to 4 194 s, the longest exchange (1 h) well inside."""

BOUNDS: Final[tuple[float, ...]] = tuple(LOWEST * 2 ** (i / PER_OCTAVE) for i in range(PER_OCTAVE * OCTAVES + 1))
"""Inclusive upper bounds of the buckets in seconds, as Prometheus' `le`; one more bucket above them has none."""

SIZE: Final = len(BOUNDS) + 1
"""How many counts there are."""


def _middle(low: float, high: float) -> float:
    """The value with the same relative distance to both ends of a bucket."""
    return 2 * low * high / (low + high)


# The open ends have no middle: the first is answered by its bound, the last by the highest bound there is.
_ANSWERS: Final = (BOUNDS[0], *map(_middle, BOUNDS, BOUNDS[1:]), BOUNDS[-1])


class Latencies:
    """How often each latency was seen; quantiles within 5 % between 1 ms and an hour."""

    __slots__ = ("counts",)

    bounds: ClassVar[tuple[float, ...]] = BOUNDS

    def __init__(self) -> None:
        """Start with nothing seen."""
        self.counts: list[int] = [0] * SIZE

    def add(self, seconds: float) -> None:
        """Count one latency; never raises (negative numbers and NaN go to the first bucket, infinity to the last)."""
        self.counts[bisect_left(BOUNDS, seconds)] += 1

    def merge(self, other: Latencies) -> None:
        """Add everything another one has counted; the other is not changed."""
        self.counts = [mine + theirs for mine, theirs in zip(self.counts, other.counts, strict=True)]

    @property
    def count(self) -> int:
        """How many latencies were counted."""
        return sum(self.counts)

    def quantile(self, q: float) -> float | None:
        """Seconds which a share of `q` (0 to 1) of all latencies did not exceed; None when nothing was counted.

        This is the nearest-rank quantile: the answer stands for a latency that was really seen.

        Raises:
            ValueError: `q` is not between 0 and 1.
        """
        return self.quantiles(q)[0]

    def quantiles(self, *shares: float) -> list[float | None]:
        """Several quantiles, for little more than one.

        Raises:
            ValueError: a share is not between 0 and 1.
        """
        totals: list[int] = []
        seen = 0
        for count in self.counts:  # compiled, a third of what itertools.accumulate costs
            seen += count
            totals.append(seen)
        found: list[float | None] = []
        for q in shares:
            if not 0 <= q <= 1:
                raise ValueError(f"a quantile lies between 0 and 1, not at {q}")
            found.append(_ANSWERS[bisect_left(totals, max(1, math.ceil(q * seen)))] if seen else None)
        return found
