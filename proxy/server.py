"""The listening side: aiohttp's low-level server, making connections of ours."""

from __future__ import annotations

import asyncio
import re
from typing import Final

import aiohttp
from aiohttp import http_parser, web

from proxy.client import HEAD_BYTES, HEAD_FIELDS, KEEP_ALIVE, LINGER, ClientConnection
from proxy.request import Handler, Request

READ_SIZE: Final = 64 * 1024
"""Bytes of a request body that may wait in memory unread."""


class Server(web.Server):
    """Makes `ClientConnection`s."""

    def __init__(self, handler: Handler, *, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(
            handler,  # type: ignore[arg-type]
            request_factory=Request,  # type: ignore[arg-type]
            handler_cancellation=True,
            loop=loop,
        )
        self.stalled: set[ClientConnection] = set()
        """Connections from which nothing is read at the moment."""
        self.draining = False
        """Whether answers that begin are the last on their connections."""

    def __call__(self) -> ClientConnection:
        """A protocol for a new connection.

        The keywords are given here and not through `web.Server`, which on one unknown keyword drops them all with a
        warning only.
        """
        return ClientConnection(
            self,
            loop=self._loop,
            keepalive_timeout=KEEP_ALIVE,
            access_log=None,
            max_line_size=HEAD_BYTES,
            max_field_size=HEAD_BYTES,
            max_headers=HEAD_FIELDS,
            lingering_time=LINGER,
            read_bufsize=READ_SIZE,
            auto_decompress=False,
        )

    def forget_ways(self) -> None:
        """Have every connection work out anew what its next head decides."""
        for connection in self._clients():
            connection.known = None

    def let_go(self) -> int:
        """Close the connections on which nothing is asked; returns how many there still are."""
        return sum(not connection.let_go_of() for connection in self._clients())

    async def stop_all(self, limit: float) -> None:
        """End what is under way on all connections, and wait at most `limit` seconds for the words it has to say."""
        tasks = [task for connection in self._clients() if (task := connection.stop()) is not None]
        if tasks:
            await asyncio.wait(tasks, timeout=limit)

    def _clients(self) -> list[ClientConnection]:
        return [connection for connection in self.connections if isinstance(connection, ClientConnection)]

    def look_for_leaving(self, now: float) -> None:
        """Find clients that left while nothing was read from them; called twice a second."""
        for connection in list(self.stalled):
            connection.look_for_leaving()


def assert_parser() -> None:
    """Refuse to run on an aiohttp whose parser is not the one all limits here were measured with.

    Raises:
        RuntimeError: the C parser is missing or aiohttp is too old.
    """
    if http_parser.HttpRequestParser is http_parser.HttpRequestParserPy:
        raise RuntimeError(
            "aiohttp runs without its C parser here; install a wheel with it (unset AIOHTTP_NO_EXTENSIONS)"
        )
    if tuple(int(part) for part in re.findall(r"\d+", aiohttp.__version__)[:3]) < (3, 14, 3):
        raise RuntimeError(f"aiohttp {aiohttp.__version__} is too old; 3.14.3 is the oldest that works")
