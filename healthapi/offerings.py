"""What the providers offer: read once in a while by one sidecar of a fleet, or when somebody asks, and known to all.

Each provider's list is a note beside the records; a further note tells when each was written, so that a look whether
there is anything new costs one small answer. How a list is read is said from outside (`read`): this file knows no HTTP.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Final, Protocol

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from breaker.outcome import NO_MODEL, OTHER_MODEL
from healthapi import offers
from healthapi.likeness import LONGEST
from healthapi.offers import NOTHING, Offer
from healthapi.store import Scope, StoreError
from healthapi.suggestions import Suggestion, Suggestions
from healthapi.turns import turns

if TYPE_CHECKING:
    from config.effective import Config
    from healthapi.keeper import Keeper
    from healthapi.record import Record

_LOG: Final = logging.getLogger("detour.offers")

DUTY: Final = "offers"
"""The duty that one sidecar of a fleet has: to read the lists."""

INDEX: Final = "offers"
"""The note that tells when each list was written; a list itself is in `offers:` and the provider's name."""

SYNC: Final = 5.0
"""Seconds between two looks at what the fleet knows and whether it is time to read."""

AT_A_TIME: Final = 4
"""Lists that are read at a time."""

QUIET: Final = 300.0
"""Seconds after its start that a sidecar reads no list by itself; less where lists are read more often."""

AGAIN: Final = 600.0
"""Seconds after which a list that could not be read is tried again; less where lists are read more often."""

LARGEST: Final = 2 << 20
"""Characters of names that are kept of one list."""


class Listing(Protocol):
    """What came of reading a list. `whole`: nothing was cut off; `problem` says why there is none."""

    @property
    def names(self) -> Sequence[str]:
        """The models' names."""

    @property
    def whole(self) -> bool:
        """Whether these are all."""

    @property
    def problem(self) -> str | None:
        """Why there are none, for people; without any secret."""


Read = Callable[[str], Awaitable[Listing]]
"""Reads the list of the provider of that name; raises nothing."""


class Result(Struct, frozen=True):
    """What came of reading one provider's list."""

    provider: str
    offer: Offer
    newly_delisted: tuple[str, ...] = ()


