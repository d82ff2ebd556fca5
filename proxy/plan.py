"""Where an exchange may go, best first (semantics section 3). Pure: what the registry says of each target comes in.

The target that was asked for is not in question here: it is taken when it is admitted and not unhealthy. This file
orders those that could stand in for it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from breaker.health import Health
from breaker.outcome import Retry
from breaker.permit import Rejection
from breaker.target import Standing
from config.bases import Frozen
from config.effective import Provider
from config.settings import Timeouts
from config.words import Strategy

if TYPE_CHECKING:
    from proxy.rewrite import Rewritten


class Step:
    """One target an exchange tries, with the limits that hold there (seconds).

    `key` is the fingerprint of the credential that goes along. `rewritten` is what the request becomes for it, None for
    the target that was asked for.
    """

    __slots__ = (
        "key",
        "model",
        "provider",
        "rewritten",
        "timeouts",
    )

    def __init__(
        self,
        provider: Provider,
        model: str,
        timeouts: Timeouts,
        key: str = "",
        rewritten: Rewritten | None = None,
    ) -> None:
        self.provider = provider
        self.model = model
        self.timeouts = timeouts
        self.key = key
        self.rewritten = rewritten


class Candidate(Frozen):
    """A target that could stand in: what speaks against it, if anything, and how it looks."""

    provider: str
    model: str
    rejection: Rejection | None
    standing: Standing


_RANK: Final = {Health.HEALTHY: 0, Health.UNKNOWN: 1, Health.DEGRADED: 2, Health.UNHEALTHY: 3}


def ranked(candidates: Iterable[Candidate], strategy: Strategy) -> list[Candidate]:
    """Those that are admitted, best first; unhealthy ones come last whatever the strategy.

    `candidates` are in file order, which decides between equals.
    """
    admitted = [candidate for candidate in candidates if candidate.rejection is None]
    if strategy is Strategy.UPTIME:
        return sorted(admitted, key=_by_uptime)
    if strategy is Strategy.LATENCY:
        return sorted(admitted, key=_by_latency)
    return sorted(admitted, key=lambda candidate: candidate.standing.health is Health.UNHEALTHY)


def least_bad(candidates: Iterable[Candidate]) -> Candidate | None:
    """Of those that are not admitted because a breaker is open, the one whose next trial is soonest."""
    shut = [(c.rejection.retry_after, c) for c in candidates if c.rejection and c.rejection.kind in OPEN]
    return min(shut, key=lambda pair: pair[0])[1] if shut else None


OPEN: Final = ("open", "half_open")
"""Kinds of rejection that `routing.when_all_open` speaks of."""


class Wanted(Frozen):
    """What the attempts so far ask of the targets after them.

    `not_at` are providers whose key was refused, `above` the tokens of the largest context window that was too small
    (0 for one that is not known), None while none was.
    """

    not_at: frozenset[str] = frozenset()
    above: int | None = None

    def after(self, retry: Retry, provider: str, window: int | None) -> Wanted:
        """What is wanted after one more attempt, at `provider`, that may be followed by `retry`."""
        if retry is Retry.OTHER_PROVIDER:
            return Wanted(self.not_at | {provider}, self.above)
        if retry is Retry.LARGER_WINDOW:
            return Wanted(self.not_at, max(self.above or 0, window or 0))
        return self

    def suits(self, provider: str, window: int | None) -> bool:
        """Whether a target may be asked whose context window is `window` tokens, None for unknown."""
        if provider in self.not_at:
            return False
        return self.above is None or (window is not None and window > self.above)


ANYTHING: Final = Wanted()


def _by_uptime(candidate: Candidate) -> tuple[int, float, float]:
    standing = candidate.standing
    rate = standing.success_rate
    return _RANK[standing.health], -(rate if rate is not None else 0.0), _first_byte(standing)


def _by_latency(candidate: Candidate) -> tuple[bool, float]:
    return candidate.standing.health is Health.UNHEALTHY, _first_byte(candidate.standing)


def _first_byte(standing: Standing) -> float:
    return standing.first_byte if standing.first_byte is not None else math.inf
