"""What the documents are made from."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from breaker.breaker import Breaker
from breaker.registry import Registry
from breaker.transitions import State
from config.effective import Config, Tier
from config.words import Mode
from healthapi.keys import KeyLog
from healthapi.offerings import Offerings
from healthapi.record import Record
from healthapi.store import Reading
from healthapi.tiers import Tiers

_UNCOUNTED: Final = Tiers()


class Sources(Struct, frozen=True):
    """Everything a document depends on, at one moment.

    `now` is Unix time in seconds, `monotonic` the same moment on the registry's clock.
    """

    store: Reading
    config: Config
    registry: Registry
    now: float
    monotonic: float
    keys: KeyLog | None = None
    offers: Offerings | None = None
    tiers: Tiers = _UNCOUNTED

    def canonical(self, provider: str) -> str:
        """The name a provider's records are kept under: aliases are resolved, other names are returned unchanged."""
        return self.config.aliases.get(provider, provider)

    def configured(self, provider: str) -> bool:
        """Whether a provider stands in the configuration with the address and the credential it needs, not refused."""
        entry = self.config.providers.get(provider)
        return entry is not None and entry.configured and not entry.missing_variables and self.refusal(provider) is None

    def refusal(self, provider: str) -> str | None:
        """How a provider refused the key configured for it the last time it was tried, None where it did not."""
        judged = None if self.keys is None else self.keys.judged(provider)
        if judged is None or judged.accepted:
            return None
        status = "" if judged.http_status is None else f" with status {judged.http_status}"
        return f"the key configured for it was refused{status}"

    def delisted(self, record: Record) -> bool:
        """Whether the provider does not offer the model of a record any more."""
        return self.offers is not None and self.offers.delisted(record)

    def tier(self, provider: str, model: str) -> Tier:
        """The tier of a target."""
        return self.tiers.of(self.config, provider, model)

    def interval(self, provider: str, model: str) -> float:
        """Seconds between the probes of a target."""
        return self.config.probing(provider, model, self.tier(provider, model)).interval

    def at(self, monotonic: float) -> float:
        """The Unix time of a moment on the registry's clock."""
        return self.now - (self.monotonic - monotonic)


def blocks(breaker: Breaker | None) -> bool:
    """Whether a breaker keeps traffic away: it is open, and not only watching."""
    return breaker is not None and breaker.state is State.OPEN and breaker.mode is Mode.ENFORCE
