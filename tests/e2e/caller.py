"""The client's end of an exchange: sends bytes, and says what came back and how it ended."""

from __future__ import annotations

import asyncio
import json
import re
import socket
import zlib
from typing import Any

from msgspec import Struct

from tests.e2e.kinds import Kind
from tests.e2e.world import PATIENCE, split

_VARIES = re.compile(rb'(?<=fake)\d{12}|(?<="created":)\d+|(?<="created_at":)\d+')


def plain(data: bytes) -> bytes:
    """Bytes of the scripted provider without its request's number and time, in which two runs differ."""
    return _VARIES.sub(b"0", data)


class Got(Struct):
    """What one client got. `end`: `clean`, or how the connection ended before the answer did: `fin` or `rst`."""

    status: int
    fields: list[tuple[bytes, bytes]]
    body: bytes
    end: str
    at: float
    """Loop time of the end."""
    chunks: int = 0
    """Body bytes came in so many reads."""

    def header(self, name: str) -> str | None:
        wanted = name.lower().encode()
        return next((value.decode("latin-1") for key, value in self.fields if key.lower() == wanted), None)

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def theirs(self) -> list[tuple[bytes, bytes]]:
        """The fields that are the provider's own, as far as they have to pass."""
        named = ((name.lower(), plain(value)) for name, value in self.fields)
        left_out = {b"server-timing", b"connection", b"transfer-encoding"}
        if self.header("content-encoding") is not None:
            left_out.add(b"content-length")  # differs as the request's number and time do
        return sorted(field for field in named if not field[0].startswith(b"x-detour-") and field[0] not in left_out)

    @property
    def readable(self) -> bytes:
        """The body without its coding and without what differs from run to run."""
        coding = self.header("content-encoding")
        if coding in ("gzip", "deflate"):
            return plain(_inflated(self.body, 31 if coding == "gzip" else 15 if self.body[:1] == b"x" else -15))
        return plain(self.body)


def _inflated(body: bytes, wbits: int) -> bytes:
    """As much of a compressed body as can be read, byte by byte."""
    inflate, decoded = zlib.decompressobj(wbits), b""
    try:
        for at in range(len(body)):
            decoded += inflate.decompress(body[at : at + 1])
    except zlib.error:
        return decoded or body
    return decoded


class Wire(asyncio.Protocol):
    """A client's connection: collects what comes and notes how it ended. `parse` looks for an answer's end in it."""

    def __init__(self) -> None:
        self.parse = True
        self.raw = bytearray()
        self.reads = 0
        self.loop = asyncio.get_running_loop()
        self.over: asyncio.Future[str] = self.loop.create_future()
        self.at = 0.0
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.raw += data
        self.reads += 1
        if not self.parse:
            return
        found = read(bytes(self.raw))
        if found is not None and found[3]:
            self._end("clean")

    def eof_received(self) -> None:
        self._end("fin")

    def connection_lost(self, exc: Exception | None) -> None:
        self._end("fin" if exc is None else "rst")

    def _end(self, how: str) -> None:
        if not self.over.done():
            self.at = self.loop.time()
            self.over.set_result(how)

    async def result(self) -> Got:
        end = await asyncio.wait_for(self.over, PATIENCE)
        found = read(bytes(self.raw))
        assert found is not None, f"no answer, {end} after {bytes(self.raw)!r}"
        status, fields, body, _ = found
        return Got(status, fields, body, end, self.at, self.reads)


def read(raw: bytes) -> tuple[int, list[tuple[bytes, bytes]], bytes, bool] | None:
    """(status, fields, body without its framing, whether it is whole) of what came; None before its head."""
    if b"\r\n\r\n" not in raw:
        return None
    status, fields, rest = split(raw)
    if status < 200:
        return read(rest)
    named = {name.lower(): value for name, value in fields}
    if named.get(b"transfer-encoding") == b"chunked":
        body, whole = _dechunked(rest)
        return status, fields, body, whole
    length = named.get(b"content-length")
    if status in (204, 304):
        return status, fields, b"", True
    return status, fields, rest, length is not None and len(rest) >= int(length)


def _dechunked(rest: bytes) -> tuple[bytes, bool]:
    body = b""
    while b"\r\n" in rest:
        line, _, rest = rest.partition(b"\r\n")
        if not (digits := re.match(rb"[0-9a-fA-F]+", line)):
            break
        size = int(digits[0], 16)
        if size == 0:
            return body, rest.endswith(b"\r\n")
        body += rest[:size]
        rest = rest[size + 2 :]
    return body, False


async def connect(port: int) -> Wire:
    _, wire = await asyncio.get_running_loop().create_connection(Wire, "127.0.0.1", port)
    return wire


def request(
    kind: Kind,
    *fields: bytes,
    provider: str = "",
    script: str = "ok",
    version: bytes = b"1.1",
    body: bytes | None = None,
) -> bytes:
    """The bytes of a request; without a provider the one that Detour should make of it."""
    body = kind.body if body is None else body
    lines = [
        b"POST %b%b HTTP/%b" % (f"/{provider}".encode() if provider else b"", kind.path.encode(), version),
        b"Host: localhost",
        b"Content-Type: " + kind.content_type,
        b"Content-Length: %d" % len(body),
        b"X-Fake-Script: " + script.encode(),
        b"X-Case: " + (provider or "direct").encode(),
        *fields,
    ]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


async def ask(port: int, data: bytes) -> Got:
    """Send a request on a connection of its own and take what comes."""
    wire = await connect(port)
    try:
        wire.transport.write(data)
        return await wire.result()
    finally:
        wire.transport.close()


def reset(transport: asyncio.Transport) -> None:
    """End a connection with RST."""
    transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    transport.abort()
