"""The listening side, over real sockets, and the library it stands on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import aiohttp
import pytest
from aiohttp import http_parser

from proxy.client import HEAD_BYTES, HEAD_FIELDS, KEEP_ALIVE
from proxy.server import assert_parser
from proxy.sockets import hung_up
from tests.proxy.house import OK, PATIENCE, House, request, settle, until


@pytest.fixture
async def house() -> House:
    return House()


@pytest.fixture
async def port(house: House) -> AsyncIterator[int]:
    listening = await asyncio.get_running_loop().create_server(house.server, "127.0.0.1", 0)
    yield listening.sockets[0].getsockname()[1]
    listening.close()
    await house.server.shutdown(0.1)


async def test_a_client_that_left_while_nothing_was_read_is_found(house: House, port: int) -> None:
    house.gate.clear()
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request("POST", "/x", b"", f"Content-Length: {2**24}") + b"x" * 2**18)
    await until(lambda: house.server.stalled)
    house.server.look_for_leaving(0.0)
    await settle()
    assert not house.failures
    writer.close()
    (connection,) = house.server.stalled
    sock = connection.transport.get_extra_info("socket")  # type: ignore[union-attr]
    await until(lambda: hung_up(sock))
    house.server.look_for_leaving(0.0)
    await until(lambda: house.failures)
    assert isinstance(house.failures[0], asyncio.CancelledError)
    connection.look_for_leaving()


async def test_shutting_down_ends_what_is_served(house: House, port: int) -> None:
    house.gate.clear()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request())
    await until(lambda: house.requests)
    await house.server.shutdown(0.01)
    async with asyncio.timeout(PATIENCE):
        assert await reader.read() == b""
    assert isinstance(house.failures[0], asyncio.CancelledError)
    writer.close()


async def test_the_limits_took(house: House) -> None:
    connection = house.server()
    assert (connection.max_line_size, connection.max_field_size) == (HEAD_BYTES, HEAD_BYTES)
    assert connection.max_headers == HEAD_FIELDS
    assert connection.keepalive_timeout == KEEP_ALIVE
    assert connection.access_logger is None
    assert house.server.handler_cancellation


def test_the_parser_is_the_one_in_c(monkeypatch: pytest.MonkeyPatch) -> None:
    assert_parser()
    monkeypatch.setattr(http_parser, "HttpRequestParser", http_parser.HttpRequestParserPy)
    with pytest.raises(RuntimeError, match="AIOHTTP_NO_EXTENSIONS"):
        assert_parser()


@pytest.mark.parametrize(
    ("version", "good"), [("3.14.3", True), ("3.15.0", True), ("4.0.0a1", True), ("3.14.2", False), ("3.9.9", False)]
)
def test_the_oldest_that_works(monkeypatch: pytest.MonkeyPatch, version: str, good: bool) -> None:
    monkeypatch.setattr(aiohttp, "__version__", version)
    if good:
        assert_parser()
    else:
        with pytest.raises(RuntimeError, match=f"aiohttp {version} is too old"):
            assert_parser()


async def test_shutting_down_lets_a_handler_end(house: House, port: int) -> None:
    house.gate.clear()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request())
    await until(lambda: house.requests)
    ending = asyncio.create_task(house.server.shutdown(PATIENCE))
    await settle()
    house.gate.set()
    await asyncio.wait_for(ending, PATIENCE)
    assert await asyncio.wait_for(reader.read(), PATIENCE) == OK
    assert house.failures == []
    writer.close()
