"""One accepted connection of the scripted provider: bytes into requests, one script at a time, and who closed when."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections import deque
from typing import Any, Protocol, cast

import httptools

from proxy.fake_conversation import Conversation
from proxy.fake_seen import Ended, Seen

PENDING = 100
"""Most requests that may wait on one connection (pipelining)."""

LINGER = 2.0
"""Seconds an upload is still read after an early answer closed our side."""

READABLE = 1 << 20
"""Bytes of a body that are there for finding the model, however few are kept in the end."""


class Owner(Protocol):
    """What a connection needs of the provider it belongs to."""

    keep: int
    memory: dict[tuple[str, str], Any]

    def accepted(self, connection: Connection) -> int:
        """Take note of a connection and return its number."""

    def lost(self, connection: Connection) -> None:
        """Take note of a connection's end."""

    def add(self, seen: Seen) -> int:
        """Log a request and return its number."""

    def at_head(self, seen: Seen) -> bool:
        """Say whether this request's script wants to run before the body has come."""

    def run(self, conversation: Conversation) -> None:
        """Choose the script and start it."""

    def ended(self, seen: Seen) -> None:
        """Take note that a request came to its end."""

    def malformed(self, why: str) -> None:
        """Take note of bytes that are not HTTP."""


class Connection(asyncio.Protocol):
    """The protocol of one connection. Its requests are answered in order, one after the other."""

    def __init__(self, owner: Owner) -> None:
        """Make the protocol for a connection that is about to be accepted."""
        self.owner = owner
        self.loop = asyncio.get_running_loop()
        self.transport: asyncio.Transport
        self.number = 0
        self.requests = 0
        self.current: Conversation | None = None
        self.paused: asyncio.Future[None] | None = None
        self.tunnel: asyncio.Queue[bytes] | None = None
        self._parser = httptools.HttpRequestParser(self)
        self._pending: deque[Seen] = deque()
        self._reading: Seen | None = None
        self._last: Seen | None = None
        self._held: bytearray | None = None
        self._target = b""
        self._headers: list[tuple[bytes, bytes]] = []

    # The transport's side.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport."""
        self.transport = cast("asyncio.Transport", transport)  # uvloop's is no subclass of it
        self.number = self.owner.accepted(self)

    def data_received(self, data: bytes) -> None:
        """Parse what came."""
        if self.tunnel is not None:
            self.tunnel.put_nowait(data)
            return
        if self._held is not None:
            self._held += data
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._upgraded(data[upgrade.args[0] :])
        except httptools.HttpParserError as error:
            self.owner.malformed(f"connection {self.number}: {error!r}")
            self.transport.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            self.transport.close()

    def eof_received(self) -> None:
        """Take the client's FIN as its leaving: HTTP clients do not half-close."""
        last = self._last
        if last is not None and last.ended is Ended.ANSWERED and self.transport.get_write_buffer_size() > 0:
            last.ended, last.client_closed_at = Ended.CLIENT_LEFT, self.loop.time()
        self._client_closed(Ended.CLIENT_LEFT)

    def connection_lost(self, exc: Exception | None) -> None:
        """End whatever was still open."""
        self._client_closed(Ended.CLIENT_LEFT if exc is None else Ended.CLIENT_RESET)
        if self.paused is not None and not self.paused.done():
            self.paused.set_result(None)
        self.owner.lost(self)

    def pause_writing(self) -> None:
        """Note that the client does not read as fast as is written."""
        self.paused = self.loop.create_future()

    def resume_writing(self) -> None:
        """Let the script go on."""
        if self.paused is not None and not self.paused.done():
            self.paused.set_result(None)
        self.paused = None

    # The parser's side.

    def on_message_begin(self) -> None:
        """Begin a request."""
        self._target = b""
        self._headers = []

    def on_url(self, part: bytes) -> None:
        """Collect the target, byte for byte."""
        self._target += part

    def on_header(self, name: bytes, value: bytes) -> None:
        """Collect a header, byte for byte."""
        self._headers.append((name, value))

    def on_headers_complete(self) -> None:
        """Log the request."""
        parser = self._parser
        seen = Seen(
            number=0,
            connection=self.number,
            reused=self.requests > 0,
            method=parser.get_method().decode("latin-1"),
            target=self._target,
            version=parser.get_http_version(),
            headers=self._headers,
            at=self.loop.time(),
            keep_alive=parser.should_keep_alive(),
        )
        self.requests += 1
        seen.number = self.owner.add(seen)
        self._reading = seen
        if self.current is None and self.owner.at_head(seen):
            self._start(seen)
        elif (seen.header(b"expect") or b"").lower() == b"100-continue":
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, data: bytes) -> None:
        """Keep the body, within bounds."""
        seen = cast("Seen", self._reading)
        seen.size += len(data)
        room = max(self.owner.keep, READABLE) - len(seen.received)
        if room > 0:
            seen.received += data[:room]

    def on_message_complete(self) -> None:
        """Answer the request, or let it wait for its turn."""
        seen, self._reading = cast("Seen", self._reading), None
        seen.body_at = self.loop.time()
        if self.current is not None and self.current.seen is seen:
            self.current.body_complete()
        elif seen.ended is Ended.OPEN:
            self._pending.append(seen)
            if len(self._pending) > PENDING:
                self.transport.abort()
            else:
                self._pump()

    # The scripts' side.

    def done(self, conversation: Conversation, *, keep: bool) -> None:
        """Take the end of a conversation; without `keep` the connection is closed once all is written."""
        self.current = None
        self._last = conversation.seen
        self.owner.ended(conversation.seen)
        if keep and self._held is not None:
            self.loop.call_soon(self._release)
        if not keep:
            self._close(linger=conversation.seen.body_at is None)
        elif self._pending and not self.transport.is_closing():
            self.loop.call_soon(self._pump)

    def reset(self) -> None:
        """Close with an RST: linger for no time at all, then drop the socket."""
        sock: socket.socket = self.transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()

    def _close(self, *, linger: bool) -> None:
        """Close; while an upload is still coming only our side, so that no RST overtakes the answer (RFC 9112, 9.6)."""
        if linger and self.transport.can_write_eof() and not self.transport.is_closing():
            self.transport.write_eof()
            self.loop.call_later(LINGER, self.transport.abort)
        else:
            self.transport.close()

    def _pump(self) -> None:
        while self._pending and self.current is None and not self.transport.is_closing():
            self._start(self._pending.popleft())

    def _start(self, seen: Seen) -> None:
        self.current = conversation = Conversation(self, seen)
        self.owner.run(conversation)

    def _upgraded(self, rest: bytes) -> None:
        """Hold what follows a request that asked for another protocol until its script has agreed or answered."""
        self._parser = httptools.HttpRequestParser(self)
        self._held = bytearray(rest)
        if self.current is None:
            self._release()

    def take(self) -> asyncio.Queue[bytes]:
        """Hand the connection's bytes over raw from now on."""
        self.tunnel = asyncio.Queue()
        self._release()
        return self.tunnel

    def _release(self) -> None:
        held, self._held = self._held, None
        if held:
            self.data_received(bytes(held))

    def stop(self) -> None:
        """End everything because the provider stops."""
        self._end_all(Ended.STOPPED, None)
        self.transport.abort()

    def _client_closed(self, how: Ended) -> None:
        self._end_all(how, self.loop.time())

    def _end_all(self, how: Ended, client_closed_at: float | None) -> None:
        now = self.loop.time() if client_closed_at is None else client_closed_at
        for seen in self._unanswered():
            if seen.ended is Ended.OPEN:
                seen.client_closed_at = client_closed_at
                seen.end(how, now)
                self.owner.ended(seen)
        self._pending.clear()
        if self.current is not None:
            current, self.current = self.current, None
            current.cancel()

    def _unanswered(self) -> list[Seen]:
        open_ones = [*self._pending]
        if self._reading is not None:
            open_ones.append(self._reading)
        if self.current is not None and self.current.seen is not self._reading:
            open_ones.append(self.current.seen)
        return open_ones
