from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from breaker.outcome import NO_MODEL, Blame, Status
from breaker.permit import Permit, Rejection
from tests.healthapi.admin_world import LOOPBACK, NO_TOKEN, REMOTE, World
from tests.healthapi.serving import BEARER, Client, ask, serving

MODEL = "llama-3.3-70b-versatile"
SLASHED = "meta-llama/llama-3.3-70b-instruct:free"
POSTS = [
    "/reset-all",
    *(f"/{name}/{verb}" for name in ("groq", f"groq/{MODEL}", "grok") for verb in ("reset", "open", "close")),
]


@pytest.fixture
def world() -> World:
    world = World()
    for _ in range(5):
        world.attempt("groq", MODEL, Status.ERROR, message="503 overloaded")
    world.attempt("openrouter", SLASHED)
    return world


@pytest.fixture
async def client(world: World) -> AsyncIterator[Client]:
    client = await serving(world)
    yield client
    await client.close()


async def get(client: Client, path: str = "") -> dict[str, Any]:
    response = await ask(client, f"/circuit-breakers{path}")
    assert response.status == 200, await response.text()
    document: dict[str, Any] = await response.json()
    return document


async def post(client: Client, path: str) -> dict[str, Any]:
    response = await ask(client, f"/circuit-breakers{path}", "POST", **BEARER)
    assert response.status == 200, await response.text()
    document: dict[str, Any] = await response.json()
    assert set(document) == {"success", "message", "state"}
    assert document["success"] is True
    return document


async def refused(client: Client, path: str, method: str, status: int, code: str, **headers: str) -> str:
    response = await ask(client, f"/circuit-breakers{path}", method, **headers)
    document = await response.json()
    assert (response.status, document["error"]["code"]) == (status, code)
    message: str = document["detail"]
    return message


def admitted(world: World, provider: str = "groq", model: str = MODEL, key: str = "") -> bool:
    found = world.registry.admit(provider, model, world.monotonic, key)
    if isinstance(found, Permit):
        found.cancel()
    return isinstance(found, Permit)


async def test_the_list(client: Client) -> None:
    document = await get(client)
    assert list(document["circuit_breakers"]) == ["groq", "openrouter", f"groq/{MODEL}", f"openrouter/{SLASHED}"]
    counts = [document[f"{name}_count"] for name in ("total", "open", "half_open", "closed")]
    assert counts == [4, 1, 0, 3]


async def test_one_provider_s(client: Client) -> None:
    document = await get(client, "/openrouter")
    assert list(document["circuit_breakers"]) == ["openrouter", f"openrouter/{SLASHED}"]


@pytest.mark.parametrize("written", [SLASHED, SLASHED.replace("/", "%2F").replace(":", "%3A")])
async def test_one_model_s(client: Client, written: str) -> None:
    state = await get(client, f"/openrouter/{written}")
    assert (state["provider"], state["model"], state["state"]) == ("openrouter", SLASHED, "closed")
    assert (await get(client, f"/groq/{MODEL}"))["reason"] == "5 failures in a row, last: 503 overloaded"


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/grok", "unknown_provider"),
        ("/grok/m", "unknown_model"),
        ("/groq/m", "unknown_model"),
        ("/groq/%ff", "unknown_model"),
    ],
)
async def test_what_is_unknown_is_404(client: Client, path: str, code: str) -> None:
    message = await refused(client, path, "GET", 404, code)
    assert "not configured and was never called" in message


async def test_open_keeps_traffic_away_for_so_long(world: World, client: Client) -> None:
    document = await post(client, f"/openrouter/{SLASHED}/open?for=90s")
    assert document["message"] == f'"openrouter/{SLASHED}" is open for 1m30s'
    state = document["state"]
    assert (state["state"], state["seconds_until_retry"], state["manual"]) == ("open", 90.0, True)
    assert not admitted(world, "openrouter", SLASHED)
    assert await get(client, f"/openrouter/{SLASHED}") == state
    world.now += 90
    assert admitted(world, "openrouter", SLASHED)


async def test_open_is_for_ten_minutes_if_nothing_is_said(world: World, client: Client) -> None:
    document = await post(client, "/openrouter/open")
    assert document["message"] == '"openrouter" is open for 10m'
    assert (document["state"]["scope"], document["state"]["seconds_until_retry"]) == ("provider", 600.0)
    assert not admitted(world, "openrouter", SLASHED)


