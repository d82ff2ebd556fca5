from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable

import pytest
from aiohttp import ClientPayloadError, web
from aiohttp.test_utils import TestClient, TestServer

from healthapi import streaming
from healthapi.admin import Admin, Call
from healthapi.app import build
from healthapi.auth import Access
from healthapi.errors import Problem
from healthapi.replies import Reply, Stream
from healthapi.routes import Route
from tests.healthapi.admin_world import World
from tests.healthapi.serving import Client, ask

Chunks = Callable[[], AsyncGenerator[bytes, None]]
Serve = Callable[[Chunks], Awaitable[Client]]


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    """Serves a stream of these chunks at `/stream`."""
    clients: list[Client] = []

    async def start(chunks: Chunks) -> Client:
        async def page(admin: Admin, call: Call) -> Stream:
            """A stream."""
            return Stream(chunks, "text/plain")

        table = (Route("GET", "/stream", page, Access.READ),)
        clients.append(TestClient(TestServer(build(World().admin(), table))))
        await clients[-1].start_server()
        return clients[-1]

    yield start
    for client in clients:
        await client.close()


async def test_a_stream_is_its_chunks(serve: Serve) -> None:
    closed = []

    async def chunks() -> AsyncGenerator[bytes, None]:
        try:
            yield b"one "
            yield b"two "
            yield b"three"
        finally:
            closed.append(True)

    client = await serve(chunks)
    for _ in range(2):
        response = await ask(client, "/stream")
        assert (response.status, response.headers["Content-Type"]) == (200, "text/plain")
        assert await response.text() == "one two three"
    assert closed == [True, True]


async def test_a_refusal_before_the_first_chunk_is_an_answer(serve: Serve) -> None:
    async def chunks() -> AsyncGenerator[bytes, None]:
        raise Problem(503, "full", "come back later", (("Retry-After", "3"),))
        yield b""

    response = await ask(await serve(chunks), "/stream")
    assert (response.status, response.headers["Retry-After"]) == (503, "3")
    assert (await response.json())["error"]["code"] == "full"


async def test_a_bug_before_the_first_chunk_is_a_500(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    async def chunks() -> AsyncGenerator[bytes, None]:
        raise RuntimeError("canary")
        yield b""

    with caplog.at_level(logging.ERROR, "detour.admin"):
        response = await ask(await serve(chunks), "/stream")
    assert response.status == 500
    assert "canary" not in await response.text()


async def test_a_bug_later_ends_the_connection_and_is_no_clean_end(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    async def chunks() -> AsyncGenerator[bytes, None]:
        yield b"one "
        raise RuntimeError("canary")

    client = await serve(chunks)
    with caplog.at_level(logging.ERROR, "detour.admin"):
        response = await ask(client, "/stream")
        assert response.status == 200
        with pytest.raises(ClientPayloadError):
            await response.text()
    assert [record.__dict__["request_id"] for record in caplog.records] == [response.headers["X-Detour-Request-Id"]]


async def test_head_starts_nothing(serve: Serve) -> None:
    started = []

    async def chunks() -> AsyncGenerator[bytes, None]:
        started.append(True)
        yield b"x"

    client = await serve(chunks)
    response = await ask(client, "/stream", "HEAD")
    assert (response.status, await response.read(), started) == (200, b"", [])
    assert await (await ask(client, "/stream")).text() == "x"


LONG = bytes(range(256)) * 40_000
"""More than the buffers of both ends of a connection hold."""


@pytest.fixture
async def long() -> AsyncIterator[Client]:
    """Serves a long answer at `/long/{size}`, cut down to that size."""

    async def page(admin: Admin, call: Call) -> Reply:
        """Much."""
        return Reply(LONG[: int(call.path["size"])], "application/octet-stream")

    client: Client = TestClient(TestServer(build(World().admin(), (Route("GET", "/long/{size}", page, Access.READ),))))
    await client.start_server()
    yield client
    await client.close()


@pytest.mark.parametrize("size", [1, streaming.PIECE, streaming.PIECE + 1, 3 * streaming.PIECE - 1, len(LONG)])
async def test_a_long_answer_is_whole_and_says_how_long_it_is(long: Client, size: int) -> None:
    for _ in range(2):  # and the connection can be used again
        response = await ask(long, f"/long/{size}")
        assert (response.status, await response.read()) == (200, LONG[:size])
        assert response.headers["Content-Length"] == str(size)
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert "Transfer-Encoding" not in response.headers
    head = await ask(long, f"/long/{size}", "HEAD")
    assert (head.status, await head.read()) == (200, b"")
    assert head.headers["Content-Length"] == str(size)


async def test_who_does_not_read_a_long_answer_is_cut_off(long: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    cut, cutting = asyncio.Event(), streaming._cut

    def spy(request: web.Request) -> None:
        cutting(request)
        cut.set()

    monkeypatch.setattr(streaming, "STALLED", 0.3)
    monkeypatch.setattr(streaming, "_cut", spy)
    reader, writer = await asyncio.open_connection("127.0.0.1", long.port, limit=1)
    try:
        writer.write(f"GET /long/{len(LONG)} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        await reader.readexactly(10)
        await asyncio.wait_for(cut.wait(), 20)
        got = 10
        with contextlib.suppress(ConnectionError):
            while piece := await asyncio.wait_for(reader.read(1 << 20), 20):
                got += len(piece)
        assert got < len(LONG)
    finally:
        writer.close()


async def test_who_leaves_a_long_answer_disturbs_nobody(long: Client, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(3):
        reader, writer = await asyncio.open_connection("127.0.0.1", long.port)
        writer.write(f"GET /long/{len(LONG)} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        await reader.readexactly(100)
        writer.transport.abort()
    assert await (await ask(long, f"/long/{len(LONG)}")).read() == LONG
    assert not caplog.records
