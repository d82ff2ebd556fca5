"""One ticker for every time limit of the data plane.

A timer per request costs more than looking at all of them twenty times a second: whatever has a limit is in one set
with the moment it is due, and moving a limit (each event of a stream does) is one attribute written. Limits are
therefore kept to within a tick.

The clock of the limits stands still while the process does. After a pause of ours (a starved core, a machine put to
sleep) the first thing the loop runs are timers, before it has read what came meanwhile: by the wall's clock every
provider would have been silent, and all of them would be blamed at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, Protocol

TICK: Final = 0.05
"""Seconds between two looks."""

PAUSE: Final = 0.25
"""Seconds a look may come too late by before it counts as a pause of ours."""

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

    __slots__ = (
        "_expected",
        "_handle",
        "_items",
        "_loop",
        "_next",
        "_periodic",
        "_slept",
        "_time",
        "add",
        "discard",
    )

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._time: Callable[[], float] = loop.time
        self._items: set[Limited] = set()
        self.add: Callable[[Limited], None] = self._items.add
        """Watches something until `discard`."""
        self.discard: Callable[[Limited], None] = self._items.discard
        """Watches something no more; harmless when it is not watched."""
        self._periodic: list[Callable[[float], None]] = []
        self._handle: asyncio.TimerHandle | None = None
        self._next = 0.0
        self._expected = 0.0
        self._slept = 0.0

    def start(self) -> None:
        """Begin to tick."""
        self._expected = self._time() + TICK
        self._handle = self._loop.call_later(TICK, self._tick)

    def stop(self) -> None:
        """Tick no more."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def now(self) -> float:
        """The clock all limits are on: the loop's, less the pauses of the process. In seconds."""
        return self._time() - self._slept

    def future(self) -> asyncio.Future[None]:
        """A future of the loop."""
        return self._loop.create_future()

    def every(self, call: Callable[[float], None]) -> None:
        """Have `call(now)` made each half second."""
        self._periodic.append(call)

    def _tick(self) -> None:
        time = self._time()
        late = time - self._expected
        if late > PAUSE:
            self._slept += late
        self._expected = time + TICK
        self._handle = self._loop.call_later(TICK, self._tick)
        self.look(self.now())

    def look(self, now: float) -> None:
        """One look at everything; `now` is of this clock."""
        late = [item for item in self._items if item.due <= now]
        for item in late:
            item.overdue(now)
        if now >= self._next:
            self._next = now + HOUSEKEEPING
            for call in self._periodic:
                call(now)
