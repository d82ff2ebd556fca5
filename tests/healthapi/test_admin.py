"""Whose records a question is about, and how an answer says that they are old."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from healthapi.keeper import Keeper
from healthapi.memory import MemoryStore
from healthapi.store import Picture, Scope
from tests.healthapi.admin_world import World
from tests.healthapi.samples import many, store
from tests.healthapi.serving import Client, ask, serving

STALE = "X-Detour-Stale"
PATHS = [
    "/v1/model-health",
    "/v1/model-health/groq/shared",
    "/v1/model-health/unhealthy",
    "/v1/model-health/stats",
    "/v1/model-health/providers",
    "/v1/model-health/provider/groq/summary",
    "/v1/model-health/history",
    "/health/system",
    "/health/providers",
    "/health/models",
    "/health/gateways",
]


class Shared(Keeper):
    """A keeper whose fleet saw five calls more than this process, a quarter of a minute ago."""

    others: MemoryStore
    stale: float | None = 15.75

    async def reading(self, scope: Scope) -> Picture:
        if scope is Scope.INSTANCE:
            return await super().reading(scope)
        return Picture(self.others, self.stale)


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    world = World()
    world.attempt("groq", "shared")
    keeper = world.kept_by(Shared)
    assert isinstance(keeper, Shared)
    keeper.others = store(*many(6, 0, model="shared"))
    made = await serving(world, keeper=keeper)
    yield made
    await made.close()


@pytest.mark.parametrize("path", PATHS)
async def test_every_question_about_health_has_a_scope(client: Client, path: str) -> None:
    for query, stale in (("", "15"), ("?scope=fleet", "15"), ("?scope=instance", None)):
        response = await ask(client, path + query)
        assert (response.status, response.headers.get(STALE)) == (200, stale), query
    for query in ("?scope=world", "?scope=FLEET", "?scope=fleet&scope=instance"):
        response = await ask(client, path + query)
        assert (response.status, response.headers.get(STALE)) == (400, None)
        assert (await response.json())["error"]["code"] == "bad_parameter"


@pytest.mark.parametrize(("query", "calls"), [("", 6), ("?scope=fleet", 6), ("?scope=instance", 1)])
async def test_the_scope_says_whose_calls_are_counted(client: Client, query: str, calls: int) -> None:
    stats = await (await ask(client, f"/v1/model-health/stats{query}")).json()
    assert stats["total_calls"] == calls
    record = await (await ask(client, f"/v1/model-health/groq/shared{query}")).json()
    assert record["call_count"] == calls


async def test_an_answer_that_is_no_record_says_so_too(client: Client) -> None:
    response = await ask(client, "/v1/model-health/groq/absent")
    assert (response.status, response.headers[STALE]) == (404, "15")


async def test_a_web_page_may_read_how_old_an_answer_is(client: Client) -> None:
    response = await ask(client, "/health/system", Origin="https://status.example")
    assert STALE in response.headers["Access-Control-Expose-Headers"]


@pytest.mark.parametrize("path", ["/circuit-breakers", "/circuit-breakers/groq", "/livez", "/readyz", "/health"])
async def test_what_is_of_this_process_has_no_scope(client: Client, path: str) -> None:
    response = await ask(client, f"{path}?scope=world")
    assert response.status == 200
    assert STALE not in response.headers


async def test_without_a_fleet_both_scopes_are_the_same_and_never_old() -> None:
    world = World()
    world.attempt("groq", "own")
    client = await serving(world)
    try:
        for query in ("", "?scope=fleet", "?scope=instance"):
            response = await ask(client, f"/v1/model-health/stats{query}")
            assert STALE not in response.headers
            assert (await response.json())["total_calls"] == 1
    finally:
        await client.close()
