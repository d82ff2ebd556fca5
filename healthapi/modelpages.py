"""GET /v1/model-health and what is below it."""

from __future__ import annotations

from typing import Final

from breaker.outcome import Status
from healthapi import views
from healthapi.admin import Admin, Call
from healthapi.answer import FOUND, KIND, SCOPE, STORED, Answer, Rows, choice, integer, number, text
from healthapi.errors import Problem, quoted
from healthapi.replies import Reply, reply
from healthapi.views.models import ModelHealthList, UnhealthyModels
from healthapi.views.record import ModelHealth
from healthapi.views.totals import Providers, ProviderSummary, Stats

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
    return reply(
        views.model_health_list(
            await admin.sources(call),
            provider=call.query.text("provider"),
            status=None if status is None else Status(status),
            limit=call.query.integer("limit", 100, 1, 1000),
            offset=call.query.integer("offset", 0, 0),
            kind=call.kind(),
        )
    )


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
    return reply(
        views.unhealthy(
            await admin.sources(call),
            error_threshold=call.query.number("error_threshold", 0.2, 0, 1),
            min_calls=call.query.integer("min_calls", 10, 1),
        )
    )


async def stats(admin: Admin, call: Call) -> Reply:
    """Sums over all models. Parameter: `kind` (live, probe)."""
    return reply(views.stats(await admin.sources(call), call.kind()))


async def summary(admin: Admin, call: Call) -> Reply:
    """Sums over the models of one provider; 404 when it has none. Parameter: `kind` (live, probe)."""
    provider = call.path["provider"]
    found = views.provider_summary(await admin.sources(call), provider, call.kind())
    if found is None:
        raise Problem(404, "unknown_provider", f"there is no record of any model at {quoted(provider)}")
    return reply(found)


async def providers(admin: Admin, call: Call) -> Reply:
    """The providers that have records, busiest first. Parameter: `kind` (live, probe)."""
    return reply(views.providers(await admin.sources(call), call.kind()))
