"""Which records nobody needs any more, and letting go of them.

The rule looks at records alone. Probes count as calls: a target that is still probed is still in somebody's
configuration. Nothing is lost that traffic would not bring back: a target that is called again has a record again.
"""

from __future__ import annotations

import enum
import logging
from collections.abc import Callable, Collection, Iterable
from heapq import merge
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from breaker.outcome import NO_MODEL, OTHER_MODEL
from healthapi.record import Record, Sums
from healthapi.store import Scope, StoreError
from healthapi.turns import turns

if TYPE_CHECKING:
    from config.effective import Config
    from healthapi.keeper import Keeper
    from healthapi.offerings import Offerings

_LOG: Final = logging.getLogger("detour.store")

MIN_CALLS: Final = 10
"""Failed calls without any success from which a target counts as one that never works."""

BATCH: Final = 20
"""Records looked at in one go."""

_PSEUDO: Final = (NO_MODEL, OTHER_MODEL)


class Reason(enum.StrEnum):
    """Why a record is not needed."""

    DELISTED = "delisted"
    """The provider does not offer it any more."""
    NEVER_CALLED = "never_called"
    """Not one attempt is counted there."""
    UNUSED = "unused"
    """Its last attempt is too long ago."""
    ALWAYS_FAILING = "always_failing"
    """At least `MIN_CALLS` attempts, and not one of them succeeded."""


class Stale(Struct, frozen=True, gc=False):
    """A record that is not needed. `last_called_at` is Unix time, None where it was never called.

    `configured`: the target stands in a model group, so that it is likely to come back.
    """

    provider: str
    model: str
    reason: Reason
    configured: bool
    last_called_at: float | None
    sums: Sums

    @property
    def key(self) -> tuple[str, str]:
        """Provider and model."""
        return self.provider, self.model


class Found(Struct, frozen=True):
    """The records that are not needed; `stale` as in `Picture`."""

    models: list[Stale]
    stale: float | None


def _never(record: Record) -> bool:
    return False


def stale(
    records: Iterable[Record],
    now: float,
    older_than: float,
    configured: Collection[tuple[str, str]] = (),
    delisted: Callable[[Record], bool] = _never,
) -> list[Stale]:
    """The records that are not needed, the one called last coming last; the first reason that holds is told.

    `older_than`: seconds without a call after which a target counts as unused; `delisted` says of a record whether its
    provider does not offer the model any more. Pseudo models are never among them: they are no targets, and the sums
    of their provider would not be right without them.
    """
    found = []
    for record in records:
        sums = record.sums()
        if record.model in _PSEUDO:
            continue
        reason = Reason.DELISTED if delisted(record) else _reason(sums, now - record.updated_at, older_than)
        if reason is not None:
            called = record.updated_at if sums.calls else None
            key = record.provider, record.model
            found.append(Stale(*key, reason, key in configured, called, sums))
    return sorted(found, key=_oldest_first)


async def find(keeper: Keeper, config: Config, now: float, older_than: float, offers: Offerings | None = None) -> Found:
    """The records of the fleet that are not needed.

    Raises:
        StoreError: its records cannot be had.
    """
    picture = await keeper.reading(Scope.FLEET)
    records = list(picture.store.records())
    delisted = _never if offers is None else offers.delisted
    runs = []
    async for first in turns(range(0, len(records), BATCH)):
        runs.append(stale(records[first : first + BATCH], now, older_than, config.targets, delisted))
    return Found([one async for one in turns(merge(*runs, key=_oldest_first))], picture.stale)


async def remove(keeper: Keeper, found: Found) -> int:
    """Let go of them, everywhere, and tell the log in a line; returns how many there were.

    What was called here since they were found stays.

    Raises:
        StoreError: what was found may be wrong by now, or not everything could be removed.
    """
    if found.stale is not None:
        raise StoreError("nothing is removed by what records said before the fleet's store ceased to answer")
    store = (await keeper.reading(Scope.INSTANCE)).store
    models = [one async for one in turns(found.models) if not _called_since(one, store.get(*one.key))]
    if not models:
        return 0
    removed = await keeper.remove([one.key for one in models])
    reasons = [one.reason for one in models]
    extra = {"removed": removed, **{reason.value: reasons.count(reason) for reason in Reason}}
    _LOG.info("cleanup: removed records that are not needed any more", extra=extra)
    return removed


async def run(keeper: Keeper, config: Config, now: float, older_than: float, offers: Offerings | None = None) -> int:
    """Find and remove; returns how many records there were.

    Raises:
        StoreError: it could not be done, or not completely; it may be tried again.
    """
    return await remove(keeper, await find(keeper, config, now, older_than, offers))


def _called_since(one: Stale, record: Record | None) -> bool:
    return record is not None and record.updated_at > (one.last_called_at or 0.0)


def _oldest_first(one: Stale) -> tuple[float, tuple[str, str]]:
    return one.last_called_at or 0.0, one.key


def _reason(sums: Sums, unused: float, older_than: float) -> Reason | None:
    """The first reason that holds, for a record that was last called `unused` seconds ago."""
    if not sums.calls:
        return Reason.NEVER_CALLED
    if unused >= older_than:
        return Reason.UNUSED
    return Reason.ALWAYS_FAILING if sums.calls >= MIN_CALLS and not sums.successes else None
