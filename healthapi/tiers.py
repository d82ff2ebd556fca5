"""The tiers of targets by the fleet's own traffic, where the configuration does not give one.

Only users' traffic counts: probes must not make popular what nobody calls. The shares are of all targets that are
known, called or not, and are rounded up, so that the busiest target of the smallest fleet is critical. Targets with
equally many calls stand or fall together: where there are not places for all of them, none gets one.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping
from typing import Final

from config.effective import Config, Tier
from healthapi.history import DAY
from healthapi.record import Record
from healthapi.turns import turns

CRITICAL: Final = 0.05
POPULAR: Final = 0.25
"""The shares of targets down to which they are critical, and at least popular."""

UNKNOWN: Final = Tier.STANDARD
"""The tier of a target that was first called since traffic was last counted."""

RENEW: Final = 3600.0
"""Seconds between two times that traffic is counted."""

Key = tuple[str, str]


def ranked(calls: Mapping[Key, int]) -> dict[Key, Tier]:
    """The tier of each target by its users' calls of a day, 0 for those that were not called."""
    critical, popular = _places(len(calls), CRITICAL), _places(len(calls), POPULAR)
    tiers = {}
    before, equal = 0, list[Key]()
    order = sorted(calls, key=lambda key: (-calls[key], key))
    for place, key in enumerate(order, 1):
        equal.append(key)
        if place < len(order) and calls[order[place]] == calls[key]:
            continue
        before += len(equal)
        tiers.update(dict.fromkeys(equal, _tier(calls[key], before, critical, popular)))
        equal.clear()
    return tiers


def _places(targets: int, share: float) -> int:
    return math.ceil(round(targets * share, 6))


def _tier(calls: int, places: int, critical: int, popular: int) -> Tier:
    """The tier of targets with so many calls each, which take so many places with those before them."""
    if not calls:
        return Tier.ON_DEMAND
    if places <= critical:
        return Tier.CRITICAL
    return Tier.POPULAR if places <= popular else Tier.STANDARD


class Tiers:
    """The tiers as they were when traffic was last counted."""

    __slots__ = ("_found",)

    def __init__(self, found: Mapping[Key, Tier] | None = None) -> None:
        """Begin with these; nothing was counted yet where there are none."""
        self._found = dict(found or {})

    def of(self, config: Config, provider: str, model: str) -> Tier:
        """The tier of a target: the configured one, else by traffic."""
        return config.tier(provider, model) or self._found.get((provider, model), UNKNOWN)

    async def renew(self, records: Iterable[Record], configured: Collection[Key], now: float) -> None:
        """Count the traffic of the 24 hours before `now` (Unix seconds) anew, with turns for others in between."""
        calls = dict.fromkeys(configured, 0)
        async for record in turns(list(records)):
            if not record.model.startswith("~"):
                live = record.live
                calls[record.provider, record.model] = 0 if live is None else live.history.counts(DAY, now).total
        self._found = ranked(calls)
