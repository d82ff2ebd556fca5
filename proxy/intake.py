"""What is read from a client: heads, bodies and the bytes of other protocols, one request at a time.

All connections of the loop share one buffer to read into, but for large bodies, which have memory of their own
(`proxy.incoming`). What comes behind the request in hand waits unparsed, so that it may be the bytes of another
protocol as well; only so much of it is read.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, Protocol

from proxy import errors
from proxy.chunks import Chunks
from proxy.head import HEAD_BYTES, HEAD_FIELDS, Head, HeadReader, MalformedError, TooLargeError
from proxy.incoming import Incoming
from proxy.line import Line
from proxy.request import BadBodyError, Request

if TYPE_CHECKING:
    from proxy.known import Known
    from proxy.server import Server

READ_SIZE: Final = 64 * 1024
BEHIND: Final = 64 * 1024
"""Bytes behind the request in hand that are read before its client is told to stop."""
HEAD_TIME: Final = 10.0
"""Seconds a begun head may take."""

TOO_LARGE: Final = (
    f"request line and headers are larger than {HEAD_BYTES // 1024} KiB or more than {HEAD_FIELDS} fields"
)
_LARGE: Final = errors.Refusal(431, "invalid_request_error", TOO_LARGE)
_MALFORMED: Final = errors.Refusal(400, "invalid_request_error", "the request is not well-formed HTTP/1")
_LATE: Final = errors.Refusal(408, "invalid_request_error", f"the request's head did not arrive within {HEAD_TIME:g} s")

_LINE_ENDS: Final = b"\r\n"
_shared: Final = bytearray(READ_SIZE)
_view: Final = memoryview(_shared)


class Raw(Protocol):
    """Whoever takes a client's bytes once they are another protocol's."""

    def sent(self, data: bytes) -> None:
        """Bytes came."""

    def left(self) -> None:
        """The client is gone."""


class Intake(Line):
    """The reading side of a client's connection: a buffered protocol of asyncio's."""

    __slots__ = ("_behind", "_body", "_direct", "_head_timer", "_last", "_raw", "_reader", "_request", "known")

    def __init__(self, server: Server, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(server, loop)
        self.known: Known | None = None
        """What the last head on this connection decided."""
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
        self._last = False
        """Whether no further request is served."""

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
            self.refuse(_MALFORMED)
        except TooLargeError:
            self.refuse(_LARGE)
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
            try:
                behind = chunks.feed(data, at, end, body)
            except (MalformedError, TooLargeError):
                body.take()
                raise
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
        self._reader = None
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None
        self._take(head, body, length, known)
        return behind

    def _take(self, head: Head, body: Incoming, length: int, known: Known | None) -> None:
        """Take a request in hand."""
        raise NotImplementedError

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
        self.refuse(_LATE)

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
