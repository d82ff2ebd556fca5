"""Alerts of a fleet: one of the sidecars sends, and whoever takes over goes on where it stopped."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from healthapi.alerts.rules import TABLE
from tests.e2e.fleets import Fleet, open_fleet
from tests.e2e.pairs import TOKEN
from tests.e2e.sidecars import Sidecar, Turn, comes
from tests.e2e.world import client, split
from tests.healthapi.alerts.sinks import HttpSink, http_sink, until
from tests.redis_server import redis_server

pytestmark = pytest.mark.timeout(120)

DOWN = Turn("fail-503", "error", 503, "guarded")
TAKES_OVER = 15.0
"""Seconds within which another sidecar has taken over."""


def sections(sink: HttpSink) -> dict[str, Any]:
    """Every rule, without patience: that the provider is offline says all there is to say."""
    quick = {"for": "1s", "clear": "1s", "repeat": "10m"}
    rules: dict[str, Any] = dict.fromkeys(TABLE, quick) | {"breaker_open": quick | {"longer_than": "1s"}}
    return {
        "alerts": {
            "channels": {"ops": {"type": "webhook", "url": f"{sink.url}/canary-secret"}},
            "rules": rules,
        },
        "probes": {"enabled": False},
    }


async def join(fleet: Fleet, sink: HttpSink) -> tuple[Sidecar, Sidecar]:
    """Two sidecars; the first has the duty."""
    first = await fleet.join("a", **sections(sink))
    await comes(lambda: first.page("/v1/alerts"), lambda found: bool(found["here"]), TAKES_OVER)
    return first, await fleet.join("b", **sections(sink))


async def fail(sidecar: Sidecar) -> None:
    for _ in range(6):
        await sidecar.ask(DOWN)


async def here(*sidecars: Sidecar) -> list[Any]:
    """What those say who look after the alerts."""
    return [found for found in [await one.page("/v1/alerts") for one in sidecars] if found["here"]]


async def states(sink: HttpSink) -> list[tuple[str, str]]:
    return [(one["subject"], one["state"]) for one in sink.documents]


async def test_one_message_in_all_and_any_sidecar_shows_the_alert(tmp_path: Path) -> None:
    with redis_server(tmp_path) as redis:
        async with http_sink() as sink, open_fleet(tmp_path, redis, "") as fleet:
            first, second = await join(fleet, sink)
            await fail(second)
            await until(lambda: sink.posted)
            for one in (first, second):
                found = await comes(
                    lambda one=one: one.page("/v1/alerts"),
                    lambda found: any(row["channels"] == {"ops": "delivered"} for row in found["active"]),
                    5,
                )
                assert [row["subject"] for row in found["active"] if not row["inhibited_by"]] == ["guarded"]
                assert found["here"] is (one is first)
            await asyncio.sleep(3)
            assert await states(sink) == [("guarded", "firing")]
            for one, firing in ((first, 1), (second, 0)):
                assert await one.metric("detour_alerts_firing", rule="provider_offline", severity="critical") == firing


async def test_a_sender_that_is_killed_is_followed_by_one_that_knows_what_was_told(tmp_path: Path) -> None:
    with redis_server(tmp_path) as redis:
        async with http_sink() as sink, open_fleet(tmp_path, redis, "") as fleet:
            first, second = await join(fleet, sink)
            third = await fleet.join("c", **sections(sink))
            for one in (second, third):
                await fail(one)
            await until(lambda: sink.posted)
            await comes(
                lambda: second.page("/v1/alerts"),
                lambda found: any(row["channels"] for row in found["active"]),
                5,
            )
            await first.kill()
            await comes(lambda: here(second, third), lambda found: len(found) == 1, TAKES_OVER)
            (found,) = await here(second, third)
            assert [row["state"] for row in found["active"] if not row["inhibited_by"]] == ["firing"]
            await asyncio.sleep(3)
            assert await states(sink) == [("guarded", "firing")]
            (alert,) = sink.documents
            await second.post("/circuit-breakers/guarded/reset")
            for _ in range(150):
                await second.ask(Turn("ok", "success", 200, "guarded"))
                await third.ask(Turn("ok", "success", 200, "guarded"))
            await until(lambda: len(sink.posted) == 2)
            await asyncio.sleep(2)
            assert await states(sink) == [("guarded", "firing"), ("guarded", "resolved")]
            assert sink.documents[1]["id"] == alert["id"]
            assert sink.documents[1]["instance"] != alert["instance"]


async def test_what_a_killed_sender_could_not_deliver_is_delivered_once(tmp_path: Path) -> None:
    with redis_server(tmp_path) as redis:
        async with http_sink() as sink, open_fleet(tmp_path, redis, "") as fleet:
            first, second = await join(fleet, sink)
            sink.silent = True
            await fail(second)
            await until(lambda: sink.posted)
            await first.kill()
            (lost,) = sink.documents
            sink.posted.clear()
            sink.silent = False
            await until(lambda: sink.posted)
            await asyncio.sleep(3)
            (one,) = sink.documents
            assert (one["id"], one["key"]) == (lost["id"], lost["key"])


async def test_a_silence_holds_wherever_it_was_asked_for(tmp_path: Path) -> None:
    with redis_server(tmp_path) as redis:
        async with http_sink() as sink, open_fleet(tmp_path, redis, "") as fleet:
            first, second = await join(fleet, sink)
            made = await silence(second, '{"for": "1h", "subject": "guarded"}')
            await comes(lambda: first.page("/v1/alerts"), lambda found: bool(found["silences"]), 10)
            await fail(first)
            await comes(
                lambda: second.page("/v1/alerts"),
                lambda found: "firing" in [row["state"] for row in found["active"] if not row["inhibited_by"]],
                10,
            )
            await asyncio.sleep(2)
            assert sink.posted == []
            await second.post(f"/v1/alerts/silences/{made['silence']['id']}/expire")
            await until(lambda: sink.posted)


async def silence(one: Sidecar, body: str) -> Any:
    async with client(one.admin_port) as peer:
        head = f"POST /v1/alerts/silences HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n"
        await peer.send(f"{head}Connection: close\r\nAuthorization: Bearer {TOKEN}\r\n\r\n{body}".encode())
        status, _, answer = split(await peer.rest())
    assert status == 200, answer
    return json.loads(answer)


async def test_that_the_store_is_away_is_shown_while_it_is(tmp_path: Path) -> None:
    with redis_server(tmp_path) as redis:
        async with http_sink() as sink, open_fleet(tmp_path, redis, "") as fleet:
            first, _ = await join(fleet, sink)
            redis.kill()

            def shown(found: dict[str, Any]) -> bool:
                return any(one["rule"] == "store" and one["state"] == "firing" for one in found.get("active", ()))

            await comes(lambda: first.page("/v1/alerts"), shown, TAKES_OVER)
            redis.start()
