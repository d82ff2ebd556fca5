"""After a 101: bytes both ways, as they come, until either side ends (proxy-rules 14)."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from proxy.attempt import Attempt
    from proxy.client import ClientConnection
    from proxy.reply import Reply
    from proxy.request import Request
    from proxy.upstream import Upstream


async def tunnel(request: Request, attempt: Attempt) -> None:
    """Join the client's connection with the attempt's, whose 101 is about to be written; returns when one is gone."""
    upstream, attempt.connection = attempt.connection, None
    if upstream is None:
        return
    ends = Tunnel(request.connection, upstream)
    attempt.relay.write(b"", done=False)
    ends.join(attempt.upgrade_rest or b"")
    try:
        await ends.over
    finally:
        upstream.abort()


class Tunnel:
    """Both ends of a tunnel; on the provider's side it is the sink."""

    __slots__ = ("_client", "_upstream", "over")

    def __init__(self, client: ClientConnection, upstream: Upstream) -> None:
        self._client = client
        self._upstream = upstream
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def join(self, rest: bytes) -> None:
        """Begin; `rest` came behind the 101 already."""
        self._client.flow = self
        if self._upstream.transport is None:
            self._end()
            return
        self._upstream.sink = self
        if rest:
            self.raw(rest)
        self._client.switch(self)

    # -- from the client -------------------------------------------------------------------------------------------

    def sent(self, data: bytes) -> None:
        """Bytes from the client."""
        self._upstream.write(data)
        if self._upstream.blocked:
            self._client.pause_reading()

    def left(self) -> None:
        """The client is gone."""
        self._end()

    def pause(self) -> None:
        """The client cannot take more."""
        self._upstream.pause()

    def resume(self) -> None:
        """The client can."""
        self._upstream.resume()

    # -- from the provider -----------------------------------------------------------------------------------------

    def raw(self, data: bytes) -> None:
        """Bytes from the provider."""
        transport = self._client.transport
        if transport is not None:
            transport.write(data)

    def writable(self) -> None:
        """The provider can take more."""
        self._client.resume_reading()

    def lost(self, detail: str) -> None:
        """The provider is gone."""
        self._end()

    def malformed(self, detail: str) -> None:
        """The provider's side is broken."""
        self._end()

    def informational(self, reply: Reply) -> None:
        """Cannot come behind a 101."""

    def head(self, reply: Reply) -> None:
        """Cannot come behind a 101."""

    def body(self, data: bytes, done: bool, framed: bytes = b"") -> None:
        """Cannot come behind a 101."""

    def upgraded(self, rest: bytes) -> None:
        """Cannot come behind a 101."""

    def _end(self) -> None:
        self._client.flow = None
        if not self.over.done():
            self.over.set_result(None)
