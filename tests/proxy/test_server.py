"""The listening side, over real sockets, and the parser it stands on."""

from __future__ import annotations

import asyncio
import random
import socket
from collections.abc import AsyncIterator, Callable

import httptools
import pytest
import uvloop

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
    writer.write(request("POST", "/x", b"", f"Content-Length: {2**24}") + b"x" * 2**21)
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


async def test_shutting_down_does_not_wait_for_ever(house: House, port: int) -> None:
    """Neither for a handler that does not hear that it is over, nor for clients that ask nothing."""
    house.deaf = True
    house.gate.clear()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    idle, other = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request())
    await until(lambda: house.requests)
    await asyncio.wait_for(house.server.shutdown(0.01), PATIENCE)
    assert await asyncio.wait_for(idle.read(), PATIENCE) == b""
    house.gate.set()
    assert await asyncio.wait_for(reader.read(), PATIENCE) == OK
    await until(lambda: not house.server.connections)
    writer.close()
    other.close()


async def test_a_connection_is_known_while_it_lasts(house: House, port: int) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    await until(lambda: house.server.connections)
    (connection,) = house.server.connections
    assert connection.transport is not None
    sock = connection.transport.get_extra_info("socket")
    assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
    assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    writer.close()
    await until(lambda: not house.server.connections)


@pytest.mark.parametrize(
    ("version", "good"), [("0.8.0", True), ("0.9.0", True), ("1.0.0a1", True), ("0.7.1", False), ("0.6.4", False)]
)
def test_the_oldest_parser_that_works(monkeypatch: pytest.MonkeyPatch, version: str, good: bool) -> None:
    monkeypatch.setattr(httptools, "__version__", version)
    if good:
        assert_parser()
    else:
        with pytest.raises(RuntimeError, match=f"httptools {version} is too old"):
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


SIZES = (0, 1, 1000, 60_000, 65_536, 66_000, 200_000, 1 << 20, 3_000_001)


async def send_bodies(chunked: bool) -> None:
    """Bodies of all sizes on one connection, one behind the other and in uneven pieces; each must come whole."""
    house = House()
    listening = await asyncio.get_running_loop().create_server(house.server, "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection("127.0.0.1", listening.sockets[0].getsockname()[1])
    chance = random.Random(7)
    bodies = [chance.randbytes(size) for size in SIZES * 2]
    sent = bytearray()
    for body in bodies:
        if chunked:
            field = "Transfer-Encoding: chunked"
            pieces = [body[at : at + 99_999] for at in range(0, len(body), 99_999)]
            body = b"".join(b"%x;x=y\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\nX: y\r\n\r\n"
        else:
            field = f"Content-Length: {len(body)}"
        sent += request("POST", "/x", b"", field) + body

    async def send() -> None:
        at = 0
        while at < len(sent):
            size = chance.choice((1, 7, 1000, 65_536, 300_000, 2_000_000))
            writer.write(sent[at : at + size])
            await writer.drain()
            at += size

    sending = asyncio.create_task(send())
    async with asyncio.timeout(PATIENCE * 4):
        assert await reader.readexactly(len(OK) * len(bodies)) == OK * len(bodies)
        await sending
    assert [body for _, _, body in house.seen] == bodies
    assert house.server.memory.used == 0
    writer.close()
    listening.close()
    await house.server.shutdown(0.1)


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("make", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_bodies_of_all_sizes_come_whole(make: Callable[[], asyncio.AbstractEventLoop], chunked: bool) -> None:
    with asyncio.Runner(loop_factory=make) as runner:
        runner.run(send_bodies(chunked))
