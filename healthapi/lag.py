"""How late the event loop runs its timers: the first thing to look at when everything is slow at once.

A timer is set again and again; what it comes too late by is how long other work held the loop. The worst of the last
minute is what `/readyz?verbose` and the gauge tell, all of them together are a histogram.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final

from breaker.latency import Latencies

INTERVAL: Final = 0.5
"""Seconds between two looks."""

REMEMBERED: Final = 60.0
"""Seconds for which a late timer counts towards `worst`."""


class Lag:
    """Lateness of a timer on the event loop, in seconds. Times are those of the loop's own clock."""

    __slots__ = ("_due", "_recent", "_timer", "latencies", "total")

    def __init__(self) -> None:
        """Nothing is measured before `start`."""
        self.latencies = Latencies()
        self.total = 0.0
        self._recent: deque[tuple[float, float]] = deque()  # (at, late), late falling: the worst is always the first
        self._due = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Measure on this loop until `stop`; starting twice changes nothing."""
        if self._timer is None:
            self._set(loop, loop.time())

    def stop(self) -> None:
        """Stop measuring; what was seen stays readable. Stopping twice changes nothing."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def seen(self, late: float, now: float) -> None:
        """Count a timer that came `late` seconds too late at `now`; early ones count as punctual."""
        late = max(0.0, late)
        self.latencies.add(late)
        self.total += late
        recent = self._recent
        while recent and recent[-1][1] <= late:
            recent.pop()
        recent.append((now, late))
        while recent[0][0] < now - REMEMBERED:
            recent.popleft()

    @property
    def worst(self) -> float:
        """The longest lateness of the minute before the last look, 0 before the first."""
        return self._recent[0][1] if self._recent else 0.0

    def _set(self, loop: asyncio.AbstractEventLoop, now: float) -> None:
        self._due = now + INTERVAL
        self._timer = loop.call_at(self._due, self._fired, loop)

    def _fired(self, loop: asyncio.AbstractEventLoop) -> None:
        now = loop.time()
        self.seen(now - self._due, now)
        self._set(loop, now)
