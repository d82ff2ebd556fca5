"""What a script holds: one request, the answer prepared for it, and the wire to send it on in whatever way it likes.

A script runs as a task of its own (or at once, when it is an ordinary function) and is cancelled when the client goes
away, so it needs to clean up nothing. Whatever is sent after that is dropped.
"""

from __future__ import annotations

import asyncio
import fcntl
import http
import struct
import termios
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final

from proxy.fake_answers import recognise
from proxy.fake_asked import Answer, Asked
from proxy.fake_pacer import Pacer
from proxy.fake_script import Script
from proxy.fake_seen import Ended, Seen

if TYPE_CHECKING:
    from proxy.fake_connection import Connection

BATCH: Final = 65_536
"""Bytes written between two looks at whether the client keeps up."""

LAST_CHUNK: Final = b"0\r\n\r\n"

Headers = Sequence[tuple[bytes, bytes]]


class Conversation:
    """One request and its answer in the making."""

    def __init__(self, connection: Connection, seen: Seen) -> None:
        """Recognise the request; its script is set by the provider."""
        self.connection = connection
        self.seen = seen
        self.loop = connection.loop
        self.keep = seen.keep_alive
        """Whether the connection may serve another request; HTTP/1.0 clients and `Connection: close` say no."""
        self.chunked = False
        self.asked: Asked
        self._make = self.recognise()
        self._answer: Answer | None = None
        self._body: asyncio.Future[None] | None = None
        self._task: asyncio.Future[None] | None = None
        self._over = False

    @property
    def script(self) -> Script:
        """The script with its options."""
        return self.asked.script

    @property
    def answer(self) -> Answer:
        """The proper answer to this request, made when first asked for."""
        if self._answer is None:
            self._answer = self._make(self.asked)
        return self._answer

    @property
    def over(self) -> bool:
        """Whether the answer is complete, or the client or the script has closed the connection."""
        return self._over

    def recognise(self) -> Any:
        """Read the request again, now that more of its body may be there."""
        self.asked, make = recognise(self.seen)
        seen, asked = self.seen, self.asked
        seen.endpoint, seen.dialect, seen.model, seen.streamed = (
            asked.endpoint,
            asked.dialect,
            asked.model,
            asked.streamed,
        )
        return make

    # Waiting.

    async def body(self) -> bytes:
        """Wait until the whole request has come and return its body."""
        if self.seen.body_at is None:
            self._body = self.loop.create_future()
            await self._body
        return self.seen.body

    def body_complete(self) -> None:
        """Wake whoever waits in `body`."""
        script = self.script
        self._make = self.recognise()
        self.asked.script = script
        if self._body is not None and not self._body.done():
            self._body.set_result(None)

    async def sleep(self, seconds: float) -> None:
        """Wait; no time at all is not even a turn of the loop."""
        if seconds > 0:
            await asyncio.sleep(seconds)

    async def forever(self) -> None:
        """Wait until the client goes away, which cancels this."""
        await self.loop.create_future()

    def remember(self, fresh: Any) -> Any:
        """Return what this script remembers about the model; `fresh`, kept from now on, the first time."""
        return self.connection.owner.memory.setdefault((self.script.name, self.seen.model), fresh)

    async def drain(self) -> None:
        """Wait until the client keeps up again."""
        if self.connection.paused is not None:
            await self.connection.paused

    async def delivered(self) -> None:
        """Wait until the client's kernel has acknowledged everything sent, so that an RST cannot overtake it."""
        await asyncio.sleep(0)
        transport = self.connection.transport
        # The kernel wakes nobody for this, so it is asked.
        while transport.get_write_buffer_size() or _unacknowledged(transport):  # noqa: ASYNC110
            await asyncio.sleep(0.001)

    # Sending.

    def send(self, data: bytes) -> None:
        """Write raw bytes to the wire, with no framing."""
        if self._over:
            return
        if self.seen.answer_at is None:
            self.seen.answer_at = self.loop.time()
        self.seen.sent += len(data)
        self.connection.transport.write(data)

    def head(self, status: int = 200, headers: Headers = (), *, length: int | None = None) -> bytes:
        """Return an answer's head: framed by `length`, else by chunks, or by the connection's end for HTTP/1.0."""
        self.seen.status = status
        lines = [b"HTTP/1.1 %d %b" % (status, _reason(status))]
        lines += [name + b": " + value for name, value in headers]
        if length is not None:
            lines.append(b"content-length: %d" % length)
        elif self.seen.version == "1.0":
            self.keep = False
        else:
            self.chunked = True
            lines.append(b"transfer-encoding: chunked")
        if not self.keep:
            lines.append(b"connection: close")
        return b"\r\n".join(lines) + b"\r\n\r\n"

    def chunk(self, data: bytes) -> bytes:
        """Return `data` framed as the head announced it."""
        return b"%x\r\n%b\r\n" % (len(data), data) if self.chunked and data else data

    async def pieces(self, pieces: Iterable[bytes], *, gap: float = 0.0, content: bool = False) -> None:
        """Send pieces `gap` seconds apart; pieces of `content` are counted as events."""
        if gap > 0:
            await Pacer(self, pieces, gap, content=content).run()
            return
        batch = bytearray()
        for piece in pieces:
            batch += self.chunk(piece)
            self.seen.events += content
            if len(batch) >= BATCH:
                self.send(bytes(batch))
                batch.clear()
                await self.drain()
        if batch:
            self.send(bytes(batch))

    # Ending.

    def finish(self) -> None:
        """End the answer properly: the last chunk where there are chunks, the connection's end where that is due."""
        if self._over:
            return
        if self.chunked:
            self.send(LAST_CHUNK)
        self._end(Ended.ANSWERED, keep=self.keep)

    def close(self) -> None:
        """Close the connection (FIN) once what was sent is out, whatever is missing."""
        self._end(Ended.CLOSED, keep=False)

    def reset(self) -> None:
        """Reset the connection (RST)."""
        if not self._over:
            self.connection.reset()
            self._end(Ended.RESET, keep=False)

    async def wait_for_reset(self) -> None:
        """Reset the connection (RST) as soon as the client has all that was sent."""
        await self.delivered()
        self.reset()

    def tunnel(self) -> asyncio.Queue[bytes]:
        """Take the connection's bytes raw from now on."""
        return self.connection.take()

    def spawn(self, work: Awaitable[None], failed: Callable[[Conversation, BaseException | None], None]) -> None:
        """Run a script's coroutine as a task; `failed` is told of its exception when it was not cancelled."""
        self._task = asyncio.ensure_future(work)
        self._task.add_done_callback(lambda task: None if task.cancelled() else failed(self, task.exception()))

    def cancel(self) -> None:
        """Stop the script: the client is gone, or the provider stops."""
        self._over = True
        if self._task is not None:
            self._task.cancel()

    def _end(self, how: Ended, *, keep: bool) -> None:
        if self._over:
            return
        self._over = True
        self.seen.end(how, self.loop.time())
        self.connection.done(self, keep=keep)


def _reason(status: int) -> bytes:
    try:
        return http.HTTPStatus(status).phrase.encode()
    except ValueError:
        return b"Site Is Overloaded" if status == 529 else b"Unassigned"


def _unacknowledged(transport: asyncio.Transport) -> int:
    """Return how many bytes the other side's kernel has not acknowledged yet (Linux: SIOCOUTQ)."""
    sock = transport.get_extra_info("socket")
    return int(struct.unpack("i", fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, b"\0\0\0\0"))[0])
