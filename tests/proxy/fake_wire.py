"""Raw sockets for the tests of the scripted provider."""

from __future__ import annotations

import asyncio
import json
from typing import Any

LEFT = b"<EOF>"
RST = b"<RST>"


def request(
    model: str = "ok",
    *,
    stream: bool = False,
    path: str = "/v1/chat/completions",
    method: str = "POST",
    headers: tuple[str, ...] = (),
    version: str = "1.1",
    body: bytes | None = None,
    **fields: Any,
) -> bytes:
    """Return the bytes of a request as a client sends them."""
    if body is None:
        body = json.dumps({"model": model, "stream": stream, "messages": [], **fields}).encode()
    lines = [f"{method} {path} HTTP/{version}", "Host: fake", *headers]
    if method != "GET" and not any(line.startswith("Transfer-Encoding") for line in headers):
        lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
    return "\r\n".join([*lines, "", ""]).encode() + (body if method != "GET" else b"")


class Wire:
    """A client's end of a connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.got = bytearray()

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    async def until(self, mark: bytes, seconds: float = 5.0) -> bytes:
        """Read until `mark` came; what was read stays in `got`, ended by `LEFT` or `RST` where that came first."""
        async with asyncio.timeout(seconds):
            while not (mark and mark in self.got) and not self.got.endswith((LEFT, RST)):
                try:
                    self.got += await self.reader.read(65_536) or LEFT
                except ConnectionResetError:
                    self.got += RST
        return bytes(self.got)

    async def rest(self, seconds: float = 5.0) -> bytes:
        """Read to the connection's end and return everything, with the mark of how it ended."""
        return await self.until(b"", seconds)

    def close(self) -> None:
        self.writer.close()

    def abort(self) -> None:
        self.writer.transport.abort()


async def connect(port: int, **options: Any) -> Wire:
    """Open a connection to a local port."""
    return Wire(*await asyncio.open_connection("127.0.0.1", port, **options))


async def ask(port: int, *args: Any, **more: Any) -> bytes:
    """Send one request that asks for the connection's end, and return everything that came."""
    wire = await connect(port)
    more["headers"] = (*more.get("headers", ()), "Connection: close")
    wire.send(request(*args, **more))
    try:
        return await wire.rest()
    finally:
        wire.abort()


def split(answer: bytes) -> tuple[int, dict[bytes, bytes], bytes]:
    """Return an answer's status, headers (lower-case names) and body, chunks joined."""
    head, _, body = answer.removesuffix(LEFT).partition(b"\r\n\r\n")
    first, *lines = head.split(b"\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(b": ") for line in lines)}
    if headers.get(b"transfer-encoding") == b"chunked":
        body = dechunked(body)
    return int(first.split()[1]), headers, body


def dechunked(body: bytes) -> bytes:
    """Return the content of a complete chunked body."""
    content = b""
    while True:
        size, _, body = body.partition(b"\r\n")
        length = int(size.partition(b";")[0], 16)
        if length == 0:
            return content
        content, body = content + body[:length], body[length + 2 :]
