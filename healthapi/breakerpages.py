"""GET /circuit-breakers and what is below it, and the POSTs that move breakers by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from msgspec import Struct

from breaker.breaker import Breaker
from config.units import show_duration
from config.words import Mode
from healthapi import views
from healthapi.admin import Admin, Call
from healthapi.answer import Answer, Rows, duration
from healthapi.errors import Problem, quoted
from healthapi.record import Record
from healthapi.replies import Reply, reply
from healthapi.store import Scope, StoreError
from healthapi.text import breaker_name
from healthapi.turns import turns
from healthapi.views.breakers import BreakerList, BreakerRow, Listing, below

OPEN_FOR: Final = 600.0
"""Seconds for which a breaker is opened by hand when nothing is said."""

LONGEST: Final = 7 * 86400.0
"""Most seconds for which a breaker is opened by hand: nobody remembers longer that it was."""


class Done(Struct, frozen=True):
    """Answer of a POST: what was done, and the breaker as it is now (null where several were meant)."""

    success: bool
    message: str
    state: BreakerRow | None


_UNKNOWN: Final = (404,)

LISTING: Final = Answer(BreakerList, rows=Rows("circuit_breakers", key="name"))
OF_PROVIDER: Final = Answer(BreakerList, problems=_UNKNOWN, rows=Rows("circuit_breakers", key="name"))
OF_TARGET: Final = Answer(BreakerRow, problems=_UNKNOWN)
OPENED: Final = Answer(
    Done, (duration("for", LONGEST, "How long traffic stays away, `10m` when it is missing."),), _UNKNOWN
)
MOVED: Final = Answer(Done, problems=_UNKNOWN)
ALL_MOVED: Final = Answer(Done)


async def listing(admin: Admin, call: Call) -> Reply:
    """Every breaker there is, by name."""
    sources = admin.local()
    listing = Listing(sources)
    async for breaker in turns(list(admin.registry.breakers())):
        listing.add(breaker)
    return reply(listing.done())


async def of_provider(admin: Admin, call: Call) -> Reply:
    """The breaker of one provider and all below it: its models' and those of keys in use."""
    sources = admin.local()
    name = sources.canonical(call.path["provider"])
    own = views.breaker_row(sources, name)
    if own is None:
        raise _unknown(call)
    listing = Listing(sources)
    listing.put(own)
    async for breaker in turns(list(admin.registry.breakers())):
        if below(breaker, name):
            listing.add(breaker)
    return reply(listing.done())


async def of_target(admin: Admin, call: Call) -> Reply:
    """The breaker of one model; its name may hold slashes, raw or as `%2F`."""
    elsewhere = await _elsewhere(admin, call) is not None
    found = views.breaker_row(admin.local(), call.path["provider"], call.path["model"], known=elsewhere)
    if found is None:
        raise _unknown(call)
    return reply(found)


async def open_(admin: Admin, call: Call) -> Reply:
    """Open the breaker of a provider or model: traffic stays away for a while, then a trial decides.

    Parameter: `for` (10m, at most 7d).
    """
    seconds = call.query.duration("for", OPEN_FOR, LONGEST)
    return await _moved(
        admin,
        call,
        lambda provider, model: admin.registry.open(provider, model, admin.monotonic(), seconds),
        f"is open for {show_duration(seconds)}",
    )


async def close(admin: Admin, call: Call) -> Reply:
    """Close the breaker of a provider or model. What it has learned about how long to stay open is kept."""
    return await _moved(
        admin, call, lambda provider, model: admin.registry.close(provider, model, admin.monotonic()), "is closed"
    )


async def reset(admin: Admin, call: Call) -> Reply:
    """Close the breaker of a provider or model and all below it, and forget what led to it, hold-offs too."""
    return await _moved(
        admin, call, lambda provider, model: admin.registry.reset(provider, model, admin.monotonic()), "is reset"
    )


async def reset_all(admin: Admin, call: Call) -> Reply:
    """Close every breaker and forget what led to it, hold-offs too."""
    count = admin.registry.reset_all(admin.monotonic())
    admin.keeper.reset_all()
    return reply(
        Done(True, f"all breakers are reset; {count} of them {'was' if count == 1 else 'were'} not closed", None)
    )


async def _elsewhere(admin: Admin, call: Call) -> Record | None:
    """The record of a target that only other sidecars of the fleet have called: its breaker is everybody's."""
    provider, model = admin.local().canonical(call.path["provider"]), call.path.get("model")
    if model is None or not admin.keeper.fleet or provider not in admin.config.providers:
        return None
    if views.breaker_row(admin.local(), provider, model) is not None:
        return None
    try:
        return (await admin.keeper.reading(Scope.FLEET)).store.get(provider, model)
    except StoreError:
        return None


async def _moved(admin: Admin, call: Call, move: Callable[[str, str | None], Breaker], done: str) -> Reply:
    """Do it to the breaker that a path names, and tell how it is now.

    Raises:
        Problem: 404 for what is neither configured nor was ever attempted; nothing is made for it.
    """
    provider, model = admin.local().canonical(call.path["provider"]), call.path.get("model")
    if views.breaker_row(admin.local(), provider) is None:
        raise _unknown(call)
    record = await _elsewhere(admin, call)
    if record is not None:
        admin.registry.track(provider, record.model, proven=record.sums().successes > 0)
    try:
        breaker = move(provider, model)
    except KeyError:
        raise _unknown(call) from None
    blocked = "" if breaker.mode is Mode.ENFORCE else f"; nothing is blocked, as breakers.mode is {breaker.mode}"
    message = f"{quoted(breaker_name(provider, model, None))} {done}{blocked}"
    return reply(Done(True, message, views.breaker_row(admin.local(), provider, model)))


def _unknown(call: Call) -> Problem:
    provider, model = call.path["provider"], call.path.get("model")
    if model is None:
        message = f"{quoted(provider)} is not configured and was never called"
        return Problem(404, "unknown_provider", message)
    message = f"{quoted(model)} at {quoted(provider)} is not configured and was never called"
    return Problem(404, "unknown_model", message)
