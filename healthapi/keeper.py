"""The keeper: once a second it carries what happened from memory to where it outlives the process.

One task does it all, one thing after the other: what the archive was given is what the fleet is told, and nothing is in
both halves of a step. Whatever goes wrong there is told in `trouble` and in one line of the log; what could not be
written waits and is written later. Traffic never waits for any of it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Collection
from typing import TYPE_CHECKING, Final

from msgspec import Struct
from msgspec.structs import replace

from breaker.outcome import OTHER_MODEL, Kind
from breaker.registry import Registry
from healthapi.archive import Archive, Batch
from healthapi.cell import ALL_MODELS, Cell
from healthapi.delta import Delta, copied
from healthapi.history import HOUR, MINUTE
from healthapi.memory import Gone, MemoryStore
from healthapi.outbox import Outbox
from healthapi.store import Picture, Scope, StoreError
from healthapi.turns import turn, turns

if TYPE_CHECKING:
    from breaker.memo import Memo
    from breaker.transition import Transition
    from healthapi.fleet.claims import FleetClaims
    from healthapi.fleet.fleet import Fleet

_LOG: Final = logging.getLogger("detour.store")

INTERVAL: Final = 1.0
"""Seconds between two flushes: what a killed process loses at most."""

PRUNE: Final = 600.0
"""Seconds between two times that what is too old is deleted."""

SLICE: Final = 20
"""Deltas that are carried on in one go: some 0.3 ms, in which no request gets on."""

LAST: Final = 5.0
"""Seconds that a stopping process waits for its last flush."""


SAME_TIME: Final = 0.05
"""Seconds by which what is remembered of an open breaker may differ from what is written of it already."""


class Flushes(Struct):
    """What became of the flushes so far, for metrics. `seconds` is how long the last one took."""

    ok: int = 0
    failed: int = 0
    seconds: float = 0.0


class Clock(Struct, frozen=True):
    """Both clocks: `now` is the registry's, `wall` is Unix time; in seconds."""

    now: Callable[[], float] = time.monotonic
    wall: Callable[[], float] = time.time


