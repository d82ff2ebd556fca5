"""Who is ill: the models one after the other, and the providers that have too many of them."""

from __future__ import annotations

from collections import Counter
from typing import Final

from msgspec import Struct, field

from healthapi.status import Health, percentage
from healthapi.text import clean, iso, percent, state
from healthapi.views.advice import problematic
from healthapi.views.survey import ProviderState, Survey, TargetState

ILL: Final = 100
"""Most unhealthy models that are listed of one provider."""


class IllModel(Struct, frozen=True, kw_only=True):
    """An unhealthy model. `error_count` is of all time, `uptime` (0-100) of the last 24 hours."""

    model_id: str
    error_count: int
    uptime: float | None
    last_checked: str
    error_message: str | None
    circuit_breaker_state: str


class ProblematicProvider(Struct, frozen=True, kw_only=True):
    """A provider with more than 30 % of its known models unhealthy."""

    provider: str
    gateway: str
    total_models: int
    known_models: int
    unhealthy_models: int
    failure_rate: str
    status: str
    error_message: str | None


class Ward(Struct):
    """How the models are. `by_provider` lists the unhealthy ones of every provider.

    All else is of providers with a credential that works: `ill` are unhealthy, `poorly` degraded.
    """

    counts: Counter[Health] = field(default_factory=Counter)
    ill: list[tuple[str, str]] = field(default_factory=list)
    poorly: list[tuple[str, str]] = field(default_factory=list)
    by_provider: dict[str, list[IllModel]] = field(default_factory=dict)
    last_failure_at: float | None = None

    def add(self, target: TargetState, *, configured: bool) -> None:
        """Look at one model."""
        record = target.record
        if target.delisted:
            return
        if configured:
            self.counts[target.status] += 1
            if target.status is Health.DEGRADED:
                self.poorly.append((record.provider, record.model))
            if record.last_failure_at is not None:
                self.last_failure_at = max(self.last_failure_at or 0.0, record.last_failure_at)
        if target.status is not Health.UNHEALTHY:
            return
        if configured:
            self.ill.append((record.provider, record.model))
        listed = self.by_provider.setdefault(clean(record.provider), [])
        if len(listed) < ILL:
            listed.append(_ill(target))


def problems(found: Survey) -> list[ProblematicProvider]:
    """The providers with too many unhealthy models, by name."""
    return [row for name in sorted(found.providers) if (row := _problem(found.providers[name])) is not None]


def _problem(provider: ProviderState) -> ProblematicProvider | None:
    unhealthy = provider.models.count(Health.UNHEALTHY)
    known = len(provider.models) - provider.models.count(Health.UNKNOWN)
    if not problematic(unhealthy, known):
        return None
    name = clean(provider.name)
    return ProblematicProvider(
        provider=name,
        gateway=name,
        total_models=len(provider.models),
        known_models=known,
        unhealthy_models=unhealthy,
        failure_rate=percent(percentage(unhealthy, known)) or "",
        status=provider.status.value,
        error_message=None if provider.error is None else clean(provider.error),
    )


def _ill(target: TargetState) -> IllModel:
    record, sums = target.record, target.sums
    return IllModel(
        model_id=clean(record.model),
        error_count=sums.calls - sums.successes,
        uptime=percentage(target.seen.success, target.seen.total),
        last_checked=iso(record.updated_at),
        error_message=None if record.last_error is None else clean(record.last_error),
        circuit_breaker_state=state(target.breaker),
    )
