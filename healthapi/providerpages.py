"""GET /v1/providers and what is below it: the configured providers, their keys and their own lists of models."""

from __future__ import annotations

from typing import Final

from healthapi.admin import Admin, Call
from healthapi.answer import FOUND, Answer, Rows, text
from healthapi.errors import Problem, quoted
from healthapi.offerings import Offerings
from healthapi.replies import Reply, reply
from healthapi.store import Scope
from healthapi.text import clean, iso
from healthapi.turns import turns
from healthapi.views.accounts import (
    Accounts,
    OfferedModel,
    OfferedModels,
    Refresh,
    accounts,
    candidates,
    model_list,
    refreshed,
)

LISTING: Final = Answer(Accounts, rows=Rows("providers"))
MODELS: Final = Answer(OfferedModels, (), FOUND, Rows("models"))
REFRESHED: Final = Answer(
    Refresh, (text("provider", "A provider's name or alias; all that have a list when it is missing."),), FOUND
)


async def listing(admin: Admin, call: Call) -> Reply:
    """The configured providers: whether they have their key, how it was judged and when, and what they offer.

    A key that is set but refused does not count as configured. What could join the model groups is suggested.
    """
    found = [] if admin.offers is None else await admin.offers.suggestions()
    return reply(accounts(admin.config, admin.keys, admin.offers, found))


async def models(admin: Admin, call: Call) -> Reply:
    """The models of one provider: what it offers, what of that is tracked, and what is not offered any more.

    404 for a provider that is not configured.
    """
    name = _canonical(admin, call.path["provider"])
    offers = admin.offers or Offerings(admin.config)
    offer = offers.of(name)
    picture = await admin.keeper.reading(Scope.FLEET)
    records = {record.model: record async for record in turns(list(picture.store.records())) if record.provider == name}
    groups: dict[str, list[str]] = {}
    for group in admin.config.groups.values():
        for target in group.targets:
            if target.provider == name:
                groups.setdefault(target.model, []).append(clean(group.name))
    gone = {
        model: at
        async for model, at in turns(offer.delisted.items())
        if (model in records and offers.delisted(records[model])) or (model in groups and model not in records)
    }
    rows = [
        OfferedModel(
            model=clean(model),
            offered=model in offer.names,
            tracked=model in records or model in groups,
            groups=groups.get(model, []),
            delisted_since=iso(gone.get(model)),
            new=model in offer.new,
        )
        async for model in turns(sorted(offer.names | gone.keys()))
    ]
    suggested = [one for one in await offers.suggestions() if one.provider == name]
    return reply(
        OfferedModels(
            provider=name, total=len(rows), listing=model_list(offer), models=rows, suggestions=candidates(suggested)
        )
    )


async def refresh(admin: Admin, call: Call) -> Reply:
    """Read the providers' own lists of models now, and compare what is tracked with what they offer.

    Parameter: `provider`, all that have a list and a credential when it is missing. What is tracked and not offered any
    more is marked as delisted.
    """
    asked = call.query.text("provider")
    offers, read = admin.offers, admin.read_list
    if offers is None or read is None:
        raise Problem(503, "lists_unavailable", "no provider can be asked now")
    names = offers.readable
    if asked is not None:
        name = _canonical(admin, asked)
        if name not in names:
            message = f"{quoted(name)} has no list of models that can be read with what is configured"
            raise Problem(404, "no_list", message)
        names = [name]
    results = await offers.refresh(admin.keeper, read, names, admin.now)
    suggested = candidates(await offers.suggestions())
    return reply(Refresh([refreshed(result) for result in results], suggested))


def _canonical(admin: Admin, provider: str) -> str:
    """The configured provider of that name or alias. Raises Problem: 404 when there is none."""
    name = admin.config.aliases.get(provider, provider)
    if name not in admin.config.providers:
        raise Problem(404, "unknown_provider", f"no provider is called {quoted(provider)}")
    return name
