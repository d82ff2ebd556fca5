"""Events on their way to clients, written together once all has been read that came in one turn of the loop.

A write that wakes its reader is dear: on another core that reader has taken one event and sleeps again before the next
one is written. So events that came together leave together, and one that came alone waits for nothing.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from proxy.relay import Relay


class Batch:
    """Whoever has something to write at the end of this turn."""

    __slots__ = ("_loop", "_relays")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._relays: list[Relay] = []

    def add(self, relay: Relay) -> None:
        """Have `relay` flushed as soon as all has been read."""
        if not self._relays:
            self._loop.call_soon(self._flush)
        self._relays.append(relay)

    def _flush(self) -> None:
        relays, self._relays = self._relays, []
        for relay in relays:
            relay.flush()
