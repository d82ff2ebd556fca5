"""Every endpoint of the admin port, and what it needs of its caller."""

from __future__ import annotations

from typing import Final

from healthapi import healthpages, modelpages, probes, scrape
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
    Route("GET", "/v1/model-health/provider/{provider}/summary", modelpages.summary, Access.READ),
    Route("GET", "/v1/model-health/{provider}/{model...}", modelpages.record, Access.READ),
)
