"""Connections kept warm, bounded, and given back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from config.effective import Origin
from proxy.connect import Connector, UnreachableError
from proxy.pool import IDLE_EXPIRY, Pool, Pools, PoolWaitError
from proxy.upstream import Upstream

LIMIT = 5.0
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Sink:
    """Takes one answer and gives the connection back."""

    def __init__(self, connection: Upstream) -> None:
        self.connection = connection
        self.over: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def _end(self, how: str) -> None:
        if not self.over.done():
            self.over.set_result(how)

    def head(self, reply: object) -> None:
        """Nothing to do."""

    def body(self, data: bytes, done: bool, framed: bytes = b"") -> None:
        if done:
            self.connection.detach()
            self._end("done")

    def lost(self, detail: str) -> None:
        self._end(detail)


class Provider:
    """A real peer that answers each request at once, and can end its connections."""

    def __init__(self) -> None:
        self.writers: list[asyncio.StreamWriter] = []
        self.ended: list[asyncio.Event] = []
        self.origin = Origin("http", "127.0.0.1", 1)
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.origin = Origin("http", "127.0.0.1", self._server.sockets[0].getsockname()[1])

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ended = asyncio.Event()
        self.writers.append(writer)
        self.ended.append(ended)
        try:
            while await reader.read(65_536):
                writer.write(ANSWER)
        except ConnectionError:
            pass
        finally:
            ended.set()
            writer.close()

    def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        for writer in self.writers:
            writer.close()


@pytest.fixture
async def provider() -> AsyncIterator[Provider]:
    made = Provider()
    await made.start()
    yield made
    made.stop()


@pytest.fixture
async def pool(provider: Provider) -> AsyncIterator[Pool]:
    loop = asyncio.get_running_loop()
    made = Pool(provider.origin, Connector(loop), loop)
    yield made
    made.close()


def now() -> float:
    return asyncio.get_running_loop().time()


async def exchange(connection: Upstream) -> str:
    sink = Sink(connection)
    connection.begin(sink, "GET")  # type: ignore[arg-type]
    connection.write(b"GET / HTTP/1.1\r\nHost: p\r\n\r\n")
    async with asyncio.timeout(LIMIT):
        return await sink.over


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(LIMIT):
        while True:
            if condition():
                return
            await asyncio.sleep(0.005)


async def waiting(pool: Pool, cap: int, wait: float = LIMIT) -> asyncio.Task[Upstream]:
    """A caller that waits for its turn."""
    before = pool.counts()[3]
    task = asyncio.create_task(pool.connect(LIMIT, cap, wait))
    await until(lambda: task.done() or pool.counts()[3] > before)
    return task


async def test_a_connection_is_used_again(pool: Pool) -> None:
    assert pool.take(now()) is None
    connection = await pool.connect(LIMIT)
    assert pool.counts() == (0, 1, 0, 0)
    assert await exchange(connection) == "done"
    assert pool.counts() == (1, 0, 0, 0)
    assert pool.take(now()) is connection
    assert pool.counts() == (0, 1, 0, 0)
    assert await exchange(connection) == "done"
    assert connection.uses == 2


async def test_the_newest_is_taken_first_and_the_rest_grow_old(pool: Pool, provider: Provider) -> None:
    first, second = await pool.connect(LIMIT), await pool.connect(LIMIT)
    await exchange(first)
    await exchange(second)
    first.idle_since, second.idle_since = 100.0, 110.0
    assert pool.take(110.0 + IDLE_EXPIRY) is second
    assert pool.take(100.1 + IDLE_EXPIRY) is None
    pool.expire(100.0 + IDLE_EXPIRY)
    assert pool.counts() == (1, 1, 0, 0)
    pool.expire(100.1 + IDLE_EXPIRY)
    await until(lambda: pool.counts() == (0, 1, 0, 0))
    assert first.transport is None
    assert pool.take(100.0) is None


async def test_a_shorter_rest_may_be_asked_for(pool: Pool) -> None:
    connection = await pool.connect(LIMIT)
    await exchange(connection)
    connection.idle_since = 100.0
    assert pool.take(101.1, 1.0) is None
    assert pool.take(101.0, 1.0) is connection


async def test_an_idle_connection_that_the_provider_closes_is_dropped(pool: Pool, provider: Provider) -> None:
    connection = await pool.connect(LIMIT)
    await exchange(connection)
    provider.writers[0].close()
    await until(lambda: pool.counts() == (0, 0, 0, 0))
    assert pool.take(now()) is None


async def test_a_connection_on_which_something_waits_to_be_read_is_not_used(pool: Pool, provider: Provider) -> None:
    """What came before the request is no answer to it, and the loop may not have had the time to look."""
    for tell in (lambda writer: writer.write(ANSWER), lambda writer: writer.close()):
        first, second = await pool.connect(LIMIT), await pool.connect(LIMIT)
        await exchange(first)
        await exchange(second)
        tell(provider.writers[-1])
        await asyncio.sleep(0)
        assert pool.take(now()) is first
        assert pool.counts() == (0, 1, 0, 0)
        first.abort()
        await until(lambda: pool.counts() == (0, 0, 0, 0))


async def test_closing_ends_used_and_idle_ones(pool: Pool, provider: Provider) -> None:
    used, idle = await pool.connect(LIMIT), await pool.connect(LIMIT)
    await exchange(idle)
    await exchange(used)
    assert pool.take(now()) is used
    pool.close()
    await until(lambda: pool.counts() == (0, 0, 0, 0))
    async with asyncio.timeout(LIMIT):
        for ended in provider.ended:
            await ended.wait()


async def test_a_connection_that_cannot_be_made(pool: Pool, provider: Provider) -> None:
    provider.stop()
    with pytest.raises(UnreachableError):
        await pool.connect(LIMIT)
    assert pool.counts() == (0, 0, 0, 0)


async def test_connecting_is_counted(pool: Pool) -> None:
    task = asyncio.create_task(pool.connect(LIMIT))
    await asyncio.sleep(0)
    assert pool.counts() == (0, 0, 1, 0)
    await task
    assert pool.counts() == (0, 1, 0, 0)


async def test_a_connection_that_is_gone_at_once_fails_and_gives_its_turn_on(pool: Pool, provider: Provider) -> None:
    class Gone(Connector):
        async def open(self, origin: Origin, protocol: Callable[[], Any], limit: float) -> Any:
            made = await super().open(origin, protocol, limit)
            made.abort()
            await until(lambda: made.transport is None)
            return made

    loop = asyncio.get_running_loop()
    short = Pool(provider.origin, Gone(loop), loop)
    leaving = asyncio.create_task(short.connect(LIMIT, 1, LIMIT))
    await asyncio.sleep(0)
    task = await waiting(short, 1)
    with pytest.raises(UnreachableError, match=f"127.0.0.1:{provider.origin.port} closed at once"):
        await leaving
    with pytest.raises(UnreachableError):
        await task
    assert short.counts() == (0, 0, 0, 0)


# -- with a cap -------------------------------------------------------------------------------------------------------


async def test_callers_wait_in_order_and_get_what_is_given_back(pool: Pool) -> None:
    connection = await pool.connect(LIMIT, 1, LIMIT)
    first = await waiting(pool, 1)
    second = await waiting(pool, 1)
    assert pool.counts() == (0, 1, 0, 2)
    await exchange(connection)
    assert await first is connection
    assert not second.done()
    await exchange(connection)
    assert await second is connection
    assert pool.counts() == (0, 1, 0, 0)


async def test_a_connection_that_ends_makes_room_for_a_new_one(pool: Pool) -> None:
    connection = await pool.connect(LIMIT, 1, LIMIT)
    task = await waiting(pool, 1)
    connection.abort()
    made = await task
    assert made is not connection
    assert made.transport is not None
    assert pool.counts() == (0, 1, 0, 0)


async def test_one_that_rested_too_long_for_a_request_makes_room_for_a_new_one(pool: Pool) -> None:
    connections = [await pool.connect(LIMIT, 2, LIMIT) for _ in range(2)]
    for connection in connections:
        await exchange(connection)
        connection.idle_since -= 30.0
    assert pool.take(now(), 1.0) is None
    made = await pool.connect(LIMIT, 2, LIMIT)
    assert made not in connections
    assert pool.counts() == (1, 1, 0, 0)
    await until(lambda: connections[0].transport is None)
    assert pool.take(now()) is connections[1]


async def test_waiting_has_an_end(pool: Pool, provider: Provider) -> None:
    await pool.connect(LIMIT, 1, LIMIT)
    where = f"{provider.origin.host}:{provider.origin.port}"
    with pytest.raises(PoolWaitError, match=f"all 1 connections to {where} were busy for 0.01 s"):
        await pool.connect(LIMIT, 1, 0.01)
    assert pool.counts() == (0, 1, 0, 0)


async def test_a_caller_that_leaves_while_waiting_loses_nobodys_turn(pool: Pool) -> None:
    connection = await pool.connect(LIMIT, 1, LIMIT)
    first = await waiting(pool, 1)
    second = await waiting(pool, 1)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    assert pool.counts()[3] == 1
    await exchange(connection)
    assert await second is connection


async def test_a_caller_that_is_just_leaving_is_passed_over(pool: Pool) -> None:
    connection = await pool.connect(LIMIT, 1, LIMIT)
    first = await waiting(pool, 1)
    second = await waiting(pool, 1)
    first.cancel()
    pool.release(connection)
    async with asyncio.timeout(LIMIT):
        assert await second is connection
    assert first.cancelled()


async def test_a_turn_given_to_a_caller_that_leaves_at_that_moment_goes_to_the_next(pool: Pool) -> None:
    connection = await pool.connect(LIMIT, 1, LIMIT)
    first = await waiting(pool, 1)
    second = await waiting(pool, 1)
    pool.release(connection)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    async with asyncio.timeout(LIMIT):
        assert await second is connection


async def test_a_turn_that_somebody_else_was_quicker_to_take(pool: Pool) -> None:
    connection = await pool.connect(LIMIT, 1, LIMIT)
    task = await waiting(pool, 1)
    pool.release(connection)
    assert pool.take(now()) is connection
    await until(lambda: pool.counts()[3] == 1)
    assert not task.done()
    pool.release(connection)
    assert await task is connection


async def test_a_failed_connect_gives_its_turn_on(pool: Pool, provider: Provider) -> None:
    class Failing(Connector):
        failures = 1

        async def open(self, origin: Origin, protocol: Callable[[], Any], limit: float) -> Any:
            if self.failures:
                self.failures -= 1
                await asyncio.sleep(0.02)
                raise UnreachableError("no")
            return await super().open(origin, protocol, limit)

    loop = asyncio.get_running_loop()
    short = Pool(provider.origin, Failing(loop), loop)
    failing = asyncio.create_task(short.connect(LIMIT, 1, LIMIT))
    await asyncio.sleep(0)
    task = await waiting(short, 1)
    with pytest.raises(UnreachableError):
        await failing
    made = await task
    assert made.transport is not None
    short.close()


# -- all of them ------------------------------------------------------------------------------------------------------


async def test_pools_by_origin(provider: Provider) -> None:
    loop = asyncio.get_running_loop()
    pools = Pools(Connector(loop), loop)
    other = Origin("http", "127.0.0.1", 2)
    assert pools.of(provider.origin) is pools.of(Origin("http", "127.0.0.1", provider.origin.port))
    assert pools.of(other) is not pools.of(provider.origin)
    connection = await pools.of(provider.origin).connect(LIMIT)
    await exchange(connection)
    await pools.of(provider.origin).connect(LIMIT)
    assert pools.counts() == {"idle": 1, "active": 1, "connecting": 0, "waiting": 0}
    pools.expire(now() + 2 * IDLE_EXPIRY)
    await until(lambda: pools.counts()["idle"] == 0)
    pools.close()
    await until(lambda: pools.counts()["active"] == 0)


async def test_connections_to_an_origin_that_is_not_wanted_any_more_end_as_they_come_back(provider: Provider) -> None:
    loop = asyncio.get_running_loop()
    pools = Pools(Connector(loop), loop)
    pool = pools.of(provider.origin)
    idle, used = await pool.connect(LIMIT), await pool.connect(LIMIT)
    await exchange(idle)
    pools.adopt(set())
    await until(lambda: pool.counts() == (0, 1, 0, 0))
    pools.expire(now())
    assert pools.of(provider.origin) is pool, "it is in use"
    assert await exchange(used) == "done"
    await until(lambda: pool.empty)
    pools.expire(now())
    again = pools.of(provider.origin)
    assert again is not pool
    assert not again.wanted
    pools.adopt({provider.origin})
    assert again.wanted
    await exchange(await again.connect(LIMIT))
    assert again.counts() == (1, 0, 0, 0)
    pools.adopt({provider.origin})
    assert again.counts() == (1, 0, 0, 0), "one that is wanted still keeps its connections"
    pools.close()
