"""Trouble with Redis while there is traffic: nobody's request notices, and in the end nothing is missing.

The two sidecars and their Redis are the same for all tests but those in which it is not there at the start.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

import pytest
import pytest_asyncio

from tests.e2e.fleets import LATE, SLACK, WITHIN, Fleet, open_fleet
from tests.e2e.sidecars import MIX, Sidecar, comes
from tests.redis_server import RedisServer, free_port, redis_server

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(60)]

PASSWORD = "canary-password-of-redis"
STORE = f"redis://:{PASSWORD}@127.0.0.1:{{port}}"


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def fleet(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Fleet]:
    folder = tmp_path_factory.mktemp("trouble")
    with redis_server(folder, requirepass=PASSWORD) as redis:
        async with open_fleet(folder, redis, "ab", piped="b", store=STORE) as found:
            yield found
            for one in found.sidecars:
                assert not [line for line in one.lines if PASSWORD in str(line)], one.name


async def endure(
    fleet: Fleet,
    harm: Callable[[], object],
    heal: Callable[[], object],
    says: str,
    hit: Sequence[Sidecar] = (),
    *,
    new: bool = False,
) -> None:
    """Go through some trouble, which the sidecars it hits tell of in these words, and out of it again."""
    hit = hit or fleet.running
    target = f"guarded/{says}"
    async with fleet.traffic() as traffic:
        await traffic.more(len(MIX))
        before = {one.name: 0 if new else len(complaints(one)) for one in hit}
        await asyncio.to_thread(harm)
        try:
            for one in hit:
                await comes(one.trouble, lambda found: found is not None and says in found, 5, one.name)
                assert await one.metric("detour_store_trouble") == 1
            await fleet.trip(hit[-1], target)
            await fleet.refuses(hit[-1], target)
            await traffic.more(4 * len(MIX))
            await asyncio.sleep(LATE)
            for one in hit:
                assert await one.trouble() is not None, one.name
                assert len(complaints(one)) == before[one.name] + 1, one.name
        finally:
            await asyncio.to_thread(heal)
        at = time.monotonic()
        await traffic.more(2 * len(MIX))
        await fleet.sound()
        took = time.monotonic() - at
        assert took <= WITHIN + SLACK, took
    await fleet.agrees(max(WITHIN + SLACK - took, 1.0))
    await fleet.adds_up()
    await fleet.everywhere(target, "open")
    for one in hit:
        assert one.said("the store takes everything again"), one.name


def complaints(one: Sidecar) -> list[str]:
    """Lines of the log about a store in trouble."""
    return [line["message"] for line in one.said("the store is in trouble")]


async def test_killed_and_started_again(fleet: Fleet) -> None:
    await endure(fleet, fleet.redis.kill, fleet.redis.start, "connection ")


async def test_frozen(fleet: Fleet) -> None:
    await endure(fleet, fleet.redis.freeze, fleet.redis.thaw, "no answer within 100 ms")


async def test_slow_by_a_second(fleet: Fleet) -> None:
    slow = fleet.sidecars[1]

    def late(seconds: float) -> None:
        slow.pipe.slow = seconds

    await endure(fleet, lambda: late(1.0), lambda: late(0.0), "no answer within", [slow])


async def test_a_replica_since_a_failover(fleet: Fleet) -> None:
    redis, nobody = fleet.redis, free_port()
    await endure(
        fleet,
        lambda: redis.command("REPLICAOF", "127.0.0.1", nobody),
        lambda: redis.command("REPLICAOF", "NO", "ONE"),
        "read-only replica",
    )


async def test_out_of_memory(fleet: Fleet) -> None:
    redis = fleet.redis
    await endure(
        fleet,
        lambda: redis.command("CONFIG", "SET", "maxmemory", "100kb"),
        lambda: redis.command("CONFIG", "SET", "maxmemory", "0"),
        "out of memory",
    )


async def test_another_password(fleet: Fleet) -> None:
    redis = fleet.redis

    def change(password: str) -> None:
        redis.command("CONFIG", "SET", "requirepass", password)
        redis.options["requirepass"] = password
        for kind in ("normal", "pubsub"):
            redis.command("CLIENT", "KILL", "TYPE", kind, "SKIPME", "yes")

    await endure(fleet, lambda: change("another"), lambda: change(PASSWORD), "wrong password")


async def test_full_of_the_keys_of_others(fleet: Fleet) -> None:
    redis = fleet.redis

    def spoil() -> None:
        redis.command("EVAL", "for i = 1, 10000 do redis.call('SET', 'theirs:' .. i, i) end", 0)
        for key in redis.command("KEYS", "detour:*:t"):
            redis.command("RENAME", key, b"kept:" + key)
            redis.command("SET", key, "theirs")

    def mend() -> None:
        for key in redis.command("KEYS", "kept:detour:*:t"):
            redis.command("RENAME", key, key.removeprefix(b"kept:"))

    await endure(fleet, spoil, mend, "a key is used by something else")


async def test_all_keys_gone(fleet: Fleet) -> None:
    before = [len(one.said("it is told again")) for one in fleet.sidecars]
    async with fleet.traffic() as traffic:
        await traffic.more(len(MIX))
        await asyncio.to_thread(fleet.redis.command, "FLUSHALL")
        at = time.monotonic()
        await traffic.more(4 * len(MIX))
    for one in fleet.sidecars:
        assert await one.trouble() is None
    await fleet.agrees(max(WITHIN + SLACK - (time.monotonic() - at), 1.0))
    await fleet.adds_up()
    assert [len(one.said("it is told again")) for one in fleet.sidecars] == [number + 1 for number in before]


async def test_not_there_at_the_start(tmp_path: Path) -> None:
    redis = RedisServer(tmp_path)
    async with open_fleet(tmp_path, redis, "ab") as fleet:
        try:
            await endure(fleet, lambda: None, redis.start, "connection refused", new=True)
        finally:
            await asyncio.to_thread(redis.stop)
