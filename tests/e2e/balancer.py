"""A TCP balancer that knows of HTTP nothing but `/readyz`, as a Service's endpoints do: late, and without retries."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence

from tests.e2e.world import Detour

LATE = 0.2
"""Seconds between two looks at who is ready."""


class Balancer:
    """Spreads connections over those of `backends` that were ready at the last look, in turn."""

    def __init__(self, backends: Sequence[Detour] = ()) -> None:
        self.backends = list(backends)
        self.ready: list[Detour] = []
        self.refused = 0
        """Connections that a backend which was taken for ready did not take: lost."""
        self.port = 0
        self._turn = 0
        self._server: asyncio.Server | None = None
        self._looking: asyncio.Task[None] | None = None
        self._pipes: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Balancer:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0, backlog=1024)
        self.port = self._server.sockets[0].getsockname()[1]
        self._looking = asyncio.create_task(self._look())
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        assert self._looking is not None
        self._looking.cancel()
        self._server.close()
        for pipe in self._pipes:
            pipe.cancel()
        await asyncio.gather(self._looking, *self._pipes, return_exceptions=True)

    async def _look(self) -> None:
        while True:
            found = []
            for backend in list(self.backends):
                with contextlib.suppress(OSError, TimeoutError, asyncio.IncompleteReadError, ValueError, IndexError):
                    if (await backend.get("/readyz"))[0] == 200:
                        found.append(backend)
            self.ready = found
            await asyncio.sleep(LATE)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._pipes.add(task)
        task.add_done_callback(self._pipes.discard)
        if not self.ready:
            self.refused += 1
            writer.transport.abort()
            return
        self._turn += 1
        backend = self.ready[self._turn % len(self.ready)]
        try:
            there, back = await asyncio.open_connection("127.0.0.1", backend.port)
        except OSError:
            self.refused += 1
            writer.transport.abort()
            return
        try:
            await asyncio.gather(_pipe(reader, back), _pipe(there, writer))
        finally:
            writer.close()
            back.close()


async def _pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Carry bytes one way; an end is passed on as it is, a reset too."""
    try:
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
        writer.write_eof()
    except OSError:
        writer.transport.abort()
