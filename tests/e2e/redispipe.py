"""A wire between one sidecar and its Redis that can be cut, be slow, or lose answers and news."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from typing import Self


class Pipe:
    """A TCP proxy on the loopback. Both ends stay connected whatever happens to what they say."""

    def __init__(self, port: int) -> None:
        """Lead to this port."""
        self._to = port
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._whole = asyncio.Event()
        self._whole.set()
        self.port = 0
        self.slow = 0.0
        """Seconds by which every answer is late."""
        self.losing = 0
        """So many more answers are to be lost; that what was asked arrives."""
        self.lost = 0
        """Answers that were lost."""
        self._gossip = True
        self.hushed = 0
        """Pieces of news that did not arrive."""

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    @contextlib.contextmanager
    def cut(self) -> Iterator[None]:
        """Let nothing through in either direction; at the end everything again, and what was held back first."""
        self._whole.clear()
        try:
            yield
        finally:
            self._whole.set()

    @contextlib.contextmanager
    def hush(self) -> Iterator[None]:
        """Let nothing through of what is published; what is asked and answered arrives."""
        self._gossip = False
        try:
            yield
        finally:
            self._gossip = True

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._carry(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, until either end is gone."""
        far: asyncio.StreamWriter | None = None
        try:
            await self._whole.wait()
            back, far = await asyncio.open_connection("127.0.0.1", self._to)
            said = _Said()
            there = asyncio.create_task(self._ask(reader, far, said))
            here = asyncio.create_task(self._answer(back, writer, said))
            try:
                await asyncio.wait([there, here], return_when=asyncio.FIRST_COMPLETED)
            finally:
                there.cancel()
                here.cancel()
                await asyncio.gather(there, here, return_exceptions=True)
        except OSError:
            pass
        finally:
            for end in (writer, far):
                if end is not None:
                    end.close()
                    with contextlib.suppress(OSError):
                        await end.wait_closed()

    async def _ask(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, said: _Said) -> None:
        while data := await reader.read(65536):
            await self._whole.wait()
            if b"SUBSCRIBE" in data:
                said.subscribed = True
            if self.losing and b"EVALSHA" in data and not said.unheard:
                self.losing -= 1
                said.unheard = True
            writer.write(data)
            await writer.drain()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, said: _Said) -> None:
        while data := await reader.read(65536):
            await asyncio.sleep(self.slow)
            await self._whole.wait()
            if said.unheard:
                self.lost += 1
            elif said.subscribed and not self._gossip and b"\r\nmessage\r\n" in data:
                self.hushed += 1
            else:
                writer.write(data)
                await writer.drain()


class _Said:
    """What is known of one connection: whether it subscribed, and whether its answers are being lost."""

    subscribed = False
    unheard = False
