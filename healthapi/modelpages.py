"""GET /v1/model-health and what is below it."""

from __future__ import annotations

import asyncio
from typing import Final

from breaker.outcome import Kind, Status
from healthapi import views
from healthapi.admin import Admin, Call
from healthapi.answer import FOUND, KIND, SCOPE, STORED, Answer, Rows, choice, integer, number, text
from healthapi.errors import Problem, quoted
from healthapi.replies import Reply, reply
from healthapi.turns import turns
from healthapi.views import models
from healthapi.views.models import ModelHealthList, UnhealthyModels, Wanted
from healthapi.views.record import ModelHealth
from healthapi.views.sources import Sources
from healthapi.views.totals import Providers, ProviderSummary, Stats, Totals, begun

_STATUSES: Final = tuple(status.value for status in Status)

LISTING: Final = Answer(
    ModelHealthList,
    (
        text("provider", "A provider's name or alias."),
        choice("status", _STATUSES, "The last status."),
        KIND,
        integer("limit", 100, 1, 1000, "Most records of the page."),
        integer("offset", 0, 0, None, "Records before the page."),
        SCOPE,
    ),
    STORED,
    Rows("models"),
)
RECORD: Final = Answer(ModelHealth, (KIND, SCOPE), FOUND)
UNHEALTHY: Final = Answer(
    UnhealthyModels,
    (
        number("error_threshold", 0.2, 0, 1, "The share of failed calls from which a model is listed."),
        integer("min_calls", 10, 1, None, "The calls it must have had."),
        SCOPE,
    ),
    STORED,
    Rows("models", first=("provider", "model", "error_rate")),
)
STATS: Final = Answer(Stats, (KIND, SCOPE), STORED)
SUMMARY: Final = Answer(ProviderSummary, (KIND, SCOPE), FOUND)
PROVIDERS: Final = Answer(Providers, (KIND, SCOPE), STORED, Rows("providers"))


async def listing(admin: Admin, call: Call) -> Reply:
    """The records of all models, the last called first.

    Parameters: `provider`, `status` (the last one), `kind` (live, probe), `limit` (100, 1 to 1000), `offset` (0).
    """
    status = call.query.choice("status", _STATUSES)
    wanted = Wanted(
        provider=call.query.text("provider"),
        status=None if status is None else Status(status),
        kind=call.kind(),
        limit=call.query.integer("limit", 100, 1, 1000),
        offset=call.query.integer("offset", 0, 0),
    )
    sources = await admin.sources(call)
    page, records = models.Page(sources, wanted), list(sources.store.records())
    async for start in turns(range(0, len(records), models.RUN)):
        page.look(records[start : start + models.RUN])
    newest = [record async for record in turns(page.newest())]
    rows = [row async for row in turns(models.rows(sources, newest[wanted.offset :], wanted.kind))]
    return reply(models.model_page(wanted, page.total, rows))


async def record(admin: Admin, call: Call) -> Reply:
    """The record of one model; its name may hold slashes, raw or as `%2F`. Parameter: `kind` (live, probe)."""
    provider, model = call.path["provider"], call.path["model"]
    found = views.model_health(await admin.sources(call), provider, model, call.kind())
    if found is None:
        raise Problem(404, "unknown_model", f"there is no record of {quoted(model)} at {quoted(provider)}")
    return reply(found)


async def unhealthy(admin: Admin, call: Call) -> Reply:
    """The models that fail too often, worst first.

    Parameters: `error_threshold` (0.2, 0 to 1, that share included), `min_calls` (10, at least 1).
    """
    error_threshold = call.query.number("error_threshold", 0.2, 0, 1)
    min_calls = call.query.integer("min_calls", 10, 1)
    sources = await admin.sources(call)
    failing = models.Failing(error_threshold, min_calls)
    records = models.listed(sources)
    await asyncio.sleep(0)
    async for record in turns(records):
        failing.look(record)
    worst = failing.worst_first()
    await asyncio.sleep(0)
    rows = [row async for row in turns(models.unhealthy_rows(sources, worst))]
    return reply(UnhealthyModels(error_threshold, min_calls, len(rows), rows))


async def stats(admin: Admin, call: Call) -> Reply:
    """Sums over all models. Parameter: `kind` (live, probe)."""
    kind = call.kind()
    totals = await _totals(await admin.sources(call), None, kind)
    return reply(totals.stats())


async def summary(admin: Admin, call: Call) -> Reply:
    """Sums over the models of one provider; 404 when it has none. Parameter: `kind` (live, probe)."""
    provider, kind = call.path["provider"], call.kind()
    sources = await admin.sources(call)
    totals = await _totals(sources, provider, kind)
    if not totals.models:
        raise Problem(404, "unknown_provider", f"there is no record of any model at {quoted(provider)}")
    return reply(totals.summary(sources.canonical(provider)))


async def providers(admin: Admin, call: Call) -> Reply:
    """The providers that have records, busiest first. Parameter: `kind` (live, probe)."""
    kind = call.kind()
    totals = await _totals(await admin.sources(call), None, kind)
    return reply(totals.providers())


async def _totals(sources: Sources, provider: str | None, kind: Kind | None) -> Totals:
    totals, records = begun(sources, provider, kind)
    await asyncio.sleep(0)
    async for record in turns(records):
        totals.add(record)
    return totals
