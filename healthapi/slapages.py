"""GET /v1/model-health/provider/{provider}/sla."""

from __future__ import annotations

from typing import Final

from breaker.outcome import Kind
from healthapi import views
from healthapi.admin import Admin, Call
from healthapi.answer import FOUND, KIND, SCOPE, Answer, integer
from healthapi.cell import ALL_MODELS, Cell
from healthapi.errors import Problem, quoted
from healthapi.replies import Reply, reply
from healthapi.turns import turns
from healthapi.views.sla import DAYS, HOURS, Found, Period, ProviderSla, Shown, by_hour, by_minute

SLA: Final = Answer(
    ProviderSla,
    (
        KIND,
        SCOPE,
        integer("hours", HOURS, 0, HOURS, "Hours that are listed, up to now."),
        integer("days", DAYS, 0, DAYS, "Days that are listed, up to today."),
    ),
    FOUND,
    moving=("to",),
)


async def sla(admin: Admin, call: Call) -> Reply:
    """A provider against its objective (`sla`), by hour, by day and in 30 days, with its error budget and burn rates.

    Parameters: `kind` (live, probe), `scope` (fleet, instance), `hours` (24, 0 to 24) and `days` (30, 0 to 30) that are
    listed.
    """
    scope, kind = call.scope(), call.kind()
    shown = Shown(call.query.integer("hours", HOURS, 0, HOURS), call.query.integer("days", DAYS, 0, DAYS))
    sources = await admin.sources(call)
    name, now = sources.canonical(call.path["provider"]), sources.now
    entry = admin.config.providers.get(name)
    seen = any(record.provider == name for record in sources.store.records())
    found = Found()

    async def cells(period: Period) -> list[tuple[int, Kind, Cell]]:
        return await admin.keeper.cells(scope, name, ALL_MODELS, period.width, period.first, period.last)

    async for bucket, of, cell in turns(await cells(by_hour(now))):
        seen = True
        if kind in (None, of):
            found.hour(bucket, cell, now)
    async for _, of, cell in turns(await cells(by_minute(now)) if seen else ()):
        if kind in (None, of):
            found.minute(cell)
    if entry is None and not seen:
        raise Problem(404, "unknown_provider", f"{quoted(name)} is not configured and was never called")
    objective = admin.config.settings.sla if entry is None else entry.sla
    return reply(views.provider_sla(name, objective, kind, found, now, shown))
