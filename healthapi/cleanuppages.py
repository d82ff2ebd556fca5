"""GET and POST /v1/model-health/cleanup: records that nobody needs any more."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from config.units import LONGEST
from healthapi import cleanup
from healthapi.admin import STALE, Admin, Call
from healthapi.answer import STORED, Answer, Rows, duration
from healthapi.cleanup import Found, Stale
from healthapi.replies import Reply, reply
from healthapi.text import clean, iso
from healthapi.turns import let_go, turns


class StaleModel(Struct, frozen=True, kw_only=True, gc=False):
    """One record. `reason` is `delisted`, `never_called`, `unused` or `always_failing`.

    `configured`: a model group names it. `error_rate` is 0-1; it and `last_called_at` are null when it was never
    called.
    """

    provider: str
    model: str
    reason: str
    configured: bool
    last_called_at: str | None
    call_count: int
    error_rate: float | None


class Cleanup(Struct, frozen=True, kw_only=True):
    """The records that are not needed, the one called last coming last. `live`: they were removed, not only listed.

    `total` is how many are listed, `removed` how many were removed.
    """

    older_than_seconds: float
    live: bool
    total: int
    removed: int
    models: list[StaleModel]


_OLDER_THAN: Final = duration(
    "older_than", LONGEST, "How long a record has to be unused, `cleanup.older_than` when it is missing."
)
LISTING: Final = Answer(Cleanup, (_OLDER_THAN,), STORED, Rows("models"))
REMOVED: Final = Answer(Cleanup, (_OLDER_THAN,), STORED)


async def listing(admin: Admin, call: Call) -> Reply:
    """The records that a cleanup would remove: delisted, never called, unused for long, or failing ten calls of ten.

    Parameter: `older_than` (`cleanup.older_than`, 30d), how long a record has to be unused. They are the whole
    fleet's.
    """
    older_than = _older_than(admin, call)
    found = await cleanup.find(admin.keeper, admin.config, admin.now(), older_than, admin.offers)
    if found.stale is not None:
        call.headers[STALE] = str(int(found.stale))
    return reply(await document(found, older_than))


async def remove(admin: Admin, call: Call) -> Reply:
    """Remove these records, for the whole fleet. Parameter: `older_than` (`cleanup.older_than`, 30d)."""
    older_than = _older_than(admin, call)
    found = await cleanup.find(admin.keeper, admin.config, admin.now(), older_than, admin.offers)
    return reply(await document(found, older_than, await cleanup.remove(admin.keeper, found)))


async def document(found: Found, older_than: float, removed: int | None = None) -> Cleanup:
    """The answer, for which `found` is used up; `removed` is None where they were only looked for."""
    rows = [_row(one) async for one in turns(found.models)]
    await let_go(found.models)
    return Cleanup(
        older_than_seconds=older_than, live=removed is not None, total=len(rows), removed=removed or 0, models=rows
    )


def _row(one: Stale) -> StaleModel:
    sums = one.sums
    return StaleModel(
        provider=clean(one.provider),
        model=clean(one.model),
        reason=one.reason,
        configured=one.configured,
        last_called_at=iso(one.last_called_at),
        call_count=sums.calls,
        error_rate=(sums.calls - sums.successes) / sums.calls if sums.calls else None,
    )


def _older_than(admin: Admin, call: Call) -> float:
    return call.query.duration("older_than", admin.config.settings.cleanup.older_than, LONGEST)
