"""The listening side: makes connections, and ends them."""

from __future__ import annotations

import asyncio
import re
from typing import Final

import httptools

from proxy.client import ClientConnection
from proxy.line import Line
from proxy.memory import ReplayMemory
from proxy.request import Handler

OLDEST: Final = (0, 8)
"""The oldest httptools whose parser refuses, and lets pass, what the tests of hostile requests say."""


class Server:
    """Makes a `ClientConnection` for each client that connects; `handler` serves their requests.

    The bodies of requests share `memory`.
    """

    def __init__(self, handler: Handler, memory: ReplayMemory, *, loop: asyncio.AbstractEventLoop) -> None:
        self.handler = handler
        self.memory = memory
        self._loop = loop
        self.connections: set[ClientConnection] = set()
        self.stalled: set[Line] = set()
        """Connections from which nothing is read at the moment."""
        self.draining = False
        """Whether answers that begin are the last on their connections."""

    def __call__(self) -> ClientConnection:
        """A protocol for a new connection."""
        return ClientConnection(self, self._loop)

    def forget_ways(self) -> None:
        """Have every connection work out anew what its next head decides."""
        for connection in self.connections:
            connection.known = None

    def let_go(self) -> int:
        """Close the connections on which nothing is asked; returns how many there still are."""
        return sum(not connection.let_go_of() for connection in list(self.connections))

    async def stop_all(self, limit: float) -> None:
        """End what is under way on all connections, and wait at most `limit` seconds for the words it has to say."""
        tasks = [task for connection in self.connections if (task := connection.stop()) is not None]
        if tasks:
            await asyncio.wait(tasks, timeout=limit)

    async def shutdown(self, limit: float) -> None:
        """Close all connections: idle ones now, the others after what they serve or after `limit` seconds."""
        tasks = [task for connection in list(self.connections) if (task := connection.leave()) is not None]
        if tasks:
            await asyncio.wait(tasks, timeout=limit)
            await self.stop_all(limit)

    def look_for_leaving(self, now: float) -> None:
        """Find clients that left while nothing was read from them; called twice a second."""
        for connection in list(self.stalled):
            connection.look_for_leaving()


def assert_parser() -> None:
    """Refuse to run on a parser other than those all rules here were tested with.

    Raises:
        RuntimeError: httptools is too old.
    """
    version = httptools.__version__
    if tuple(int(part) for part in re.findall(r"\d+", version)[:2]) < OLDEST:
        raise RuntimeError(f"httptools {version} is too old; {'.'.join(map(str, OLDEST))} is the oldest that works")
