"""The document of `/health/gateways`: every provider that is configured or has records, by name.

One without a credential is `unconfigured` and left out of the percentage, whatever its callers' own keys found out.
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from healthapi.status import Availability, Health, percentage
from healthapi.text import clean, iso, mean_milliseconds
from healthapi.views.sources import Sources
from healthapi.views.survey import ProviderState, Survey, survey, unrecorded

UNCONFIGURED: Final = "unconfigured"

_WORDS: Final = {
    Availability.ONLINE: Health.HEALTHY.value,
    Availability.DEGRADED: Health.DEGRADED.value,
    Availability.OFFLINE: Health.UNHEALTHY.value,
    Availability.UNKNOWN: Health.UNKNOWN.value,
}


class Gateway(Struct, frozen=True, kw_only=True):
    """One provider. `latency_ms` is its mean response time; `available` that nothing keeps traffic from it."""

    status: str
    latency_ms: float | None
    available: bool
    last_check: str | None
    error: str | None
    healthy: bool
    total_models: int
    configured: bool


class GatewaySummary(Struct, frozen=True, kw_only=True):
    """How many are how. The percentage is healthy of known ones, 0-100, null when none is known."""

    total_gateways: int
    healthy: int
    degraded: int
    unhealthy: int
    unknown: int
    unconfigured: int
    overall_health_percentage: float | None


class Gateways(Struct, frozen=True):
    """All gateways by name, and their sums."""

    success: bool
    data: dict[str, Gateway]
    summary: GatewaySummary
    timestamp: str


def gateways(sources: Sources, found: Survey | None = None) -> Gateways:
    """The document, of a survey if one was made already."""
    rows = gateway_rows(sources, found or survey(sources))
    return Gateways(True, rows, summarised(rows), iso(sources.now))


def gateway_rows(sources: Sources, found: Survey) -> dict[str, Gateway]:
    """Every gateway by name."""
    names = sorted(found.providers.keys() | sources.config.providers.keys())
    return {clean(name): _gateway(found.providers.get(name) or unrecorded(sources, name)) for name in names}


def summarised(rows: dict[str, Gateway]) -> GatewaySummary:
    """Sums over gateways."""
    words = [row.status for row in rows.values()]
    healthy, degraded, unhealthy = (words.count(h) for h in (Health.HEALTHY, Health.DEGRADED, Health.UNHEALTHY))
    return GatewaySummary(
        total_gateways=len(rows),
        healthy=healthy,
        degraded=degraded,
        unhealthy=unhealthy,
        unknown=words.count(Health.UNKNOWN),
        unconfigured=words.count(UNCONFIGURED),
        overall_health_percentage=percentage(healthy, healthy + degraded + unhealthy),
    )


def _gateway(state: ProviderState) -> Gateway:
    status = _WORDS[state.status] if state.configured else UNCONFIGURED
    error = state.refused or state.error
    return Gateway(
        status=status,
        latency_ms=mean_milliseconds(state.sums),
        available=status not in (Health.UNHEALTHY, UNCONFIGURED),
        last_check=iso(state.last_called_at),
        error=None if error is None else clean(error),
        healthy=status == Health.HEALTHY,
        total_models=len(state.models),
        configured=state.configured,
    )
