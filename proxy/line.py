"""The line to a client: its transport, the pace of both ends, and its closing."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from proxy import errors
from proxy.request import Flow
from proxy.sockets import hung_up

if TYPE_CHECKING:
    from proxy.server import Server


class Line:
    """One client's line, on its own side of a server."""

    __slots__ = ("_closed", "_loop", "_server", "flow", "transport", "writing_paused")

    def __init__(self, server: Server, loop: asyncio.AbstractEventLoop) -> None:
        self._server = server
        self._loop = loop
        self.transport: asyncio.Transport | None = None
        self.flow: Flow | None = None
        self.writing_paused = False
        self._closed = False

    def pause_reading(self) -> None:
        """Read no more; from here on a client's leaving is not read, so it is looked for."""
        if self.transport is not None:
            self.transport.pause_reading()
            self._server.stalled.add(self)

    def resume_reading(self) -> None:
        """Read on."""
        if self.transport is not None:
            self._server.stalled.discard(self)
            self.transport.resume_reading()

    def pause_writing(self) -> None:
        """The client reads slower than we write; over TLS its FIN is not told of before it has read on."""
        self.writing_paused = True
        if self.transport is not None and self.transport.get_extra_info("ssl_object") is not None:
            self._server.stalled.add(self)
        if self.flow is not None:
            self.flow.pause()

    def resume_writing(self) -> None:
        """The client caught up."""
        self.writing_paused = False
        if self.transport is not None and self.transport.is_reading():
            self._server.stalled.discard(self)
        if self.flow is not None:
            self.flow.resume()

    def look_for_leaving(self) -> None:
        """Drop the connection if the client left while nothing is read from it."""
        if self.transport is not None and hung_up(self.transport.get_extra_info("socket")):
            self.transport.abort()

    def force_close(self) -> None:
        """Close, once all that was written is sent; nothing that comes is read."""
        self._closed = True
        transport, self.transport = self.transport, None
        if transport is not None:
            transport.close()

    def refuse(self, refusal: errors.Refusal) -> None:
        """Answer what is no request, and close."""
        if self.transport is not None:
            self.transport.write(errors.answer(None, refusal, close=True, head_only=False))
        self.force_close()
