"""Who is well: the rules of the admin port's contract as functions of their arguments.

A status is never taken from one sample. A target is judged by the outcomes blamed on it or its provider (successes
too) of the last five minutes; where those are too few, by those of the last hour; then by those of its last three tier
intervals, so that a target which only the prober calls is known; then it is unknown.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Collection, Sequence
from typing import Final

from breaker.health import MIN_CALLS, Health, health
from healthapi.history import Counts

__all__ = ["Availability", "Health", "percentage", "provider_status", "rate_status", "system_status", "target_status"]

MIN_INTERVAL_CALLS: Final = 2
"""Outcomes needed to judge by the last three tier intervals."""

SPANS: Final = (300.0, 3600.0)
"""The periods looked at first, in seconds."""

INTERVALS: Final = 3
"""Tier intervals looked at last."""


class Availability(enum.StrEnum):
    """How a provider is."""

    ONLINE = "online"
    DEGRADED = "degraded"
    OFFLINE = "offline"
    UNKNOWN = "unknown"


def target_status(judged: Callable[[float], Counts], tier_interval: float, *, breaker_open: bool = False) -> Health:
    """The live status of a target.

    `judged` answers what the last so many seconds held; `tier_interval` is in seconds.
    """
    if breaker_open:
        return Health.UNHEALTHY
    for span, needed in (*((span, MIN_CALLS) for span in SPANS), (INTERVALS * tier_interval, MIN_INTERVAL_CALLS)):
        counts = judged(span)
        if counts.judged >= needed:
            return rate_status(counts)
    return Health.UNKNOWN


def rate_status(counts: Counts) -> Health:
    """What a success rate says, its outcomes being enough; unknown when there are none."""
    return health(counts.success, counts.judged)


def provider_status(models: Sequence[Health], *, breaker_open: bool = False) -> Availability:
    """The status of a provider by those of its models; unknown ones say nothing."""
    if breaker_open:
        return Availability.OFFLINE
    known = len(models) - models.count(Health.UNKNOWN)
    if not known:
        return Availability.UNKNOWN
    if 2 * models.count(Health.UNHEALTHY) > known:
        return Availability.OFFLINE
    return Availability.ONLINE if models.count(Health.HEALTHY) == known else Availability.DEGRADED


def system_status(providers: Collection[Availability]) -> Health:
    """The status of the whole by those of the providers; unknown ones say nothing."""
    known = [status for status in providers if status is not Availability.UNKNOWN]
    if not known:
        return Health.UNKNOWN
    if 2 * known.count(Availability.OFFLINE) >= len(known):
        return Health.UNHEALTHY
    return Health.HEALTHY if known.count(Availability.ONLINE) == len(known) else Health.DEGRADED


def percentage(part: int, whole: int) -> float | None:
    """`part` of `whole` from 0 to 100; None when there is no whole: nothing seen is not 100 %."""
    return 100.0 * part / whole if whole else None
