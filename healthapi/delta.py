"""What happened at one target since somebody last asked: the one thing that travels to records, history and the fleet.

Outcomes are counted here first, on the way of every request; everything else is told in bulk, by deltas.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, replace
from typing import Final

from breaker.latency import BOUNDS
from breaker.outcome import MESSAGE_LIMIT, Blame, Kind, Outcome
from healthapi.cell import STATUSES, Cell
from healthapi.history import MINUTE

HEALTH: Final = frozenset({Blame.TARGET, Blame.PROVIDER})
"""Whose failures say something about a target's health."""


@dataclass
class Delta(Cell):
    """Counted attempts of one target and kind that ended within one minute (`minute`, in Unix minutes), in order.

    `…_at` are Unix times. `streak` is how the last ones went: so many successes in a row, or so many failures where it
    is negative; as long as nothing else was counted it is all there is. `last_status` is a place in `STATUSES`.
    """

    provider: str
    model: str
    kind: Kind
    minute: int
    first_at: float
    last_at: float = 0.0
    last_status: int = 0
    last_response_time: float = 0.0
    last_error: str | None = None
    last_success_at: float | None = None
    last_failure_at: float | None = None
    streak: int = 0

    def add(self, outcome: Outcome, place: int) -> None:
        """Count one outcome whose status has this place in `STATUSES`."""
        at, took = outcome.at, outcome.response_time
        self.counts[place] += 1
        self.seconds += took
        if place == 0:
            self.streak = self.streak + 1 if self.streak > 0 else 1
            self.last_error = None
            self.last_success_at = at
        else:
            verdict = outcome.verdict
            if verdict.blame in HEALTH:
                self.blamed += 1
            self.streak = self.streak - 1 if self.streak < 0 else -1
            self.last_error = (verdict.message or STATUSES[place].value)[:MESSAGE_LIMIT]
            self.last_failure_at = at
        bucket = bisect_left(BOUNDS, took)
        response = self.response
        response[bucket] = response.get(bucket, 0) + 1
        if outcome.first_byte is not None:
            bucket = bisect_left(BOUNDS, outcome.first_byte)
            first_byte = self.first_byte
            first_byte[bucket] = first_byte.get(bucket, 0) + 1
        self.last_at = at
        self.last_status = place
        self.last_response_time = took

    def follow(self, later: Delta) -> None:
        """Add a later one of the same target and kind; the minute stays this one's."""
        whole = abs(later.streak) == later.calls and (later.streak > 0) == (self.streak > 0)
        self.merge(later)
        self.streak = self.streak + later.streak if whole else later.streak
        self.last_at = later.last_at
        self.last_status = later.last_status
        self.last_response_time = later.last_response_time
        self.last_error = later.last_error
        self.last_success_at = later.last_success_at or self.last_success_at
        self.last_failure_at = later.last_failure_at or self.last_failure_at


def copied(delta: Delta) -> Delta:
    """One that can be added to without changing the other."""
    return replace(
        delta, counts=delta.counts.copy(), response=delta.response.copy(), first_byte=delta.first_byte.copy()
    )


def begin(outcome: Outcome) -> Delta:
    """An empty one for a target and minute whose first outcome this is; the outcome itself is still to be added."""
    minute = int(outcome.at // MINUTE)
    return Delta([0] * len(STATUSES), 0, 0.0, {}, {}, outcome.provider, outcome.model, outcome.kind, minute, outcome.at)
