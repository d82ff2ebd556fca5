"""What is kept about one target: its counts, its latencies, how its last attempt went.

Live traffic and probes are tallied apart and read together, so that neither question ("how do callers fare?", "what did
the prober find?") needs the other's answer taken out of it. Only counted outcomes come here; neutral ones change
nothing.
"""

from __future__ import annotations

from msgspec import Struct

from breaker.latency import Latencies
from breaker.outcome import NO_MODEL, Kind, Status
from healthapi.cell import PLACES, STATUSES, Sparse
from healthapi.delta import Delta
from healthapi.history import NOTHING, Counts, History

__all__ = ["PLACES", "STATUSES", "Record", "Sums", "Tally", "begin"]


class Sums(Struct, frozen=True, gc=False):
    """Counted attempts, how many of them succeeded, and the sum of their response times in seconds."""

    calls: int = 0
    successes: int = 0
    seconds: float = 0.0

    def __add__(self, more: Sums) -> Sums:
        """Both together."""
        return Sums(self.calls + more.calls, self.successes + more.successes, self.seconds + more.seconds)


class Tally(Struct):
    """One target's counted attempts of one kind. Times in seconds, `last_called_at` in Unix time.

    `counts` follows `STATUSES`. `seconds` is the sum of all response times, failures at their elapsed time.
    `last_error` is None after a success.
    """

    counts: list[int]
    seconds: float
    response: Latencies
    first_byte: Latencies
    history: History
    last_status: Status
    last_response_time: float
    last_error: str | None
    last_called_at: float

    def sums(self) -> Sums:
        """What it adds up to."""
        return Sums(sum(self.counts), self.counts[0], self.seconds)

    def absorb(self, other: Tally) -> None:
        """Add another one to this one; the later of the two says how the last attempt went."""
        self.counts = [mine + theirs for mine, theirs in zip(self.counts, other.counts, strict=True)]
        self.seconds += other.seconds
        self.response.merge(other.response)
        self.first_byte.merge(other.first_byte)
        self.history.merge(other.history)
        if other.last_called_at >= self.last_called_at:
            self.last_status = other.last_status
            self.last_response_time = other.last_response_time
            self.last_error = other.last_error
            self.last_called_at = other.last_called_at


def _empty(at: float) -> Tally:
    return Tally(
        counts=[0] * len(STATUSES),
        seconds=0.0,
        response=Latencies(),
        first_byte=Latencies(),
        history=History(),
        last_status=Status.SUCCESS,
        last_response_time=0.0,
        last_error=None,
        last_called_at=at,
    )