class Offerings:
    """Every provider's list. Used from one event loop."""

    def __init__(self, config: Config) -> None:
        """Know of the providers and groups of this configuration, and of no list."""
        self._config = config
        self._offers: dict[str, Offer] = {}
        self._suggestions = Suggestions()
        self._stamps: dict[str, float] = {}
        self._loaded = False
        self._reading = asyncio.Lock()
        self._unkept: set[str] = set()
        """The lists that a store in trouble did not take yet."""
        self._began: float | None = None

    def adopt(self, config: Config) -> None:
        """Go on with the providers and groups of another configuration."""
        self._config = config
        for known in (self._offers, self._stamps):
            for name in known.keys() - config.providers.keys():
                del known[name]
        self._unkept &= config.providers.keys()
        self._suggestions.adopt(config)

    # -- what is asked ---------------------------------------------------------------------------------------------

    def of(self, provider: str) -> Offer:
        """What is known of a provider's list."""
        return self._offers.get(provider, NOTHING)

    def delisted(self, record: Record) -> bool:
        """Whether the target of a record is not offered any more."""
        offer = self._offers.get(record.provider)
        return offer is not None and offers.gone(offer, record.model, record.last_success_at)

    @property
    def readable(self) -> list[str]:
        """The providers whose lists can be read: those that have one and the credential for it."""
        found = self._config.providers.values()
        return [one.name for one in found if one.list_path and one.configured and not one.missing_variables]

    @property
    def pause(self) -> float:
        """Seconds between two times that `due` should be asked."""
        return min(SYNC, self._config.settings.offers.every or SYNC)

    async def suggestions(self) -> list[Suggestion]:
        """What could join the model groups."""
        return await self._suggestions.find(self._config, self.readable, self.of)

    # -- what is done ----------------------------------------------------------------------------------------------

    async def sync(self, keeper: Keeper) -> None:
        """Take in what is kept, and keep what is not yet; trouble with the store is told by the keeper alone."""
        if self._loaded and not keeper.fleet and not self._unkept:
            return
        try:
            if self._unkept:
                await self._keep(keeper, sorted(self._unkept), 0)
            stamps = _stamps(await keeper.note(INDEX))
            # Sidecars may write at the same time and undo each other's: whoever misses its own list writes it again.
            self._unkept |= {name for name, at in self._stamps.items() if at > stamps.get(name, 0.0)}
            for name, at in stamps.items():
                if name in self._config.providers and at > self._stamps.get(name, 0.0):
                    offer = _offer(await keeper.note(f"{INDEX}:{name}"))
                    if offer is not None:
                        self._set(name, offer, at)
        except StoreError:
            return
        self._loaded = True

    async def due(self, keeper: Keeper, read: Read, now: Callable[[], float]) -> None:
        """Read the lists it is time for, if that is this sidecar's duty. `now` tells Unix time."""
        every = self._config.settings.offers.every
        at = now()
        if self._began is None:
            self._began = at
        if not every or not self._loaded or 0 <= at - self._began < min(QUIET, every):
            return
        names = [name for name in self.readable if self._due(name, at, every)]
        number = keeper.duty(DUTY) if names else 0
        if number:
            await self.refresh(keeper, read, names, now, number)

    def _due(self, name: str, now: float, every: float) -> bool:
        offer = self.of(name)
        wait = every if offer.problem is None else min(AGAIN, every)
        return offer.tried_at is None or not 0 <= now - offer.tried_at < wait

    async def refresh(
        self, keeper: Keeper, read: Read, names: Iterable[str], now: Callable[[], float], number: int = 0
    ) -> list[Result]:
        """Read the lists of these providers now; returns what came of each.

        `number` is that of the duty in whose name it is done, 0 where somebody asked for it.

        Raises:
            StoreError: what is tracked cannot be had. What was found and cannot be kept is kept later.
        """
        async with self._reading:
            gate = asyncio.Semaphore(AT_A_TIME)

            async def one(name: str) -> tuple[str, Listing]:
                async with gate:
                    return name, await read(name)

            await self.sync(keeper)
            tracked = await self._tracked(keeper)
            lists = await asyncio.gather(*(one(name) for name in names))
            results = []
            for name, listing in lists:
                results.append(await self._take(name, listing, tracked.get(name, {}), now()))
                await asyncio.sleep(0)
            with contextlib.suppress(StoreError):
                await self._keep(keeper, [result.provider for result in results], number)
            return results

    async def _keep(self, keeper: Keeper, names: list[str], number: int) -> None:
        duty = DUTY if number else ""
        self._unkept.update(names)
        for name in names:
            if name in self._offers:  # else its provider has just gone
                await keeper.put_note(f"{INDEX}:{name}", msgspec.json.encode(self._offers[name]), duty, number)
        if names:
            stamps = _stamps(await keeper.note(INDEX))
            stamps |= {name: self._stamps[name] for name in names if name in self._stamps}
            await keeper.put_note(INDEX, msgspec.json.encode(stamps), duty, number)
            self._unkept.difference_update(names)

    async def _tracked(self, keeper: Keeper) -> dict[str, dict[str, float | None]]:
        """The models of each provider that there is a record of or that a group names, with their last success.

        Names that no list can hold are left out: nothing can be said of them.
        """
        found: dict[str, dict[str, float | None]] = {}
        for provider, model in self._config.targets:
            found.setdefault(provider, {})[model] = None
        picture = await keeper.reading(Scope.FLEET)
        async for record in turns(list(picture.store.records())):
            model = record.model
            if model not in (NO_MODEL, OTHER_MODEL) and len(model) <= LONGEST and model.isprintable():
                found.setdefault(record.provider, {})[model] = record.last_success_at
        return found

    async def _take(self, name: str, listing: Listing, tracked: dict[str, float | None], now: float) -> Result:
        before = self.of(name)
        if listing.problem is not None:
            offer = offers.failed(before, listing.problem, now)
        else:
            names, whole = _bounded(listing.names)
            spelt = offers.spellings(names)
            absent = {model: tracked[model] async for model in turns(tracked) if not offers.stands(spelt, model)}
            offer = offers.read(before, names, absent, now, whole=whole and listing.whole)
        fresh = tuple(sorted(offer.delisted.keys() - before.delisted.keys()))
        self._set(name, offer, max(now, self._stamps.get(name, 0.0) + 0.001))
        _tell(name, before, offer, fresh)
        return Result(name, offer, fresh)

    def _set(self, name: str, offer: Offer, at: float) -> None:
        if self.of(name).names == offer.names:  # so that nothing is made anew that follows from them
            offer = replace(offer, names=self.of(name).names)
        self._offers[name] = offer
        self._stamps[name] = at


def _tell(name: str, before: Offer, offer: Offer, fresh: Sequence[str]) -> None:
    """Say in the log what a person should know."""
    extra = {"provider": name, "offered": len(offer.names)}
    if offer.problem is not None and offer.problem != before.problem:
        _LOG.warning("a provider's list of models cannot be read: %s", offer.problem, extra=extra)
    if not offer.whole and before.whole:
        _LOG.warning("a provider's list of models is read in part: it says nothing against any model", extra=extra)
    if offer.suspicious:
        was = {"before": len(before.names), "missing": len(offer.missing)}
        _LOG.warning("a provider suddenly offers less than half of its models", extra={**extra, **was})
    if fresh:
        shown = {"models": [ascii(model)[1:-1] for model in fresh[:10]], "delisted": len(fresh)}
        _LOG.warning("a provider does not offer models any more that are tracked", extra={**extra, **shown})


def _bounded(names: Sequence[str]) -> tuple[list[str], bool]:
    """As many names as are kept, and whether these are all."""
    kept: list[str] = []
    size = 0
    for name in names:
        size += len(name) + 4
        if size > LARGEST:
            return kept, False
        kept.append(name)
    return kept, True


def _stamps(text: bytes | None) -> dict[str, float]:
    try:
        return msgspec.json.decode(text, type=dict[str, float]) if text else {}
    except (msgspec.DecodeError, UnicodeDecodeError):
        return {}


def _offer(text: bytes | None) -> Offer | None:
    """A list as it was kept, None for what this version does not understand."""
    try:
        return msgspec.json.decode(text, type=Offer) if text else None
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
