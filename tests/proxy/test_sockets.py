"""What transports do not say or do."""

from __future__ import annotations

import asyncio
import select
import socket
from collections.abc import AsyncIterator

import pytest

from proxy.sockets import hung_up, reset
from tests.proxy.house import PATIENCE, House, request, until
from tests.proxy.recording import Transport


@pytest.fixture
async def house() -> House:
    return House()


@pytest.fixture
async def port(house: House) -> AsyncIterator[int]:
    listening = await asyncio.get_running_loop().create_server(house.server, "127.0.0.1", 0)
    yield listening.sockets[0].getsockname()[1]
    listening.close()
    await house.server.shutdown(0.1)


async def test_a_reset_is_no_clean_end(house: House, port: int) -> None:
    house.gate.clear()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request())
    await until(lambda: house.requests)
    transport = house.requests[0].connection.transport
    assert transport is not None
    transport.write(b"half an ans")
    reset(transport)
    with pytest.raises(ConnectionResetError):
        await asyncio.wait_for(reader.read(), PATIENCE)
    writer.close()


def test_a_reset_without_a_socket_is_an_abort() -> None:
    transport = Transport()
    reset(transport)
    assert transport.ending == "aborted"


def test_hung_up(monkeypatch: pytest.MonkeyPatch) -> None:
    here, there = socket.socketpair()
    with here:
        assert not hung_up(here)
        there.send(b"unread")
        there.close()
        assert hung_up(here)
        monkeypatch.delattr(select, "POLLRDHUP")
        assert not hung_up(here)
    assert not hung_up(here)
    assert not hung_up(None)
