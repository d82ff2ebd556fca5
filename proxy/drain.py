"""How a process that serves comes to its end without losing a request.

From the signal on `/readyz` says 503, and every answer that begins closes its connection: so clients and balancers go
elsewhere, each at a moment when nothing is in between. Meanwhile connections are taken and served as before, because
whoever sends here may hear of it late. In the end

1. no connection is taken any more, once nothing is under way and the time to linger is over,
2. connections on which nothing is asked are closed, but for those on which something has just come and those whose
   client has not taken all of its answer yet,
3. what is still under way when the time is over is ended so that nobody takes it for whole.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from config.settings import Drain
    from proxy.plane import DataPlane

STEP: Final = 0.05
"""Seconds between two looks at what is under way."""

LAST: Final = 5.0
"""Seconds before its time is over at which a process ceases to take connections, whatever is under way; at most half of
that time. Who never hears that it drains has its short requests ended by themselves so."""

WORDS: Final = 1.0
"""Seconds in which exchanges that are ended have their last words."""


async def drain(plane: DataPlane, settings: Drain, shut: Callable[[], None]) -> int:
    """Serve until nothing is under way; `shut` closes the listeners. Returns how many exchanges had to be ended.

    An answer that its client has not taken yet is under way, too. The signal has told the server already that it
    drains.
    """
    now = plane.loop.time
    end = now() + settings.timeout
    lingers, last = now() + settings.linger, end - min(LAST, settings.timeout / 2)
    while now() < lingers or (plane.in_flight and now() < last):  # noqa: ASYNC110 - time passes, too
        await asyncio.sleep(STEP)
    await asyncio.sleep(0)  # who has connected already comes in
    shut()
    await asyncio.sleep(STEP)  # who was taken in that very moment is there by then, and asks
    while (left := plane.server.let_go()) and now() < end:  # noqa: ASYNC110 - looking is what lets go
        await asyncio.sleep(STEP)
    left = max(left, plane.in_flight)
    if left:
        plane.over = True
        await plane.server.stop_all(WORDS)
    await plane.server.shutdown(0.1)
    return left
