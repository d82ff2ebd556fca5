"""GET /metrics."""

from __future__ import annotations

import asyncio
from typing import Final

from msgspec.structs import replace

from healthapi.accountmetrics import figures
from healthapi.admin import Admin, Call
from healthapi.alerting import alerting
from healthapi.answer import Answer
from healthapi.exposition import render, take
from healthapi.probed import probed
from healthapi.replies import Reply

METRICS: Final = Answer(None, tagged=False, media=("text/plain", "application/openmetrics-text"))


async def metrics(admin: Admin, call: Call) -> Reply:
    """Everything this process counts, for Prometheus: classic text, or OpenMetrics where Accept asks for it."""
    async with admin.scraping:
        sla = {} if admin.sla is None else admin.sla.told
        accounts = figures(admin.keys, admin.offers)
        snapshot = take(admin.metrics, admin.registry, admin.keeper, admin.monotonic(), sla=sla, accounts=accounts)
        snapshot = replace(snapshot, alerts=alerting(admin.alerts), probed=probed(admin.probing))
        body, content_type = await asyncio.to_thread(render, snapshot, call.accept)
    return Reply(body, content_type)
