"""Every endpoint of the admin port, and what it needs of its caller."""

from __future__ import annotations

from typing import Final

from healthapi import (
    alertpages,
    breakerpages,
    cleanuppages,
    dashboardpages,
    eventpages,
    healthpages,
    historypages,
    modelpages,
    openapi,
    probes,
    providerpages,
    scrape,
    slapages,
)
from healthapi.auth import Access
from healthapi.routes import Route

_PAGES: Final = (
    Route("GET", "/livez", probes.livez, Access.OPEN, probes.LIVEZ),
    Route("GET", "/readyz", probes.readyz, Access.OPEN, probes.READYZ),
    Route("GET", "/metrics", scrape.metrics, Access.METRICS, scrape.METRICS),
    Route("GET", "/health", healthpages.health, Access.HEALTH, healthpages.HEALTH),
    Route("GET", "/health/quick", healthpages.health, Access.HEALTH, healthpages.HEALTH),
    Route("GET", "/health/system", healthpages.system, Access.HEALTH, healthpages.SYSTEM),
    Route("GET", "/health/providers", healthpages.providers, Access.HEALTH, healthpages.PROVIDERS),
    Route("GET", "/health/models", healthpages.models, Access.HEALTH, healthpages.MODELS),
    Route("GET", "/health/gateways", healthpages.gateways, Access.HEALTH, healthpages.GATEWAYS),
    Route("GET", "/health/dashboard", dashboardpages.dashboard, Access.HEALTH, dashboardpages.DASHBOARD),
    # `admin.open: [health]` stands for the pages of that name above, which carry last errors too; these stay closed.
    Route("GET", "/v1/model-health", modelpages.listing, Access.READ, modelpages.LISTING),
    Route("GET", "/v1/model-health/unhealthy", modelpages.unhealthy, Access.READ, modelpages.UNHEALTHY),
    Route("GET", "/v1/model-health/stats", modelpages.stats, Access.READ, modelpages.STATS),
    Route("GET", "/v1/model-health/providers", modelpages.providers, Access.READ, modelpages.PROVIDERS),
    Route("GET", "/v1/model-health/history", historypages.history, Access.READ, historypages.HISTORY),
    Route("GET", "/v1/model-health/cleanup", cleanuppages.listing, Access.READ, cleanuppages.LISTING),
    Route("POST", "/v1/model-health/cleanup", cleanuppages.remove, Access.WRITE, cleanuppages.REMOVED),
    Route("GET", "/v1/model-health/provider/{provider}/summary", modelpages.summary, Access.READ, modelpages.SUMMARY),
    Route("GET", "/v1/model-health/provider/{provider}/sla", slapages.sla, Access.READ, slapages.SLA),
    Route("GET", "/v1/model-health/{provider}/{model...}", modelpages.record, Access.READ, modelpages.RECORD),
    Route("GET", "/v1/providers", providerpages.listing, Access.READ, providerpages.LISTING),
    Route("GET", "/v1/providers/{provider}/models", providerpages.models, Access.READ, providerpages.MODELS),
    Route("POST", "/v1/providers/refresh", providerpages.refresh, Access.WRITE, providerpages.REFRESHED),
    Route("GET", "/v1/events", eventpages.events, Access.READ, eventpages.EVENTS),
    Route("GET", "/v1/alerts", alertpages.listing, Access.READ, alertpages.LISTING),
    Route("POST", "/v1/alerts/silences", alertpages.silence, Access.WRITE, alertpages.SILENCE),
    Route("DELETE", "/v1/alerts/silences/{id}", alertpages.expire, Access.WRITE, alertpages.EXPIRED),
    Route("POST", "/v1/alerts/silences/{id}/expire", alertpages.expire, Access.WRITE, alertpages.EXPIRED),
    Route("POST", "/v1/alerts/test", alertpages.test, Access.WRITE, alertpages.TESTED),
    Route("GET", "/circuit-breakers", breakerpages.listing, Access.READ, breakerpages.LISTING),
    Route("GET", "/circuit-breakers/{provider}", breakerpages.of_provider, Access.READ, breakerpages.OF_PROVIDER),
    Route(
        "GET", "/circuit-breakers/{provider}/{model...}", breakerpages.of_target, Access.READ, breakerpages.OF_TARGET
    ),
    Route("POST", "/circuit-breakers/reset-all", breakerpages.reset_all, Access.WRITE, breakerpages.ALL_MOVED),
    Route("POST", "/circuit-breakers/{provider}/reset", breakerpages.reset, Access.WRITE, breakerpages.MOVED),
    Route("POST", "/circuit-breakers/{provider}/open", breakerpages.open_, Access.WRITE, breakerpages.OPENED),
    Route("POST", "/circuit-breakers/{provider}/close", breakerpages.close, Access.WRITE, breakerpages.MOVED),
    Route(
        "POST", "/circuit-breakers/{provider}/{model...}/reset", breakerpages.reset, Access.WRITE, breakerpages.MOVED
    ),
    Route(
        "POST", "/circuit-breakers/{provider}/{model...}/open", breakerpages.open_, Access.WRITE, breakerpages.OPENED
    ),
    Route(
        "POST", "/circuit-breakers/{provider}/{model...}/close", breakerpages.close, Access.WRITE, breakerpages.MOVED
    ),
)

TABLE: Final = (*_PAGES, openapi.route(_PAGES))
