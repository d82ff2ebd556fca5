"""A small real proxy that speaks CONNECT: it knows names that nobody else does, asks for a password, or misbehaves."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import ssl


class ConnectProxy:
    """Leads `host:port`, as asked for, to a local port.

    `password` is `user:password` that it wants. `answer`, when set, is all it says. `pause` are seconds before it
    answers. `asked` are the requests that came, `through` the ways that were opened, `open` those that still are.
    """

    def __init__(
        self,
        ways: dict[str, int],
        *,
        tls: ssl.SSLContext | None = None,
        password: str | None = None,
        answer: bytes | None = None,
        pause: float = 0.0,
    ) -> None:
        self.ways = ways
        self.password = password
        self.answer = answer
        self.pause = pause
        self.asked: list[bytes] = []
        self.through: list[str] = []
        self.open = 0
        self.port = 0
        self._tls = tls
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def authority(self) -> str:
        return f"127.0.0.1:{self.port}"

    async def __aenter__(self) -> ConnectProxy:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._tls)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            await self._way(reader, writer)
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            self._tasks.discard(task)
            writer.transport.abort()

    async def _way(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        self.asked.append(head)
        await asyncio.sleep(self.pause)
        if self.answer is not None:
            writer.write(self.answer)
            await writer.drain()
            if self.answer:
                await reader.read()
            return
        method, where, _ = head.decode().split(" ", 2)
        if self.password is not None:
            proof = base64.b64encode(self.password.encode())
            if b"\r\nProxy-Authorization: Basic %b\r\n" % proof not in head:
                writer.write(b'HTTP/1.1 407 No\r\nProxy-Authenticate: Basic realm="x"\r\nContent-Length: 0\r\n\r\n')
                await writer.drain()
                return
        if method != "CONNECT" or where not in self.ways:
            writer.write(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n")
            await writer.drain()
            return
        inner, outer = await asyncio.open_connection("127.0.0.1", self.ways[where])
        writer.write(b"HTTP/1.1 200 Connection established\r\nX-Proxy: small\r\n\r\n")
        self.through.append(where)
        self.open += 1
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(_pump(reader, outer))
                both.create_task(_pump(inner, writer))
        finally:
            self.open -= 1
            outer.transport.abort()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Pass bytes on; the end of either side ends both."""
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.transport.abort()
