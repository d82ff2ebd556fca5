"""One connection to a provider: bytes in, HTTP facts out.

The protocol reads into one buffer shared by all connections of the loop (a read is parsed before the next begins), so
that thousands of slow streams cost no buffer each. httptools parses; because its parser is lenient towards responses on
purpose, framing is checked by `proxy.framing` before anything is believed (proxy-rules 6).

What an answer is and what becomes of it is the `Sink`'s business; one network read is at most one `head` and one `body`
call there.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Final, Protocol

import httptools

from proxy.chunks import plain
from proxy.reply import Reply, read
from proxy.sink import Sink
from proxy.sockets import arrivals

log = logging.getLogger("detour.proxy")

READ_SIZE: Final = 64 * 1024
HEAD_LIMIT: Final = 128 * 1024
"""Most bytes of an answer's head, and of what is no body behind it in one go; a provider sending more is broken."""

COPIED: Final = 16 * 1024
"""Bytes of a read up to which it is worth copying to see whether it is plain chunks."""

_LF: Final = 0x0A
_VERSIONS: Final = ("1.1", "1.0")
_HTTP11: Final = b"HTTP/1.1 "

_shared = bytearray(READ_SIZE)
_view = memoryview(_shared)


class _DefectError(Exception):
    pass


class Keeper(Protocol):
    """Where a connection belongs: a pool."""

    def release(self, connection: Upstream) -> None:
        """Take `connection` back as idle."""

    def forget(self, connection: Upstream) -> None:
        """`connection` is gone."""


