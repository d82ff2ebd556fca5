"""What probes have spent today, and what they may. A day is one of UTC.

In a fleet it is the fleet's: every sidecar is told, and the shared store alone decides.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Final

from msgspec import Struct

from config.effective import Config
from config.settings import Cap
from healthapi.history import DAY

ALL: Final = ""
"""The name under which all providers are counted together."""


class Sum(Struct):
    """What was spent. `refused`: the last probe that was to be sent and costs tokens did not fit in."""

    requests: int = 0
    tokens: int = 0
    refused: bool = False

    def capped(self, cap: Cap) -> bool:
        """Whether no more probes are sent under this cap."""
        return self.refused or self.requests >= cap.requests or self.tokens >= cap.tokens

    def affords(self, cap: Cap, tokens: int) -> bool:
        """Whether there are so many tokens left; what costs none needs none."""
        return not tokens or self.tokens + tokens <= cap.tokens

    def fits(self, cap: Cap, tokens: int) -> bool:
        """Whether there is room for one more of so many tokens."""
        return self.requests < cap.requests and self.affords(cap, tokens)


class ProviderSpend(Struct, frozen=True):
    """What the probes of one provider have spent today, and its caps."""

    requests: int
    tokens: int
    cap_requests: int
    cap_tokens: int
    capped: bool


class SpendReport(Struct, frozen=True):
    """What all probes have spent on the day `day` (ISO 8601), and the caps; and for each provider that is probed."""

    day: str
    requests: int
    tokens: int
    cap_requests: int
    cap_tokens: int
    capped: bool
    providers: dict[str, ProviderSpend]


class Spend:
    """What was spent on one day."""

    __slots__ = ("_config", "_sums", "_wall", "day")

    def __init__(self, config: Config, wall: Callable[[], float]) -> None:
        """Begin with nothing spent; `wall` tells Unix time in seconds."""
        self._config = config
        self._wall = wall
        self._sums: dict[str, Sum] = {}
        self.day = 0
        """Days since 1970-01-01."""
        self.turn()

    def adopt(self, config: Config) -> None:
        """Go on with the caps of another configuration."""
        self._config = config

    def turn(self) -> None:
        """Begin a new day if one has begun. A clock set back by hours is no new day."""
        today = int(self._wall() // DAY)
        if today > self.day or today < self.day - 1:
            self.day = today
            self._sums = {}

    def cap(self, provider: str) -> Cap:
        """The cap of a provider, or of all together."""
        known = self._config.providers.get(provider)
        return self._config.settings.probes.daily_cap if known is None else known.probes.daily_cap

    def sum(self, provider: str = ALL) -> Sum:
        """What was spent at a provider, or in all."""
        return self._sums.get(provider) or Sum()

    def fits(self, provider: str, tokens: int) -> bool:
        """Whether there is room today for a probe of so many tokens."""
        self.turn()
        return all(self.sum(name).fits(self.cap(name), tokens) for name in (ALL, provider))

    def book(self, provider: str, requests: int, tokens: int) -> None:
        """Add to what was spent today; less than 0 takes back."""
        for name in (ALL, provider):
            one = self._sums.setdefault(name, Sum())
            one.requests = max(one.requests + requests, 0)
            one.tokens = max(one.tokens + tokens, 0)
            if requests > 0 and tokens > 0:
                one.refused = False

    def refuse(self, name: str) -> None:
        """Take note of a probe for which there are not enough tokens left at a provider, or in all."""
        self._sums.setdefault(name, Sum()).refused = True

    def hear(self, day: int, sums: Mapping[str, Sum]) -> None:
        """Take over what was spent on a day, as it is kept elsewhere."""
        self.turn()
        if day >= self.day:
            self.day, self._sums = day, dict(sums)

    @property
    def sums(self) -> Mapping[str, Sum]:
        """What was spent, by provider and in all."""
        return self._sums

    def report(self) -> SpendReport:
        """What was spent today, for people and machines."""
        self.turn()
        cap, whole = self.cap(ALL), self.sum()
        probed = {name for name, provider in self._config.providers.items() if provider.configured}
        named = sorted((probed | self._sums.keys()) - {ALL})
        return SpendReport(
            datetime.fromtimestamp(self.day * DAY, UTC).date().isoformat(),
            whole.requests,
            whole.tokens,
            cap.requests,
            cap.tokens,
            whole.capped(cap),
            {name: _of(self.sum(name), self.cap(name)) for name in named},
        )


def _of(spent: Sum, cap: Cap) -> ProviderSpend:
    return ProviderSpend(spent.requests, spent.tokens, cap.requests, cap.tokens, spent.capped(cap))
