"""Every endpoint of the admin port, and what it needs of its caller."""

from __future__ import annotations

from typing import Final

from healthapi import breakerpages, cleanuppages, eventpages, healthpages, historypages, modelpages, probes, scrape
from healthapi.auth import Access
from healthapi.routes import Route

TABLE: Final = (
    Route("GET", "/livez", probes.livez, Access.OPEN),
    Route("GET", "/readyz", probes.readyz, Access.OPEN),
    Route("GET", "/metrics", scrape.metrics, Access.METRICS),
    Route("GET", "/health", healthpages.health, Access.HEALTH),
    Route("GET", "/health/quick", healthpages.health, Access.HEALTH),
    Route("GET", "/health/system", healthpages.system, Access.HEALTH),
    Route("GET", "/health/providers", healthpages.providers, Access.HEALTH),
    Route("GET", "/health/models", healthpages.models, Access.HEALTH),
    Route("GET", "/health/gateways", healthpages.gateways, Access.HEALTH),
    # `admin.open: [health]` stands for the pages of that name above, which carry last errors too; these stay closed.
    Route("GET", "/v1/model-health", modelpages.listing, Access.READ),
    Route("GET", "/v1/model-health/unhealthy", modelpages.unhealthy, Access.READ),
    Route("GET", "/v1/model-health/stats", modelpages.stats, Access.READ),
    Route("GET", "/v1/model-health/providers", modelpages.providers, Access.READ),
    Route("GET", "/v1/model-health/history", historypages.history, Access.READ),
    Route("GET", "/v1/model-health/cleanup", cleanuppages.listing, Access.READ),
    Route("POST", "/v1/model-health/cleanup", cleanuppages.remove, Access.WRITE),
    Route("GET", "/v1/model-health/provider/{provider}/summary", modelpages.summary, Access.READ),
    Route("GET", "/v1/model-health/{provider}/{model...}", modelpages.record, Access.READ),
    Route("GET", "/v1/events", eventpages.events, Access.READ),
    Route("GET", "/circuit-breakers", breakerpages.listing, Access.READ),
    Route("GET", "/circuit-breakers/{provider}", breakerpages.of_provider, Access.READ),
    Route("GET", "/circuit-breakers/{provider}/{model...}", breakerpages.of_target, Access.READ),
    Route("POST", "/circuit-breakers/reset-all", breakerpages.reset_all, Access.WRITE),
    Route("POST", "/circuit-breakers/{provider}/reset", breakerpages.reset, Access.WRITE),
    Route("POST", "/circuit-breakers/{provider}/open", breakerpages.open_, Access.WRITE),
    Route("POST", "/circuit-breakers/{provider}/close", breakerpages.close, Access.WRITE),
    Route("POST", "/circuit-breakers/{provider}/{model...}/reset", breakerpages.reset, Access.WRITE),
    Route("POST", "/circuit-breakers/{provider}/{model...}/open", breakerpages.open_, Access.WRITE),
    Route("POST", "/circuit-breakers/{provider}/{model...}/close", breakerpages.close, Access.WRITE),
)
