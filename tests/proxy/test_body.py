"""A request's body: what is in memory, what streams through, what goes wrong."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from proxy.body import CONTINUE, IDLE, Body, BodyTimeoutError, BodyTooLargeError
from proxy.chunks import Chunks
from proxy.incoming import Incoming
from proxy.memory import READ_AHEAD, ReplayMemory
from proxy.request import BadBodyError
from proxy.watch import Watch
from tests.proxy.recording import Line, Transport, upstream


class Client:
    def __init__(self, transport: Transport | None) -> None:
        self.transport = transport


class Asker:
    """As much of a request as its body knows."""

    def __init__(self, came: bytes = b"", *, end: bool = False, memory: ReplayMemory | None = None) -> None:
        loop = asyncio.get_running_loop()
        self.transport = Transport()
        self.connection = Client(self.transport)
        self.line = Line()
        self.memory = memory or ReplayMemory(1000)
        self.payload = Incoming(self.line, self.memory, b"", 0, Chunks())
        self.watch = Watch(loop)
        self.feed(*([came] if came else ()), end=end)

    def body(self, *, expects: bool = False, limit: int = 0) -> Body:
        return Body(self, self.memory, self.watch, expects=expects, limit=limit)  # type: ignore[arg-type]

    def feed(self, *parts: bytes, end: bool = True) -> None:
        for part in parts:
            self.payload.add(bytearray(part), 0, len(part))
        if end:
            self.payload.end()


async def settle() -> None:
    """Let whatever can run, run."""
    for _ in range(5):
        await asyncio.sleep(0)


@pytest.mark.parametrize(
    ("used", "held", "full"),
    [(100, READ_AHEAD, False), (101, READ_AHEAD, True), (101, READ_AHEAD - 1, False), (0, 10 * READ_AHEAD, False)],
)
def test_when_the_memory_is_full(used: int, held: int, full: bool) -> None:
    memory = ReplayMemory(100)
    memory.used = used
    assert memory.full(held) is full
    assert (memory.most(1), memory.most(READ_AHEAD + 1)) == (READ_AHEAD, READ_AHEAD + 1)


async def test_a_body_that_has_come_already() -> None:
    asker = Asker()
    asker.feed(b"hello")
    body = asker.body(limit=5)
    body.take(100)
    assert (body.data, body.size, body.complete, body.whole, body.judged) == (b"hello", 5, True, True, True)
    assert asker.memory.used == 5
    body.release()
    assert (asker.memory.used, body.data, body.whole) == (0, b"", False)
    body.release()
    assert asker.memory.used == 0


@pytest.mark.parametrize(("most", "whole"), [(5, True), (4, False), (0, False)])
@pytest.mark.parametrize("early", [True, False])
async def test_a_body_that_may_not_be_kept_is_not_whole(most: int, whole: bool, early: bool) -> None:
    """It may have come whole all the same, faster than anybody asked for it."""
    asker = Asker(b"hello", end=True)
    body = asker.body()
    if early:
        body.take(most)
    else:
        await body.collect(most)
    assert (body.data, body.complete, body.whole) == (b"hello", True, whole)


async def test_a_body_that_has_come_and_is_too_large() -> None:
    asker = Asker()
    asker.feed(b"hello!")
    body = asker.body(limit=5)
    with pytest.raises(BodyTooLargeError, match="more than 5 bytes") as caught:
        body.take(100)
    assert caught.value.limit == 5
    body.release()
    assert asker.memory.used == 0


async def test_collecting_a_whole_body() -> None:
    asker = Asker()
    body = asker.body()
    collecting = asyncio.create_task(body.collect(50))
    for part in (b"a", b"b", b"c"):
        asker.feed(part, end=False)
        await settle()
    asker.feed()
    await collecting
    assert (body.data, body.size, body.complete, body.whole, body.judged) == (b"abc", 3, True, True, False)
    assert asker.memory.used == 3
    assert asker.transport.writes == []


async def test_collecting_stops_at_the_bound_and_the_rest_streams() -> None:
    asker = Asker()
    body = asker.body()
    asker.feed(b"abcdef", end=False)
    await body.collect(5)
    assert (body.data, body.complete, body.whole) == (b"abcdef", False, False)
    asker.feed(b"ghi")
    connection, wire, _ = upstream()
    await body.stream(connection, chunked=False, drained=asyncio.Event())
    assert (wire.written, body.size, body.complete, body.whole) == (b"ghi", 9, True, False)


async def test_bodies_that_are_collected_at_the_same_time_share_the_memory() -> None:
    memory = ReplayMemory(2 * READ_AHEAD)
    askers = [Asker(memory=memory) for _ in range(3)]
    bodies = [one.body() for one in askers]
    collecting = [asyncio.create_task(body.collect(10 * READ_AHEAD)) for body in bodies]
    for _ in range(4):
        for asker in askers:
            if asker.line.reading:
                asker.feed(bytes(READ_AHEAD // 2), end=False)
        await settle()
    await asyncio.gather(*collecting)
    held = [len(body.data) for body in bodies]
    assert min(held) == READ_AHEAD, "the first part is everybody's"
    assert memory.used == sum(held) < memory.limit + 2 * READ_AHEAD
    assert not any(body.complete for body in bodies)
    for body in bodies:
        body.release()
    assert memory.used == 0


async def test_streaming_chunks() -> None:
    asker = Asker()
    asker.feed(b"hello world")
    connection, wire, _ = upstream()
    body = asker.body()
    await body.stream(connection, chunked=True, drained=asyncio.Event())
    assert wire.written == b"b\r\nhello world\r\n0\r\n\r\n"


async def test_a_body_that_ends_with_its_bound_is_complete_only_once_its_end_was_seen() -> None:
    asker = Asker()
    asker.feed(b"abc", end=False)
    body = asker.body()
    await body.collect(3)
    assert not body.complete


@pytest.mark.parametrize("ending", ["drained", "gone"])
async def test_a_provider_that_takes_no_more_is_waited_for(ending: str) -> None:
    asker = Asker()
    connection, wire, _ = upstream()
    connection.pause_writing()
    body, drained = asker.body(), asyncio.Event()
    asker.feed(b"abc", end=False)
    streaming = asyncio.create_task(body.stream(connection, chunked=False, drained=drained))
    await settle()
    asker.feed(b"def")
    drained.set()
    await settle()
    assert wire.writes == [b"abc"], "an event without room is not enough"
    if ending == "drained":
        connection.resume_writing()
    else:
        connection.connection_lost(None)
    drained.set()
    await streaming
    assert wire.writes == ([b"abc", b"def"] if ending == "drained" else [b"abc"])


@pytest.mark.parametrize(("expects", "arrived", "said"), [(True, b"", 1), (False, b"", 0), (True, b"a", 0)])
async def test_an_expectation_is_answered_once_and_only_while_nothing_came(
    expects: bool, arrived: bytes, said: int
) -> None:
    asker = Asker()
    asker.feed(*([arrived] if arrived else []), end=False)
    body = asker.body(expects=expects)
    collecting = asyncio.create_task(body.collect(1))
    await settle()
    asker.feed(b"x")
    await collecting
    await body.stream(upstream()[0], chunked=False, drained=asyncio.Event())
    assert asker.transport.writes == [CONTINUE] * said


async def test_an_expectation_of_a_client_that_is_gone() -> None:
    asker = Asker()
    asker.connection.transport = None
    asker.feed(b"x")
    await asker.body(expects=True).collect(9)
    assert asker.transport.writes == []


async def test_a_body_larger_than_its_limit() -> None:
    asker = Asker()
    asker.feed(b"abc", b"def")
    body = asker.body(limit=5)
    with pytest.raises(BodyTooLargeError):
        await body.collect(100)
    body.release()
    assert asker.memory.used == 0


async def test_a_client_that_stops_sending() -> None:
    asker = Asker()
    body = asker.body()
    asker.feed(b"abc", end=False)
    began = asker.watch.now()
    collecting = asyncio.create_task(body.collect(100))
    await settle()
    assert began + IDLE <= body.due <= asker.watch.now() + IDLE
    asker.watch.look(body.due - 0.001)
    await settle()
    assert not collecting.done()
    asker.watch.look(body.due)
    with pytest.raises(BodyTimeoutError, match="came for 30 s"):
        await collecting
    assert (body.data, asker.memory.used) == (b"abc", 3)


async def test_a_client_that_sends_slowly_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each byte moves the limit, also while nobody is told of it."""
    asker = Asker()
    monkeypatch.setattr(Watch, "now", lambda _: now)
    now = 0.0
    body = asker.body()
    collecting = asyncio.create_task(body.collect(100))
    await settle()
    for now in (25.0, 50.0, 75.0):
        asker.watch.look(now)
        asker.feed(b"a", end=False)
        await settle()
    asker.watch.look(75.0 + IDLE - 0.1)
    asker.feed()
    await collecting
    assert body.data == b"aaa"


@pytest.mark.parametrize("failure", [BadBodyError("told by the connection"), ConnectionResetError("gone")])
async def test_what_reading_may_fail_with(failure: Exception) -> None:
    asker = Asker()
    asker.payload.fail(failure)
    with pytest.raises(type(failure), match=str(failure)):
        await asker.body().collect(9)
    looked: list[Any] = []
    asker.watch.every(looked.append)
    asker.watch.look(float("inf"))
    assert looked, "nothing of the body is watched any more"


async def test_a_body_larger_than_its_limit_is_not_collected_to_the_bound() -> None:
    asker = Asker(b"abcdefgh")
    with pytest.raises(BodyTooLargeError):
        await asyncio.wait_for(asker.body(limit=5).collect(100), 5.0)
