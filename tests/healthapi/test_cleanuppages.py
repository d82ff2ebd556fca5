from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from breaker.outcome import NO_MODEL, Status
from healthapi.history import DAY
from healthapi.keeper import Keeper
from healthapi.store import Picture, Scope
from tests.healthapi.admin_world import LOOPBACK, NO_TOKEN, REMOTE, World
from tests.healthapi.serving import BEARER, Client, ask, serving

PATH = "/v1/model-health/cleanup"
SLASHED = "meta-llama/llama:free"


def busy(config: str = LOOPBACK) -> World:
    """Two months: one model was used at the beginning, one never works, one is well, one was used three weeks ago."""
    world = World(config)
    world.attempt("groq", "llama-3.3-70b-versatile")
    world.attempt("groq", NO_MODEL)
    world.now += 40 * DAY
    world.attempt("openrouter", "aging")
    world.now += 21 * DAY
    for _ in range(12):
        world.attempt("openrouter", SLASHED, Status.ERROR, message="503")
    world.attempt("openrouter", "fine")
    world.attempt("openrouter", "bad-\udcff", Status.ERROR)
    return world


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    made = await serving(busy())
    yield made
    await made.close()


async def answered(client: Client, query: str = "", method: str = "GET", status: int = 200) -> dict[str, Any]:
    response = await ask(client, f"{PATH}?{query}", method, **BEARER)
    document: dict[str, Any] = await response.json()
    assert response.status == status, document
    return document


async def left(client: Client) -> set[str]:
    listed = await (await ask(client, "/v1/model-health")).json()
    return {row["model"] for row in listed["models"]}


ALL = {"llama-3.3-70b-versatile", "aging", SLASHED, "fine", "bad-?"}


async def test_what_would_go(client: Client) -> None:
    assert await answered(client) == {
        "older_than_seconds": 30.0 * DAY,
        "live": False,
        "total": 2,
        "removed": 0,
        "models": [
            {
                "provider": "groq",
                "model": "llama-3.3-70b-versatile",
                "reason": "unused",
                "configured": True,
                "last_called_at": "2026-01-01T00:00:00.000Z",
                "call_count": 1,
                "error_rate": 0.0,
            },
            {
                "provider": "openrouter",
                "model": SLASHED,
                "reason": "always_failing",
                "configured": False,
                "last_called_at": "2026-03-03T00:00:00.000Z",
                "call_count": 12,
                "error_rate": 1.0,
            },
        ],
    }
    assert await left(client) == ALL


@pytest.mark.parametrize(
    ("older_than", "models"),
    [
        ("30d", {"llama-3.3-70b-versatile", SLASHED}),
        ("7d", {"llama-3.3-70b-versatile", "aging", SLASHED}),
        ("366d", {SLASHED}),
    ],
)
async def test_going(client: Client, older_than: str, models: set[str]) -> None:
    query = f"older_than={older_than}"
    would = await answered(client, query)
    assert {row["model"] for row in would["models"]} == models
    done = await answered(client, query, "POST")
    assert done == {**would, "live": True, "removed": len(models)}
    assert await left(client) == ALL - models
    again = await answered(client, query, "POST")
    assert (again["total"], again["removed"], again["live"]) == (0, 0, True)


async def test_the_age_is_the_configured_one_unless_said() -> None:
    client = await serving(busy(LOOPBACK + "cleanup: {older_than: 7d}\n"))
    try:
        found = await answered(client)
        assert (found["older_than_seconds"], found["total"]) == (7.0 * DAY, 3)
        assert (await answered(client, "older_than=30d"))["total"] == 2
    finally:
        await client.close()


async def test_a_target_that_is_called_again_is_back() -> None:
    world = busy()
    client = await serving(world)
    try:
        await answered(client, method="POST")
        world.attempt("openrouter", SLASHED)
        assert (await answered(client))["total"] == 0
        row = await (await ask(client, f"/v1/model-health/openrouter/{SLASHED}")).json()
        assert (row["call_count"], row["error_count"]) == (1, 0)
    finally:
        await client.close()


@pytest.mark.parametrize(
    "query", ["older_than=0", "older_than=soon", "older_than=30", "older_than=367d", "older_than="]
)
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_an_age_that_is_none_is_400_and_removes_nothing(client: Client, query: str, method: str) -> None:
    assert (await answered(client, query, method, 400))["error"]["code"] == "bad_parameter"
    assert await left(client) == ALL


@pytest.mark.parametrize(
    ("config", "method", "headers", "status"),
    [
        (LOOPBACK, "GET", {}, 200),
        (LOOPBACK, "POST", {}, 401),
        (LOOPBACK, "POST", {"Authorization": "Bearer wrong"}, 401),
        (LOOPBACK, "POST", BEARER, 200),
        (NO_TOKEN, "POST", BEARER, 403),
        (REMOTE, "GET", {}, 401),
        (REMOTE, "GET", BEARER, 200),
        (LOOPBACK, "POST", {**BEARER, "Origin": "http://evil.example"}, 403),
        (LOOPBACK, "DELETE", BEARER, 405),
    ],
)
async def test_who_may(config: str, method: str, headers: dict[str, str], status: int) -> None:
    client = await serving(busy(config))
    try:
        assert (await ask(client, PATH, method, **headers)).status == status
    finally:
        await client.close()


@pytest.mark.parametrize("written", ["cleanup/", "%63leanup"])
async def test_it_is_never_taken_for_a_model(client: Client, written: str) -> None:
    assert (await (await ask(client, f"/v1/model-health/{written}")).json())["total"] == 2


async def test_a_provider_of_that_name_keeps_its_records() -> None:
    world = World()
    world.attempt("cleanup", "m")
    client = await serving(world)
    try:
        assert (await (await ask(client, "/v1/model-health/cleanup/m")).json())["model"] == "m"
    finally:
        await client.close()


class Outdated(Keeper):
    """A keeper whose fleet ceased to answer a while ago."""

    async def reading(self, scope: Scope) -> Picture:
        picture = await super().reading(scope)
        return Picture(picture.store, stale=12.9 if scope is Scope.FLEET else None)


async def test_what_may_be_wrong_by_now_is_told_and_not_removed() -> None:
    world = busy()
    client = await serving(world, keeper=world.kept_by(Outdated))
    try:
        response = await ask(client, PATH)
        assert (response.status, response.headers["X-Detour-Stale"]) == (200, "12")
        assert (await answered(client, method="POST", status=503))["error"]["code"] == "store_unavailable"
        assert await left(client) == ALL
    finally:
        await client.close()
