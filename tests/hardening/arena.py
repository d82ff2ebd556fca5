"""A running Detour between hostile bytes and an upstream that takes down all it gets, and honest clients beside them.

All of them share one provider, and with it one pool of connections: what one of them could do to a connection, the
others would see.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import statistics
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from msgspec import Struct

from tests.e2e.world import ALONE, PATIENCE, Detour, Peer, client, detour
from tests.hardening.strict import Seen, UncleanError, parse

Answer = tuple[int, bytes, bytes]
"""Status, head and body."""

CANARY = b"/canary/"


class Recorder:
    """An upstream that parses strictly and tells in each answer what it was asked.

    What `script` holds for a target is sent in the place of that: bytes, and None for closing.
    """

    def __init__(self) -> None:
        self.seen: list[Seen] = []
        """Whole requests but the canaries'."""
        self.unclean: list[str] = []
        self.begun: list[bytes] = []
        """What came on connections that ended in the middle of a request."""
        self.script: dict[bytes, tuple[bytes | None, ...]] = {}
        self.lines: set[Line] = set()
        self.scripted: dict[bytes, Line] = {}
        """The connection on which a target of the script was asked for."""
        self.accepted = 0
        self.authority = b""
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Recorder:
        self._server = await asyncio.get_running_loop().create_server(lambda: Line(self), "127.0.0.1", 0)
        self.authority = b"127.0.0.1:%d" % self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for line in list(self.lines):
            line.transport.abort()
        await self._server.wait_closed()

    @property
    def url(self) -> str:
        return f"http://{self.authority.decode()}"

    async def settled(self) -> None:
        """Wait until every request that was begun is whole or has ended with its connection."""
        async with asyncio.timeout(PATIENCE):
            while any(line.unfinished for line in self.lines):  # noqa: ASYNC110 - connections add to it
                await asyncio.sleep(0.001)

    def answer(self, seen: Seen, line: Line) -> tuple[bytes | None, ...]:
        """What is sent for a request that came on `line`."""
        if not _canary(seen):
            self.seen.append(seen)
        if seen.target in self.script:
            self.scripted[seen.target] = line
            return self.script[seen.target]
        body = told(seen.method, seen.target, seen.body)
        head = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n" % len(body)
        return (head + (b"" if seen.method == b"HEAD" else body),)


class Line(asyncio.Protocol):
    """One connection to the recorder."""

    transport: asyncio.Transport

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._buffer = bytearray()

    @property
    def unfinished(self) -> bool:
        """Whether a request has come in part."""
        return bool(self._buffer)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]
        self._recorder.lines.add(self)
        self._recorder.accepted += 1

    def connection_lost(self, exc: Exception | None) -> None:
        self._recorder.lines.discard(self)
        if self._buffer:
            self._recorder.begun.append(bytes(self._buffer))

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        try:
            while self._buffer and (found := parse(self._buffer, self._recorder.authority)) is not None:
                del self._buffer[: found[1]]
                for part in self._recorder.answer(found[0], self):
                    if part is None:
                        self.transport.close()
                    else:
                        self.transport.write(part)
        except UncleanError as error:
            self._recorder.unclean.append(str(error))
            self.transport.abort()


def told(method: bytes, target: bytes, body: bytes) -> bytes:
    """What the recorder says to a request, which no other one gets."""
    return b"%b %b %d %b" % (method, target, len(body), body[:512])


def _canary(seen: Seen) -> bool:
    return seen.target.startswith(CANARY) or b"canary" in seen.body[:64]


