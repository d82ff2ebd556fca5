"""The document of `/health/system`: the whole in a dozen numbers."""

from __future__ import annotations

from msgspec import Struct

from healthapi.history import NOTHING
from healthapi.status import Availability, Health, percentage, system_status
from healthapi.text import iso
from healthapi.views.gateways import gateway_rows
from healthapi.views.sources import Sources
from healthapi.views.survey import Survey, survey


class System(Struct, frozen=True, kw_only=True):
    """How all providers and models are; what `total_…` has more than the other three is unknown.

    `system_uptime` (0-100) is of the last 24 hours and of providers with a credential, null when nothing was seen.
    """

    overall_status: str
    total_providers: int
    healthy_providers: int
    degraded_providers: int
    unhealthy_providers: int
    total_models: int
    healthy_models: int
    degraded_models: int
    unhealthy_models: int
    total_gateways: int
    healthy_gateways: int
    tracked_models: int
    tracked_providers: int
    system_uptime: float | None
    last_updated: str


def system(sources: Sources, found: Survey | None = None) -> System:
    """The document, of a survey if one was made already."""
    found = found or survey(sources)
    providers = [provider.status for provider in found.providers.values()]
    models = found.counts
    gateways = gateway_rows(sources, found)
    seen = sum((provider.seen for provider in found.providers.values() if provider.configured), NOTHING)
    return System(
        overall_status=system_status(providers).value,
        total_providers=len(gateways),
        healthy_providers=providers.count(Availability.ONLINE),
        degraded_providers=providers.count(Availability.DEGRADED),
        unhealthy_providers=providers.count(Availability.OFFLINE),
        total_models=found.total_models,
        healthy_models=models[Health.HEALTHY],
        degraded_models=models[Health.DEGRADED],
        unhealthy_models=models[Health.UNHEALTHY],
        total_gateways=len(gateways),
        healthy_gateways=sum(gateway.healthy for gateway in gateways.values()),
        tracked_models=len(found.targets),
        tracked_providers=len(providers),
        system_uptime=percentage(seen.success, seen.total),
        last_updated=iso(sources.now),
    )
