"""The order of an end: who is let go when. With real processes and crowds it is told by tests/e2e/test_drain.py."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterator

import pytest

from breaker.registry import Registry
from config.load import load_text
from config.settings import Drain
from proxy import drain as drains
from proxy.connect import Connector
from proxy.drain import drain
from proxy.plane import DataPlane
from proxy.pool import Pools
from proxy.request import CLOSE
from proxy.sockets import has_come
from tests.proxy.house import House, Wire, request, settle
from tests.proxy.kept import Kept
from tests.proxy.recording import Transport


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    yield ours, theirs
    ours.close()
    theirs.close()


def plane() -> DataPlane:
    loop = asyncio.get_running_loop()
    made = DataPlane(
        load_text(None, {}), Registry(tracked=10), Kept(), Pools(Connector(loop), loop), loop, instance="a"
    )
    made.server.draining = True
    return made


async def ended(made: DataPlane, **settings: float) -> tuple[int, float]:
    """How many were left, and after how many seconds the listeners were shut."""
    shut: list[float] = []
    began = made.loop.time()
    left = await drain(made, Drain(**settings), lambda: shut.append(made.loop.time() - began))
    assert len(shut) == 1
    return left, shut[0]


# -- phases ------------------------------------------------------------------------------------------------------------


async def test_nothing_under_way_takes_no_time() -> None:
    assert await asyncio.wait_for(ended(plane(), timeout=600.0), 5.0) == (0, pytest.approx(0.0, abs=4.0))


async def test_it_lingers_with_nothing_under_way() -> None:
    _, shut = await ended(plane(), timeout=60.0, linger=0.3)
    assert shut >= 0.3


async def test_connections_are_taken_until_the_last_exchange_has_ended() -> None:
    made = plane()
    made.in_flight = 1
    made.loop.call_later(0.3, made.ended, None)
    left, shut = await ended(made, timeout=600.0)
    assert left == 0
    assert shut >= 0.3


async def test_what_does_not_end_is_counted_and_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drains, "LAST", 0.1)
    made = plane()
    made.in_flight = 3
    left, shut = await ended(made, timeout=0.4)
    assert (left, made.over) == (3, True)
    assert shut >= 0.3, "connections are taken until shortly before the end"


async def test_an_end_in_time_is_no_reason_for_last_words() -> None:
    made = plane()
    assert (await ended(made, timeout=0.1))[0] == 0
    assert not made.over


async def test_an_answer_that_nobody_takes_is_counted_with_what_was_ended() -> None:
    house = House()
    made = plane()
    made.server = house.server
    wire = await Wire(house).send(request())
    wire.transport.unsent = 1
    assert (await ended(made, timeout=0.2))[0] == 1


# -- connections -------------------------------------------------------------------------------------------------------


async def test_who_asks_nothing_is_let_go() -> None:
    house = House()
    wire = await Wire(house).send(request())
    assert house.server.let_go() == 0
    assert wire.transport.ending == "closed"


@pytest.mark.parametrize("part", [b"PO", b"POST /x HTTP/1.1\r\nHo", request("POST", "/x", b"body")[:-2]])
async def test_who_has_begun_to_ask_is_not(part: bytes) -> None:
    house = House()
    wire = await Wire(house).send(part)
    assert house.server.let_go() == 1
    assert wire.transport.ending == ""
    await wire.close()


async def test_who_is_being_served_is_not() -> None:
    house = House()
    house.gate.clear()
    wire = await Wire(house).send(request())
    assert house.server.let_go() == 1
    house.gate.set()
    await settle()
    assert house.server.let_go() == 0
    assert wire.transport.ending == "closed"


async def test_what_came_and_was_not_read_yet_is_read_first(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    house = House()
    wire = Wire(house, Transport(socket=ours))
    await settle()
    theirs.send(b"POST")
    assert house.server.let_go() == 1
    assert wire.transport.ending == ""
    ours.recv(9)
    assert house.server.let_go() == 0


async def test_who_has_not_taken_all_of_an_answer_is_waited_for() -> None:
    house = House()
    wire = await Wire(house).send(request())
    wire.transport.unsent = 1
    assert house.server.let_go() == 1
    assert wire.transport.ending == ""
    wire.transport.unsent = 0
    assert house.server.let_go() == 0
    assert wire.transport.ending == "closed"


async def test_who_has_not_taken_the_last_answer_of_a_connection_is_waited_for() -> None:
    house = House()
    house.written = CLOSE
    wire = await Wire(house).send(request())
    wire.transport.unsent = 1
    assert wire.transport.ending == "closed", "as soon as it is taken"
    assert house.server.let_go() == 1
    await wire.close()
    assert house.server.let_go() == 0


async def test_requests_behind_the_first_are_served_before_the_end() -> None:
    house = House()
    house.gate.clear()
    wire = await Wire(house).send(request() + request())
    assert not wire.connection.ending
    house.server.draining = True
    assert not wire.connection.ending, "one more waits"
    house.gate.set()
    await settle()
    assert wire.connection.ending
    assert len(house.seen) == 2
    await wire.close()


async def test_everything_is_ended_at_once() -> None:
    house = House()
    house.gate.clear()
    wires = [await Wire(house).send(request()) for _ in range(3)]
    await house.server.stop_all(5.0)
    assert [type(failure) for failure in house.failures] == [asyncio.CancelledError] * 3
    assert [wire.transport.ending for wire in wires] == ["closed"] * 3


# -- sockets -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("act", "come"),
    [
        (lambda peer: None, False),
        (lambda peer: peer.send(b"x"), True),
        (lambda peer: peer.shutdown(socket.SHUT_WR), False),
    ],
)
def test_whether_bytes_have_come(
    pair: tuple[socket.socket, socket.socket], act: Callable[[socket.socket], object], come: bool
) -> None:
    ours, theirs = pair
    act(theirs)
    assert has_come(ours) is come
    assert has_come(ours) is come, "it takes nothing away"


def test_nothing_comes_to_a_socket_that_is_none(pair: tuple[socket.socket, socket.socket]) -> None:
    pair[0].close()
    assert not has_come(pair[0])
    assert not has_come(None)
