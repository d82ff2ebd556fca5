"""Counted attempts of one target and one kind of traffic within one stretch of time: what history is made of.

Its histograms are sparse, since a minute rarely holds more than a handful of different latencies. The buckets are those
of `breaker.latency`, so that cells of different minutes, sidecars and stores merge by addition.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from breaker.latency import SIZE, Latencies
from breaker.outcome import Status

STATUSES: Final = tuple(Status)
"""The order of `Cell.counts` and `Tally.counts`; success comes first."""

PLACES: Final[dict[str, int]] = {status: place for place, status in enumerate(STATUSES)}
"""Where a status is counted. Neutral kinds have no place."""

ALL_MODELS: Final = "~all"
"""Model name under which history keeps what all models of a provider were called together."""

Sparse = dict[int, int]
"""Bucket of `breaker.latency.BOUNDS` to how many latencies it holds."""


@dataclass
class Cell:
    """What was counted. `counts` follows `STATUSES`; `blamed` are the failures blamed on the target or its provider.

    `seconds` is the sum of all response times, failures at their elapsed time.
    """

    counts: list[int]
    blamed: int
    seconds: float
    response: Sparse
    first_byte: Sparse

    @property
    def calls(self) -> int:
        """Every counted attempt."""
        return sum(self.counts)

    @property
    def groups(self) -> tuple[int, int, int]:
        """The counts by `healthapi.history.Group`."""
        counts = self.counts
        return counts[0], self.blamed, sum(counts) - counts[0] - self.blamed

    def merge(self, other: Cell) -> None:
        """Add another one to this one; the other is not changed."""
        self.counts = [mine + theirs for mine, theirs in zip(self.counts, other.counts, strict=True)]
        self.blamed += other.blamed
        self.seconds += other.seconds
        add(self.response, other.response)
        add(self.first_byte, other.first_byte)


def empty() -> Cell:
    """A cell in which nothing was counted."""
    return Cell([0] * len(STATUSES), 0, 0.0, {}, {})


def add(sparse: Sparse, more: Mapping[int, int]) -> None:
    """Add a sparse histogram to another."""
    for bucket, count in more.items():
        sparse[bucket] = sparse.get(bucket, 0) + count


def dense(sparse: Mapping[int, int]) -> Latencies:
    """A sparse histogram as the one that answers quantiles; buckets that there are none of are left out."""
    made = Latencies()
    for bucket, count in sparse.items():
        if 0 <= bucket < SIZE:
            made.counts[bucket] = count
    return made


def sparse(latencies: Latencies) -> Sparse:
    """A histogram without its empty buckets."""
    return {bucket: count for bucket, count in enumerate(latencies.counts) if count}
