"""One ticker for every time limit of the data plane.

A timer per request costs more than looking at all of them twenty times a second: whatever has a limit is in one set
with the moment it is due, and moving a limit (each event of a stream does) is one attribute written. Limits are
therefore kept to within a tick.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, Protocol

TICK: Final = 0.05
"""Seconds between two looks."""

HOUSEKEEPING: Final = 0.5
"""Seconds between two runs of the periodic calls."""


class Limited(Protocol):
    """Something with a time limit, compared by identity."""

    due: float
    """Loop time at which `overdue` is to be called; `inf` for none."""

    def overdue(self, now: float) -> None:
        """The limit has passed: end, or set a new `due`."""


class Watch:
    """Calls `overdue` on whatever is past its limit."""

    __slots__ = ("_handle", "_items", "_loop", "_next", "_periodic")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._items: set[Limited] = set()
        self._periodic: list[Callable[[float], None]] = []
        self._handle: asyncio.TimerHandle | None = None
        self._next = 0.0

    def start(self) -> None:
        """Begin to tick."""
        self._handle = self._loop.call_later(TICK, self._tick)

    def stop(self) -> None:
        """Tick no more."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def now(self) -> float:
        """The loop's time, the clock all limits are on."""
        return self._loop.time()

    def future(self) -> asyncio.Future[None]:
        """A future of the loop."""
        return self._loop.create_future()

    def add(self, item: Limited) -> None:
        """Watch `item` until `discard`."""
        self._items.add(item)

    def discard(self, item: Limited) -> None:
        """Watch `item` no more; harmless when it is not watched."""
        self._items.discard(item)

    def every(self, call: Callable[[float], None]) -> None:
        """Have `call(now)` made each half second."""
        self._periodic.append(call)

    def _tick(self) -> None:
        self._handle = self._loop.call_later(TICK, self._tick)
        self.look(self._loop.time())

    def look(self, now: float) -> None:
        """One look at everything, at loop time `now`."""
        late = [item for item in self._items if item.due <= now]
        for item in late:
            item.overdue(now)
        if now >= self._next:
            self._next = now + HOUSEKEEPING
            for call in self._periodic:
                call(now)
