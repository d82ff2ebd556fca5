"""One client connection: heads and bodies in, one request after the other to the handler.

The protocol reads into one buffer shared by all connections of the loop, but for large bodies, which have memory of
their own (`proxy.incoming`). One request is in hand at a time. What comes behind it waits unparsed, so that it may be
the bytes of another protocol as well; only so much of it is read. A handler writes to the transport itself and returns
a `Written`.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final, Protocol

from proxy import errors
from proxy.chunks import Chunks
from proxy.head import END, HEAD_BYTES, HEAD_FIELDS, Head, HeadReader, MalformedError, TooLargeError
from proxy.incoming import Incoming
from proxy.request import CLOSE, BadBodyError, Flow, Request, Written
from proxy.sockets import bounded, has_come, hung_up, probed, unsent

if TYPE_CHECKING:
    from proxy.known import Known
    from proxy.server import Server

log = logging.getLogger("detour.proxy")

READ_SIZE: Final = 64 * 1024
BEHIND: Final = 64 * 1024
"""Bytes behind the request in hand that are read before its client is told to stop."""
HEAD_TIME: Final = 10.0
"""Seconds a begun head may take."""
KEEP_ALIVE: Final = 75.0
"""Seconds an idle client connection is kept: longer than gateways keep theirs (proxy-rules 18)."""
LINGER: Final = 2.0
"""Seconds an unfinished request body is read on after its answer, so that the client gets to read that."""

TOO_LARGE: Final = (
    f"request line and headers are larger than {HEAD_BYTES // 1024} KiB or more than {HEAD_FIELDS} fields"
)
_LARGE: Final = errors.Refusal(431, "invalid_request_error", TOO_LARGE)
_MALFORMED: Final = errors.Refusal(400, "invalid_request_error", "the request is not well-formed HTTP/1")
_LATE: Final = errors.Refusal(408, "invalid_request_error", f"the request's head did not arrive within {HEAD_TIME:g} s")
_FAILED: Final = errors.Refusal(500, "internal_error", "Detour failed at this request; its log says more")

_LINE_ENDS: Final = b"\r\n"
_shared: Final = bytearray(READ_SIZE)
_view: Final = memoryview(_shared)


class Raw(Protocol):
    """Whoever takes a client's bytes once they are another protocol's."""

    def sent(self, data: bytes) -> None:
        """Bytes came."""

    def left(self) -> None:
        """The client is gone."""


class ClientConnection:
    """One client connection: a buffered protocol of asyncio's."""

    __slots__ = (
        "_behind",
        "_body",
        "_closed",
        "_direct",
        "_head_timer",
        "_idle_due",
        "_idle_timer",
        "_last",
        "_loop",
        "_raw",
        "_reader",
        "_request",
        "_server",
        "_task",
        "_waiter",
        "flow",
        "known",
        "transport",
        "writing_paused",
    )

    def __init__(self, server: Server, loop: asyncio.AbstractEventLoop) -> None:
        self._server = server
        self._loop = loop
        self.transport: asyncio.Transport | None = None
        self.flow: Flow | None = None
        self.known: Known | None = None
        """What the last head on this connection decided."""
        self.writing_paused = False
        self._task: asyncio.Task[None] | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._request: Request | None = None
        """The request in hand, from its head to the end of its answer."""
        self._reader: HeadReader | None = None
        """A head that has begun."""
        self._body: Incoming | None = None
        """The body of the request in hand, while it has not come whole."""
        self._direct = False
        """Whether the read under way goes into that body's own memory."""
        self._behind: bytearray | None = None
        """What came behind the request in hand."""
        self._raw: Raw | None = None
        self._head_timer: asyncio.TimerHandle | None = None
        self._idle_timer: asyncio.TimerHandle | None = None
        self._idle_due = 0.0
        self._last = False
        """Whether no further request is served."""
        self._closed = False

    # -- reading ---------------------------------------------------------------------------------------------------

    def get_buffer(self, sizehint: int) -> bytearray | memoryview:
        """Where the next read goes."""
        body = self._body
        self._direct = body is not None and body.direct
        return body.room() if body is not None and self._direct else _shared

    def buffer_updated(self, nbytes: int) -> None:
        """`nbytes` bytes were read."""
        body = self._body
        if body is not None and self._direct:
            body.filled(nbytes)
            if body.complete:
                self._body = None
        elif body is not None:
            used = self._read_body(body, _shared, 0, nbytes)
            if used < nbytes:
                self._keep(_shared, used, nbytes)
        elif self._request is None:
            used = self._read(_shared, nbytes)
            if used < nbytes:
                self._keep(_shared, used, nbytes)
        elif self._raw is not None:
            self._raw.sent(bytes(_view[:nbytes]))
        else:
            self._keep(_shared, 0, nbytes)

    def data_received(self, data: bytes) -> None:
        """Bytes that a loop without buffered reading has read."""
        at = 0
        while at < len(data):
            room = memoryview(self.get_buffer(-1))
            size = min(len(room), len(data) - at)
            room[:size] = data[at : at + size]
            del room
            self.buffer_updated(size)
            at += size

    def _read(self, data: bytearray, end: int) -> int:
        """Look for the next request in `data`, as far as `end`; how much of it is behind that request."""
        if self._closed or self._last:
            return end
        known = self.known if self._reader is None else None
        found = known.length(data, end) if known is not None else None
        try:
            if known is not None and found is not None:
                return self._begin(known.head, known, found[1], data, found[0], end)
            at = 0
            if self._reader is None:
                if data[0] in _LINE_ENDS:  # empty lines before a request are none of it (RFC 9112 section 2.2)
                    at = end - len(data[:end].lstrip(_LINE_ENDS))
                    if at == end:
                        return end
                self._reader = HeadReader()
            at = self._reader.feed(data, at, end)
            if not at:
                self._head_waits()
                return end
            head = self._reader.head()
            length = head.scan.content_length
            return self._begin(head, None, -1 if length is None else length, data, at, end)
        except MalformedError:
            self._refuse(_MALFORMED)
        except TooLargeError:
            self._refuse(_LARGE)
        return end

    def _begin(self, head: Head, known: Known | None, length: int, data: bytearray, at: int, end: int) -> int:
        """A request came whose body begins at `at`; where it ends in `data`.

        Raises:
            MalformedError, TooLargeError: so does its body.
        """
        behind = at
        if head.scan.chunked and head.scan.bad is None:
            chunks = Chunks()
            body = Incoming(self, self._server.memory, b"", 0, chunks)
            behind = chunks.feed(data, at, end, body)
            if chunks.over:
                body.end()
        elif length <= 0:
            body = Incoming(self, self._server.memory, b"", 0)
            self._last = head.scan.bad is not None
        else:
            behind = min(at + length, end)
            body = Incoming(self, self._server.memory, bytes(memoryview(data)[at:behind]), at + length - behind)
        if not body.complete:
            self._body = body
        self._take(Request(self, head, body, length, known))
        return behind

    def _take(self, request: Request) -> None:
        """Take a request in hand."""
        self._request = request
        self._reader = None
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _read_body(self, body: Incoming, data: bytearray, at: int, end: int) -> int:
        """More of a body came; where it ends in `data`."""
        chunks = body.chunks
        if chunks is None:
            behind = min(at + body.left, end)
            body.add(data, at, behind)
        else:
            try:
                behind = chunks.feed(data, at, end, body)
            except (MalformedError, TooLargeError):
                body.fail(BadBodyError("the request's body breaks its framing"))
                self._body = None
                self._last = True
                return end
            if chunks.over:
                body.end()
        if body.complete:
            self._body = None
        return behind

    def _keep(self, data: bytearray, at: int, end: int) -> None:
        """Keep what came behind the request in hand."""
        if self._closed or self._last:
            return
        behind = self._behind
        if behind is None:
            behind = self._behind = bytearray()
        behind += memoryview(data)[at:end]
        if len(behind) >= BEHIND:
            self.pause_reading()

    def _go_on(self) -> None:
        """Read on behind a request that was served."""
        self._request = None
        behind = self._behind
        if behind is None:
            return
        size = len(behind)
        used = self._read(behind, size)
        if used < size:
            del behind[:used]
        else:
            self._behind = None
        if size >= BEHIND > size - used:
            self.resume_reading()

    def _head_waits(self) -> None:
        if self._head_timer is None:
            self._head_timer = self._loop.call_later(HEAD_TIME, self._head_late)

    def _head_late(self) -> None:
        self._head_timer = None
        self._refuse(_LATE)

    def _refuse(self, refusal: errors.Refusal) -> None:
        """Answer what is no request, and close."""
        if self.transport is not None:
            self.transport.write(errors.answer(None, refusal, close=True, head_only=False))
        self.force_close()

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

    # -- flow control ----------------------------------------------------------------------------------------------

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
        self.force_close()

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

    # -- another protocol ------------------------------------------------------------------------------------------

    def switch(self, raw: Raw) -> None:
        """Have `raw` take all that comes from now on, and what has come behind the request in hand."""
        if self._body is not None:
            self.transport.abort()  # type: ignore[union-attr]
            return
        self._raw = raw
        behind, self._behind = self._behind, bytearray()
        if behind:
            raw.sent(bytes(behind))
            if len(behind) >= BEHIND:
                self.resume_reading()

    # -- the process ends ------------------------------------------------------------------------------------------

    @property
    def ending(self) -> bool:
        """Whether an answer that begins now is the last one here; what was sent behind it in one go is served first."""
        if self._last or not self._server.draining:
            return self._last
        return self._behind is None or END not in self._behind.lstrip(_LINE_ENDS)

    def force_close(self) -> None:
        """Close, once all that was written is sent; nothing that comes is read."""
        self._closed = True
        transport, self.transport = self.transport, None
        if transport is not None:
            transport.close()

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
