"""What the admin port answers while Redis is away, what is published for others, and what is said nowhere."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.e2e.fleets import LATE, Fleet, open_fleet
from tests.e2e.sidecars import KEY, MIX, comes
from tests.redis_server import RedisServer, redis_server

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(60)]

PASSWORD = "canary-password-of-redis"
USER_KEY = "sk-canary-of-a-caller-0123456789abcdef"
CANARIES = (PASSWORD, KEY, USER_KEY)
STORE = f"redis://:{PASSWORD}@127.0.0.1:{{port}}"
PAGES = (
    "/v1/model-health",
    "/v1/model-health/stats",
    "/v1/model-health/unhealthy",
    "/v1/model-health/providers",
    "/v1/model-health/mixed/plain",
    "/v1/model-health/provider/mixed/summary",
    "/v1/model-health/history",
    "/v1/model-health/history?provider=mixed&model=plain",
    "/health/system",
    "/health/providers",
    "/health/models",
    "/health/gateways",
    "/circuit-breakers",
    "/readyz?verbose",
)
DOCUMENTS = ("health:system", "health:providers", "health:models", "health:gateways")


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def fleet(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Fleet]:
    folder = tmp_path_factory.mktemp("queries")
    with redis_server(folder, requirepass=PASSWORD) as redis:
        async with open_fleet(folder, redis, "abc", store=STORE, redis={"publish_cache": True}) as found:
            async with found.traffic() as traffic:
                await traffic.more(6 * len(MIX))
            await found.agrees()
            yield found


# -- while Redis is away -----------------------------------------------------------------------------------------------


async def test_what_was_known_is_told_with_its_age(fleet: Fleet) -> None:
    one = fleet.sidecars[0]
    known = await one.sums()
    status, headers, _ = await one.request("GET", "/v1/model-health")
    assert (status, headers.get("x-detour-stale")) == (200, None)
    fleet.redis.freeze()
    try:
        await asyncio.sleep(1.1)
        for path in ("/v1/model-health", "/v1/model-health/mixed/plain", "/health/system"):
            status, headers, _ = await one.request("GET", path)
            assert status == 200, path
            assert 1 <= int(headers["x-detour-stale"]) < 20, path
        assert await one.sums() == known
        status, _, found = await one.request("GET", "/v1/model-health/history?provider=mixed")
        assert (status, found["error"]["code"]) == (503, "store_unavailable")
        assert await one.sums("instance")
        assert await one.history("instance")
        status, headers, _ = await one.request("GET", "/v1/model-health?scope=instance")
        assert (status, headers.get("x-detour-stale")) == (200, None)
    finally:
        fleet.redis.thaw()
    await comes(lambda: one.request("GET", "/v1/model-health"), lambda found: "x-detour-stale" not in found[1], 10)


async def test_what_was_never_known_is_not_made_up(tmp_path: Path) -> None:
    async with open_fleet(tmp_path, RedisServer(tmp_path), "a") as fleet:
        (one,) = fleet.sidecars
        assert (await one.ask(MIX[0])).status == 200
        for path in PAGES:
            if path in ("/circuit-breakers", "/readyz?verbose"):
                continue
            status, _, found = await one.request("GET", path)
            assert (status, found["error"]["code"]) == (503, "store_unavailable"), path
        assert await one.sums("instance") == {"mixed/plain": (1, 0)}
        assert (await one.page("/circuit-breakers"))["open_count"] == 0
        assert await one.trouble() is not None


# -- what is published -------------------------------------------------------------------------------------------------


def published(redis: RedisServer) -> dict[str, Any]:
    """The documents there are."""
    found = {name: redis.command("GET", name) for name in DOCUMENTS}
    return {name: json.loads(text) for name, text in found.items() if text is not None}


async def test_documents_of_the_original_cache_are_published(fleet: Fleet) -> None:
    redis = fleet.redis

    async def look() -> dict[str, Any]:
        return published(redis)

    await comes(look, lambda found: found.keys() == set(DOCUMENTS), 10)
    for name in DOCUMENTS:
        assert 300 < redis.command("TTL", name) <= 360, name
    holder = redis.command("GET", "detour:{default:00}:d:publisher").decode()
    names = [one.said("serving")[0]["instance"] for one in fleet.sidecars]
    assert holder.partition("-")[0] in names
    late = await fleet.join("d")
    await asyncio.sleep(LATE)
    assert redis.command("GET", "detour:{default:00}:d:publisher").decode() == holder, "who comes later is not it"
    await fleet.leave(late)
    redis.command("DEL", "detour:{default:00}:d:publisher", *DOCUMENTS)  # whoever has it next publishes at once

    found = await comes(look, lambda found: found.keys() == set(DOCUMENTS), 10)
    records = await fleet.sidecars[0].sums()
    system = found["health:system"]
    assert system["overall_status"] in ("healthy", "degraded", "unhealthy", "unknown")
    assert system["tracked_models"] == system["total_models"] == len(records)
    assert isinstance(system["system_uptime"], float | int)
    assert {row["provider"] for row in found["health:providers"]["providers"]} == {"mixed", "mute"}
    assert {"provider", "gateway", "status", "total_models", "overall_uptime", "last_checked"} <= set(
        found["health:providers"]["providers"][0]
    )
    rows = found["health:models"]["models"]
    assert {(row["provider"], row["model_id"]) for row in rows} == {tuple(name.split("/", 1)) for name in records}
    for row in rows:
        assert row["total_requests"] == sum(records[f"{row['provider']}/{row['model_id']}"])
        assert {"status", "success_rate", "last_checked", "uptime_percentage", "error_count"} <= row.keys()
    for name, gateway in found["health:gateways"].items():
        assert {"healthy", "status", "latency_ms", "available", "last_check", "error", "configured"} <= gateway.keys()
        assert name in ("mixed", "mute", "guarded", "brief", "ailing")


async def test_nothing_is_published_unless_asked_for(tmp_path: Path) -> None:
    with redis_server(tmp_path) as redis:
        async with open_fleet(tmp_path, redis, "a") as fleet:
            assert (await fleet.sidecars[0].ask(MIX[0])).status == 200
            await fleet.agrees()
            await asyncio.sleep(2)
            assert not redis.command("KEYS", "health:*")


# -- what is said nowhere ----------------------------------------------------------------------------------------------


async def test_nothing_secret_leaves(fleet: Fleet) -> None:
    for one in fleet.sidecars:
        for turn in MIX:
            assert (await one.ask(turn, "secretive", key=USER_KEY)).status == turn.got
    fleet.redis.command("CONFIG", "SET", "requirepass", "another")
    fleet.redis.options["requirepass"] = "another"
    for kind in ("normal", "pubsub"):
        fleet.redis.command("CLIENT", "KILL", "TYPE", kind, "SKIPME", "yes")
    for one in fleet.sidecars:
        await comes(one.trouble, lambda found: found is not None and "wrong password" in found, 10)
    fleet.redis.command("CONFIG", "SET", "requirepass", PASSWORD)
    fleet.redis.options["requirepass"] = PASSWORD
    await fleet.sound()
    await fleet.agrees()
    for one in fleet.sidecars:
        for path in (*PAGES, "/metrics", "/health/dashboard"):
            _, found = await one.get(path, Authorization="Bearer admin-token-of-the-tests")
            assert not leaks(json.dumps(found).encode()), (one.name, path)
        assert not leaks(json.dumps(one.lines).encode()), one.name
    kept = contents(fleet.redis)
    assert any(b"secretive" in key + value for key, value in kept)
    for key, value in kept:
        assert not leaks(key + value), key


def leaks(data: bytes) -> list[str]:
    """The canaries in it."""
    return [canary for canary in CANARIES if canary.encode() in data or canary[10:].encode() in data]


READ = {
    b"string": ("GET",),
    b"hash": ("HGETALL",),
    b"zset": ("ZRANGE", 0, -1),
    b"set": ("SMEMBERS",),
    b"list": ("LRANGE", 0, -1),
}


def contents(redis: RedisServer) -> list[tuple[bytes, bytes]]:
    """All keys with all that they hold."""
    found = []
    for key in redis.command("KEYS", "*"):
        command, *more = READ[redis.command("TYPE", key)]
        value = redis.command(command, key, *more)
        if isinstance(value, dict):
            value = [part for pair in value.items() for part in pair]
        found.append((key, value if isinstance(value, bytes) else b"\n".join(value)))
    return found
