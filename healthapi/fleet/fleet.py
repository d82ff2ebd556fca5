"""A fleet: sidecars that share their health and their breakers over Redis.

Everything here happens behind traffic. While the shared store does not answer, each sidecar judges by what it sees
itself, what it has to tell waits, and `trouble` says so.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from itertools import islice
from typing import Any, Final

import msgspec

from breaker.outcome import Kind
from breaker.registry import Registry
from config.settings import Redis
from config.storeurl import StoreUrl
from healthapi.cell import Cell
from healthapi.delta import Delta
from healthapi.fleet import scripts
from healthapi.fleet.claims import FleetClaims
from healthapi.fleet.duties import Duties
from healthapi.fleet.entries import HISTORY, Entry, of_cells, of_delta, of_record
from healthapi.fleet.keys import identity, prefix, shard
from healthapi.fleet.link import Call, LinkError, open_link
from healthapi.fleet.mirror import PATIENCE, Mirror, histogram
from healthapi.fleet.sender import Sender, wholes
from healthapi.fleet.states import States
from healthapi.history import MINUTE
from healthapi.record import Record
from healthapi.store import Picture, StoreError

_LOG: Final = logging.getLogger("detour.store")

SHARE: Final = 0.05
"""Most of one sidecar's time that the shared store works for it: flushes of more work come less often."""

FADE: Final = 0.25
"""Weight of the last flush in how long flushes take: one that was held up here says little of the store."""

PATIENT: Final = 3.0
"""Seconds between two flushes that fail, at least where there was more time between them before: a store that is
overloaded needs less to do, and one that is back is to know everything within seconds."""

LONGEST: Final = 15.0
"""Most seconds between two flushes."""

PUBLISHED: Final = 360
"""Seconds that a published document lives."""

PUBLISH: Final = 30.0
"""Seconds between two times that the documents are published."""

PUBLISHER: Final = "publisher"
"""The duty to publish them."""

REMOVED: Final = 200
"""Most records that are dropped in one round trip."""

_KINDS: Final = {b"l": Kind.LIVE, b"p": Kind.PROBE}


