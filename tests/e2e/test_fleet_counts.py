"""What a fleet counts is what its provider saw, whatever happened to Redis and to the wires meanwhile.

The three sidecars and their Redis are the same for all tests: each adds to what the last one left.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.e2e.fleets import LATE, Fleet, open_fleet
from tests.e2e.sidecars import MIX, STATUSES
from tests.e2e.world import PATIENCE
from tests.redis_server import RedisServer, redis_server

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(90)]


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def fleet(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Fleet]:
    folder = tmp_path_factory.mktemp("counts")
    with redis_server(folder, appendonly="yes", aof_load_truncated="yes", aof_use_rdb_preamble="no") as redis:
        async with open_fleet(folder, redis, piped="c") as found:
            yield found


async def exact(fleet: Fleet) -> None:
    """All sidecars tell what happened, and go on doing so; each knows its own part."""
    await fleet.agrees()
    await fleet.adds_up()
    await asyncio.sleep(LATE)
    await fleet.agrees(0)


async def test_three_sidecars_count_together_what_the_provider_saw(fleet: Fleet) -> None:
    async with fleet.traffic() as traffic:
        await traffic.more(20 * len(MIX))
    assert fleet.happened()[""].keys() == set(STATUSES)
    await exact(fleet)


async def test_a_redis_that_comes_back_empty_is_told_everything_again(fleet: Fleet) -> None:
    async with fleet.traffic() as traffic:
        await traffic.more(3 * len(MIX))
    await exact(fleet)  # so that there is something to be lost
    async with fleet.traffic() as traffic:
        await asyncio.to_thread(begin_anew, fleet.redis)
        await traffic.more(6 * len(MIX))
        await fleet.sound()
    async with asyncio.timeout(PATIENCE):
        while not all(one.said("it is told again") for one in fleet.sidecars):  # noqa: ASYNC110 - of other processes
            await asyncio.sleep(0.05)
    await exact(fleet)


def begin_anew(redis: RedisServer) -> None:
    """End it with nothing saved, and start it again."""
    redis.kill()
    for file in redis.folder.rglob("appendonly.aof*"):
        if file.is_file():
            file.unlink()
    redis.start()


async def test_a_redis_that_comes_back_as_it_was_is_told_what_it_missed(fleet: Fleet) -> None:
    async with fleet.traffic() as traffic:
        await traffic.more(3 * len(MIX))
        await asyncio.to_thread(fleet.redis.kill)
        await traffic.more(6 * len(MIX))
        await asyncio.to_thread(fleet.redis.start)
        await traffic.more(3 * len(MIX))
    await exact(fleet)


async def test_a_redis_that_lost_its_last_moments_is_told_them_again(fleet: Fleet) -> None:
    async with fleet.traffic() as traffic:
        await traffic.more(3 * len(MIX))
    await fleet.agrees()
    written = [(file, file.stat().st_size) for file in incremental(fleet.redis)]
    assert written
    async with fleet.traffic() as traffic:
        await traffic.more(3 * len(MIX))
        await asyncio.sleep(LATE)
        await asyncio.to_thread(fleet.redis.kill)
        assert [size for _, size in written] < [file.stat().st_size for file in incremental(fleet.redis)]
        for file, size in written:
            with file.open("r+b") as opened:
                opened.truncate(size)
        await asyncio.to_thread(fleet.redis.start)
        await traffic.more(3 * len(MIX))
    await exact(fleet)


def incremental(redis: RedisServer) -> list[Path]:
    """The files in which it writes down what it was told."""
    return sorted(redis.folder.rglob("appendonly.aof.*.incr.aof"))


async def test_a_sidecar_that_was_cut_off_catches_up(fleet: Fleet) -> None:
    other, _, alone = fleet.sidecars
    await fleet.agrees()
    before = await other.sums()
    async with fleet.traffic() as traffic:
        with alone.pipe.cut():
            await traffic.more(12 * len(MIX))
            await asyncio.sleep(LATE)
            assert await alone.trouble() is not None
            assert await alone.sums() == before
            assert await other.sums() != before
        await traffic.more(4 * len(MIX))
    await exact(fleet)


async def test_what_was_told_and_not_acknowledged_counts_once(fleet: Fleet) -> None:
    pipe = fleet.sidecars[2].pipe
    before = pipe.lost
    async with fleet.traffic() as traffic:
        for _ in range(3):
            pipe.losing = 2
            await traffic.more(6 * len(MIX))
            await asyncio.sleep(LATE)
    assert pipe.lost > before
    await exact(fleet)
