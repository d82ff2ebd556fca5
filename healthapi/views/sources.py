"""What the documents are made from."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from breaker.breaker import Breaker
from breaker.registry import Registry
from breaker.transitions import State
from config.effective import Config, Tier
from config.words import Mode
from healthapi.store import Reading

TIER: Final = Tier.STANDARD
"""The tier of targets that no model group places in another."""


class Sources(Struct, frozen=True):
    """Everything a document depends on, at one moment.

    `now` is Unix time in seconds, `monotonic` the same moment on the registry's clock.
    """

    store: Reading
    config: Config
    registry: Registry
    now: float
    monotonic: float

    def canonical(self, provider: str) -> str:
        """The name a provider's records are kept under: aliases are resolved, other names are returned unchanged."""
        return self.config.aliases.get(provider, provider)

    def configured(self, provider: str) -> bool:
        """Whether a provider stands in the configuration and has the credential it needs."""
        entry = self.config.providers.get(provider)
        return entry is not None and entry.configured

    def tier(self, provider: str, model: str) -> Tier:
        """The tier of a target."""
        return self.config.tier(provider, model) or TIER

    def interval(self, tier: Tier) -> float:
        """Seconds between the probes of a tier's targets."""
        interval: float = getattr(self.config.settings.tiers, tier.value).interval
        return interval

    def at(self, monotonic: float) -> float:
        """The Unix time of a moment on the registry's clock."""
        return self.now - (self.monotonic - monotonic)


def blocks(breaker: Breaker | None) -> bool:
    """Whether a breaker keeps traffic away: it is open, and not only watching."""
    return breaker is not None and breaker.state is State.OPEN and breaker.mode is Mode.ENFORCE
