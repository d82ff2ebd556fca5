"""Who is well at one moment: every target judged once, and the providers by their targets.

The pseudo models are no models: they are counted with their provider's traffic and never among its models. `NO_MODEL`
(requests judged at provider scope) decides a provider's status where no model of it is known; `OTHER_MODEL` never
does, since anybody can make up names that end there.
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct, field

from breaker.breaker import Breaker
from breaker.outcome import NO_MODEL, OTHER_MODEL
from healthapi.history import DAY, NOTHING, Counts
from healthapi.record import Record, Sums
from healthapi.status import Availability, Health, provider_status, target_status
from healthapi.views.sources import Sources, blocks

_PSEUDO: Final = (NO_MODEL, OTHER_MODEL)


class TargetState(Struct, frozen=True):
    """One target, judged. `sums` are of all time, `seen` is what the last 24 hours held."""

    record: Record
    status: Health
    sums: Sums
    seen: Counts
    breaker: Breaker | None


class ProviderState(Struct):
    """One provider with all its traffic. `sums` are of all time, `seen` is of the last 24 hours.

    `error` is what its latest failed record says, None when no record's last attempt failed. `breaker` is its own.
    """

    name: str
    configured: bool
    breaker: Breaker | None = None
    models: list[Health] = field(default_factory=list)
    scope: Health = Health.UNKNOWN
    sums: Sums = Sums()
    seen: Counts = NOTHING
    last_called_at: float | None = None
    error: str | None = None
    error_at: float | None = None

    @property
    def status(self) -> Availability:
        """Its status by its breaker and models, or by its requests without one where no model is known."""
        status = provider_status(self.models, breaker_open=blocks(self.breaker))
        return provider_status([self.scope]) if status is Availability.UNKNOWN else status

    def add(self, target: TargetState) -> None:
        """Count one target in, a pseudo model's too."""
        record, last = target.record, target.record.last
        if record.model == NO_MODEL:
            self.scope = target.status
        elif record.model != OTHER_MODEL:
            self.models.append(target.status)
        self.sums += target.sums
        self.seen += target.seen
        self.last_called_at = max(self.last_called_at or 0.0, last.last_called_at)
        if last.last_error is not None and last.last_called_at >= (self.error_at or 0.0):
            self.error, self.error_at = last.last_error, last.last_called_at


class Survey(Struct, frozen=True):
    """All targets, the last called first, without pseudo models; all providers with records by name."""

    targets: list[TargetState]
    providers: dict[str, ProviderState]


def survey(sources: Sources) -> Survey:
    """Judge every target that has a record."""
    targets: list[TargetState] = []
    providers: dict[str, ProviderState] = {}
    for record in sources.store.records():
        target = _judged(sources, record)
        provider = providers.get(record.provider)
        if provider is None:
            provider = providers[record.provider] = unrecorded(sources, record.provider)
        provider.add(target)
        if record.model not in _PSEUDO:
            targets.append(target)
    targets.sort(key=lambda target: target.record.updated_at, reverse=True)
    return Survey(targets, providers)


def unrecorded(sources: Sources, provider: str) -> ProviderState:
    """A provider without any traffic."""
    return ProviderState(provider, sources.configured(provider), sources.registry.breaker(provider))


def _judged(sources: Sources, record: Record) -> TargetState:
    def seen(span: float) -> Counts:
        return record.seen(span, sources.now)

    interval = sources.interval(sources.tier(record.provider, record.model))
    breaker = sources.registry.breaker(record.provider, record.model)
    status = target_status(seen, interval, breaker_open=blocks(breaker))
    return TargetState(record, status, record.sums(), seen(DAY), breaker)
