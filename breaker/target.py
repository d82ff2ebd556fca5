"""What the registry keeps for one target: its breaker, and how its own traffic makes it look to routing.

Only outcomes blamed on the target or its provider move the latter, and successes. One caller's bad key, spent quota or
missing access must not make a model look ill to everybody else.
"""

from __future__ import annotations

from typing import Final

from breaker.breaker import Breaker
from breaker.health import MIN_CALLS, Health, health
from breaker.outcome import Blame, Outcome, Status
from breaker.window import Window
from config.bases import Frozen

SPAN: Final = 300.0
"""Seconds of traffic that routing looks back on."""

PROVING: Final = 20
"""An unhealthy target keeps one of so many requests, so that it can prove itself."""

_SUCCESS: Final = Status.SUCCESS  # reading a member off its class costs a call
_HEARD: Final = frozenset({Blame.TARGET, Blame.PROVIDER})
_GOOD, _BAD, _TIMED, _MICROSECONDS = range(4)


class Standing(Frozen):
    """How a target looks to routing.

    `success_rate` is 0 to 1, `first_byte` the mean time to first content or head in seconds; None where nothing was
    seen.
    """

    health: Health = Health.UNKNOWN
    success_rate: float | None = None
    first_byte: float | None = None


UNSEEN: Final = Standing()


class TargetState:
    """One target as its own traffic shows it."""

    __slots__ = (
        "_failed",
        "_turns",
        "breaker",
        "model",
        "provider",
        "since",
        "window",
    )

    def __init__(self, provider: str, model: str, breaker: Breaker) -> None:
        """Start with nothing seen."""
        self.provider = provider
        self.model = model
        self.breaker = breaker
        self.window = Window(SPAN, 4)
        self.since = 0
        """Generation of the breaker's last closing: older attempts say nothing about the target's health now."""
        self._failed = False
        self._turns = 0

    def add(self, outcome: Outcome, generation: int, now: float) -> None:
        """Take in one outcome, at `now` on the monotonic clock, of an attempt let through at `generation`."""
        verdict = outcome.verdict
        if verdict.status is _SUCCESS:
            self.good(outcome.first_byte, generation, now)
        elif generation >= self.since and isinstance(verdict.status, Status) and verdict.blame in _HEARD:
            self._failed = True
            self.window.add(_BAD, now)

    def good(self, first_byte: float | None, generation: int, now: float) -> None:
        """Take in a success, as `add` does."""
        if generation >= self.since:
            counts = self.window.at(now)
            counts[_GOOD] += 1
            if first_byte is not None:
                counts[_TIMED] += 1
                counts[_MICROSECONDS] += int(first_byte * 1e6)

    def closed(self, generation: int) -> None:
        """Begin anew after the breaker closed: what was before is over."""
        self.since = generation
        self.window.clear()
        self._failed = False

    def ill(self, now: float) -> bool:
        """Whether requests had better go elsewhere; quick for one that has not failed since its last closing.

        Fewer failures than those that trip the breaker are left to it: a target that does nothing but fail must be
        found out by the breaker, which tries it again in time, and not be starved of the requests that would tell.
        """
        if not self._failed:
            return False
        good, bad, _, _ = self.window.counts(now)
        self._failed = bad > 0  # a failure that has left the window costs later requests nothing
        enough = bad >= self.breaker.knobs.failure_threshold and good + bad >= MIN_CALLS
        return enough and health(good, good + bad) is Health.UNHEALTHY

    def standing(self, now: float) -> Standing:
        """How it looks at `now`."""
        good, bad, timed, microseconds = self.window.counts(now)
        judged = good + bad
        if not judged:
            return UNSEEN
        return Standing(
            health(good, judged) if judged >= MIN_CALLS else Health.UNKNOWN,
            good / judged,
            microseconds / timed / 1e6 if timed else None,
        )

    def turn(self) -> bool:
        """Whether this request is the one of `PROVING` that an unhealthy target keeps."""
        self._turns += 1
        return self._turns % PROVING == 0
