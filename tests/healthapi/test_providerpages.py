from __future__ import annotations

from typing import Any

import pytest

from breaker.outcome import Status
from healthapi.keys import KeyLog
from healthapi.offerings import Offerings
from tests.healthapi.admin_world import KEY, LOOPBACK, NO_TOKEN, NOW, REMOTE, TOKEN, World
from tests.healthapi.serving import BEARER, Client, ask, serving
from tests.healthapi.vendors import Vendors

CONFIG = f"""
admin: {{token: {TOKEN}}}
providers:
  groq: {{api_key: {KEY}}}
  google-vertex: {{api_key: k}}
  openrouter: {{api_key: k}}
  openai: {{}}
  lab: {{base_url: "http://127.0.0.1:1/v1"}}
models:
  llama-3.3-70b: {{tier: critical, targets: [groq/llama-3.3-70b-versatile, openai/gone]}}
  other: {{targets: [groq/other]}}
"""


class Watched:
    """An admin port of a world that knows of keys and lists, and the lists that would be read."""

    def __init__(self, config: str = CONFIG) -> None:
        self.world = World(config)
        """Its store is never opened: what is read is known all the same."""
        self.keys = KeyLog(self.world.config)
        self.offers = Offerings(self.world.config)
        self.vendors = Vendors(
            groq=["llama-3.3-70b-versatile", "new"], openrouter=["meta-llama/llama-3.3-70b-instruct:free"]
        )

    async def serve(self) -> Client:
        return await serving(self.world, keys=self.keys, offers=self.offers, read_list=self.vendors.read)


async def answered(client: Client, path: str, method: str = "GET", status: int = 200) -> dict[str, Any]:
    response = await ask(client, path, method, **BEARER)
    document: dict[str, Any] = await response.json()
    assert response.status == status, document
    return document


async def test_the_providers_with_their_keys() -> None:
    watched = Watched()
    watched.keys.tell("groq", True, 200, NOW)
    watched.keys.tell("openrouter", False, 402, NOW)
    client = await watched.serve()
    try:
        found = await answered(client, "/v1/providers")
        assert (found["total_providers"], found["configured"], found["refused"]) == (5, 2, 1)
        told = {row["name"]: (row["configured"], row["key"]) for row in found["providers"]}
        at = "2026-01-01T00:00:00.000Z"
        never = {"at": None, "http_status": None}
        assert told == {
            "groq": (True, {"state": "accepted", "at": at, "http_status": 200}),
            "google-vertex": (False, {"state": "never_tried", **never}),
            "openrouter": (False, {"state": "refused", "at": at, "http_status": 402}),
            "openai": (False, {"state": "missing", **never}),
            "lab": (True, {"state": "none_needed", **never}),
        }
        groq, vertex = found["providers"][:2]
        assert groq == {
            "name": "groq",
            "dialect": "openai",
            "base_url": "https://api.groq.com/openai/v1",
            "configured": True,
            "key": told["groq"][1],
            "variables": ["GROQ_API_KEY"],
            "found": "api_key",
            "missing": [],
            "targets": 2,
            "models": {
                "offered": None,
                "delisted": 0,
                "read_at": None,
                "tried_at": None,
                "problem": None,
                "suspicious": False,
                "whole": True,
            },
        }
        assert vertex["missing"] == ["GOOGLE_VERTEX_LOCATION"]
        assert "${GOOGLE_VERTEX_LOCATION}" in vertex["base_url"]
        assert "canary" not in str(found)
    finally:
        await client.close()


async def test_what_follows_from_a_refused_key() -> None:
    watched = Watched()
    world = watched.world
    for provider in ("groq", "openrouter"):
        for _ in range(9):
            world.attempt(provider, "m")
    watched.keys.tell("openrouter", False, 401, NOW)
    client = await watched.serve()
    try:
        gateways = await answered(client, "/health/gateways")
        row = gateways["data"]["openrouter"]
        assert (row["status"], row["configured"], row["available"]) == ("unconfigured", False, False)
        assert row["error"] == "the key configured for it was refused with status 401"
        assert gateways["summary"]["unconfigured"] == 3, "the address of google-vertex lacks a part"
        assert gateways["data"]["groq"]["status"] == "healthy"
        watched.keys.tell("openrouter", True, 200, NOW + 1)
        again = (await answered(client, "/health/gateways"))["data"]["openrouter"]
        assert (again["status"], again["configured"], again["error"]) == ("healthy", True, None)
    finally:
        await client.close()


