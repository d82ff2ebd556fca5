"""GET /metrics."""

from __future__ import annotations

import asyncio

from healthapi.admin import Admin, Call
from healthapi.exposition import render, take
from healthapi.replies import Reply


async def metrics(admin: Admin, call: Call) -> Reply:
    """Everything this process counts, for Prometheus: classic text, or OpenMetrics where Accept asks for it."""
    async with admin.scraping:
        snapshot = take(admin.metrics, admin.registry, admin.keeper, admin.monotonic())
        body, content_type = await asyncio.to_thread(render, snapshot, call.accept)
    return Reply(body, content_type)