class Canary:
    """Honest clients that ask all the while: one on a connection that it keeps, one on a new one for each request."""

    def __init__(self, port: int, pause: float = 0.01) -> None:
        self._port = port
        self._pause = pause
        self._numbers = itertools.count(1)
        self._tasks: list[asyncio.Task[None]] = []
        self.wrong: list[str] = []
        """What went otherwise than it has to."""
        self.took: list[float] = []
        """Seconds that each answer took."""

    async def __aenter__(self) -> Canary:
        self._tasks = [asyncio.create_task(self._keep()), asyncio.create_task(self._come())]
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()
        assert not self.wrong, self.wrong[:5]
        assert self.took, "no canary ever had an answer"

    async def stop(self) -> None:
        """Ask no more."""
        running = set(self._tasks)
        while running:  # Python 3.11's wait_for may swallow a cancellation that comes together with what it waits for
            for task in running:
                task.cancel()
            _, running = await asyncio.wait(running, timeout=1.0)
        for done in await asyncio.gather(*self._tasks, return_exceptions=True):
            if isinstance(done, Exception):
                self.wrong.append(repr(done))
        self._tasks = []

    def since(self, count: int) -> str:
        """How long answers took after the first `count`: median and longest."""
        took = self.took[count:] or [0.0]
        return f"{len(took)} answers, median {statistics.median(took) * 1e3:.1f} ms, longest {max(took) * 1e3:.0f} ms"

    async def more(self, count: int) -> None:
        """Wait until so many more answers came."""
        goal = len(self.took) + count
        async with asyncio.timeout(PATIENCE * 3):
            while len(self.took) < goal and not self.wrong:  # noqa: ASYNC110 - two tasks add to it
                await asyncio.sleep(0.01)

    async def _keep(self) -> None:
        async with client(self._port) as peer:
            while True:
                target = b"%b%d" % (CANARY, next(self._numbers))
                request = b"GET /lab%b HTTP/1.1\r\nHost: localhost\r\n\r\n" % target
                await self._ask(peer, request, told(b"GET", target, b""))

    async def _come(self) -> None:
        target = b"/v1/chat/completions"
        while True:
            body = b'{"model":"canary","n":%d}' % next(self._numbers)
            request = (
                b"POST /lab%b HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer canary\r\n"
                b"Content-Type: application/json\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%b"
            )
            async with client(self._port) as peer:
                await self._ask(peer, request % (target, len(body), body), told(b"POST", target, body))

    async def _ask(self, peer: Peer, request: bytes, expected: bytes) -> None:
        began = asyncio.get_running_loop().time()
        await peer.send(request)
        status, _, body = await peer.answer()
        self.took.append(asyncio.get_running_loop().time() - began)
        if (status, body) != (200, expected):
            self.wrong.append(f"{request!r} got {status} {body!r}")
        await asyncio.sleep(self._pause)


class Arena(Struct):
    """Everything that takes part."""

    detour: Detour
    upstream: Recorder
    canary: Canary

    async def says(self, raw: bytes, *, size: int = 0) -> bytes:
        """Every byte that a client gets for `raw`, up to the end of the connection, a reset being one.

        With a `size` the bytes are sent in pieces of that many.
        """
        async with client(self.detour.port) as peer:
            got = bytearray()
            reading = asyncio.create_task(_collect(peer, got))
            with contextlib.suppress(ConnectionError):
                for at in range(0, len(raw), size or len(raw)):
                    await peer.send(raw[at : at + (size or len(raw))])
                    if size:
                        await peer.settled(1)
            await asyncio.wait_for(reading, PATIENCE)
            return bytes(got)


async def _collect(peer: Peer, got: bytearray) -> None:
    with contextlib.suppress(ConnectionError):
        while part := await peer.reader.read(1 << 16):
            got += part


LIMITS = {
    "connect": "10s",
    "first_byte": "60s",
    "idle": "60s",
    "answer": "60s",
    "total": "120s",
    "stream_total": "120s",
}


@contextlib.asynccontextmanager
async def open_arena(
    folder: Path, *, pause: float = 0.01, more: dict[str, Any] | None = None, **sections: Any
) -> AsyncIterator[Arena]:
    """A running Detour whose provider `lab` is a `Recorder`; nobody was disturbed in the end, and nothing unclean."""
    async with Recorder() as upstream:
        providers = {"lab": {"base_url": f"{upstream.url}/v1", "dialect": "openai"}} | (more or {})
        config = (
            ALONE
            | {"drain": {"timeout": "5s"}, "timeouts": LIMITS, "log": {"format": "json"}, "providers": providers}
            | sections
        )
        async with detour(config, path=folder / "detour.yaml") as running:
            async with Canary(running.port, pause) as canary:
                yield Arena(running, upstream, canary)
            assert not upstream.unclean, upstream.unclean
