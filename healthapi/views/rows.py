"""Rows of `/health/providers` and `/health/models`."""

from __future__ import annotations

from msgspec import Struct

from healthapi.status import Health, percentage
from healthapi.text import clean, iso, mean_milliseconds, milliseconds, reason, state
from healthapi.views.sources import Sources
from healthapi.views.survey import ProviderState, Survey, TargetState, survey


class Metadata(Struct, frozen=True):
    """When a document was made, ISO 8601 in UTC."""

    timestamp: str


class ProviderRow(Struct, frozen=True, kw_only=True):
    """One provider. `overall_uptime` (0-100) is of the last 24 hours, null when nothing was seen in them."""

    provider: str
    gateway: str
    status: str
    total_models: int
    healthy_models: int
    degraded_models: int
    unhealthy_models: int
    avg_response_time_ms: float | None
    overall_uptime: float | None
    last_checked: str | None
    error_message: str | None
    circuit_breaker_state: str
    circuit_breaker_reason: str | None


class ProviderRows(Struct, frozen=True):
    """The providers with records, by name; `data` and `providers` are the same list.

    `total_providers` counts the configured ones too, `tracked_providers` only those with records.
    """

    data: list[ProviderRow]
    providers: list[ProviderRow]
    total_providers: int
    tracked_providers: int
    metadata: Metadata


class ModelRow(Struct, frozen=True, kw_only=True, gc=False):
    """One target. `success_rate` (0-1) is of all time, `uptime_percentage` (0-100) of the last 24 hours."""

    model_id: str
    provider: str
    gateway: str
    status: str
    response_time_ms: float
    success_rate: float
    last_checked: str
    last_success: str | None
    last_failure: str | None
    error_count: int
    total_requests: int
    avg_response_time_ms: float | None
    uptime_percentage: float | None
    error_message: str | None
    circuit_breaker_state: str
    circuit_breaker_reason: str | None
    delisted: bool = False


class ModelRows(Struct, frozen=True):
    """The targets with records, the last called first; `data` and `models` are the same list.

    `total_models` counts the configured ones too, `tracked_models` only those with records.
    """

    data: list[ModelRow]
    models: list[ModelRow]
    total_models: int
    tracked_models: int
    metadata: Metadata


def provider_rows(sources: Sources, found: Survey | None = None) -> ProviderRows:
    """The document of `/health/providers`, of a survey if one was made already."""
    found = found or survey(sources)
    rows = [_provider_row(found.providers[name]) for name in sorted(found.providers)]
    total = len(found.providers.keys() | sources.config.providers.keys())
    return ProviderRows(rows, rows, total, len(rows), Metadata(iso(sources.now)))


def model_rows(sources: Sources, found: Survey | None = None) -> ModelRows:
    """The document of `/health/models`, of a survey if one was made already."""
    found = found or survey(sources)
    return model_list(sources, found, [model_row(target) for target in found.targets])


def model_list(sources: Sources, found: Survey, rows: list[ModelRow]) -> ModelRows:
    """The document of `/health/models` with its rows already made."""
    return ModelRows(rows, rows, found.total_models, len(found.targets), Metadata(iso(sources.now)))


def _provider_row(provider: ProviderState) -> ProviderRow:
    name = clean(provider.name)
    return ProviderRow(
        provider=name,
        gateway=name,
        status=provider.status.value,
        total_models=len(provider.models),
        healthy_models=provider.models.count(Health.HEALTHY),
        degraded_models=provider.models.count(Health.DEGRADED),
        unhealthy_models=provider.models.count(Health.UNHEALTHY),
        avg_response_time_ms=mean_milliseconds(provider.sums),
        overall_uptime=percentage(provider.seen.success, provider.seen.total),
        last_checked=iso(provider.last_called_at),
        error_message=None if provider.error is None else clean(provider.error),
        circuit_breaker_state=state(provider.breaker),
        circuit_breaker_reason=reason(provider.breaker),
    )


def model_row(target: TargetState) -> ModelRow:
    """A target's row."""
    record = target.record
    provider, sums = clean(record.provider), target.sums
    return ModelRow(
        model_id=clean(record.model),
        provider=provider,
        gateway=provider,
        status=target.status.value,
        response_time_ms=milliseconds(record.last_response_time),
        success_rate=sums.successes / sums.calls,
        last_checked=iso(record.updated_at),
        last_success=iso(record.last_success_at),
        last_failure=iso(record.last_failure_at),
        error_count=sums.calls - sums.successes,
        total_requests=sums.calls,
        avg_response_time_ms=mean_milliseconds(sums),
        uptime_percentage=percentage(target.seen.success, target.seen.total),
        error_message=None if record.last_error is None else clean(record.last_error),
        circuit_breaker_state=state(target.breaker),
        circuit_breaker_reason=reason(target.breaker),
        delisted=target.delisted,
    )
