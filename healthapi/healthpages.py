"""GET /health and what is below it."""

from __future__ import annotations

from msgspec import Struct

from healthapi import views
from healthapi.admin import Admin, Call
from healthapi.replies import Reply, reply
from healthapi.views.text import iso


class Running(Struct, frozen=True):
    """Answer of `/health`: says that Detour runs, not how the providers are."""

    status: str
    timestamp: str
    version: str


async def health(admin: Admin, call: Call) -> Reply:
    """Detour runs: always 200, for probes that know no other path."""
    return reply(Running("healthy", iso(admin.now()), admin.version))


async def system(admin: Admin, call: Call) -> Reply:
    """How all providers and models are, in a dozen numbers."""
    return reply(views.system(await admin.sources(call)))


async def providers(admin: Admin, call: Call) -> Reply:
    """How every provider with records is."""
    return reply(views.provider_rows(await admin.sources(call)))


async def models(admin: Admin, call: Call) -> Reply:
    """How every model with a record is, the last called first."""
    return reply(views.model_rows(await admin.sources(call)))


async def gateways(admin: Admin, call: Call) -> Reply:
    """How every provider is that is configured or has records, by name; those without a credential are told apart."""
    return reply(views.gateways(await admin.sources(call)))