async def test_close_lets_traffic_through(world: World, client: Client) -> None:
    assert not admitted(world)
    document = await post(client, f"/groq/{MODEL}/close")
    assert (document["message"], document["state"]["state"]) == (f'"groq/{MODEL}" is closed', "closed")
    assert admitted(world)


async def test_reset_lets_traffic_through_and_forgets(world: World, client: Client) -> None:
    document = await post(client, f"/groq/{MODEL}/reset")
    assert (document["message"], document["state"]["state"]) == (f'"groq/{MODEL}" is reset', "closed")
    assert document["state"]["consecutive_failures"] == 0
    assert admitted(world)


async def test_a_provider_s_reset_goes_for_all_below(world: World, client: Client) -> None:
    for _ in range(5):
        world.attempt("groq", "other", Status.ERROR, "k" * 32, blame=Blame.PROVIDER_CREDENTIAL, http_status=401)
    world.attempt("groq", MODEL, Status.RATE_LIMITED, "k" * 32, blame=Blame.TARGET_CREDENTIAL, retry_after=30.0)
    assert (await get(client, "/groq"))["open_count"] == 2
    await post(client, "/groq/reset")
    assert (await get(client, "/groq"))["open_count"] == 0
    assert (await get(client, f"/groq/{MODEL}"))["hold_off_seconds"] == 0.0
    assert admitted(world, key="k" * 32)


async def test_reset_all(world: World, client: Client) -> None:
    document = await post(client, "/reset-all")
    assert document == {
        "success": True,
        "message": "all breakers are reset; 1 of them was not closed",
        "state": None,
    }
    assert (await get(client))["open_count"] == 0
    assert "0 of them were not closed" in (await post(client, "/reset-all"))["message"]


async def test_what_is_configured_can_be_opened_before_it_is_called() -> None:
    world = World()
    client = await serving(world)
    await post(client, f"/groq/{MODEL}/open")
    await post(client, "/openrouter/open")
    assert not admitted(world)
    assert not admitted(world, "openrouter", "any")
    await client.close()


async def test_an_alias_is_its_provider() -> None:
    world = World(LOOPBACK.replace("openrouter: {}", "alibaba: {}"))
    client = await serving(world)
    assert (await post(client, "/alibaba-cloud/open"))["state"]["provider"] == "alibaba"
    assert not admitted(world, "alibaba", "qwen")
    await client.close()


@pytest.mark.parametrize("model", ["reset", "open", "x/reset", "close/open", "reset-all", "a//open", "ends/"])
async def test_models_that_are_called_like_a_verb(world: World, client: Client, model: str) -> None:
    world.attempt("groq", model)
    assert (await get(client, f"/groq/{model}"))["model"] == model
    assert (await post(client, f"/groq/{model}/open"))["state"]["model"] == model
    assert not admitted(world, model=model)
    assert (await post(client, f"/groq/{model}/reset"))["state"]["state"] == "closed"


@pytest.mark.parametrize("mode", ["observe", "'off'"])
async def test_where_nothing_is_blocked_that_is_said(mode: str) -> None:
    world = World(LOOPBACK + f"breakers: {{mode: {mode}}}\n")
    client = await serving(world)
    document = await post(client, "/groq/open")
    name = mode.strip("'")
    assert document["message"] == f'"groq" is open for 10m; nothing is blocked, as breakers.mode is {name}'
    assert (document["state"]["state"], document["state"]["mode"]) == ("open", name)
    assert admitted(world)
    await client.close()


@pytest.mark.parametrize(
    "written",
    [
        "",
        "0",
        "0s",
        "10",
        "-5m",
        "8d",
        "7d1ms",
        "1e3s",
        "abc",
        "10m&for=20m",
        "%D9%A3m",
        "5%0am",
        "1" * 400 + "s",
        "nan",
        "NaNs",
    ],
)
async def test_a_bad_time_is_400_with_an_example(world: World, client: Client, written: str) -> None:
    message = await refused(client, f"/groq/{MODEL}/open?for={written}", "POST", 400, "bad_parameter", **BEARER)
    assert "&" in written or "a duration such as 90s or 10m, of at most 7d" in message
    assert len(message) < 250
    state = await get(client, f"/groq/{MODEL}")
    assert state["manual"] is False


@pytest.mark.parametrize(("written", "seconds"), [("250ms", 0.25), ("1h30m", 5400.0), ("7d", 604800.0)])
async def test_times_that_are_taken(client: Client, written: str, seconds: float) -> None:
    assert (await post(client, f"/groq/open?for={written}"))["state"]["seconds_until_retry"] == seconds