class Upstream(asyncio.BufferedProtocol):
    """A pooled connection to one origin. Serves one sink at a time."""

    __slots__ = (
        "_after_head",
        "_arrivals",
        "_bare",
        "_between",
        "_chunks",
        "_defect",
        "_done",
        "_extra",
        "_informational",
        "_keep",
        "_method",
        "_names",
        "_parser",
        "_paused",
        "_plain",
        "_reason",
        "_reply",
        "_told",
        "_tunnel",
        "_upgrade",
        "_values",
        "blocked",
        "idle_since",
        "pool",
        "received",
        "sink",
        "transport",
        "uses",
    )

    def __init__(self, pool: Keeper) -> None:
        self.pool = pool
        self.transport: asyncio.Transport | None = None
        self.sink: Sink | None = None
        self.idle_since = 0.0
        self.uses = 0
        self.blocked = False
        self.received = False
        self._parser = httptools.HttpResponseParser(self)
        self._after_head = False
        self._arrivals: Callable[[float], object] | None = None
        self._paused = False
        self._tunnel = False
        self._names: list[bytes] = []
        self._values: list[bytes] = []
        self._chunks: list[bytes] = []
        self._informational: list[Reply] | None = None
        self._reason = b""
        self._reply: Reply | None = None
        self._bare = 0
        """Bytes that came since the last of a body, or of the answer before."""
        self._method = "GET"
        self._upgrade: bytes | None = None
        self._told = self._done = self._extra = self._keep = False
        self._between = False
        """Whether the parser has read a chunk to its end and nothing behind it."""
        self._plain = False
        """Whether the answer's first bytes say that it is HTTP/1.1, so that the parser need not be asked."""
        self._defect = ""

    # -- used by the attempt ---------------------------------------------------------------------------------------

    @property
    def stale(self) -> bool:
        """Whether it had been idle and then gave no byte of an answer: it was dead all along."""
        return self.uses > 1 and not self.received

    def spoke(self) -> bool:
        """Whether anything has come that was not read yet, be it the end.

        What came before a request was sent is no answer to it, and would be taken for one.
        """
        if self.transport is None:
            return False
        if self._arrivals is None:
            self._arrivals = arrivals(self.transport.get_extra_info("socket"))
        return bool(self._arrivals(0))

    def begin(self, sink: Sink, method: str, upgrade: bytes | None = None) -> None:
        """Read the next answer, to a request with `method` that asks for the protocols in `upgrade`, for `sink`.

        Only what a clean answer leaves behind is put back: after any other the connection closes.
        """
        self._names = []
        self._values = []
        self._reason = b""
        self._reply = None
        self._bare = 0
        self._told = self._done = self._between = False
        self._method = method
        self._upgrade = upgrade
        self.received = False
        self.uses += 1
        self.sink = sink
        if method == "HEAD" or self._after_head:
            # After the answer to a HEAD the parser waits for the body that Content-Length announced.
            self._after_head = method == "HEAD"
            self._parser = httptools.HttpResponseParser(self)

    def write(self, data: bytes | bytearray) -> None:
        """Send request bytes, which nobody may change any more; does nothing on a connection that is gone."""
        if self.transport is not None:
            self.transport.write(data)

    def pause(self) -> None:
        """Read no more until `resume`: the client cannot take what comes."""
        if not self._paused and self.transport is not None:
            self._paused = True
            self.transport.pause_reading()

    def resume(self) -> None:
        """Read again."""
        if self._paused and self.transport is not None:
            self._paused = False
            self.transport.resume_reading()

    @property
    def paused(self) -> bool:
        """Whether reading stands still."""
        return self._paused

    def detach(self) -> None:
        """End the use of this connection: back to its pool when its answer was read to the end, closed otherwise.

        Closing is always `abort`: with TLS on uvloop a `close` waits for a peer that may go on streaming for as long
        as it likes.
        """
        self.sink = None
        if self._done and self._keep and not self._extra and not self._tunnel and self.transport is not None:
            if self._paused:
                self.resume()
            self.pool.release(self)
        else:
            self.abort()

    def abort(self) -> None:
        """Close at once."""
        self.sink = None
        if self.transport is not None:
            self.transport.abort()

    # -- asyncio ---------------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The transport is there."""
        self.transport = transport  # type: ignore[assignment]

    def connection_lost(self, exc: Exception | None) -> None:
        """The transport is gone."""
        self.transport = None
        self.pool.forget(self)
        sink = self.sink
        if sink is None:
            return
        self.sink = None
        if self._told and exc is None and self._reply is not None and self._reply.framing.kind == "close":
            self._done = True
            sink.body(b"", True)
        else:
            sink.lost(_why(exc))

    def get_buffer(self, sizehint: int) -> bytearray:
        """Where the next read goes."""
        return _shared

    def buffer_updated(self, nbytes: int) -> None:
        """`nbytes` bytes were read."""
        sink = self.sink
        if sink is None or self._done:
            # Bytes nobody asked for: whatever they are, this connection cannot be trusted with another request.
            self._extra = True
            if sink is None:
                self.abort()
            return
        if not self.received:
            self.received = True
            self._plain = _shared.startswith(_HTTP11, 0, nbytes)
        if self._tunnel:
            sink.raw(bytes(_view[:nbytes]))
            return
        if self._between and nbytes <= COPIED:
            framed = bytes(_view[:nbytes])
            data = plain(framed)
            if data is not None:
                # The usual case of a running stream. The parser need not see it: it is where it was.
                self._bare = 0
                sink.body(data, False, framed)
                return
        try:
            self._parser.feed_data(_view[:nbytes])
        except httptools.HttpParserUpgrade as switch:
            self._switch(sink, bytes(_view[switch.args[0] : nbytes]))
            return
        except httptools.HttpParserError as error:
            if not self._survives(sink, error):
                return
        self._between = self._between and _shared[nbytes - 1] == _LF
        chunks = self._chunks
        if self._told and len(chunks) == 1:
            self._bare = 0
            sink.body(chunks.pop(), self._done)
            return
        if not (self._told and chunks):
            self._bare += nbytes
        self._deliver(sink)

    def _survives(self, sink: Sink, error: httptools.HttpParserError) -> bool:
        """Whether the answer was whole when the parser stopped at `error`; if not, the sink is told."""
        cause = error.__context__
        if isinstance(cause, Exception) and not isinstance(cause, _DefectError):
            log.error("reading an answer failed", exc_info=cause)
        if self._done:
            self._extra = True
            return True
        if self._chunks:
            self._deliver(sink)  # what came before the defect counts, however the reads were split
        if self.sink is sink:
            self._fail(sink, self._defect or f"not an HTTP/1 response: {error}")
        return False

    def eof_received(self) -> bool:
        """The provider sent FIN: the transport closes, and `connection_lost` says what that means."""
        return False

    def pause_writing(self) -> None:
        """The provider reads slower than we write."""
        self.blocked = True

    def resume_writing(self) -> None:
        """The provider caught up."""
        self.blocked = False
        if self.sink is not None:
            self.sink.writable()

    # -- what the parser found, handed on once per read ------------------------------------------------------------

    def _deliver(self, sink: Sink) -> None:
        if self._informational:
            news, self._informational = self._informational, None
            for hint in news:
                sink.informational(hint)
        if not self._told:
            if self._reply is None:
                if self._bare > HEAD_LIMIT:
                    self._fail(sink, f"response head larger than {HEAD_LIMIT // 1024} KiB")
                return
            self._told = True
            self._bare = 0
            sink.head(self._reply)
        chunks = self._chunks
        if chunks or self._done:
            self._bare = 0
            data = chunks[0] if len(chunks) == 1 else b"".join(chunks)
            chunks.clear()
            if self.sink is sink:
                sink.body(data, self._done)
        elif self._bare > HEAD_LIMIT:
            self._fail(sink, f"more than {HEAD_LIMIT // 1024} KiB of chunk extensions or trailers")

    def _switch(self, sink: Sink, rest: bytes) -> None:
        """The head was 101; what follows it ends with the connection, not with the message the parser saw end."""
        self._tunnel = True
        self._done = False
        self._deliver(sink)
        if self.sink is sink:
            sink.upgraded(rest)

    def _fail(self, sink: Sink, detail: str) -> None:
        self.sink = None
        self.abort()
        sink.malformed(detail)

    # -- httptools callbacks ---------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        """A response begins; after a complete one it is bytes nobody asked for."""
        if self._done:
            self._extra = True
            raise _DefectError

    def on_status(self, reason: bytes) -> None:
        """Reason phrase, possibly in parts."""
        self._reason += reason

    def on_header(self, name: bytes, value: bytes | None) -> None:
        """One field line; those behind the body are trailers, which end here (proxy-rules 8)."""
        if self._reply is None:
            self._names.append(name)
            self._values.append(value or b"")

    def on_headers_complete(self) -> None:
        """The head is whole."""
        parser = self._parser
        status = parser.get_status_code()
        version = "1.1" if self._plain else parser.get_http_version()
        found = read(self._method, status, self._reason, version == "1.0", self._names, self._values)
        if isinstance(found, str):
            self._defect = found
            raise _DefectError
        if version not in _VERSIONS or status < 100:
            self._defect = f"not an HTTP/1 response: HTTP/{version} with status {status}"
            raise _DefectError
        if status < 200:
            if status != 101:
                self._plain = False
                self._informational = [*(self._informational or ()), found]
                return
            if not (parser.should_upgrade() and _offered(found.upgrade, self._upgrade)):
                self._defect = "a 101 to a protocol that was not asked for"
                raise _DefectError
        self._reply = found
        self._keep = not found.framing.close
        if self._method == "HEAD":
            self._done = True

    def on_body(self, data: bytes) -> None:
        """Body bytes, framing removed. The parser does not know of a HEAD, whose answer has none."""
        if self._done:
            self._extra = True
        else:
            self._chunks.append(data)

    def on_chunk_header(self) -> None:
        """The line with a chunk's size was read."""
        self._between = False

    def on_chunk_complete(self) -> None:
        """A chunk was read to its end; what follows it, if anything, is told of or leaves no line end."""
        self._between = True

    def on_message_complete(self) -> None:
        """The response is whole."""
        if self._reply is None:
            self._names = []
            self._values = []
            self._reason = b""
            return
        self._done = True


def _offered(protocol: bytes, upgrade: bytes | None) -> bool:
    """Whether `protocol` is one of those in the request's `upgrade` (RFC 9110 section 7.8)."""
    return protocol.strip().lower() in [name.strip() for name in (upgrade or b"").lower().split(b",") if name.strip()]


def _why(exc: Exception | None) -> str:
    if exc is None:
        return "connection closed by the provider"
    if isinstance(exc, ConnectionResetError):
        return "connection reset by the provider"
    return f"connection lost: {exc}"