class Fleet:
    """This sidecar's part in its fleet. `now` and `wall` are in seconds."""

    def __init__(
        self,
        url: StoreUrl,
        settings: Redis,
        registry: Registry,
        instance: str,
        now: Callable[[], float],
        wall: Callable[[], float],
    ) -> None:
        """Meet the others at `url`, as `instance`."""
        self._now = now
        self._name = settings.fleet
        self._instance = instance.encode()
        self._link = open_link(url, settings.timeout)
        self._reads = open_link(url, settings.timeout)
        self.states = States(self._link, registry, self._name, instance, now, wall)
        self.duties = Duties(self._link, prefix(self._name, 0), self._instance, now)
        self.claims = FleetClaims(self._link, prefix(self._name, 0))
        self._sender = Sender(self._link, registry, self._name, instance, self.states.epochs)
        self._mirror = Mirror(self._reads, self._name, now)
        self._failed: LinkError | None = None
        self._takes = 0.0
        self._publisher = 0
        self._published = 0.0
        self._forgotten = 0
        self.interval = 0.0
        """Seconds that should lie between two flushes; they grow with the work one is for the store."""

    # -- life ------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Take part until `stop`; what the fleet knows of breakers is known when this returns, if it can be had."""
        await self.states.start()

    async def stop(self) -> None:
        """Take part no more."""
        await self.duties.resign()
        await self.states.stop()
        await self._link.close()
        await self._reads.close()

    # -- what is told ----------------------------------------------------------------------------------------------

    @property
    def trouble(self) -> str | None:
        """What is wrong in one line, None while nothing is."""
        failed = self._failed or self.states.trouble
        return None if failed is None else str(failed)

    @property
    def waiting(self) -> int:
        """How many entries still have to be told."""
        return self._sender.waiting

    @property
    def lost(self) -> bool:
        """Whether some of what this sidecar told is not there any more: `begin_again` is needed."""
        return bool(self._sender.lost)

    def add(self, deltas: Iterable[Delta]) -> None:
        """Have these told with the next flush."""
        self._sender.add(deltas)

    def begin_again(
        self,
        records: Iterable[Record],
        cells: Mapping[int, Iterable[tuple[str, str, int, Kind, Cell]]],
        newer: Sequence[Delta],
    ) -> None:
        """Tell everything again to those shards that lost it.

        `records` hold all that this sidecar ever counted, `cells` (by width) its history but for what is in `newer`.
        """
        entries: list[Entry] = [entry for record in records for entry in of_record(record)]
        entries += [of_delta(delta, HISTORY) for delta in (*newer, *wholes(newer))]
        for width in sorted(cells, reverse=True):
            entries += of_cells(width, cells[width])
        _LOG.warning("the shared store lost what it was told; it is told again", extra={"entries": len(entries)})
        self._sender.begin_again(entries)
        self._publisher = 0  # what was published is gone as well

    async def flush(self, interval: float) -> None:
        """Tell what there is to tell. Never raises; what went wrong is in `trouble`."""
        began = self._now()
        self._failed = await self._sender.flush(self._now, max(interval, self.interval))
        if self._failed is not None:
            self.interval = max(min(2 * max(self.interval, interval), PATIENT), self.interval)
        else:
            took = self._now() - began
            self._takes += (took - self._takes) * FADE
            self.interval = min(self._takes / SHARE, LONGEST)
        if self._sender.forgotten != self._forgotten:
            _LOG.warning(
                "the shared store forgot batches that are forgotten here too: its counts are that much short",
                extra={"batches": self._sender.forgotten - self._forgotten},
            )
            self._forgotten = self._sender.forgotten

    @property
    def _patience(self) -> float | None:
        """How long to wait for records: they may be many, unless it is known that nobody answers."""
        return PATIENCE if self.trouble is None else None

    # -- what is asked ---------------------------------------------------------------------------------------------

    async def reading(self) -> Picture:
        """The fleet's records.

        Raises:
            StoreError: they were never to be had.
        """
        error = await self._mirror.refresh(self._patience)
        if error is None:
            return Picture(self._mirror)
        if self._mirror.at is None:
            raise StoreError(f"{error}; ask with ?scope=instance for what this sidecar saw itself")
        return Picture(self._mirror, self._now() - self._mirror.at)

    async def cells(self, provider: str, model: str, width: int, first: int, last: int) -> list[tuple[int, Kind, Cell]]:
        """The fleet's history of one target (see `Keeper.cells`). Raises StoreError."""
        name = identity(provider, model)
        which = b"m" if width == MINUTE else b"h"
        call = Call(
            scripts.READ_CELLS, prefix(self._name, shard(name)), (which, b"lp", name, first, last), readonly=True
        )
        answer = (await self._reads.run([call], timeout=self._patience))[0]
        if isinstance(answer, LinkError):
            raise StoreError(f"{answer}; ask with ?scope=instance for what this sidecar saw itself")
        return [(bucket, _KINDS[kind], _cell(packed)) for bucket, kind, packed in answer]

    async def remove(self, keys: Collection[tuple[str, str]]) -> int:
        """Drop the fleet's records of some targets; returns how many there were. Raises StoreError.

        In several round trips where there are many: neither the store nor this process is held up by it.
        """
        removed, left = 0, iter(keys)
        while some := list(islice(left, REMOVED)):
            by_shard: dict[int, list[bytes]] = {}
            for key in some:
                name = identity(*key)
                by_shard.setdefault(shard(name), []).append(name)
            calls = [Call(scripts.REMOVE, prefix(self._name, at), tuple(names)) for at, names in by_shard.items()]
            for answer in await self._link.run(calls):
                if isinstance(answer, LinkError):
                    raise StoreError(str(answer))
                removed += int(answer)
        return removed

    async def note(self, name: str) -> bytes | None:
        """A small document that the fleet keeps, None where there is none. Raises StoreError."""
        answer = await self._noted(name.encode())
        return None if answer is None else bytes(answer)

    async def put_note(self, name: str, text: bytes, duty: str, number: int) -> bool:
        """Keep a small document; False where the duty in whose name it is written is somebody else's by now.

        Raises:
            StoreError: it cannot be kept.
        """
        return bool(await self._noted(name.encode(), text, duty.encode(), str(number).encode()))

    async def swap_note(self, name: str, was: bytes | None, text: bytes) -> bool:
        """Keep a small document in place of what was read; False where it is another one by now.

        Raises:
            StoreError: it cannot be kept.
        """
        return bool(await self._noted(name.encode(), text, b"", b"", was or b""))

    async def _noted(self, *words: bytes) -> Any:
        answer = (await self._link.run([Call(scripts.NOTE, prefix(self._name, 0), words)]))[0]
        if isinstance(answer, LinkError):
            raise StoreError(str(answer))
        return answer

    # -- what is published -----------------------------------------------------------------------------------------

    def publishes(self) -> bool:
        """Whether this sidecar is to publish documents now: one of a fleet does, at once and every half minute."""
        number = self.duties.number(PUBLISHER)
        return number != 0 and (number != self._publisher or self._now() - self._published >= PUBLISH)

    async def publish(self, documents: Mapping[str, bytes]) -> None:
        """Put documents where consumers of the original cache look for them; where that fails, they are still due."""
        number, now = self.duties.number(PUBLISHER), self._now()
        error = await self._link.set_many([(name.encode(), body) for name, body in documents.items()], PUBLISHED)
        if error is not None:
            _LOG.warning("the cache documents could not be published: %s", error)
        else:
            self._publisher, self._published = number, now


def _cell(packed: bytes) -> Cell:
    counted = msgspec.msgpack.decode(packed)
    return Cell(list(counted[:5]), counted[5], counted[6] / 1e6, histogram(counted[7]), histogram(counted[8]))
