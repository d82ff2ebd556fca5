"""Open breakers of a real process are tried out by probes: no user's request finds out that a provider is still ill."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from proxy.fake import FakeProvider
from tests.e2e.probed import KEY, QUICK, config, group, others, probes, probing
from tests.e2e.stored import breaker, comes
from tests.e2e.test_probes_alone import ask_acme
from tests.e2e.world import Detour, eventually

pytestmark = pytest.mark.timeout(90)

BRIEF = {"failure_threshold": 3, "min_requests": 1000, "open_for": "1s", "success_threshold": 3, "jitter": 0}


@contextlib.asynccontextmanager
async def asking(running: Detour, model: str) -> AsyncIterator[list[int]]:
    """Three users that ask all the time; the statuses they get."""
    over, statuses = False, list[int]()

    async def user() -> None:
        while not over:
            statuses.append(await ask_acme(running.port, model))
            await asyncio.sleep(0.005)

    tasks = [asyncio.create_task(user()) for _ in range(3)]
    try:
        yield statuses
    finally:
        over = True
        await asyncio.gather(*tasks)


async def trip(running: Detour, fake: FakeProvider, model: str, script: str = "fail-503") -> None:
    fake.models[model] = script
    while (await ask_acme(running.port, model), (await breaker(running, f"acme/{model}"))["state"])[1] != "open":
        pass


async def test_no_user_finds_out(tmp_path: Path) -> None:
    async with FakeProvider() as fake:
        made = config(fake.url, {"one": group("m")}, breakers=BRIEF)
        async with probing(tmp_path, made) as running:
            assert await ask_acme(running.port, "m") == 200
            await trip(running, fake, "m")
            users, sent = len(others(fake)), len(probes(fake))
            async with asking(running, "m") as statuses:
                await eventually(lambda: len(probes(fake)) >= sent + 2)  # trials that fail
                assert len(others(fake)) == users, "a user was the guinea pig"
                fake.models["m"] = "ok@delay=0.3"
                await comes(lambda: breaker(running, "acme/m"), lambda found: found["state"] == "closed")
                trials = probes(fake)[sent:]
                assert [one.status for one in trials[-3:]] == [200, 200, 200]
                await eventually(lambda: len(others(fake)) > users)
                assert others(fake)[users].at >= (trials[-1].ended_at or 0.0)
                await eventually(lambda: statuses[-1] == 200)
            assert set(statuses) <= {200, 503}
            record = await running.record("acme", "m")
            assert record["circuit_breaker_state"] == "closed"
            assert await running.metric("detour_attempts_total", kind="probe", status="success") >= 3


@pytest.mark.parametrize(
    "without",
    [
        {"probes": {**QUICK, "daily_cap": {"requests": 0}}},
        {"provider": {"probes": {"enabled": False}}},
    ],
)
async def test_users_try_where_no_probe_is_allowed(tmp_path: Path, without: dict[str, Any]) -> None:
    async with FakeProvider() as fake:
        made = config(fake.url, {"one": group("m")}, breakers=BRIEF, **without)
        async with probing(tmp_path, made) as running:
            await trip(running, fake, "m")
            fake.models["m"] = "ok"
            async with asking(running, "m"):
                await comes(lambda: breaker(running, "acme/m"), lambda found: found["state"] == "closed")
            assert probes(fake) == []


async def test_a_cap_that_is_reached_meanwhile_gives_users_way(tmp_path: Path) -> None:
    async with FakeProvider() as fake:
        cap = {"daily_cap": {"requests": 2, "tokens": 100000}}
        made = config(fake.url, {"one": group("m", interval="1h")}, breakers=BRIEF, probes=QUICK | cap)
        async with probing(tmp_path, made) as running:
            assert await ask_acme(running.port, "m") == 200
            await trip(running, fake, "m")
            users = len(others(fake))
            async with asking(running, "m"):
                await eventually(lambda: len(others(fake)) > users)
                fake.models["m"] = "ok"
                await comes(lambda: breaker(running, "acme/m"), lambda found: found["state"] == "closed")
            assert len(probes(fake)) == 2


async def test_a_provider_is_tried_out_with_a_model_that_once_worked(tmp_path: Path) -> None:
    async with FakeProvider() as fake:
        made = config(fake.url, {}, breakers=BRIEF)
        async with probing(tmp_path, made) as running:
            assert await ask_acme(running.port, "good") == 200
            fake.models |= dict.fromkeys(("good", "x", "y"), "close-before")
            while (await breaker(running, "acme"))["state"] != "open":
                await ask_acme(running.port, "x")
                await ask_acme(running.port, "y")
            users = len(others(fake))
            async with asking(running, "good"):
                await asyncio.sleep(1.5)
                assert len(others(fake)) == users
                fake.models |= dict.fromkeys(("good", "x", "y"), "ok")
                await comes(lambda: breaker(running, "acme"), lambda found: found["state"] == "closed")
            assert {one.model for one in probes(fake)} == {"good"}


async def test_a_refused_key_is_tried_out_with_that_key_alone(tmp_path: Path) -> None:
    async with FakeProvider() as fake:
        made = config(fake.url, {"one": group("m", interval="1h")}, breakers=BRIEF)
        async with probing(tmp_path, made) as running:
            fake.models["m"] = "bad-key"
            while (found := await running.metric("detour_breaker_state", scope="credential", state="open")) != 1:
                assert found == 0
                await ask_acme(running.port, "m")
            users, sent = len(others(fake)), len(probes(fake))
            async with asking(running, "m"):
                await eventually(lambda: len(probes(fake)) > sent)
                assert len(others(fake)) == users
                fake.models["m"] = "ok"
                await comes(
                    lambda: running.metric("detour_breaker_state", scope="credential", state="closed"),
                    lambda found: found == 1,
                )
            assert all(one.header(b"authorization") == f"Bearer {KEY}".encode() for one in probes(fake))
