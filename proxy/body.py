"""The caller's request body: what is in memory and what still comes.

Judged requests are read into memory first, up to the replay bound: the model is in there, and another attempt needs
the bytes again. Everything beyond the bound, and every body of a path that is not judged, streams through once.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from proxy.incoming import Incoming
    from proxy.memory import ReplayMemory
    from proxy.request import Request
    from proxy.upstream import Upstream
    from proxy.watch import Watch

IDLE: Final = 30.0
"""Seconds between two reads of a request body before the client is told 408 (semantics section 7)."""

CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"


class BodyTimeoutError(Exception):
    """The client stopped sending in the middle of its body."""


class BodyTooLargeError(Exception):
    """The body is larger than a judged path may have: more than `limit` bytes."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"more than {limit} bytes")
        self.limit = limit


class Body:
    """One request's body, read at most once from the client."""

    __slots__ = (
        "_expects",
        "_incoming",
        "_kept",
        "_memory",
        "_request",
        "_watch",
        "complete",
        "data",
        "due",
        "limit",
        "size",
    )

    def __init__(self, request: Request, memory: ReplayMemory, watch: Watch, *, expects: bool, limit: int) -> None:
        """`limit` is the most bytes the body may have in all, 0 for any number."""
        self._request = request
        self._incoming: Incoming = request.payload
        self._memory = memory
        self._watch = watch
        self._expects = expects
        self.limit = limit
        self.data: bytes | bytearray = b""
        self.size = 0
        self.complete = False
        self._kept = False
        self.due = float("inf")

    @property
    def judged(self) -> bool:
        """Whether it belongs to a request that is judged as a generation; such bodies alone have a limit."""
        return self.limit > 0

    @property
    def whole(self) -> bool:
        """Whether all of it is in memory, and it may be kept for another attempt."""
        return self.complete and self._kept and len(self.data) == self.size

    def take(self, most: int) -> None:
        """Take a body that has come whole already; kept if it has `most` bytes at most. Raises BodyTooLargeError."""
        data = self.data = self._incoming.take()
        size = len(data)
        self._memory.used += size
        self.complete = True
        self._kept = size <= most
        self._took(size)

    async def collect(self, most: int) -> None:
        """Read until the body is complete, or as much of it is there as may be kept: `most` bytes at most.

        Raises:
            BodyTimeoutError, BodyTooLargeError, BadBodyError: as named.
            ConnectionError: the client is gone.
        """
        self._say_continue()
        incoming = self._incoming
        try:
            await self._until(min(most, self.limit + 1) if self.limit else most)
            self.complete = incoming.complete
        finally:
            self.data = incoming.take()
            self._memory.used += len(self.data)
        self._kept = len(self.data) <= most
        self._took(len(self.data))

    async def stream(self, connection: Upstream, *, chunked: bool, drained: asyncio.Event) -> None:
        """Send on what has not been read yet, with backpressure; `drained` is set whenever `connection` takes bytes.

        Raises:
            As `collect`.
        """
        self._say_continue()
        while part := await self._next():
            connection.write(b"%x\r\n" % len(part) + part + b"\r\n" if chunked else part)
            while connection.blocked and connection.transport is not None:
                drained.clear()
                await drained.wait()
        if chunked:
            connection.write(b"0\r\n\r\n")
        self.complete = True

    def release(self) -> None:
        """Give the memory back; the bytes are needed no more."""
        self._memory.used -= len(self.data)
        self.data = b""

    def moved(self) -> None:
        """More of it came while it was waited for."""
        self.due = self._watch.now() + IDLE

    def overdue(self, now: float) -> None:
        """The client stopped sending."""
        self._incoming.fail(BodyTimeoutError(f"no byte of the request's body came for {IDLE:g} s"))

    async def _next(self) -> bytes | bytearray:
        await self._until(1)
        part = self._incoming.take()
        self._took(len(part))
        return part

    async def _until(self, size: int) -> None:
        """Wait until so many bytes are in memory, as long as bytes keep coming."""
        incoming = self._incoming
        self.moved()
        self._watch.add(self)
        incoming.listener = self
        try:
            await incoming.until(size)
        finally:
            incoming.listener = None
            self._watch.discard(self)

    def _took(self, size: int) -> None:
        self.size += size
        if self.limit and self.size > self.limit:
            raise BodyTooLargeError(self.limit)

    def _say_continue(self) -> None:
        transport = self._request.connection.transport
        if self._expects and transport is not None and self._incoming.came == 0:
            transport.write(CONTINUE)
        self._expects = False
