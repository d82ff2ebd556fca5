"""A body on its way in: where it is read to, how much memory it may cost, and who is told to wait."""

from __future__ import annotations

import asyncio

import pytest

from proxy.incoming import AHEAD, GROWTH, TRICKLE, Incoming
from proxy.memory import READ_AHEAD, ReplayMemory
from tests.proxy.house import settle
from tests.proxy.recording import Line

MIB = 1024 * 1024


class Sender:
    """Sends a body of a known length, as a connection reads it."""

    def __init__(self, size: int, came: int = 0, memory: ReplayMemory | None = None) -> None:
        self.line = Line()
        self.sent = came
        self.memory = memory or ReplayMemory(64 * MIB)
        self.body = Incoming(self.line, self.memory, bytes(came), size - came)
        self.rooms: list[int] = []

    def send(self, size: int) -> None:
        """So many bytes, each with the number of its place, in as many reads as there is room for."""
        while size:
            if self.body.direct:
                room = self.body.room()
                self.rooms.append(len(room))
                read = min(len(room), size)
                room[:read] = self.bytes(read)
                del room
                self.body.filled(read)
            else:
                read = min(size, self.body.left, 64 * 1024)
                self.body.add(bytearray(b"." + self.bytes(read) + b"."), 1, read + 1)
            self.sent += read
            size -= read

    def bytes(self, size: int) -> bytes:
        return bytes((self.sent + at) % 251 for at in range(size))


def expected(size: int) -> bytes:
    return bytes(at % 251 for at in range(size))


async def test_a_large_body_is_read_into_its_own_memory_without_a_pause() -> None:
    sender = Sender(MIB)
    collecting = asyncio.create_task(sender.body.until(8 * MIB))
    await settle()
    sender.send(MIB)
    await collecting
    data = sender.body.take()
    assert (type(data), data == expected(MIB), sender.body.complete) == (bytearray, True, True)
    assert sender.rooms == [MIB - 64 * 1024], "one read for what is left, into memory that is made once"


async def test_a_length_alone_costs_no_memory_and_a_trickle_hardly_any() -> None:
    sender = Sender(1 << 40)
    collecting = asyncio.create_task(sender.body.until(8 * MIB))
    await settle()
    for _ in range(10):
        sender.send(TRICKLE // 10 - 1)
        assert not sender.body.direct
    sender.send(100)
    assert sender.body.direct
    assert len(sender.body.room()) < GROWTH * (TRICKLE + 100)
    collecting.cancel()


async def test_memory_follows_what_came() -> None:
    sender = Sender(1 << 40)
    waiting = asyncio.create_task(sender.body.until(8 * MIB))
    await settle()
    while sender.sent < 6 * MIB:
        sender.send(50_000)
        if sender.body.direct:
            room = len(sender.body.room())
            assert sender.memory.used == sender.sent + room <= GROWTH * sender.sent
    assert sender.line.reading
    sender.send(2 * MIB)
    assert not sender.line.reading
    await waiting
    assert sender.body.take() == expected(sender.sent)


async def test_a_body_that_nobody_asks_for_waits_at_its_bound() -> None:
    sender = Sender(2 * AHEAD)
    while sender.line.reading:
        sender.send(10_000)
    assert AHEAD <= sender.sent < AHEAD + 10_000
    taken = await sender.body.read()
    assert taken == expected(len(taken))
    assert not sender.line.reading, "nobody has asked for more"
    waiting = asyncio.create_task(sender.body.read())
    await settle()
    assert sender.line.reading
    sender.send(5)
    taken += await waiting
    assert taken == expected(len(taken))


@pytest.mark.parametrize("asked", [True, False])
async def test_bodies_share_their_memory_while_they_come(asked: bool) -> None:
    memory = ReplayMemory(4 * READ_AHEAD)
    senders = [Sender(MIB, memory=memory) for _ in range(10)]
    tasks = [asyncio.create_task(sender.body.until(MIB)) for sender in senders if asked]
    await settle()
    for _ in range(20):
        for sender in senders:
            if sender.line.reading:
                sender.send(READ_AHEAD // 4)
    assert sum(sender.sent for sender in senders) <= memory.used < 14 * READ_AHEAD
    assert not any(sender.line.reading for sender in senders)
    await asyncio.wait_for(asyncio.gather(*tasks), 5.0)
    for sender in senders:
        assert sender.body.take() == expected(sender.sent)
    assert memory.used == 0


async def test_what_was_handed_out_is_never_touched_again() -> None:
    """A transport may still hold it, and refuses that it is resized."""
    sender = Sender(MIB)
    parts = []
    while not sender.body.complete:
        sender.send(min(150_000, MIB - sender.sent))
        parts.append(memoryview(await sender.body.read()))
    assert b"".join(parts) == expected(MIB)
    assert await sender.body.read() == b""


async def test_the_room_ends_with_the_body() -> None:
    sender = Sender(100_000, came=65_000)
    assert sender.body.direct
    assert len(sender.body.room()) == 35_000


async def test_a_body_that_is_dropped_costs_nothing() -> None:
    sender = Sender(2 * AHEAD)
    while sender.line.reading:
        sender.send(50_000)
    dropping = asyncio.create_task(sender.body.drop())
    await settle()
    assert sender.line.reading
    while not sender.body.complete:
        assert not sender.body.direct
        sender.send(min(50_000, 2 * AHEAD - sender.sent))
    await dropping
    assert (sender.body.take(), sender.memory.used) == (b"", 0)


@pytest.mark.parametrize("waits", [True, False])
async def test_the_first_failure_counts(waits: bool) -> None:
    sender = Sender(10, came=3)
    task = asyncio.create_task(sender.body.until(9)) if waits else None
    await settle()
    sender.body.fail(ValueError("one"))
    sender.body.fail(ValueError("two"))
    with pytest.raises(ValueError, match="one"):
        await (task or sender.body.until(9))
    assert sender.body.take() == b"\0\0\0", "what came can be had all the same"


async def test_a_body_that_has_come_cannot_fail() -> None:
    body = Incoming(Line(), ReplayMemory(0), b"abc", 0)
    body.fail(ConnectionResetError())
    assert await body.read() == b"abc"


async def test_a_reader_that_gave_up_is_not_woken() -> None:
    sender = Sender(10)
    task = asyncio.create_task(sender.body.until(10))
    await settle()
    task.cancel()
    await settle()
    sender.send(10)
    assert await sender.body.read() == expected(10)
