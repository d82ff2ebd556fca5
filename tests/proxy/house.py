"""A server with a handler that writes down what it is asked, and connections to it driven by hand."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

from proxy.client import ClientConnection
from proxy.memory import ReplayMemory
from proxy.request import KEEP, Request, Written
from proxy.server import Server
from tests.proxy.recording import Transport

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
PATIENCE = 5.0


def request(method: str = "GET", path: str = "/x", body: bytes = b"", *fields: str) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "Host: a", *fields]
    if body:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode() + body


async def settle() -> None:
    """Let whatever can run, run."""
    for _ in range(12):
        await asyncio.sleep(0)


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(PATIENCE):
        while True:
            if condition():
                return
            await asyncio.sleep(0.005)


class House:
    """A server whose handler writes down what it is asked and answers at once, unless told to wait."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str, bytes]] = []
        self.failures: list[BaseException] = []
        self.requests: list[Request] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.read_body = True
        self.deaf = False
        """Whether it goes on as if nothing was when it is told to end."""
        self.written: Written | None = KEEP
        self.after: Callable[[], None] | None = None
        self.server = Server(self.handle, ReplayMemory(1 << 28), loop=asyncio.get_running_loop())

    async def handle(self, asked: Request) -> Written:
        self.requests.append(asked)
        body = b""
        try:
            while not self.gate.is_set():
                with contextlib.suppress(*([asyncio.CancelledError] if self.deaf else ())):
                    await self.gate.wait()
            while self.read_body and (part := await asked.payload.read()):
                body += part
        except BaseException as failure:
            self.failures.append(failure)
            raise
        self.seen.append((asked.method, asked.head.path, body))
        transport = asked.connection.transport
        assert transport is not None
        transport.write(OK)
        if self.after is not None:
            self.after()
        assert self.written is not None, "a bug in the handler"
        return self.written


class Wire:
    """A connection driven by hand."""

    def __init__(self, house: House, transport: Transport | None = None) -> None:
        self.house = house
        self.transport = transport or Transport()
        self.connection: ClientConnection = house.server()
        self.connection.connection_made(self.transport)

    async def send(self, *parts: bytes) -> Wire:
        for part in parts:
            self.connection.data_received(part)
            await settle()
        return self

    async def close(self) -> None:
        self.connection.connection_lost(None)
        await settle()