class Keeper:
    """Where health is kept. Owns the archive and this sidecar's part in the fleet; used from one event loop."""

    def __init__(
        self,
        store: MemoryStore,
        registry: Registry,
        archive: Archive,
        fleet: Fleet | None = None,
        clock: Clock | None = None,
        interval: float = INTERVAL,
    ) -> None:
        """Keep what `store` and `registry` hold in `archive`, and share it with the fleet if there is one."""
        self._store = store
        self._registry = registry
        self._archive = archive
        self._shared = fleet
        self._clock = clock or Clock()
        self._interval = interval
        self._waiting = Outbox()
        self._written = 0  # those that are just being written
        self._gone: list[Gone] = []
        self._memos: list[Memo] = []
        self._open = False
        self._pruned = 0.0
        self._failed: str | None = None
        self._told = False
        self._tasks: list[asyncio.Task[None]] = []
        self._chores: list[tuple[float, Callable[[], Awaitable[None]]]] = []
        self._flushing = asyncio.Lock()
        self.flushes = Flushes()

    # -- life ------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Bring back what was kept, and go on keeping until `stop`."""
        await self.flush()
        if self._shared is not None:
            await self._shared.start()
        self._tasks = [asyncio.create_task(self._run(), name="keeper")]
        if self._shared is not None:
            from healthapi.fleet.duties import RENEW  # here, so that Redis is loaded only where one is used

            self.every(RENEW, self._shared.duties.renew)
        for chore in self._chores:
            self.every(*chore)

    async def stop(self, within: float = LAST) -> None:
        """Write what is left within so many seconds, and let go of everything. What is not is lost, and told."""
        written = False
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within):
                async with self._flushing:  # so that no flush is cut off with what it holds
                    self._call_off()
                await self.flush()
                written = not self.waiting
        self._call_off()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._shared is not None:
            await self._shared.stop()
        if not written:
            _LOG.warning("what happened since the store took the last of it is lost: %s", self.trouble or "too slow")
        try:
            await self._archive.close()
        except StoreError as error:
            _LOG.warning("what was kept is whole, but lies in more than one file: %s", error)

    def _call_off(self) -> None:
        for task in self._tasks:
            task.cancel()

    def every(self, seconds: float, chore: Callable[[], Awaitable[None]]) -> None:
        """Have something done again and again from `start` or now on, so many seconds after each time it was done."""
        if self._tasks:
            self._tasks.append(asyncio.create_task(_repeat(seconds, chore), name="chore"))
        else:
            self._chores.append((seconds, chore))

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(max(self._interval, 0.0 if self._shared is None else self._shared.interval))
            try:
                await self.flush()
            except Exception:
                _LOG.exception("a flush failed in a way nobody thought of; what it held may be lost")

    def moved(self, transition: Transition) -> None:
        """Hear of a breaker's move, on the way of a request."""
        if self._shared is not None:
            self._shared.states.moved(transition)

    def reset_all(self) -> None:
        """Hear that all breakers were reset by hand."""
        if self._shared is not None:
            self._shared.states.reset_all()

    # -- what is asked ---------------------------------------------------------------------------------------------

    @property
    def trouble(self) -> str | None:
        """What is wrong in one line, None while nothing is."""
        shared = None if self._shared is None else self._shared.trouble
        return shared or self._failed

    @property
    def fleet(self) -> bool:
        """Whether other sidecars share what is kept."""
        return self._shared is not None

    @property
    def waiting(self) -> int:
        """How many deltas wait for a store that does not take them."""
        shared = 0 if self._shared is None else self._shared.waiting
        return len(self._waiting) + self._written + shared

    async def reading(self, scope: Scope) -> Picture:
        """All records, as the fleet has them or as this process does.

        Raises:
            StoreError: the fleet's were never to be had.
        """
        if self._shared is None or scope is Scope.INSTANCE:
            return Picture(self._store)
        await self.flush()
        return await self._shared.reading()

    async def cells(
        self, scope: Scope, provider: str, model: str, width: int, first: int, last: int
    ) -> list[tuple[int, Kind, Cell]]:
        """History in buckets of `width` seconds (60 or 3600), from one bucket (Unix time // width) to another.

        Raises:
            StoreError: it cannot be had now.
        """
        await self.flush()
        if self._shared is None or scope is Scope.INSTANCE:
            return await (await self._loaded()).cells(provider, model, width, first, last)
        return await self._shared.cells(provider, model, width, first, last)

    async def remove(self, keys: Collection[tuple[str, str]]) -> int:
        """Drop the records of some targets everywhere; returns how many there were here.

        Raises:
            StoreError: not everywhere; it may be asked for again.
        """
        archive = await self._loaded()
        # What happens meanwhile begins a record anew, which must not be carried over before the old one is gone.
        async with self._flushing:
            await self._carry()
            removed = 0
            async for key in turns(keys):
                removed += self._store.remove(*key)
            await archive.remove(keys)
            return removed if self._shared is None else await self._shared.remove(keys)

    # -- what one of a fleet does --------------------------------------------------------------------------------------

    def duty(self, name: str, *, alone: bool = False) -> int:
        """The number under which this sidecar has a duty, 0 where another one of the fleet has; to ask is to want it.

        `alone`: also while the store that is shared does not answer, where this sidecar had it last.
        """
        return 1 if self._shared is None else self._shared.duties.number(name, alone=alone)

    def forgo(self, name: str) -> None:
        """Want a duty no more, so that another sidecar takes it over."""
        if self._shared is not None:
            self._shared.duties.forgo(name)

    @property
    def claims(self) -> FleetClaims | None:
        """Who gives leave to send probes in a fleet, None where this sidecar is alone."""
        return None if self._shared is None else self._shared.claims

    async def note(self, name: str) -> bytes | None:
        """A small document that is kept beside the records, None where there is none.

        Raises:
            StoreError: it cannot be read now.
        """
        return await ((await self._loaded()).note(name) if self._shared is None else self._shared.note(name))

    async def put_note(self, name: str, text: bytes, duty: str = "", number: int = 0) -> bool:
        """Keep a small document; False where the duty in whose name it is written is somebody else's by now.

        Raises:
            StoreError: it cannot be kept now.
        """
        if self._shared is None:
            await (await self._loaded()).put_note(name, text)
            return True
        return await self._shared.put_note(name, text, duty, number)

    async def swap_note(self, name: str, was: bytes | None, text: bytes) -> bool:
        """Keep a small document in place of what was read; False where it is another one by now.

        Raises:
            StoreError: it cannot be kept now.
        """
        if self._shared is None:
            return await (await self._loaded()).swap_note(name, was, text)
        return await self._shared.swap_note(name, was, text)

    # -- what is done ----------------------------------------------------------------------------------------------

    async def flush(self) -> None:
        """Carry over what happened since the last time; what fails is kept and told, never raised."""
        async with self._flushing:
            await self._carry()

    async def _carry(self) -> None:
        began = time.perf_counter()
        try:
            await self._keep()
        except StoreError as error:
            self._failed = str(error)
        else:
            self._failed = None
        if self._shared is not None:
            await self._share(self._shared)
        self.flushes.seconds = time.perf_counter() - began
        self._tell()

    async def _keep(self) -> None:
        while self._part(SLICE):  # there may be thousands
            await turn()
        for _ in range(self._store.waiting // SLICE + 1):
            self._collect(SLICE)
            await turn()
        if not self._open:
            await self._bring_back()
        memos = self._registry.memos(self._clock.now(), self._clock.wall())
        changed = None if _alike(memos, self._memos) else memos
        deltas = self._waiting.take()
        if deltas or self._gone or changed is not None:
            others = {gone.provider for gone in self._gone}
            records = [found for name in others if (found := self._store.get(name, OTHER_MODEL)) is not None]
            gone = [(one.provider, one.model) for one in self._gone]
            self._written = len(deltas)
            try:
                await self._archive.write(Batch(deltas, gone, changed, records))
            except StoreError:
                later = self._waiting.take()
                self._waiting.extend(deltas)
                self._waiting.extend(later)
                raise
            finally:
                self._written = 0
            self._gone.clear()
            self._memos = memos
        if self._clock.now() - self._pruned > PRUNE:
            self._pruned = self._clock.now()
            await self._archive.prune(self._clock.wall())

    async def _loaded(self) -> Archive:
        """The archive, once what it held was brought back: a file that cannot be read is not written to, either.

        Raises:
            StoreError: it was not yet.
        """
        if not self._open:
            await self.flush()
        if not self._open:
            raise StoreError(self._failed or "what is kept was not read yet")
        return self._archive

    async def _bring_back(self) -> None:
        loaded = await self._archive.open(self._clock.wall())
        self._open = True
        self._pruned = self._clock.now()
        self._store.restore(loaded.records)
        for record in loaded.records:  # the oldest first: where there are too many, the latest stay
            if record.model != OTHER_MODEL:
                self._registry.track(record.provider, record.model, proven=record.sums().successes > 0)
        had_none = not self._registry.memos(self._clock.now(), self._clock.wall())
        for memo in loaded.memos:
            self._registry.tell(memo, self._clock.now(), self._clock.wall())
        if had_none:  # then what is kept is what there is, and what means nothing to this configuration stays kept
            self._memos = self._registry.memos(self._clock.now(), self._clock.wall())

    def _collect(self, most: int | None = None) -> list[Delta]:
        """Take what happened out of memory, or so much of it; returns what was taken.

        Records that left go first: what waits was counted before, and what is taken now, afterwards.
        """
        self._part()
        deltas = self._store.take(most)
        if self._shared is not None:
            self._shared.add(deltas)
        self._waiting.extend(deltas)
        return deltas

    def _part(self, most: int | None = None) -> int:
        """Take the records that left out of memory, or so many of them; returns how many there were."""
        gone = self._store.take_gone(most)
        for one in gone:
            self._waiting.move(one.provider, one.model, one.to)
        self._gone += gone
        return len(gone)

    async def _share(self, shared: Fleet) -> None:
        await shared.flush(self._interval)
        if not shared.lost:
            return
        keys = {(record.provider, record.model) for record in self._store.records()}
        keys |= {(provider, ALL_MODELS) for provider, _ in keys}
        try:
            cells = {width: await self._archive.all_cells(width, keys) for width in (MINUTE, HOUR)}
        except StoreError:
            return
        # From here on without a pause: the records hold what is taken now, the cells just read do not.
        newer = [copied(delta) for delta in self._collect()]
        shared.begin_again(self._store.records(), cells, newer)
        await shared.flush(self._interval)

    def _tell(self) -> None:
        """Count the flush, and write a line to the log when trouble comes or goes."""
        trouble = self.trouble
        if trouble is None:
            self.flushes.ok += 1
        else:
            self.flushes.failed += 1
        if self._told != (trouble is not None):
            self._told = trouble is not None
            if trouble is None:
                _LOG.info("the store takes everything again")
            else:
                _LOG.warning("the store is in trouble; what happens waits in memory meanwhile: %s", trouble)


def _alike(memos: list[Memo], others: list[Memo]) -> bool:
    """Whether two lists say the same. Both clocks are read anew for each, so that times differ by a little."""
    if len(memos) != len(others):
        return False
    return all(
        abs(one.opened_at - other.opened_at) < SAME_TIME
        and abs(one.retry_at - other.retry_at) < SAME_TIME
        and replace(one, opened_at=other.opened_at, retry_at=other.retry_at) == other
        for one, other in zip(memos, others, strict=True)
    )


async def _repeat(seconds: float, chore: Callable[[], Awaitable[None]]) -> None:
    while True:
        await asyncio.sleep(seconds)
        try:
            await chore()
        except StoreError as error:
            _LOG.debug("%s", error)  # the trouble is told once, by the flushes
        except Exception:
            _LOG.exception("what is done regularly failed in a way nobody thought of")
