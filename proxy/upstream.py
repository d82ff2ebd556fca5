"""One connection to a provider: bytes in, HTTP facts out.

The protocol reads into one buffer shared by all connections of the loop (a read is parsed before the next begins), so
that thousands of slow streams cost no buffer each.

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
from proxy.parser import AnswerParser, DefectError
from proxy.sink import Sink
from proxy.sockets import arrivals

log = logging.getLogger("detour.proxy")

READ_SIZE: Final = 64 * 1024
HEAD_LIMIT: Final = 128 * 1024
"""Most bytes of an answer's head, and of what is no body behind it in one go; a provider sending more is broken."""

COPIED: Final = 16 * 1024
"""Bytes of a read up to which it is worth copying to see whether it is plain chunks."""

_HTTP11: Final = b"HTTP/1.1 "

_shared: Final = bytearray(READ_SIZE)
_view: Final = memoryview(_shared)


class Keeper(Protocol):
    """Where a connection belongs: a pool."""

    def release(self, connection: Upstream) -> None:
        """Take `connection` back as idle."""

    def forget(self, connection: Upstream) -> None:
        """`connection` is gone."""


class Upstream(asyncio.BufferedProtocol):
    """A pooled connection to one origin. Serves one sink at a time."""

    __slots__ = (
        "_answer",
        "_arrivals",
        "_bare",
        "_paused",
        "_told",
        "_tunnel",
        "blocked",
        "idle_since",
        "pool",
        "received",
        "sink",
        "transport",
        "uses",
    )

    def __init__(self, pool: Keeper) -> None:
        # What every read needs comes first: compiled, an object lies in memory in this order.
        self.sink: Sink | None = None
        self._answer = AnswerParser()
        self._bare = 0
        """Bytes that came since the last of a body, or of the answer before."""
        self.received = False
        self._tunnel = False
        self._told = False
        """Whether the sink was told of the head."""
        self._paused = False
        self.blocked = False
        self.transport: asyncio.Transport | None = None
        self.pool = pool
        self.idle_since = 0.0
        self.uses = 0
        self._arrivals: Callable[[float], object] | None = None

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
        """Read the next answer, to a request with `method` that asks for the protocols in `upgrade`, for `sink`."""
        self._answer.begin(method, upgrade)
        self._bare = 0
        self._told = False
        self.received = False
        self.uses += 1
        self.sink = sink

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
        answer = self._answer
        if answer.done and answer.keep and not answer.extra and not self._tunnel and self.transport is not None:
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
        answer = self._answer
        if self._told and exc is None and answer.reply is not None and answer.reply.framing.kind == "close":
            answer.done = True
            sink.body(b"", True)
        else:
            sink.lost(_why(exc))

    def get_buffer(self, sizehint: int) -> bytearray:
        """Where the next read goes."""
        return _shared

    def buffer_updated(self, nbytes: int) -> None:
        """`nbytes` bytes were read."""
        sink = self.sink
        answer = self._answer
        if sink is None or answer.done:
            answer.extra = True
            if sink is None:
                self.abort()
            return
        if not self.received:
            self.received = True
            answer.plain = _shared.startswith(_HTTP11, 0, nbytes)
        if self._tunnel:
            sink.raw(bytes(_view[:nbytes]))
            return
        if answer.between and nbytes <= COPIED:
            framed = _view[:nbytes].tobytes()
            data = plain(framed)
            if data is not None:
                # The usual case of a running stream. The parser need not see it: it is where it was.
                self._bare = 0
                sink.body(data, False, framed)
                return
        try:
            answer.feed(_view[:nbytes])
        except httptools.HttpParserUpgrade as switch:
            self._switch(sink, bytes(_view[switch.args[0] : nbytes]))
            return
        except httptools.HttpParserError as error:
            if not self._survives(sink, error):
                return
        chunks = answer.chunks
        if self._told and len(chunks) == 1:
            self._bare = 0
            sink.body(chunks.pop(), answer.done)
            return
        if not (self._told and chunks):
            self._bare += nbytes
        self._deliver(sink)

    def _survives(self, sink: Sink, error: httptools.HttpParserError) -> bool:
        """Whether the answer was whole when the parser stopped at `error`; if not, the sink is told."""
        cause = error.__context__
        answer = self._answer
        if isinstance(cause, Exception) and not isinstance(cause, DefectError):
            log.error("reading an answer failed", exc_info=cause)
        if answer.done:
            answer.extra = True
            return True
        if answer.chunks:
            self._deliver(sink)  # what came before the defect counts, however the reads were split
        if self.sink is sink:
            self._fail(sink, answer.defect or f"not an HTTP/1 response: {error}")
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
        answer = self._answer
        if answer.informational:
            news, answer.informational = answer.informational, None
            for hint in news:
                sink.informational(hint)
        if not self._told:
            if answer.reply is None:
                if self._bare > HEAD_LIMIT:
                    self._fail(sink, f"response head larger than {HEAD_LIMIT // 1024} KiB")
                return
            self._told = True
            self._bare = 0
            sink.head(answer.reply)
        chunks = answer.chunks
        if chunks or answer.done:
            self._bare = 0
            data = chunks[0] if len(chunks) == 1 else b"".join(chunks)
            chunks.clear()
            if self.sink is sink:
                sink.body(data, answer.done)
        elif self._bare > HEAD_LIMIT:
            self._fail(sink, f"more than {HEAD_LIMIT // 1024} KiB of chunk extensions or trailers")

    def _switch(self, sink: Sink, rest: bytes) -> None:
        """The head was 101; what follows it ends with the connection, not with the message the parser saw end."""
        self._tunnel = True
        self._answer.done = False
        self._deliver(sink)
        if self.sink is sink:
            sink.upgraded(rest)

    def _fail(self, sink: Sink, detail: str) -> None:
        self.sink = None
        self.abort()
        sink.malformed(detail)


def _why(exc: Exception | None) -> str:
    if exc is None:
        return "connection closed by the provider"
    if isinstance(exc, ConnectionResetError):
        return "connection reset by the provider"
    return f"connection lost: {exc}"
