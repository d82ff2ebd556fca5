"""One client connection: aiohttp's parser, its limits and keep-alive, and nothing of its responses.

This is the one place that knows aiohttp's insides. It adds what the low-level server leaves out: limits on the whole
head and on the time it takes, the client's FIN as leaving, answers of ours to what cannot be parsed, and methods the
parser has never heard of. A handler writes to the transport itself and returns a `Written`.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from aiohttp import http_parser
from aiohttp.http_exceptions import LineTooLong
from aiohttp.streams import EMPTY_PAYLOAD
from aiohttp.web_protocol import RequestHandler, RequestPayloadError

from proxy import errors
from proxy.doubts import BLANK, doubtful, ends_with, foreign
from proxy.request import CLOSE, BadBodyError, BodySpentError, Flow, Handler, Request, Written
from proxy.sockets import bounded, has_come, hung_up, unsent

if TYPE_CHECKING:
    from collections import deque

    from aiohttp.streams import StreamReader

    from proxy.server import Server
    from proxy.way import Known

HEAD_BYTES: Final = 64 * 1024
"""Most bytes of a request line with its header fields (semantics section 7)."""
HEAD_FIELDS: Final = 100
HEAD_TIME: Final = 10.0
"""Seconds a begun head may take."""
KEEP_ALIVE: Final = 75.0
"""Seconds an idle client connection is kept: longer than gateways keep theirs (proxy-rules 18)."""
LINGER: Final = 2.0
"""Seconds an unfinished request body is read on after its answer, so that the client gets to read that."""

TOO_LARGE: Final = (
    f"request line and headers are larger than {HEAD_BYTES // 1024} KiB or more than {HEAD_FIELDS} fields"
)

METHODS: Final = frozenset(
    b"DELETE GET HEAD POST PUT CONNECT OPTIONS TRACE COPY LOCK MKCOL MOVE PROPFIND PROPPATCH SEARCH UNLOCK BIND REBIND "
    b"UNBIND ACL REPORT MKACTIVITY CHECKOUT MERGE M-SEARCH NOTIFY SUBSCRIBE UNSUBSCRIBE PATCH PURGE MKCALENDAR LINK "
    b"UNLINK SOURCE QUERY".split()
)
"""What the parser knows; other tokens are shown to it as POST and put back afterwards."""
_USUAL: Final = (b"POST ", b"GET ")
LONGEST_METHOD: Final = 32
_TOKEN: Final = frozenset(b"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
_SPENT: Final = BodySpentError()


class ClientConnection(RequestHandler):
    """One client connection."""

    __slots__ = (
        "_behind",
        "_body",
        "_doubt",
        "_fresh",
        "_head_bytes",
        "_head_timer",
        "_held",
        "_last",
        "_odd_method",
        "_server",
        "_stalled",
        "flow",
        "head_size",
        "known",
    )

    def __init__(self, manager: Server, **kwargs: Any) -> None:
        super().__init__(manager, **kwargs)
        self._server = manager
        self._stalled = manager.stalled
        self.flow: Flow | None = None
        self.known: Known | None = None
        """What the last head on this connection decided."""
        self.head_size = 0
        """At least the size of the current request's head when it is near the limit, else anything smaller."""
        self._head_bytes = 0
        self._behind = 0
        """At least the bytes of the next head that came in the read in which the last request ended."""
        self._doubt: http_parser.RawRequestMessage | None = None
        """The last request, where what comes behind it must not be shown to the parser that read it."""
        self._last = b""
        """The last bytes that were read since the head of that came."""
        self._head_timer: asyncio.TimerHandle | None = None
        self._held = b""
        self._odd_method = ""
        self._body: StreamReader = EMPTY_PAYLOAD
        """The body of the last request whose head is whole."""
        self._fresh = True
        """Whether the next byte certainly begins a request; what is not certain is shown to the parser as it is."""

    # -- reading ---------------------------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        """Bytes of a head, of a body or of a tunnel."""
        if self._payload_parser is not None or self._upgraded:
            self._fresh = False
            super().data_received(data)
            return
        if self._doubt is not None and data and self._body.is_eof() and not self._begin_anew(self._doubt):
            return
        fresh = self._fresh
        if fresh and not (data.startswith(_USUAL) and not self._held):
            data = self._known_method(data)
        known, size, between = self._request_count, self._body.total_bytes, self._body.is_eof()
        super().data_received(data)
        new = self._request_count - known
        if new:
            size = 0
            self._head_came(self._messages, new, len(data))
        if self._doubt is not None:
            self._last = (self._last + data[-len(BLANK) :])[-len(BLANK) :]
        if not new:
            if not data or self._force_close or self._close:
                return
            if between:
                self._head_grows(data)
                return
        body = self._body
        if not body.is_eof():
            self._fresh = False
            return
        end = self._behind = len(data)
        size = body.total_bytes - size
        if self._doubt is not None and not self._doubt.chunked:
            if ends_with(data, size, alone=new == 1, whole=new > 0 and fresh):
                self._doubt = None
            else:
                self.close()
        # The body ended with this read: what it ended in is either all body, or a blank line before the body or behind.
        self._fresh = end > 0 and (data.endswith(BLANK, 0, end - size) or size == end or data.endswith(BLANK))

    def _begin_anew(self, doubt: http_parser.RawRequestMessage) -> bool:
        """Go on with a parser that knows nothing of `doubt`, which is complete; close where more came behind it."""
        if foreign(doubt) or self._buffer_paused or self._last != BLANK:
            self.close()
            return False
        self._doubt = None
        self._parser = http_parser.HttpRequestParser(
            self,
            self._loop,
            self._read_bufsize,
            max_line_size=self.max_line_size,
            max_field_size=self.max_field_size,
            max_headers=self.max_headers,
            payload_exception=RequestPayloadError,
            auto_decompress=False,
            max_msg_queue_size=self._max_msg_queue_size,
        )
        return True

    def _drop_behind_doubt(self, messages: deque[Any], new: int) -> int:
        """Drop those of the last `new` messages that came behind a request in doubt; how many of them are left."""
        if not isinstance(messages[-1][0], http_parser.RawRequestMessage):
            return new
        left = 0
        if self._doubt is None:
            found = (place for place in range(new) if doubtful(messages[place - new][0]))
            left = next(found, new - 1) + 1
        if left < new:
            for _ in range(new - left):
                messages.pop()
            self.close()
        return left

    @property
    def _busy(self) -> bool:
        """Whether a request is served or waits to be."""
        return self._current_request is not None or bool(self._messages)

    def _head_came(self, messages: deque[Any], new: int, size: int) -> None:
        """The last `new` of `messages` came with this read of `size` bytes; the first may have a method put aside."""
        self.head_size, self._head_bytes, self._behind = self._behind + self._head_bytes + size, 0, 0
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None
        if self._odd_method:
            message, payload = messages[-new]
            if isinstance(message, http_parser.RawRequestMessage):
                messages[-new] = (message._replace(method=self._odd_method), payload)
            self._odd_method = ""
        if (new > 1 or self._doubt is not None) and not self._drop_behind_doubt(messages, new):
            return
        message, payload = messages[-1]
        if isinstance(message, http_parser.RawRequestMessage):
            self._body = payload
            self._last = b""
            self._doubt = message if (message.chunked or message.upgrade) and doubtful(message) else None
        elif not self._body.is_eof():
            # The parse error waits behind the request whose body it is in: tell its reader, who waits for bytes.
            self._body.set_exception(error := BadBodyError("the request's body breaks its framing"))
            # One that was woken by the end of a chunk, in the same read, will wait again before it looks for an error.
            self._loop.call_soon(self._body.set_exception, error)

    def _known_method(self, data: bytes) -> bytes:
        """`data` with a method the parser knows, the real one put aside; held back until a method is whole."""
        data, self._held = self._held + data, b""
        end = data.find(b" ", 0, LONGEST_METHOD + 1)
        method = data[:end] if end >= 0 else data[: LONGEST_METHOD + 1]
        if (end >= 0 and method in METHODS) or not _TOKEN.issuperset(method) or not 0 < len(method) <= LONGEST_METHOD:
            return data
        if end < 0:
            self._held = data
            self._head_waits()
            return b""
        self._odd_method = method.decode("ascii")
        return b"POST" + data[end:]

    def _head_grows(self, data: bytes) -> None:
        """`data` came, and a head is not whole yet."""
        if not self._head_bytes and not data.strip(b"\r\n"):
            return  # empty lines before a request are none of it (RFC 9112 section 2.2)
        self._fresh = False
        self._head_bytes += len(data)
        self._head_waits()

    def _head_waits(self) -> None:
        if self._head_bytes > HEAD_BYTES:
            if self._busy:
                self.close()  # behind what is served; nothing can be said in the middle of that
            else:
                self._refuse(errors.Refusal(431, "invalid_request_error", TOO_LARGE))
        elif self._head_timer is None and not self._busy:
            self._head_timer = self._loop.call_later(HEAD_TIME, self._head_late)

    def _head_late(self) -> None:
        self._head_timer = None
        message = f"the request's head did not arrive within {HEAD_TIME:g} s"
        self._refuse(errors.Refusal(408, "invalid_request_error", message))

    def _refuse(self, refusal: errors.Refusal) -> None:
        if self.transport is not None:
            self.transport.write(errors.answer(None, refusal, close=True, head_only=False))
        self.force_close()

    def eof_received(self) -> None:
        """FIN: HTTP clients do not half-close, so with a request in hand it means leaving (proxy-rules 15)."""
        if self._current_request is not None and self.transport is not None:
            self.transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client is here, its TLS handshake done."""
        super().connection_made(transport)
        bounded(transport)

    def connection_lost(self, exc: BaseException | None) -> None:
        """The client is gone."""
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None
        self.flow = None
        self._stalled.discard(self)
        super().connection_lost(exc)

    # -- flow control ----------------------------------------------------------------------------------------------

    def pause_reading(self) -> None:
        """The body's reader is full; from here on a client's leaving is not read, so it is looked for."""
        super().pause_reading()
        self._stalled.add(self)

    def resume_reading(self, resume_parser: bool = True) -> None:
        """The body's reader has room. aiohttp calls this for every body, mostly with nothing to resume."""
        if not self._reading_paused:
            return
        self._stalled.discard(self)
        super().resume_reading(resume_parser)

    def pause_writing(self) -> None:
        """The client reads slower than we write; over TLS its FIN is not told of before it has read on."""
        super().pause_writing()
        if self.transport is not None and self.transport.get_extra_info("ssl_object") is not None:
            self._stalled.add(self)
        if self.flow is not None:
            self.flow.pause()

    def resume_writing(self) -> None:
        """The client caught up."""
        super().resume_writing()
        if self.transport is not None and self.transport.is_reading():
            self._stalled.discard(self)
        if self.flow is not None:
            self.flow.resume()

    def hold(self) -> None:
        """Read no more of a tunnel until `let_go`: the other end cannot keep up."""
        if self.transport is not None:
            self.transport.pause_reading()
            self._stalled.add(self)

    def let_go(self) -> None:
        """Read on."""
        if self.transport is not None:
            self._stalled.discard(self)
            self.transport.resume_reading()

    def look_for_leaving(self) -> None:
        """Drop the connection if the client left while nothing is read from it."""
        if self.transport is not None and hung_up(self.transport.get_extra_info("socket")):
            self.transport.abort()

    # -- one request after the other -------------------------------------------------------------------------------

    async def start(self) -> None:
        """Serve the connection's requests in turn.

        aiohttp's own loop makes a task and a writer for each request; here the handler runs in the connection's task
        and writes by itself. The rest is as there: the parser's queue, keep-alive, lingering over an unread body, a
        declined upgrade.
        """
        handler = self._request_handler
        try:
            while handler is not None and self._parser is not None and not self._force_close:
                if not self._messages:
                    await self._next_head()
                message, payload = self._messages.popleft()
                self._parser.message_consumed()
                if self._buffer_paused and len(self._messages) <= self._msg_queue_resume_size:
                    self._resume_reading_if_drained()
                written = await self._serve(handler, message, payload)  # type: ignore[arg-type]
                if not payload.is_eof() and not self._force_close:
                    await self._linger(payload)
                payload.set_exception(_SPENT)
                self._keepalive = written.keep_alive
                if not written.keep_alive or (self._close and not self._messages) or self._force_close:
                    break
                self._wait_for_next()
        except BaseException:
            self.force_close()
            raise
        if not self._force_close and self.transport is not None:
            self._task_handler = None
            self.transport.close()

    async def _next_head(self) -> None:
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    async def _serve(self, handler: Handler, message: Any, payload: StreamReader) -> Written:
        if not isinstance(message, http_parser.RawRequestMessage):
            return self.handle_error(None, message.status, message.exc, message.message)
        request = Request(message, payload, self, None, None)
        self._current_request = request  # type: ignore[assignment]
        self._request_in_progress = True
        try:
            return await handler(request)
        except Exception as error:
            return self.handle_error(request, 500, error)
        finally:
            self._current_request = None
            self._request_in_progress = False
            if self._handler_waiter is not None:
                self._handler_waiter.set_result(None)
            if self._upgraded:
                self._decline_upgrade()

    def _decline_upgrade(self) -> None:
        """Go on with HTTP behind an upgrade that the provider did not accept."""
        if self._messages or self._payload_parser is not None or self._parser is None:
            return
        self._parser.set_upgraded(False)
        self._upgraded = False
        tail, self._message_tail = self._message_tail, b""
        if tail:
            self.data_received(tail)
        if self._buffer_paused:
            self._resume_reading_if_drained()

    async def _linger(self, payload: StreamReader) -> None:
        """Read what is left of a request's body for a while, so that the client gets to read its answer."""
        try:
            async with asyncio.timeout(LINGER):
                while not payload.is_eof():
                    await payload.readany()
        except (TimeoutError, BadBodyError, ConnectionError):
            self.close()

    def _wait_for_next(self) -> None:
        """Keep the connection for its next request, which may have begun."""
        if self._head_bytes or self._held:
            self._head_waits()
        due = self._loop.time() + KEEP_ALIVE
        self._next_keepalive_close_time = due
        if self._keepalive_handle is None:
            self._keepalive_handle = self._loop.call_at(due, self._process_keepalive)

    # -- the process ends ------------------------------------------------------------------------------------------

    @property
    def ending(self) -> bool:
        """Whether an answer that begins now is the last one here; what was sent behind it in one go is served first."""
        return (self._close or self._server.draining) and not self._messages

    def let_go_of(self) -> bool:
        """Close the connection if nothing is asked on it, not even by bytes that were not read yet; whether it was.

        Nor while its client has still to take what it was answered: the end of the process would cut that off.
        """
        if self._busy or self._head_bytes or self._held or self.transport is None:
            return self.transport is None
        if has_come(self.transport.get_extra_info("socket")) or unsent(self.transport):
            return False
        self.force_close()
        return True

    def stop(self) -> asyncio.Task[None] | None:
        """Have whatever is under way end now; the task that does so."""
        task = self._task_handler
        if task is not None:
            task.cancel()
        return task

    # -- what cannot be parsed -------------------------------------------------------------------------------------

    def handle_error(  # type: ignore[override]
        self, request: object, status: int = 500, exc: BaseException | None = None, message: str | None = None
    ) -> Written:
        """Answer what aiohttp's parser refused, or what a handler failed at, and close."""
        if isinstance(exc, LineTooLong) or "Too many headers" in (message or ""):
            refusal = errors.Refusal(431, "invalid_request_error", TOO_LARGE)
        elif status == 400:
            refusal = errors.Refusal(400, "invalid_request_error", "the request is not well-formed HTTP/1")
        else:
            self.logger.error("handler failed", exc_info=exc)
            refusal = errors.Refusal(500, "internal_error", "Detour failed at this request; its log says more")
        if self.transport is not None:
            self.transport.write(errors.answer(None, refusal, close=True, head_only=False))
        return CLOSE
