"""How well a target is, by its share of successes: the thresholds that routing and the admin port have in common."""

from __future__ import annotations

import enum
from typing import Final

HEALTHY_FROM: Final = 0.95
"""Share of successes from which a target is healthy."""

DEGRADED_FROM: Final = 0.80
"""Share of successes from which a target is degraded; below it is unhealthy."""

MIN_CALLS: Final = 5
"""Outcomes needed for a judgement; one sample never flips a target's health."""


class Health(enum.StrEnum):
    """How a target, a gateway or the whole is."""

    HEALTHY = "healthy"
    DEGRADED = "degraded"
    UNHEALTHY = "unhealthy"
    UNKNOWN = "unknown"


def health(successes: int, judged: int) -> Health:
    """What `successes` out of `judged` outcomes say; unknown when there are none."""
    if not judged:
        return Health.UNKNOWN
    share = successes / judged
    if share >= HEALTHY_FROM:
        return Health.HEALTHY
    return Health.DEGRADED if share >= DEGRADED_FROM else Health.UNHEALTHY
