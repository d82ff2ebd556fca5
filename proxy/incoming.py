"""A request's body as it comes from its client: what is in memory, and who waits for more.

A body of known length is read by the system straight into its own memory, once so much of it has come that it is no
trickle. That memory is made for all of the body if possible: growing it step by step costs a large body a quarter more
(measured). It is at most `GROWTH` times what really came, so that a Content-Length alone costs nothing, and counted as
soon as it is made. What is handed out is never touched again: a transport may hold it for as long as it likes.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from proxy.chunks import Chunks
    from proxy.memory import ReplayMemory

AHEAD: Final = 1024 * 1024
"""Bytes that may wait here unread before the client is told to stop, as long as all bodies fit into their memory."""
STREAMED: Final = 256 * 1024
"""The same for a body that is taken as it comes."""
TRICKLE: Final = 32 * 1024
"""Bytes below which a body has no memory of its own to be read into."""
GROWTH: Final = 32
NO_END: Final = -1


class Pausing(Protocol):
    """The connection that a body comes on."""

    def pause_reading(self) -> None:
        """Read no more of the body."""

    def resume_reading(self) -> None:
        """Read on."""


class Listener(Protocol):
    """Who waits for a body, and has a time limit."""

    def moved(self) -> None:
        """Bytes came."""


class Incoming:
    """One request's body, until it has come."""

    __slots__ = (
        "_bound",
        "_buffer",
        "_client",
        "_filled",
        "_memory",
        "_paused",
        "_waiter",
        "_wanted",
        "came",
        "chunks",
        "complete",
        "counted",
        "dropping",
        "failure",
        "left",
        "listener",
    )

    def __init__(
        self, client: Pausing, memory: ReplayMemory, data: bytes, left: int, chunks: Chunks | None = None
    ) -> None:
        """`data` came with the head; `left` more bytes are to come, or `chunks` is asked when it is over.

        What is held here until it is taken is counted in `memory`, but for a body that came with its head.
        """
        self._client = client
        self._memory = memory
        self._buffer: bytes | bytearray = data
        self._filled = len(data)
        """Bytes of the buffer that came, and were not taken yet."""
        self.came = len(data)
        """Bytes that came in all."""
        self.left = left
        """Bytes of a known length that are still to come."""
        self.chunks = chunks
        self.complete = left == 0 and chunks is None
        """Whether all of it came, be it taken or not."""
        self.counted = 0 if self.complete else len(data)
        """Bytes that are counted in `memory`."""
        memory.used += self.counted
        self.failure: Exception | None = None
        self.dropping = False
        """Whether nobody wants what comes."""
        self.listener: Listener | None = None
        self._bound = AHEAD
        self._wanted = 1
        self._paused = False
        self._waiter: asyncio.Future[None] | None = None

    # -- the connection's side -------------------------------------------------------------------------------------

    @property
    def direct(self) -> bool:
        """Whether the next read goes into `room`."""
        return self._filled >= TRICKLE and self.chunks is None and not self.dropping

    def room(self) -> memoryview:
        """Where the next read goes: no more than is left of the body."""
        buffer, filled = self._buffer, self._filled
        if isinstance(buffer, bytes) or filled == len(buffer):
            spare = self._memory.limit - self._memory.used + self.counted
            size = min(filled + self.left, max(min(self._bound, GROWTH * filled, spare), filled + TRICKLE))
            self._count(size - self.counted)
            grown = bytearray(size)
            grown[:filled] = buffer
            buffer = self._buffer = grown
        return memoryview(buffer)[filled:]

    def filled(self, size: int) -> None:
        """So many bytes were read into `room`."""
        self._filled += size
        self._came(size)

    def add(self, data: bytearray, at: int, end: int) -> None:
        """Bytes came that were read elsewhere."""
        size = end - at
        if not self.dropping:
            buffer = self._buffer
            if isinstance(buffer, bytes):
                buffer = self._buffer = bytearray(buffer)
            buffer += memoryview(data)[at:end]
            self._filled += size
            self._count(size)
        self._came(size)

    def _count(self, size: int) -> None:
        self.counted += size
        self._memory.used += size

    def _came(self, size: int) -> None:
        self.came += size
        if self.chunks is None:
            self.left -= size
            if not self.left:
                self.end()
                return
        if self.listener is not None:
            self.listener.moved()
        if self._filled >= self._bound or self._memory.full(self._filled):
            if not self._paused:
                self._paused = True
                self._client.pause_reading()
            self._wake()
        elif self._filled >= self._wanted:
            self._wake()

    def end(self) -> None:
        """All of it came."""
        self.complete = True
        self._resume()
        self._wake()

    def fail(self, failure: Exception) -> None:
        """Nothing comes any more, because of this; the first reason counts."""
        if self.failure is None and not self.complete:
            self.failure = failure
            self._wake()

    # -- the reader's side -----------------------------------------------------------------------------------------

    async def until(self, size: int) -> None:
        """Wait until the body is complete, or `size` bytes of it are in memory or as many as there is room for.

        Raises:
            Exception: it has failed, with what it has failed with.
        """
        self._wanted = size
        self._bound = max(size, STREAMED)
        while not (self.complete or self.failure is not None or self._enough()):
            self._resume()
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        if self.failure is not None:
            raise self.failure

    def _enough(self) -> bool:
        return self._filled >= self._wanted or self._memory.full(self._filled)

    def take(self) -> bytes | bytearray:
        """What is in memory; nothing once the body is at its end."""
        data = self._buffer
        if isinstance(data, bytearray):
            del data[self._filled :]
        self._buffer = b""
        self._filled = 0
        if self.counted:
            self._count(-self.counted)
        return data

    async def read(self) -> bytes | bytearray:
        """What comes next; nothing once the body is at its end. Raises as `until`."""
        await self.until(1)
        return self.take()

    async def drop(self) -> None:
        """Let what is left come, and throw it away. Raises as `until`."""
        self.take()
        self.dropping = True
        await self.until(1)

    def _resume(self) -> None:
        if self._paused:
            self._paused = False
            self._client.resume_reading()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
