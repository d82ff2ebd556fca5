"""GET /health and what is below it."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from healthapi import views
from healthapi.admin import Admin, Call
from healthapi.answer import SCOPE, STORED, Answer, Rows
from healthapi.replies import Reply, reply
from healthapi.text import iso
from healthapi.turns import turns
from healthapi.views.gateways import Gateways
from healthapi.views.rows import ModelRows, ProviderRows, model_list, model_row
from healthapi.views.system import System


class Running(Struct, frozen=True):
    """Answer of `/health`: says that Detour runs, not how the providers are."""

    status: str
    timestamp: str
    version: str


HEALTH: Final = Answer(Running, tagged=False)
SYSTEM: Final = Answer(System, (SCOPE,), STORED, moving=("last_updated",))
PROVIDERS: Final = Answer(ProviderRows, (SCOPE,), STORED, Rows("data"), moving=("metadata.timestamp",))
MODELS: Final = Answer(ModelRows, (SCOPE,), STORED, Rows("data"), moving=("metadata.timestamp",))
GATEWAYS: Final = Answer(Gateways, (SCOPE,), STORED, Rows("data", key="name"), moving=("timestamp",))


async def health(admin: Admin, call: Call) -> Reply:
    """Detour runs: always 200, for probes that know no other path."""
    return reply(Running("healthy", iso(admin.now()), admin.version))


async def system(admin: Admin, call: Call) -> Reply:
    """How all providers and models are, in a dozen numbers."""
    made = await admin.survey(call)
    return reply(views.system(made.sources, made.found))


async def providers(admin: Admin, call: Call) -> Reply:
    """How every provider with records is."""
    made = await admin.survey(call)
    return reply(views.provider_rows(made.sources, made.found))


async def models(admin: Admin, call: Call) -> Reply:
    """How every model with a record is, the last called first."""
    made = await admin.survey(call)
    rows = [model_row(target) async for target in turns(made.found.targets)]
    return reply(model_list(made.sources, made.found, rows))


async def gateways(admin: Admin, call: Call) -> Reply:
    """How every provider is that is configured or has records, by name; those without a credential are told apart."""
    made = await admin.survey(call)
    return reply(views.gateways(made.sources, made.found))
