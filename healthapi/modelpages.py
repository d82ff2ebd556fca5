"""GET /v1/model-health and what is below it."""

from __future__ import annotations

from typing import Final

from breaker.outcome import Kind, Status
from healthapi import views
from healthapi.admin import Admin, Call
from healthapi.errors import Problem, quoted
from healthapi.replies import Reply, reply

_STATUSES: Final = tuple(status.value for status in Status)
_KINDS: Final = tuple(kind.value for kind in Kind)


async def listing(admin: Admin, call: Call) -> Reply:
    """The records of all models, the last called first.

    Parameters: `provider`, `status` (the last one), `kind` (live, probe), `limit` (100, 1 to 1000), `offset` (0).
    """
    status = call.query.choice("status", _STATUSES)
    return reply(
        views.model_health_list(
            admin.sources(),
            provider=call.query.text("provider"),
            status=None if status is None else Status(status),
            limit=call.query.integer("limit", 100, 1, 1000),
            offset=call.query.integer("offset", 0, 0),
            kind=_kind(call),
        )
    )


async def record(admin: Admin, call: Call) -> Reply:
    """The record of one model; its name may hold slashes, raw or as `%2F`. Parameter: `kind` (live, probe)."""
    provider, model = call.path["provider"], call.path["model"]
    found = views.model_health(admin.sources(), provider, model, _kind(call))
    if found is None:
        raise Problem(404, "unknown_model", f"there is no record of {quoted(model)} at {quoted(provider)}")
    return reply(found)


async def unhealthy(admin: Admin, call: Call) -> Reply:
    """The models that fail too often, worst first.

    Parameters: `error_threshold` (0.2, 0 to 1, that share included), `min_calls` (10, at least 1).
    """
    return reply(
        views.unhealthy(
            admin.sources(),
            error_threshold=call.query.number("error_threshold", 0.2, 0, 1),
            min_calls=call.query.integer("min_calls", 10, 1),
        )
    )


async def stats(admin: Admin, call: Call) -> Reply:
    """Sums over all models. Parameter: `kind` (live, probe)."""
    return reply(views.stats(admin.sources(), _kind(call)))


async def summary(admin: Admin, call: Call) -> Reply:
    """Sums over the models of one provider; 404 when it has none. Parameter: `kind` (live, probe)."""
    provider = call.path["provider"]
    found = views.provider_summary(admin.sources(), provider, _kind(call))
    if found is None:
        raise Problem(404, "unknown_provider", f"there is no record of any model at {quoted(provider)}")
    return reply(found)


async def providers(admin: Admin, call: Call) -> Reply:
    """The providers that have records, busiest first. Parameter: `kind` (live, probe)."""
    return reply(views.providers(admin.sources(), _kind(call)))


def _kind(call: Call) -> Kind | None:
    kind = call.query.choice("kind", _KINDS)
    return None if kind is None else Kind(kind)