@pytest.mark.parametrize("verb", ["reset", "open", "close"])
@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("grok", "unknown_provider"),
        ("grok/m", "unknown_model"),
        (f"grok/{NO_MODEL}", "unknown_model"),
        ("groq/m", "unknown_model"),
        ("groq/~other", "unknown_model"),
        ("groq/%ff%00", "unknown_model"),
    ],
)
async def test_a_post_to_what_is_unknown_is_404_and_makes_nothing(
    world: World, client: Client, verb: str, name: str, code: str
) -> None:
    before = len(list(world.registry.breakers()))
    await refused(client, f"/{name}/{verb}", "POST", 404, code, **BEARER)
    assert len(list(world.registry.breakers())) == before


async def test_what_does_not_exist_any_more_is_not_there(world: World, client: Client) -> None:
    for number in range(10):
        world.attempt("groq", f"invented-{number}", Status.ERROR)
    await get(client, "/groq/invented-9")
    await refused(client, "/groq/invented-0", "GET", 404, "unknown_model")
    await refused(client, "/groq/invented-0/open", "POST", 404, "unknown_model", **BEARER)


@pytest.mark.parametrize("path", POSTS)
@pytest.mark.parametrize(
    ("config", "status", "code"),
    [(LOOPBACK, 401, "token_missing"), (REMOTE, 401, "token_missing"), (NO_TOKEN, 403, "token_not_configured")],
)
async def test_a_post_needs_the_token_and_changes_nothing_without(
    path: str, config: str, status: int, code: str
) -> None:
    world = World(config)
    world.registry.open("groq", MODEL, world.monotonic, 60.0)
    world.registry.open("groq", None, world.monotonic, 60.0)
    client = await serving(world)
    await refused(client, path, "POST", status, code)
    if status == 401:
        await refused(client, path, "POST", 401, "token_wrong", Authorization="Bearer wrong")
        await refused(client, f"{path}?token=canary-admin-token-7f3a", "POST", 401, "token_missing")
    await refused(client, path, "POST", 403, "foreign_origin", Origin="https://evil.example", **BEARER)
    await refused(client, path, "POST", 403, "unknown_host", Host="rebound.evil.example", **BEARER)
    assert {one.state for one in world.registry.breakers() if one.provider == "groq"} == {"open"}
    assert {one.generation for one in world.registry.breakers() if one.provider == "groq"} == {1, 2}
    await client.close()


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH"])
async def test_other_methods_change_nothing(world: World, client: Client, method: str) -> None:
    for path in (f"/groq/{MODEL}/reset", f"/groq/{MODEL}", "/groq/reset", "", "/reset-all"):
        await refused(client, path, method, 405, "wrong_method", **BEARER)
    assert isinstance(world.registry.admit("groq", MODEL, world.monotonic), Rejection)


async def test_looking_makes_no_breaker() -> None:
    world = World()
    client = await serving(world)
    for path in ("", "/groq", "/openrouter", "/grok", f"/groq/{MODEL}", "/groq/m", f"/groq/{NO_MODEL}", "/groq/~other"):
        for method in ("GET", "HEAD"):
            await ask(client, f"/circuit-breakers{path}", method)
    for path in ("/v1/model-health/groq/m", "/health/providers", "/health/models", "/health/gateways", "/metrics"):
        await ask(client, path)
    assert list(world.registry.breakers()) == []
    assert not world.registry.budgets()
    await client.close()


async def test_looking_moves_no_breaker(world: World, client: Client) -> None:
    world.now += 61
    for path in ("", "/groq", f"/groq/{MODEL}"):
        await get(client, path)
    assert (await get(client, f"/groq/{MODEL}"))["state"] == "open"


async def test_a_post_is_seen_in_records_metrics_and_events(world: World, client: Client) -> None:
    await post(client, f"/openrouter/{SLASHED}/open?for=5m")
    record = await (await ask(client, f"/v1/model-health/openrouter/{SLASHED}")).json()
    assert (record["circuit_breaker_state"], record["circuit_breaker_reason"]) == ("open", "opened by hand for 300 s")
    text = await (await ask(client, "/metrics")).text()
    assert f'detour_breaker_state{{model="{SLASHED}",provider="openrouter",scope="target",state="open"}} 1.0' in text
    assert '{cause="manual",from="closed",provider="openrouter",scope="target",to="open"} 1.0' in text
    assert b"opened by hand for 300 s" in world.events.after(0)[1]
