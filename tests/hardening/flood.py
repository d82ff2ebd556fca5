"""An upstream whose answers are large and come as fast as they are taken, and readers that take little."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

from msgspec import Struct

from tests.e2e.world import PATIENCE, Detour

MIB = 1024 * 1024
PIECE = 64 * 1024


class Flood(Struct, frozen=True):
    """One answer: its head, what its body repeats, and how many bytes of body there are."""

    head: bytes
    piece: bytes
    size: int


class Source(asyncio.Protocol):
    """A connection of a `Spring`: whatever it is asked, it floods."""

    def __init__(self, floods: dict[bytes, Flood]) -> None:
        self._floods = floods
        self._flood: Flood | None = None
        self._left = 0
        self._paused = False
        self.poured = 0
        self.gone = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: asyncio.Transport = transport  # type: ignore[assignment]
        self.transport.set_write_buffer_limits(high=PIECE)

    def connection_lost(self, exc: Exception | None) -> None:
        self.gone = True

    def data_received(self, data: bytes) -> None:
        if self._flood is None:
            self._flood = self._floods[data.split(b" ", 2)[1]]
            self._left = self._flood.size
            self.transport.write(self._flood.head)
            self._pour()

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        self._pour()

    def _pour(self) -> None:
        flood = self._flood
        while flood is not None and self._left > 0 and not self._paused and not self.transport.is_closing():
            piece = flood.piece[: self._left]
            self._left -= len(piece)
            self.poured += len(piece)
            self.transport.write(piece)


class Spring:
    """A server of floods, by target."""

    def __init__(self, floods: dict[bytes, Flood]) -> None:
        self._floods = floods
        self._sources: list[Source] = []

    def _make(self) -> Source:
        source = Source(self._floods)
        self._sources.append(source)
        return source

    async def __aenter__(self) -> Spring:
        here = socket.socket()
        here.bind(("127.0.0.1", 0))
        here.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, PIECE)  # the kernel is not to take it all
        self.url = f"http://127.0.0.1:{here.getsockname()[1]}"
        self._server = await asyncio.get_running_loop().create_server(self._make, sock=here, backlog=512)
        return self

    async def stands(self) -> None:
        """Wait until nothing flows for half a second."""
        poured = -1
        async with asyncio.timeout(3 * PATIENCE):
            while poured != (poured := sum(source.poured for source in self._sources)):  # noqa: ASYNC110 - as it is
                await asyncio.sleep(0.5)

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for source in self._sources:
            if not source.gone:
                source.transport.abort()
        await self._server.wait_closed()


def narrow(port: int, request: bytes) -> socket.socket:
    """A connection on which `request` was sent, and that takes little before it is read."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.connect(("127.0.0.1", port))
    sock.sendall(request)
    sock.setblocking(False)
    return sock


def rss(running: Detour) -> int:
    """Bytes of memory that the process has for itself."""
    with open(f"/proc/{running.process.pid}/status") as status:
        return int(next(line for line in status if line.startswith("VmRSS")).split()[1]) * 1024


class Memory:
    """The most memory of a process, over what it had when this was made."""

    def __init__(self, running: Detour) -> None:
        self._running = running
        self._before = self._most = rss(running)

    def look(self) -> int:
        """The growth in bytes, so far."""
        self._most = max(self._most, rss(self._running))
        return self._most - self._before

    async def watch(self, over: Callable[[], bool]) -> int:
        """Look until `over`."""
        while not over():
            self.look()
            await asyncio.sleep(0.05)
        return self.look()
