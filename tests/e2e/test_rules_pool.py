"""proxy-rules 15 and 18 under a cap on connections: the bounded wait, its order, and leaving it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from config.effective import Origin
from proxy.connect import Connector
from proxy.pool import Pool
from tests.e2e.lanes import OK, Lane, Lanes, comes, descriptors, open_lanes, quiet, values
from tests.e2e.world import Peer, client, eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def patient(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Lanes]:
    """One connection to each origin, and a wait that no test outlives."""
    async with open_lanes(tmp_path_factory.mktemp("patient"), limits={"connections": 1, "pool_wait": "15s"}) as found:
        yield found


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def hasty(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Lanes]:
    """Two connections to each origin, and a short wait."""
    async with open_lanes(tmp_path_factory.mktemp("hasty"), limits={"connections": 2, "pool_wait": "200ms"}) as found:
        yield found


async def queued(lane: Lane, count: int) -> None:
    """Wait until `count` requests wait for a connection."""

    async def reached() -> bool:
        return await lane.detour.metric("detour_upstream_connections", state="waiting") == count

    await comes(reached)


@contextlib.asynccontextmanager
async def busy(lane: Lane, path: str = "/busy") -> AsyncIterator[tuple[Peer, Peer]]:
    """A request that holds a connection: (caller, provider)."""
    async with lane.talk(lane.get(path)) as talk:
        yield talk.caller, talk.provider


async def test_a_wait_that_is_over_is_a_503_and_no_fault_of_the_provider(hasty: Lanes) -> None:
    lane = hasty.take()
    async with busy(lane), busy(lane), client(lane.port) as caller:
        await caller.send(lane.chat(b'{"model":"m"}', b"Connection: close"))
        raw = await caller.rest()
        assert raw.startswith(b"HTTP/1.1 503 ")
        assert values(raw, b"retry-after") == [b"1"]
        assert lane.upstream.accepted == 2
        assert await lane.detour.metric("detour_attempts_total", provider=lane.name) == 0
        assert await lane.detour.metric("detour_upstream_connections", state="waiting") == 0


async def test_other_origins_do_not_wait(hasty: Lanes) -> None:
    lane, other = hasty.take(), hasty.take()
    async with busy(lane), busy(lane):
        assert (await other.sees(other.get()))[0].startswith(b"GET /x ")


async def test_a_connection_given_back_goes_to_who_waited_longest(patient: Lanes) -> None:
    lane = patient.take()
    async with contextlib.AsyncExitStack() as stack:
        first, provider = await stack.enter_async_context(busy(lane))
        callers = []
        for number in range(3):
            caller = await stack.enter_async_context(client(lane.port))
            await caller.send(lane.get(f"/{number}"))
            await queued(lane, number + 1)
            callers.append(caller)
        for number, caller in enumerate([first, *callers]):
            await provider.send(OK)
            assert (await caller.answer())[2] == b"ok"
            if number < 3:
                assert (await provider.request())[0].startswith(b"GET /%d " % number)
    assert lane.upstream.accepted == 1


@pytest.mark.parametrize("how", ["close", "abort"])
async def test_a_connection_that_ends_makes_room_for_who_waits(patient: Lanes, how: str) -> None:
    lane = patient.take()
    async with busy(lane) as (_, provider), client(lane.port) as caller:
        await caller.send(lane.get("/next"))
        await queued(lane, 1)
        getattr(provider, how)()
        fresh = await lane.upstream.accept()
        assert (await fresh.request())[0].startswith(b"GET /next ")
        await fresh.send(OK)
        assert (await caller.answer())[0] == 200


async def test_a_client_that_leaves_makes_room_for_who_waits(patient: Lanes) -> None:
    lane = patient.take()
    async with busy(lane) as (first, _), client(lane.port) as caller:
        await caller.send(lane.get("/next"))
        await queued(lane, 1)
        first.close()
        fresh = await lane.upstream.accept()
        assert (await fresh.request())[0].startswith(b"GET /next ")
        await fresh.send(OK)
        assert (await caller.answer())[0] == 200


@pytest.mark.parametrize("leave", ["half-close", "fin", "rst"])
async def test_leaving_while_waiting_for_a_connection(patient: Lanes, leave: str) -> None:
    lane = patient.take()
    async with busy(lane) as (first, provider):
        before = descriptors(lane.detour)
        async with client(lane.port) as caller, client(lane.port) as later:
            await caller.send(lane.get("/left"))
            await queued(lane, 1)
            await later.send(lane.get("/later"))
            await queued(lane, 2)
            {"half-close": caller.writer.write_eof, "fin": caller.close, "rst": caller.abort}[leave]()
            async with asyncio.timeout(1.0):
                await queued(lane, 1)
            await provider.send(OK)
            assert (await first.answer())[0] == 200
            assert (await provider.request())[0].startswith(b"GET /later ")
            await provider.send(OK)
            assert (await later.answer())[0] == 200
        await quiet(lane.detour, before)
    assert lane.upstream.accepted == 1
    assert await lane.attempts("success") == 2
    assert await lane.attempts("cancelled") == await lane.detour.metric("detour_attempts_total", provider=lane.name) - 2


async def test_at_the_cap_a_connection_that_rested_too_long_makes_room_for_a_new_one(hasty: Lanes) -> None:
    """A request that must not be sent twice does not take it, and does not wait behind it either."""
    lane = hasty.take()
    loop = asyncio.get_running_loop()
    pool = Pool(Origin("http", "127.0.0.1", lane.upstream.port), Connector(loop), loop)
    rested = await pool.connect(5.0, 1, 5.0)
    pool.release(rested)
    assert pool.take(loop.time() + 2.0, 1.0) is None
    made = await pool.connect(5.0, 1, 0.0)
    assert made is not rested
    assert pool.counts() == (0, 1, 0, 0)
    pool.close()


async def test_who_lost_its_turn_to_somebody_quicker_is_still_the_next(hasty: Lanes) -> None:
    lane = hasty.take()
    loop = asyncio.get_running_loop()
    pool = Pool(Origin("http", "127.0.0.1", lane.upstream.port), Connector(loop), loop)
    connection = await pool.connect(5.0, 1, 5.0)
    order: list[int] = []

    async def wait(number: int) -> None:
        assert await pool.connect(5.0, 1, 5.0) is connection
        order.append(number)

    tasks = []
    for number in range(2):
        tasks.append(asyncio.create_task(wait(number)))
        await eventually(lambda number=number: pool.counts()[3] == number + 1)
    pool.release(connection)
    assert pool.take(loop.time()) is connection
    await eventually(lambda: pool.counts()[3] == 2)
    for number in range(2):
        pool.release(connection)
        await tasks[number]
    assert order == [0, 1]
    pool.close()
