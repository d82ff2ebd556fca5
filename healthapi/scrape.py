"""GET /metrics."""

from __future__ import annotations

import asyncio
from typing import Final

from msgspec.structs import replace

from healthapi.accountmetrics import figures
from healthapi.admin import Admin, Call
from healthapi.alerting import alerting
from healthapi.answer import Answer
from healthapi.certified import certified
from healthapi.exposition import render, take
from healthapi.judgement import judgement
from healthapi.probed import probed
from healthapi.reloading import reloading
from healthapi.replies import Reply

METRICS: Final = Answer(None, tagged=False, media=("text/plain", "application/openmetrics-text"))


async def metrics(admin: Admin, call: Call) -> Reply:
    """Everything this process counts, for Prometheus: classic text, or OpenMetrics where Accept asks for it."""
    async with admin.scraping:
        sla = {} if admin.sla is None else admin.sla.told
        accounts = figures(admin.keys, admin.offers)
        now = admin.monotonic()
        judged = judgement(admin.metrics, admin.registry, now)
        await asyncio.sleep(0)  # it takes a millisecond or two where there are many targets, and so does what follows
        snapshot = take(admin.metrics, admin.registry, admin.keeper, now, sla=sla, accounts=accounts, judged=judged)
        snapshot = replace(
            snapshot,
            alerts=alerting(admin.alerts),
            probed=probed(admin.probing),
            reloads=reloading(admin.reloads),
            files=certified(admin.files),
        )
        body, content_type = await asyncio.to_thread(render, snapshot, call.accept)
    return Reply(body, content_type)
