"""The dashboard over a real admin port."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from breaker.outcome import Status
from healthapi.history import DAY
from healthapi.keys import KeyLog
from healthapi.probing import Probing
from healthapi.tiers import Tiers
from tests.healthapi.admin_world import World, outcome
from tests.healthapi.serving import Client, document, serving


@pytest.fixture
def world() -> World:
    made = World()
    made.attempt("groq", "forgotten")
    made.now += 40 * DAY
    for _ in range(9):
        made.attempt("groq", "llama-3.3-70b-versatile")
        made.attempt("openrouter", "bad", Status.ERROR, message="503: overloaded")
    return made


async def dashboard(client: Client, query: str = "", status: int = 200) -> dict[str, Any]:
    return await document(client, f"/health/dashboard{query}", status)


async def test_what_is_wrong_and_what_to_do(client: Client) -> None:
    told = await dashboard(client)
    assert told["overall_health"]["health_percentage"] == "100.0%"
    assert list(told["unhealthy_models_by_provider"]) == ["openrouter"]
    assert [row["gateway"] for row in told["unconfigured_gateways"]] == ["openrouter"]
    assert [(one["priority"], one["names"]) for one in told["recommendations"]] == [
        ("MEDIUM", ["openrouter"]),
        ("LOW", ["groq/forgotten"]),
    ]
    assert told["system_status"]["tracked_models"] == 3
    assert told["timestamp"] == told["last_updated"] == "2026-02-10T00:00:00.000Z"


async def test_all_are_counted_and_some_listed(client: Client) -> None:
    told = await dashboard(client, "?limit=1")
    assert [row["model_id"] for row in told["models"]] == ["llama-3.3-70b-versatile"]
    assert told["system_status"]["tracked_models"] == 3


@pytest.mark.parametrize("query", ["?limit=0", "?limit=10001", "?limit=x", "?scope=world"])
async def test_what_cannot_be_meant_is_400(client: Client, query: str) -> None:
    assert (await dashboard(client, query, 400))["error"]["code"] == "bad_parameter"


PROBED = """
providers:
  groq: {api_key: k, probes: {enabled: %s}}
probes: {daily_cap: {requests: 5, tokens: 50}}
"""


async def test_nobody_watches_where_nobody_probes(client: Client) -> None:
    told = await dashboard(client)
    assert told["monitoring_active"] is False
    assert told["probes"] is None


@pytest.mark.parametrize("enabled", [True, False])
async def test_what_probes_spend(*, enabled: bool) -> None:
    world = World(PROBED % str(enabled).lower())
    probing = Probing(world.config, world.keeper, Tiers(), lambda: world.monotonic, lambda: world.now)
    client = await serving(world, probing=probing)
    try:
        told = await dashboard(client)
        assert told["monitoring_active"] is enabled
        assert told["probes"] == {
            "day": "2026-01-01",
            "requests": 0,
            "tokens": 0,
            "cap_requests": 5,
            "cap_tokens": 50,
            "capped": False,
            "providers": {"groq": {"requests": 0, "tokens": 0, "cap_requests": 5, "cap_tokens": 50, "capped": False}},
        }
    finally:
        await client.close()


@pytest.mark.parametrize(
    ("text", "active"),
    [
        ("{groq: {api_key: k}, openrouter: {api_key: k, probes: {enabled: false}}}", True),
        ("{groq: {}}", False),
        ("{cloudflare-workers-ai: {api_key: k}}", False),
    ],
)
async def test_somebody_has_to_be_probed(text: str, *, active: bool) -> None:
    assert (await watching(f"providers: {text}")) is active


async def test_a_target_may_be_probed_where_its_provider_is_not() -> None:
    off = "providers: {groq: {api_key: k, probes: {enabled: false}}}\n"
    target = "models: {m: {targets: [{target: groq/a, probe: {enabled: %s}}]}}"
    assert await watching(off + target % "true")
    assert not await watching(off + target % "false")


async def watching(config: str) -> bool:
    """Whether the dashboard of a sidecar with this configuration says that somebody watches."""
    world = World(config)
    probing = Probing(world.config, world.keeper, Tiers(), lambda: world.monotonic, lambda: world.now)
    client = await serving(world, probing=probing)
    try:
        return bool((await dashboard(client))["monitoring_active"])
    finally:
        await client.close()


async def test_a_refused_key_is_as_good_as_none() -> None:
    world = World()
    keys = KeyLog(world.config)
    keys.tell("groq", accepted=False, http_status=401, at=world.now)
    for _ in range(9):
        world.attempt("groq", "llama-3.3-70b-versatile")
    client = await serving(world, keys=keys)
    try:
        told = await dashboard(client)
        assert told["overall_health"]["health_percentage"] is None
        groq = next(row for row in told["unconfigured_gateways"] if row["gateway"] == "groq")
        assert (groq["missing"], groq["targets"]) == ([], 1)
        assert "refused" in groq["error"]
        assert [(one["priority"], one["names"]) for one in told["recommendations"]] == [("HIGH", ["groq"])]
    finally:
        await client.close()


async def test_thousands_of_targets_keep_nobody_waiting() -> None:
    world = World("{providers: {groq: {api_key: k}}}")
    for number in range(5000):
        world.store.add(outcome("groq", f"m{number}", at=world.now - number % 50))
    client = await serving(world)
    turns = 0
    try:
        asked = asyncio.create_task(dashboard(client))
        while not asked.done():
            await asyncio.sleep(0)
            turns += 1
        assert (await asked)["overall_health"]["total_models"] == 5000
        assert turns > 50  # in one go it would be a dozen
    finally:
        await client.close()
