"""The document of `/health/dashboard`: everything at once, for people and for status pages.

It has the keys of both documents that went by this name. What is a percentage or a duration is text here, as both had
it; a provider without a credential that works is left out of every percentage, its models are listed all the same.
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from config.audit import audit
from healthapi.history import NOTHING, Counts
from healthapi.record import Sums
from healthapi.spend import ProviderSpend
from healthapi.status import Availability, Health, percentage, system_status
from healthapi.text import clean, duration, iso, mean_milliseconds, percent
from healthapi.views.advice import Findings, Lacking, Recommendation, recommendations
from healthapi.views.gateways import gateway_rows
from healthapi.views.sources import Sources
from healthapi.views.survey import ProviderState, Survey, TargetState
from healthapi.views.system import System, system
from healthapi.views.ward import IllModel, ProblematicProvider, Ward, problems

_COLORS: Final = {
    Health.HEALTHY: "green",
    Health.DEGRADED: "yellow",
    Health.UNHEALTHY: "red",
    Health.UNKNOWN: "yellow",
    Availability.ONLINE: "green",
    Availability.DEGRADED: "yellow",
    Availability.OFFLINE: "red",
    Availability.UNKNOWN: "yellow",
}

_UPTIME: Final = {
    Health.HEALTHY: "operational",
    Health.DEGRADED: "degraded",
    Health.UNHEALTHY: "outage",
    Health.UNKNOWN: "unknown",
}


class OverallHealth(Struct, frozen=True, kw_only=True):
    """The models with a record, of providers with a credential that works, that are still offered.

    The percentage is healthy of known ones (`healthy_`, `degraded_` and `unhealthy_models`), null when none is known.
    """

    status: str
    health_percentage: str | None
    healthy_models: int
    degraded_models: int
    unhealthy_models: int
    unknown_models: int
    total_models: int


class GatewayCounts(Struct, frozen=True):
    """How many gateways are how."""

    total: int
    healthy: int
    unconfigured: int


class UnconfiguredGateway(Struct, frozen=True, kw_only=True):
    """A provider that cannot be used. `missing` are the variables or settings to be set, none where a key was refused.

    `targets` counts the targets of model groups that depend on it.
    """

    gateway: str
    error: str
    missing: list[str]
    targets: int


class DashboardProvider(Struct, frozen=True, kw_only=True):
    """A provider with records. `uptime` is of the last 24 hours."""

    provider: str
    gateway: str
    status: str
    status_color: str
    models_count: int
    healthy_count: int
    uptime: str | None
    avg_response_time: str | None
    configured: bool


class DashboardModel(Struct, frozen=True, kw_only=True):
    """A model with a record. `response_time` is its last one, `uptime` of the last 24 hours."""

    model_id: str
    name: str
    provider: str
    status: str
    status_color: str
    response_time: str | None
    uptime: str | None
    last_checked: str


class UptimeMetrics(Struct, frozen=True, kw_only=True):
    """What a status page shows, of providers with a credential. Counts and percentages are of the last 24 hours.

    `response_time_avg` (ms) is of all time, `last_incident` when an attempt last failed.
    """

    status: str
    uptime_percentage: float | None
    response_time_avg: float | None
    last_incident: str | None
    total_requests: int
    successful_requests: int
    failed_requests: int
    error_rate: float | None
    last_updated: str


class ProbeSpend(Struct, frozen=True, kw_only=True):
    """What probes of the whole fleet have spent on a `day` (UTC), and what they may; in all and by provider."""

    day: str
    requests: int
    tokens: int
    cap_requests: int
    cap_tokens: int
    capped: bool
    providers: dict[str, ProviderSpend]


class Dashboard(Struct, frozen=True, kw_only=True):
    """Both known shapes in one document."""

    timestamp: str
    overall_health: OverallHealth
    gateways: GatewayCounts
    unhealthy_models_by_provider: dict[str, list[IllModel]]
    problematic_providers: list[ProblematicProvider]
    unconfigured_gateways: list[UnconfiguredGateway]
    recommendations: list[Recommendation]
    system_status: System
    providers: list[DashboardProvider]
    models: list[DashboardModel]
    uptime_metrics: UptimeMetrics
    last_updated: str
    monitoring_active: bool
    probes: ProbeSpend | None


class Watch(Struct, frozen=True):
    """What the dashboard tells of the watch itself: whether somebody probes, and what that cost."""

    active: bool
    spend: ProbeSpend | None


class Parts(Struct, frozen=True, kw_only=True):
    """What takes long to make and is made before: `models` are the rows shown, `stale` records nobody needs."""

    ward: Ward
    models: list[DashboardModel]
    stale: list[tuple[str, str]]
    watch: Watch


def dashboard(sources: Sources, found: Survey, parts: Parts) -> Dashboard:
    """The document."""
    ward, whole = parts.ward, system(sources, found)
    lacking = _lacking(sources, found)
    bad = problems(found)
    known = sum(ward.counts.values()) - ward.counts[Health.UNKNOWN]
    health = percentage(ward.counts[Health.HEALTHY], known)
    findings = Findings(
        health=health,
        healthy=ward.counts[Health.HEALTHY],
        known=known,
        unhealthy=ward.ill,
        degraded=ward.poorly,
        lacking=lacking,
        problematic=[row.provider for row in bad],
        stale=parts.stale,
    )
    at = iso(sources.now)
    status = system_status([provider.status for provider in found.providers.values() if provider.configured])
    return Dashboard(
        timestamp=at,
        overall_health=OverallHealth(
            status=status.value,
            health_percentage=percent(health),
            healthy_models=ward.counts[Health.HEALTHY],
            degraded_models=ward.counts[Health.DEGRADED],
            unhealthy_models=ward.counts[Health.UNHEALTHY],
            unknown_models=ward.counts[Health.UNKNOWN],
            total_models=sum(ward.counts.values()),
        ),
        gateways=GatewayCounts(whole.total_gateways, whole.healthy_gateways, len(lacking)),
        unhealthy_models_by_provider=dict(sorted(ward.by_provider.items())),
        problematic_providers=bad,
        unconfigured_gateways=[_unconfigured(one, sources.refusal(one.provider)) for one in lacking],
        recommendations=recommendations(findings),
        system_status=whole,
        providers=[_provider(found.providers[name]) for name in sorted(found.providers)],
        models=parts.models,
        uptime_metrics=_uptime_metrics(found, status, ward.last_failure_at, at),
        last_updated=at,
        monitoring_active=parts.watch.active,
        probes=parts.watch.spend,
    )


def dashboard_model(target: TargetState) -> DashboardModel:
    """The row of a model."""
    record = target.record
    model = clean(record.model)
    return DashboardModel(
        model_id=model,
        name=model.rsplit("/", 1)[-1] or model,
        provider=clean(record.provider),
        status=target.status.value.capitalize(),
        status_color=_COLORS[target.status],
        response_time=duration(record.last_response_time * 1000),
        uptime=percent(percentage(target.seen.success, target.seen.total)),
        last_checked=iso(record.updated_at),
    )


def _lacking(sources: Sources, found: Survey) -> list[Lacking]:
    """The providers that cannot be used, by name."""
    audited = {row.provider: row for row in audit(sources.config)}
    names = [name for name in gateway_rows(sources, found) if not sources.configured(name)]
    return [
        Lacking(name, audited[name].missing, audited[name].targets)
        if name in audited
        else Lacking(name, (f"providers.{name}",), 0)
        for name in names
    ]


def _unconfigured(one: Lacking, refusal: str | None) -> UnconfiguredGateway:
    error = f"set {' and '.join(one.missing)}" if one.missing else refusal or ""
    return UnconfiguredGateway(gateway=one.provider, error=error, missing=list(one.missing), targets=one.targets)


def _provider(provider: ProviderState) -> DashboardProvider:
    name, status = clean(provider.name), provider.status
    return DashboardProvider(
        provider=name,
        gateway=name,
        status=status.value.capitalize(),
        status_color=_COLORS[status],
        models_count=len(provider.models),
        healthy_count=provider.models.count(Health.HEALTHY),
        uptime=percent(percentage(provider.seen.success, provider.seen.total)),
        avg_response_time=duration(mean_milliseconds(provider.sums)),
        configured=provider.configured,
    )


def _uptime_metrics(found: Survey, status: Health, last_failure_at: float | None, at: str) -> UptimeMetrics:
    seen: Counts = NOTHING
    sums = Sums()
    for provider in found.providers.values():
        if provider.configured:
            seen += provider.seen
            sums += provider.sums
    return UptimeMetrics(
        status=_UPTIME[status],
        uptime_percentage=percentage(seen.success, seen.total),
        response_time_avg=mean_milliseconds(sums),
        last_incident=iso(last_failure_at),
        total_requests=seen.total,
        successful_requests=seen.success,
        failed_requests=seen.total - seen.success,
        error_rate=percentage(seen.total - seen.success, seen.total),
        last_updated=at,
    )
