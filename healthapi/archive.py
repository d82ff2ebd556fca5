"""The archive: where health outlives the process on one machine, a SQLite file that needs no set-up.

One thread owns the database; the event loop makes texts of what is to be written, a hundred deltas at a time, and never
waits for a disk. A path of `:memory:` keeps history as long as the process lives and nothing longer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import Final, TypeVar

from msgspec import Struct, field

from breaker.memo import Memo
from breaker.outcome import Kind
from healthapi.archive_file import ArchiveFile, Limits
from healthapi.archive_load import Loaded
from healthapi.archive_rows import Key, Rows, Targets
from healthapi.archive_schema import MIGRATIONS, Migration
from healthapi.cell import Cell
from healthapi.delta import Delta
from healthapi.record import Record
from healthapi.store import StoreError
from healthapi.turns import turn, turns

__all__ = ["Archive", "Batch", "Loaded"]

SLICE: Final = 100
"""Deltas that become text at one go, which takes the loop some 0.2 ms."""

_THINNED: Final = 0.9
"""Share of the targets that may be kept to which they are thinned out, so that this is not done all the time."""

_T = TypeVar("_T")


class Batch(Struct):
    """What one write changes, in this order: records that are gone, deltas, replaced records, memos.

    Deltas are added to records and to history, those of one target in order. History of what is gone stays until it
    expires. `replaced` are records that are to be kept as they are, whatever was kept of them. `memos` take the place
    of all that were; None leaves them.
    """

    deltas: list[Delta] = field(default_factory=list)
    gone: list[tuple[str, str]] = field(default_factory=list)
    memos: list[Memo] | None = None
    replaced: list[Record] = field(default_factory=list)


class Archive:
    """Records, history and memos in one database. Used from one event loop; one call waits for the one before.

    Everything but `close` may raise `StoreError`, and may be tried again then. A call that is cancelled still ends what
    it has begun: nobody knows then whether a batch was written.
    """

    __slots__ = ("_file", "_limits", "_one", "_targets", "_thread")

    def __init__(self, path: str, migrations: Sequence[Migration] = MIGRATIONS, limits: Limits | None = None) -> None:
        """Nothing is opened before `open`. `path` is a file's, or `:memory:`."""
        self._limits = limits or Limits()
        self._file = ArchiveFile(path, migrations, self._limits)
        self._targets = Targets()
        self._thread: ThreadPoolExecutor | None = None
        self._one = asyncio.Lock()

    async def open(self, now: float) -> Loaded:
        """Open or make the database, let go of what is too old at the Unix time `now`, read what is left."""
        async with self._one:
            if self._thread is None:
                self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="detour-archive")
            await self._open()
            self._targets.forget(await self._hop(self._file.prune, now))
            return await self._hop(self._file.load, now)

    async def write(self, batch: Batch) -> None:
        """Write a batch: all of it, or nothing."""
        async with self._one:
            await self._ready()
            if len(self._targets) > self._limits.targets:
                self._targets.forget(await self._hop(self._file.thin, int(self._limits.targets * _THINNED)))
            rows = await self._rows(batch)
            try:
                await self._hop(self._file.write, rows)
            except StoreError:
                self._targets.give_up()
                raise
            self._targets.settle()

    async def cells(self, provider: str, model: str, width: int, first: int, last: int) -> list[tuple[int, Kind, Cell]]:
        """History of a target, or of a provider's `ALL_MODELS`, in buckets of `width` seconds (60 or 3600).

        From one bucket (Unix time // `width`) to another, ascending; only those in which something was counted.
        """
        async with self._one:
            await self._ready()
            number = self._targets.get((provider, model))
            if number is None:
                return []
            return await self._hop(self._file.cells, width, number, first, last)

    async def all_cells(
        self, width: int, keys: Collection[Key], newest_first: bool = True
    ) -> list[tuple[str, str, int, Kind, Cell]]:
        """All that is kept of the history of some targets, in buckets of `width` seconds (60 or 3600)."""
        async with self._one:
            await self._ready()
            known = {number: key for key in keys if (number := self._targets.get(key)) is not None}
            return await self._hop(self._file.all_cells, width, known, newest_first)

    async def prune(self, now: float) -> None:
        """Delete what is too old at the Unix time `now`, and what is too much."""
        async with self._one:
            await self._ready()
            self._targets.forget(await self._hop(self._file.prune, now))

    async def remove(self, keys: Collection[Key]) -> None:
        """Delete everything that is kept of some targets; what their providers were called in all stays."""
        async with self._one:
            await self._ready()
            known: dict[Key, int] = {}
            async for key in turns(keys):
                number = self._targets.get(key)
                if number is not None:
                    known[key] = number
            if known:
                await self._hop(self._file.remove, list(known.values()))
                self._targets.forget(known)

    async def note(self, name: str) -> bytes | None:
        """A small document, None where there is none."""
        async with self._one:
            await self._ready()
            return await self._hop(self._file.note, name)

    async def put_note(self, name: str, text: bytes) -> None:
        """Keep a small document of text (UTF-8)."""
        async with self._one:
            await self._ready()
            await self._hop(self._file.put_note, name, text)

    async def swap_note(self, name: str, was: bytes | None, text: bytes) -> bool:
        """Keep a small document of text in place of what was read; False where it is another one by now."""
        async with self._one:
            await self._ready()
            return await self._hop(self._file.swap_note, name, was, text)

    async def close(self) -> None:
        """Put everything into the one file and let go of it; closing twice changes nothing.

        Raises:
            StoreError: the file is not whole without those beside it, which the next `open` takes in. It is closed.
        """
        async with self._one:
            thread, self._thread = self._thread, None
            if thread is not None:
                try:
                    await _finished(thread, self._file.close)
                finally:
                    thread.shutdown(wait=False)

    # -- inside ----------------------------------------------------------------------------------------------------

    async def _open(self) -> None:
        self._targets = Targets(await self._hop(self._file.open))

    async def _ready(self) -> None:
        """Open it again after what a disk did to it."""
        if not self._file.ready:
            await self._open()

    async def _rows(self, batch: Batch) -> Rows:
        rows = Rows(self._targets)
        for gone in _slices(batch.gone):
            rows.leave(gone)
            await turn()
        for deltas in _slices(batch.deltas):
            rows.add(deltas)
            await turn()
        rows.replace(batch.replaced)
        if batch.memos is not None:
            rows.remember(())
            for memos in _slices(batch.memos):
                rows.remember(memos)
                await turn()
        rows.finish()
        return rows

    async def _hop(self, work: Callable[..., _T], *args: object) -> _T:
        """Let the thread do something."""
        if self._thread is None:
            raise StoreError(f"{self._file.path} is not open")
        return await _finished(self._thread, work, *args)


async def _finished(thread: ThreadPoolExecutor, work: Callable[..., _T], *args: object) -> _T:
    """What a thread makes of some work. It cannot be called off, so a cancelled wait goes on until it is done."""
    doing = asyncio.get_running_loop().run_in_executor(thread, work, *args)
    try:
        return await asyncio.shield(doing)
    except asyncio.CancelledError:
        await asyncio.wait([doing])
        doing.exception()  # nobody else will ask for it
        raise


def _slices(items: Iterable[_T]) -> Iterator[list[_T]]:
    left = iter(items)
    while some := list(islice(left, SLICE)):
        yield some