class Record(Struct):
    """One target's record. `…_at` are Unix times; `created_at` is when its first counted attempt ended.

    `last` is the tally that took the last attempt in, and `updated_at` when that attempt ended. `listed`: it is a
    model's, not that of requests without one. Said here because lists look at ten thousand records, and to look at
    each name costs as much as all the rest of that.
    """

    provider: str
    model: str
    created_at: float
    updated_at: float
    last: Tally
    live: Tally | None = None
    probe: Tally | None = None
    consecutive_failures: int = 0
    consecutive_successes: int = 0
    last_success_at: float | None = None
    last_failure_at: float | None = None
    listed: bool = True

    def __post_init__(self) -> None:
        """See `listed`."""
        self.listed = self.model != NO_MODEL

    def rename(self, model: str) -> None:
        """Let it be another model's."""
        self.model = model
        self.listed = model != NO_MODEL

    def take(self, delta: Delta) -> None:
        """Take in what happened since the last time."""
        at = delta.last_at
        tally = self.live if delta.kind is Kind.LIVE else self.probe
        if tally is None:
            tally = self._open(delta.kind, at)
        self._run(delta.streak, delta.calls)
        self.last_success_at = delta.last_success_at or self.last_success_at
        self.last_failure_at = delta.last_failure_at or self.last_failure_at
        tally.counts = [mine + more for mine, more in zip(tally.counts, delta.counts, strict=True)]
        tally.seconds += delta.seconds
        _count(tally.response, delta.response)
        _count(tally.first_byte, delta.first_byte)
        tally.history.count(delta.minute, delta.groups)
        tally.last_status = STATUSES[delta.last_status]
        tally.last_response_time = delta.last_response_time
        tally.last_error = delta.last_error
        tally.last_called_at = at
        self.last = tally
        self.updated_at = at

    @property
    def streak(self) -> int:
        """So many successes in a row, or so many failures where it is negative."""
        return self.consecutive_successes or -self.consecutive_failures

    def _run(self, streak: int, calls: int) -> None:
        """Go on with the run of successes or failures, or begin the one that `calls` attempts ended with."""
        whole = abs(streak) == calls and (streak > 0) == (self.streak > 0)
        run = self.streak + streak if whole else streak
        self.consecutive_successes = max(run, 0)
        self.consecutive_failures = max(-run, 0)

    def absorb(self, other: Record) -> None:
        """Add another record to this one. The other must not be used afterwards: they may share tallies."""
        if other.last.last_called_at >= self.last.last_called_at:
            self.consecutive_failures = other.consecutive_failures
            self.consecutive_successes = other.consecutive_successes
        self.live = _joined(self.live, other.live)
        self.probe = _joined(self.probe, other.probe)
        self.last = max(self.tallies(), key=lambda tally: tally.last_called_at)
        self.created_at = min(self.created_at, other.created_at)
        self.updated_at = self.last.last_called_at
        self.last_success_at = _latest(self.last_success_at, other.last_success_at)
        self.last_failure_at = _latest(self.last_failure_at, other.last_failure_at)

    def tallies(self, kind: Kind | None = None) -> tuple[Tally, ...]:
        """The tallies there are: of one kind, or of both, live traffic first."""
        live = self.live if kind is not Kind.PROBE else None
        probe = self.probe if kind is not Kind.LIVE else None
        if probe is None:
            return () if live is None else (live,)
        return (probe,) if live is None else (live, probe)

    def sums(self, kind: Kind | None = None) -> Sums:
        """What the attempts of one kind or of both add up to."""
        tallies = self.tallies(kind)
        return tallies[0].sums() if len(tallies) == 1 else sum((tally.sums() for tally in tallies), Sums())

    def outcomes(self) -> tuple[int, int]:
        """Counted attempts and how many of them succeeded: as `sums`, for whoever looks at thousands."""
        calls = successes = 0
        for tally in (self.live, self.probe):
            if tally is not None:
                calls += sum(tally.counts)
                successes += tally.counts[0]
        return calls, successes

    def seen(self, span: float, now: float, kind: Kind | None = None) -> Counts:
        """What the last `span` seconds before `now` held (see `History.counts`), of one kind or of both."""
        tallies = self.tallies(kind)
        if len(tallies) == 1:
            return tallies[0].history.counts(span, now)
        return sum((tally.history.counts(span, now) for tally in tallies), NOTHING)

    def together(self, kind: Kind | None = None) -> Tally | None:
        """The tally of one kind or of both, for reading only; None when there was no such attempt."""
        tallies = self.tallies(kind)
        if len(tallies) < 2:
            return tallies[0] if tallies else None
        both = _empty(tallies[0].last_called_at)
        for tally in tallies:
            both.absorb(tally)
        return both

    def _open(self, kind: Kind, at: float) -> Tally:
        tally = _empty(at)
        if kind is Kind.LIVE:
            self.live = tally
        else:
            self.probe = tally
        return tally


def begin(delta: Delta) -> Record:
    """An empty record for a target of which this is the first that is known; it is still to be taken in."""
    tally = _empty(delta.first_at)
    record = Record(delta.provider, delta.model, created_at=delta.first_at, updated_at=delta.first_at, last=tally)
    if delta.kind is Kind.LIVE:
        record.live = tally
    else:
        record.probe = tally
    return record


def _count(latencies: Latencies, more: Sparse) -> None:
    counts = latencies.counts
    for bucket, count in more.items():
        counts[bucket] += count


def _joined(one: Tally | None, other: Tally | None) -> Tally | None:
    if one is None or other is None:
        return one or other
    one.absorb(other)
    return one


def _latest(one: float | None, other: float | None) -> float | None:
    return max((at for at in (one, other) if at is not None), default=None)
