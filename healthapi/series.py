"""The numbers kept for one target between two scrapes: plain ints in plain dicts, nothing of prometheus_client.

Counting happens on the hot path, for every attempt and every answer; a labelled child of a client library costs several
microseconds and a lock each. The samples are made when somebody asks.
"""

from __future__ import annotations

from bisect import bisect_left

from breaker.latency import BOUNDS, Latencies
from breaker.outcome import Answer, Outcome, Status


class Timings:
    """A histogram and the sum of what is in it, in seconds."""

    __slots__ = ("latencies", "total")

    def __init__(self) -> None:
        """Start with nothing seen."""
        self.latencies = Latencies()
        self.total = 0.0

    def add(self, seconds: float) -> None:
        """Count one time; a clock that went backwards adds nothing to the sum, which may only grow."""
        self.latencies.counts[bisect_left(BOUNDS, seconds)] += 1
        if seconds > 0:
            self.total += seconds


class Series:
    """What one provider and model have done since the start of the process."""

    __slots__ = ("attempts", "bytes_in", "bytes_out", "first_byte", "proven", "rejections", "requests", "response_time")

    def __init__(self, *, proven: bool) -> None:
        """Start at nothing. `proven` targets are configured or have succeeded once; only they keep a place for good."""
        self.proven = proven
        self.attempts: dict[tuple[str, str], int] = {}  # (status or neutral kind, live or probe)
        self.requests: dict[tuple[int, bool], int] = {}  # (HTTP status, streamed)
        self.rejections: dict[str, int] = {}  # by what stood in the way
        self.bytes_in = 0
        self.bytes_out = 0
        self.response_time = Timings()
        self.first_byte: dict[bool, Timings] = {}  # by streamed: a first token and a response head do not compare

    def attempt(self, outcome: Outcome) -> None:
        """Count one attempt; its times count when it was not neutral, as in the health records."""
        status = outcome.verdict.status
        attempts, key = self.attempts, (status, outcome.kind)
        attempts[key] = attempts.get(key, 0) + 1
        if not isinstance(status, Status):
            return
        self.response_time.add(outcome.response_time)
        if outcome.first_byte is not None:
            timings = self.first_byte.get(outcome.streamed)
            if timings is None:
                timings = self.first_byte[outcome.streamed] = Timings()
            timings.add(outcome.first_byte)

    def answer(self, answer: Answer) -> None:
        """Count one exchange as its client saw it."""
        requests, key = self.requests, (answer.status, answer.streamed)
        requests[key] = requests.get(key, 0) + 1
        self.bytes_in += answer.bytes_in
        self.bytes_out += answer.bytes_out
