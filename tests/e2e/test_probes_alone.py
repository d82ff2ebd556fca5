"""A real process that probes what nobody calls: when, how often, and never beyond its caps."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from proxy.fake import FakeProvider
from tests.e2e.probed import QUICK, asked, config, gaps, group, others, probes, probing
from tests.e2e.stored import ask, body, comes, kill
from tests.e2e.world import client, eventually, post

pytestmark = pytest.mark.timeout(90)

SLACK = 1.5
"""Seconds that a busy machine may add."""

PATH = "/acme/acme/v1/chat/completions"


async def ask_acme(port: int, model: str) -> int:
    async with client(port) as peer:
        await peer.send(post(PATH, body(model)))
        return (await peer.answer())[0]


async def test_configured_targets_are_probed_once_an_interval(tmp_path: Path) -> None:
    async with FakeProvider() as fake:
        models = {"one": group("a", interval="1s", max_tokens=3), "two": group("b", interval="3s"), "far": group("c")}
        async with probing(tmp_path, config(fake.url, models)) as running:
            await eventually(lambda: len(probes(fake, "a")) >= 6)
            seen = {model: probes(fake, model) for model in "abc"}
            record = await running.record("acme", "a")
        assert all(1.0 <= gap <= 1.1 + SLACK for gap in gaps(seen["a"])), gaps(seen["a"])
        assert 1 <= len(seen["b"]) <= 3
        assert len(seen["c"]) == 1
        assert asked(seen["a"][0])["max_tokens"] == 3
        assert asked(seen["c"][0])["max_tokens"] == 5
        assert record["call_count"] >= 5
        assert others(fake) == []


async def test_traffic_stands_for_probes(tmp_path: Path) -> None:
    async with FakeProvider() as fake:
        models = {"one": group("busy", "idle", interval="2s")}
        async with probing(tmp_path, config(fake.url, models)) as running:
            for _ in range(16):
                assert await ask_acme(running.port, "busy") == 200
                await asyncio.sleep(0.25)
            assert len(probes(fake, "busy")) <= 1
            assert len(probes(fake, "idle")) >= 2
            await eventually(lambda: len(probes(fake, "busy")) >= 2)


async def test_what_fails_is_probed_again_soon(tmp_path: Path) -> None:
    async with FakeProvider() as fake:
        fake.models["ill"] = "fail-503"
        models = {"one": group("ill", "well", interval="1h")}
        made = config(fake.url, models, breakers={"mode": "off"})
        async with probing(tmp_path, made):
            await eventually(lambda: len(probes(fake, "ill")) >= 4)
            assert all(0.5 <= gap <= 1.0 + SLACK for gap in gaps(probes(fake, "ill"))), "within a second"
            fake.models["ill"] = "ok"
            await asyncio.sleep(2)
            assert len(probes(fake, "well")) == 1


@pytest.mark.parametrize("how", ["restart", "crash"])
async def test_a_cap_is_of_the_day_and_not_of_the_process(tmp_path: Path, how: str) -> None:
    async with FakeProvider() as fake:
        models = {"one": group("a", "b", interval="500ms")}
        cap = {"daily_cap": {"requests": 7, "tokens": 100000}}
        made = config(fake.url, models, probes=QUICK | cap)
        async with probing(tmp_path, made) as running:
            await eventually(lambda: len(probes(fake)) >= 3)
            if how == "crash":
                await kill(running)
        async with probing(tmp_path, made) as running:
            await comes(lambda: running.metric("detour_probes_total", result="capped"), lambda found: found >= 1)
            await asyncio.sleep(2)
            assert len(probes(fake)) <= 7
            assert await running.metric("detour_probe_cap_left", provider="~all", what="requests") == 0
            if how == "restart":
                assert len(probes(fake)) == 7


async def test_tokens_are_capped_as_the_provider_counts_them(tmp_path: Path) -> None:
    async with FakeProvider() as fake:
        models = {"one": group("a", "b", interval="300ms", max_tokens=10)}
        cap = {"daily_cap": {"requests": 1000, "tokens": 120}}
        async with probing(tmp_path, config(fake.url, models, probes=QUICK | cap)) as running:
            await comes(lambda: running.metric("detour_probes_total", result="capped"), lambda found: found >= 1)
            await asyncio.sleep(1)
            spent = await running.metric("detour_probe_tokens_total")
            assert 120 - 26 < spent <= 120
            assert await running.metric("detour_probe_cap_left", provider="~all", what="tokens") == 120 - spent


async def test_few_models_of_a_provider_in_a_minute(tmp_path: Path) -> None:
    async with FakeProvider() as fake:
        models = {"one": group(*"abcdefgh", interval="1s")}
        made = config(fake.url, models, provider={"probes": {"models_per_minute": 4}})
        async with probing(tmp_path, made):
            await eventually(lambda: len(probes(fake)) >= 12)
            assert len({one.model for one in probes(fake)}) == 4


async def test_who_is_not_probed(tmp_path: Path) -> None:
    async with FakeProvider() as fake:
        models = {
            "on": group("on", interval="500ms"),
            "off": group("off", enabled=False),
            "bare": {"targets": ["bare/m"]},
            "quiet": {"targets": ["quiet/m", {"target": "quiet/loud", "probe": {"enabled": True}}]},
        }
        made = config(fake.url, models)
        base = {"dialect": "openai"}
        made["providers"] |= {
            "bare": base | {"base_url": f"{fake.url}/bare/v1", "api_key_env": ["BARE_KEY_OF_NOBODY"]},
            "quiet": base | {"base_url": f"{fake.url}/quiet/v1", "api_key": "k", "probes": {"enabled": False}},
        }
        fake.models["typo"] = "fail-404"
        async with probing(tmp_path, made) as running:
            assert await ask_acme(running.port, "typo") == 404
            assert (await ask(running, "x", "openai"))[0] == 404
            await eventually(lambda: len(probes(fake, "on")) >= 5)
            assert {one.model for one in probes(fake)} == {"on", "loud"}