async def test_lists_that_are_read_on_request() -> None:
    watched = Watched()
    world = watched.world
    world.attempt("groq", "llama-3.3-70b-versatile")
    world.attempt("groq", "gone/away")
    client = await watched.serve()
    try:
        done = await answered(client, "/v1/providers/refresh", "POST")
        assert [(row["provider"], row["result"], row["delisted"]) for row in done["providers"]] == [
            ("groq", "read", ["gone/away", "other"]),
            ("openrouter", "read", []),
            ("lab", "failed", []),
        ]
        assert done["providers"][2]["models"]["problem"] == "503: overloaded"
        suggestion = {"group": "llama-3.3-70b", "target": "openrouter/meta-llama/llama-3.3-70b-instruct:free"}
        assert done["suggestions"] == [suggestion]
        listed = await answered(client, "/v1/providers")
        assert listed["suggestions"] == [suggestion]
        assert listed["providers"][0]["models"] == {
            "offered": 2,
            "delisted": 2,
            "read_at": "2026-01-01T00:00:00.000Z",
            "tried_at": "2026-01-01T00:00:00.000Z",
            "problem": None,
            "suspicious": False,
            "whole": True,
        }
        models = await answered(client, "/v1/providers/groq/models")
        rows = {row["model"]: row for row in models["models"]}
        assert (models["provider"], models["total"], list(rows)) == (
            "groq",
            4,
            ["gone/away", "llama-3.3-70b-versatile", "new", "other"],
        )
        assert [(row["offered"], row["tracked"], row["groups"]) for row in rows.values()] == [
            (False, True, []),
            (True, True, ["llama-3.3-70b"]),
            (True, False, []),
            (False, True, ["other"]),
        ]
        assert rows["gone/away"]["delisted_since"] == "2026-01-01T00:00:00.000Z"
        assert rows["new"]["delisted_since"] is None
        assert (await answered(client, "/v1/providers/openrouter/models"))["suggestions"] == [suggestion]
        assert (await answered(client, "/v1/providers/google/models"))["models"] == []
        watched.vendors.asked.clear()
        one = await answered(client, "/v1/providers/refresh?provider=openrouter", "POST")
        assert [row["provider"] for row in one["providers"]] == watched.vendors.asked == ["openrouter"]
    finally:
        await client.close()


async def test_what_follows_from_a_delisted_model() -> None:
    watched = Watched()
    world = watched.world
    for _ in range(9):
        world.attempt("groq", "llama-3.3-70b-versatile")
        world.attempt("groq", "gone", Status.ERROR)
    client = await watched.serve()
    try:
        before = await answered(client, "/health/system")
        assert (before["unhealthy_models"], before["system_uptime"]) == (1, 50.0)
        await answered(client, "/v1/providers/refresh", "POST")
        after = await answered(client, "/health/system")
        assert (after["healthy_models"], after["unhealthy_models"], after["system_uptime"]) == (1, 0, 100.0)
        assert (after["overall_status"], after["healthy_gateways"]) == ("healthy", 1)
        record = await answered(client, "/v1/model-health/groq/gone")
        assert (record["delisted"], record["call_count"]) == (True, 9)
        rows = (await answered(client, "/v1/model-health"))["models"]
        assert {row["model"]: row["delisted"] for row in rows} == {"llama-3.3-70b-versatile": False, "gone": True}
        health = (await answered(client, "/health/models"))["data"]
        assert {row["model_id"]: (row["status"], row["delisted"]) for row in health} == {
            "llama-3.3-70b-versatile": ("healthy", False),
            "gone": ("unknown", True),
        }
        stale = await answered(client, "/v1/model-health/cleanup")
        assert [(row["model"], row["reason"]) for row in stale["models"]] == [("gone", "delisted")]
        world.now += 1
        world.attempt("groq", "gone")
        assert (await answered(client, "/v1/model-health/groq/gone"))["delisted"] is False, "it answers"
    finally:
        await client.close()


@pytest.mark.parametrize(
    ("path", "method", "code"),
    [
        ("/v1/providers/nobody/models", "GET", "unknown_provider"),
        ("/v1/providers/refresh?provider=nobody", "POST", "unknown_provider"),
        ("/v1/providers/refresh?provider=openai", "POST", "no_list"),
        ("/v1/providers/refresh?provider=google", "POST", "no_list"),
        ("/v1/providers/refresh", "GET", "wrong_method"),
        ("/v1/providers/%0a/models", "GET", "unknown_provider"),
    ],
)
async def test_what_is_refused(path: str, method: str, code: str) -> None:
    watched = Watched()
    client = await watched.serve()
    try:
        status = 405 if code == "wrong_method" else 404
        assert (await answered(client, path, method, status))["error"]["code"] == code
        assert watched.vendors.asked == []
    finally:
        await client.close()


@pytest.mark.parametrize(
    ("config", "method", "path", "headers", "status"),
    [
        (LOOPBACK, "GET", "/v1/providers", {}, 200),
        (REMOTE, "GET", "/v1/providers", {}, 401),
        (REMOTE, "GET", "/v1/providers/groq/models", BEARER, 200),
        (LOOPBACK, "POST", "/v1/providers/refresh", {}, 401),
        (NO_TOKEN, "POST", "/v1/providers/refresh", BEARER, 403),
        (LOOPBACK, "POST", "/v1/providers/refresh", {**BEARER, "Origin": "http://evil.example"}, 403),
    ],
)
async def test_who_may(config: str, method: str, path: str, headers: dict[str, str], status: int) -> None:
    client = await Watched(config).serve()
    try:
        assert (await ask(client, path, method, **headers)).status == status
    finally:
        await client.close()


async def test_where_neither_is_known() -> None:
    client = await serving(World(CONFIG))
    try:
        row = (await answered(client, "/v1/providers"))["providers"][0]
        assert (row["key"]["state"], row["configured"]) == ("unknown", True)
        assert (await answered(client, "/v1/providers/groq/models"))["models"] == []
        assert (await answered(client, "/v1/providers/refresh", "POST", 503))["error"]["code"] == "lists_unavailable"
    finally:
        await client.close()
