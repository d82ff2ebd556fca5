"""One client connection: one request after the other from what is read (`proxy.intake`) to the handler.

A handler writes to the transport itself and returns a `Written`.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final

from proxy import errors
from proxy.head import END, Head
from proxy.incoming import Incoming
from proxy.intake import Intake
from proxy.request import CLOSE, BadBodyError, Request, Written
from proxy.sockets import bounded, has_come, probed, unsent

if TYPE_CHECKING:
    from proxy.known import Known
    from proxy.server import Server

log = logging.getLogger("detour.proxy")

KEEP_ALIVE: Final = 75.0
"""Seconds an idle client connection is kept: longer than gateways keep theirs (proxy-rules 18)."""
LINGER: Final = 2.0
"""Seconds an unfinished request body is read on after its answer, so that the client gets to read that."""

_FAILED: Final = errors.Refusal(500, "internal_error", "Detour failed at this request; its log says more")


class ClientConnection(Intake):
    """One client connection."""

    __slots__ = ("_idle_due", "_idle_timer", "_task", "_waiter")

    def __init__(self, server: Server, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(server, loop)
        self._task: asyncio.Task[None] | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._idle_timer: asyncio.TimerHandle | None = None
        self._idle_due = 0.0

    def eof_received(self) -> None:
        """FIN: HTTP clients do not half-close, so with a request in hand it means leaving (proxy-rules 15)."""
        if self._request is not None and self.transport is not None:
            self.transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client is here, its TLS handshake done."""
        self.transport = transport  # type: ignore[assignment]
        bounded(transport)
        probed(transport)
        self._server.connections.add(self)
        self._task = self._loop.create_task(self._serve())
        self._rest()

    def connection_lost(self, exc: BaseException | None) -> None:
        """The client is gone."""
        self._closed = True
        self.transport = self.flow = self._behind = None
        for timer in (self._head_timer, self._idle_timer):
            if timer is not None:
                timer.cancel()
        self._server.stalled.discard(self)
        self._server.connections.discard(self)
        self._body = None
        if self._request is not None:
            self._request.payload.fail(ConnectionResetError("the client is gone"))
            self._request.payload.take()
        raw, self._raw = self._raw, None
        if raw is not None:
            raw.left()
        if self._task is not None:
            self._task.cancel()

    # -- one request after the other -------------------------------------------------------------------------------

    async def _serve(self) -> None:
        """Serve the connection's requests in turn."""
        try:
            while not self._closed:
                request = self._request
                if request is None:
                    await self._next()
                    continue
                try:
                    written = await self._answer(request)
                finally:
                    if request.payload.counted:
                        request.payload.take()
                if not request.payload.complete and not self._closed:
                    await self._linger(request.payload)
                if not written.keep_alive or self._last or self._closed:
                    break
                self._go_on()
                self._rest()
                if self._request is not None:
                    await asyncio.sleep(0)  # the others come first
        except BaseException:
            self.force_close()
            raise
        self._closed = True
        if self.transport is not None:
            self.transport.close()  # which takes as long as its client takes to read

    def _take(self, head: Head, body: Incoming, length: int, known: Known | None) -> None:
        self._request = Request(self, head, body, length, known)
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def _next(self) -> None:
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    async def _answer(self, request: Request) -> Written:
        try:
            return await self._server.handler(request)
        except Exception:
            log.exception("handler failed")
            if self.transport is not None:
                self.transport.write(errors.answer(None, _FAILED, close=True, head_only=False))
            return CLOSE

    async def _linger(self, body: Incoming) -> None:
        """Read what is left of a request's body for a while, so that the client gets to read its answer."""
        try:
            async with asyncio.timeout(LINGER):
                await body.drop()
        except (TimeoutError, BadBodyError, ConnectionError):
            self._last = True

    def _rest(self) -> None:
        """Keep the connection for its next request, which may have begun."""
        self._idle_due = self._loop.time() + KEEP_ALIVE
        if self._idle_timer is None:
            self._idle_timer = self._loop.call_at(self._idle_due, self._rested)

    def _rested(self) -> None:
        self._idle_timer = None
        if self._request is None and self._reader is None:
            if self._loop.time() < self._idle_due:
                self._idle_timer = self._loop.call_at(self._idle_due, self._rested)
            else:
                self.force_close()

    # -- the process ends ------------------------------------------------------------------------------------------

    @property
    def ending(self) -> bool:
        """Whether an answer that begins now is the last one here; what was sent behind it in one go is served first."""
        if self._last or not self._server.draining:
            return self._last
        return self._behind is None or END not in self._behind.lstrip(b"\r\n")

    def let_go_of(self) -> bool:
        """Close the connection if nothing is asked on it, not even by bytes that were not read yet; whether it was.

        Nor while its client has still to take what it was answered: the end of the process would cut that off.
        """
        if self._request is not None or self._reader is not None or self.transport is None:
            return self.transport is None
        if has_come(self.transport.get_extra_info("socket")) or unsent(self.transport):
            return False
        self.force_close()
        return True

    def leave(self) -> asyncio.Task[None] | None:
        """Serve nothing more; the task that still serves something."""
        self._last = True
        if self._request is None:
            self.force_close()
            return None
        return self._task

    def stop(self) -> asyncio.Task[None] | None:
        """Have whatever is under way end now; the task that does so."""
        task = self._task
        if task is not None and not task.done():
            task.cancel()
            return task
        return None
