from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import msgspec

from breaker.outcome import Status
from healthapi.published import MODELS, documents
from tests.healthapi.samples import NOW, many, outcome, sources, store
from tests.healthapi.sidecar import Sidecar, eventually
from tests.redis_server import redis_server

SYSTEM = {
    "overall_status", "total_providers", "healthy_providers", "degraded_providers", "unhealthy_providers",
    "total_models", "healthy_models", "degraded_models", "unhealthy_models", "total_gateways", "healthy_gateways",
    "tracked_models", "tracked_providers", "system_uptime", "last_updated",
}  # fmt: skip
PROVIDER = {
    "provider", "gateway", "status", "total_models", "healthy_models", "degraded_models", "unhealthy_models",
    "avg_response_time_ms", "overall_uptime", "last_checked", "error_message",
}  # fmt: skip
MODEL = {
    "model_id", "provider", "gateway", "status", "response_time_ms", "success_rate", "last_checked", "last_success",
    "last_failure", "error_count", "total_requests", "avg_response_time_ms", "uptime_percentage", "error_message",
}  # fmt: skip
GATEWAY = {"healthy", "status", "latency_ms", "available", "last_check", "error", "total_models", "configured"}


def decoded(found: dict[str, bytes]) -> dict[str, Any]:
    return {name: msgspec.json.decode(body) for name, body in found.items()}


async def test_the_documents_have_the_shapes_that_consumers_read() -> None:
    made = decoded(await documents(sources(store(*many(9, 1), outcome(Status.ERROR, provider="openai")))))
    assert list(made) == ["health:system", "health:providers", "health:models", "health:gateways"]
    assert made["health:system"].keys() >= SYSTEM
    assert [row["provider"] for row in made["health:providers"]["providers"]] == ["groq", "openai"]
    assert all(row.keys() >= PROVIDER for row in made["health:providers"]["providers"])
    assert [row["model_id"] for row in made["health:models"]["models"]] == ["llama", "llama"]
    assert all(row.keys() >= MODEL for row in made["health:models"]["models"])
    assert made["health:gateways"].keys() == {"groq", "openai", "google-vertex"}
    assert all(gateway.keys() >= GATEWAY for gateway in made["health:gateways"].values())


async def test_of_many_models_the_latest_are_published() -> None:
    kept = store(*(outcome(model=f"m{number}", at=NOW + number) for number in range(MODELS + 20)))
    rows = decoded(await documents(sources(kept)))["health:models"]["models"]
    assert [row["model_id"] for row in (rows[0], rows[-1])] == [f"m{MODELS + 19}", "m20"]
    assert len(rows) == MODELS


async def test_one_of_a_fleet_publishes_when_asked_to(tmp_path: Path) -> None:
    with redis_server(tmp_path) as server:
        url = f"redis://{server.address}"
        quiet = Sidecar(url, "quiet")
        loud = [Sidecar(url, name, publish=True) for name in "ab"]
        for one in (quiet, *loud):
            await one.keeper.start()
            one.attempt()
        await eventually(lambda: server.command("EXISTS", "health:gateways") == 1, "they are published")
        names = sorted(key for key in server.command("KEYS", "health:*"))
        assert names == [b"health:gateways", b"health:models", b"health:providers", b"health:system"]
        assert 330 < server.command("TTL", "health:system") <= 360
        await asyncio.sleep(1.2)
        (row,) = msgspec.json.decode(server.command("GET", "health:models"))["models"]
        assert row["total_requests"] >= 1
        lease = server.command("GET", "detour:{test:00}:d:publisher")
        assert lease[:2] in (b"a-", b"b-")
        for one in (quiet, *loud):
            await one.keeper.stop()
