"""The providers' own lists of models: read on request and by the clock, over restarts, and by one of a fleet."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from proxy.fake import FakeProvider, Seen
from tests.e2e.fleets import open_fleet
from tests.e2e.pairs import TOKEN
from tests.e2e.sidecars import Sidecar, Turn
from tests.e2e.stored import act, ask, comes, health, said, sidecar
from tests.e2e.test_commands import command
from tests.e2e.test_store_cleanup import nobody
from tests.e2e.world import Detour, lab
from tests.redis_server import redis_server

pytestmark = pytest.mark.asyncio(loop_scope="module")

GROUPS = {"llama": {"targets": ["openai/llama-3.3-70b-versatile"]}}


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def provider() -> AsyncIterator[FakeProvider]:
    async with FakeProvider() as made:
        yield made


@pytest.fixture
def fake(provider: FakeProvider) -> FakeProvider:
    """The provider, well and with its usual list."""
    provider.models.clear()
    provider.log.clear()
    provider.offered[:] = ["ok", "stall", "llama-3.3-70b-versatile"]
    return provider


def config(fake: FakeProvider, **sections: Any) -> dict[str, Any]:
    return lab(fake.url, admin={"token": TOKEN}, models=GROUPS, **sections)


def reads(fake: FakeProvider) -> list[Seen]:
    """The requests for a list that came to the provider."""
    return [seen for seen in fake.log if seen.method == "GET"]


async def delisted(running: Detour) -> dict[str, bool]:
    return {name: row["delisted"] for name, row in (await health(running)).items()}


async def refreshed(running: Detour, query: str = "") -> dict[str, Any]:
    """What is answered to a request to read the lists, by provider."""
    status, found = await act(running, f"/v1/providers/refresh{query}")
    assert status == 200, found
    return {row["provider"]: row for row in found["providers"]}


async def test_what_is_tracked_against_what_is_offered(fake: FakeProvider, tmp_path: Path) -> None:
    async with sidecar(tmp_path, config(fake)) as running:
        assert await ask(running, "ok") == [200]
        assert await ask(running, "vendor/gone:x") == [200]
        found = await refreshed(running)
        assert found.keys() == {"openai", "anthropic", "gemini"}, "fal has no list"
        assert all(row["result"] == "read" and row["models"]["offered"] == 3 for row in found.values())
        assert found["openai"]["delisted"] == ["vendor/gone:x"]
        assert await delisted(running) == {"openai ok": False, "openai vendor/gone:x": True}
        assert await running.metric("detour_models_delisted", provider="openai") == 1
        _, models = await running.get("/health/models")
        states = {row["model_id"]: (row["status"], row["delisted"]) for row in models["data"]}
        assert states["vendor/gone:x"] == ("unknown", True)
        # It was no client's request, and counts in no record.
        assert await running.metric("detour_requests_total") == 2
        assert len(reads(fake)) == 3
        keys = {seen.header(b"authorization") for seen in reads(fake)}
        assert keys == {b"Bearer sk-configured-openai", None}, "in its provider's style"
    async with sidecar(tmp_path, config(fake)) as running:
        assert await delisted(running) == {"openai ok": False, "openai vendor/gone:x": True}, "it is kept"
        listed = await command(
            *("cleanup", "-c", str(tmp_path / "detour.yaml"), "--json"),
            *("--admin-listen", f"127.0.0.1:{running.admin_port}"),
        )
        assert [(row["model"], row["reason"]) for row in json.loads(listed[1])["models"]] == [
            ("vendor/gone:x", "delisted")
        ]
        assert await ask(running, "vendor/gone:x") == [200]
        assert await delisted(running) == {"openai ok": False, "openai vendor/gone:x": False}, "it answers"
        fake.offered.append("vendor/gone:x")
        assert (await refreshed(running, "?provider=openai"))["openai"]["delisted"] == []


async def test_cleanup_without_a_sidecar_knows_of_delisted_models(fake: FakeProvider, tmp_path: Path) -> None:
    async with sidecar(tmp_path, config(fake)) as running:
        assert await ask(running, "gone") == [200]
        assert await ask(running, "ok") == [200]
        await refreshed(running)
    where = ("-c", str(tmp_path / "detour.yaml"), "--admin-listen", f"127.0.0.1:{nobody()}")
    code, out, err = await command("cleanup", *where, cwd=tmp_path)
    assert (code, err) == (0, "")
    assert "not offered any more" in out
    code, out, _ = await command("cleanup", *where, "--live", "--json", cwd=tmp_path)
    assert (code, json.loads(out)["removed"]) == (0, 1)
    async with sidecar(tmp_path, config(fake)) as running:
        assert set(await health(running)) == {"openai ok"}


@pytest.mark.parametrize("script", ["fail-503", "bad-key", "cut", "fail-404"])
async def test_a_list_that_cannot_be_read_delists_nothing(fake: FakeProvider, tmp_path: Path, script: str) -> None:
    async with sidecar(tmp_path, config(fake)) as running:
        assert await ask(running, "ok") == [200]
        assert await ask(running, "other") == [200]
        fake.models[""] = script
        row = (await refreshed(running, "?provider=openai"))["openai"]
        assert (row["result"], row["delisted"], row["models"]["offered"]) == ("failed", [], None)
        assert row["models"]["problem"]
        fake.models.clear()
        fake.offered.clear()
        row = (await refreshed(running, "?provider=openai"))["openai"]
        assert (row["result"], row["models"]["problem"], row["delisted"]) == ("failed", "the list is empty", [])
        assert not any((await delisted(running)).values())
        _, found = await running.get("/v1/providers")
        key = next(one["key"] for one in found["providers"] if one["name"] == "openai")
        assert key["state"] == ("refused" if script == "bad-key" else "accepted")


async def test_a_list_that_suddenly_shrinks_is_believed_the_second_time(fake: FakeProvider, tmp_path: Path) -> None:
    fake.offered[:] = [f"m{number}" for number in range(10)]
    async with sidecar(tmp_path, config(fake)) as running:
        assert await ask(running, "m9") == [200]
        await refreshed(running, "?provider=openai")
        del fake.offered[4:]
        row = (await refreshed(running, "?provider=openai"))["openai"]
        assert (row["models"]["suspicious"], row["delisted"], row["missing"]) == (
            True,
            ["llama-3.3-70b-versatile"],
            ["m9"],
        )
        assert said(running, "a provider suddenly offers less than half")
        assert await delisted(running) == {"openai m9": False}
        row = (await refreshed(running, "?provider=openai"))["openai"]
        assert "m9" in row["delisted"]
        assert await delisted(running) == {"openai m9": True}


async def test_suggestions(fake: FakeProvider, tmp_path: Path) -> None:
    fake.offered[:] = ["llama-3.3-70b-versatile", "meta-llama/Llama-3.3-70B-Instruct", "claude"]
    async with sidecar(tmp_path, config(fake)) as running:
        status, done = await act(running, "/v1/providers/refresh")
        assert status == 200
        assert {one["target"] for one in done["suggestions"]} == {
            "anthropic/llama-3.3-70b-versatile",
            "gemini/llama-3.3-70b-versatile",
        }
        assert {one["group"] for one in done["suggestions"]} == {"llama"}
        _, found = await running.get("/v1/providers/gemini/models")
        assert [(row["model"], row["offered"], row["tracked"]) for row in found["models"]] == [
            ("claude", True, False),
            ("llama-3.3-70b-versatile", True, False),
            ("meta-llama/Llama-3.3-70B-Instruct", True, False),
        ]


async def test_by_the_clock(fake: FakeProvider, tmp_path: Path) -> None:
    async with sidecar(tmp_path, config(fake, offers={"every": "1s"})) as running:
        assert await ask(running, "ok") == [200]
        await comes(lambda: running.metric("detour_models_offered", provider="gemini"), lambda found: found == 3)
        fake.offered.remove("ok")
        await comes(lambda: delisted(running), lambda found: found == {"openai ok": True})


async def test_not_by_itself_soon_after_the_start(fake: FakeProvider, tmp_path: Path) -> None:
    async with sidecar(tmp_path, config(fake)) as running:
        await ask(running, "ok", times=3)
        _, found = await running.get("/v1/providers")
        assert all(row["models"]["tried_at"] is None for row in found["providers"])
    assert reads(fake) == []


async def test_one_of_a_fleet_reads_the_lists(tmp_path: Path) -> None:
    with redis_server(tmp_path) as redis:
        async with open_fleet(tmp_path, redis, "abc", offers={"every": "1s"}) as fleet:
            fleet.fake.offered[:] = ["plain"]
            assert (await fleet.sidecars[0].ask(Turn("ok", "success", 200), "plain")).status == 200
            assert (await fleet.sidecars[1].ask(Turn("ok", "success", 200), "gone")).status == 200

            async def told(one: Sidecar) -> dict[str, bool]:
                found = await one.page("/v1/model-health?limit=1000")
                return {row["model"]: row["delisted"] for row in found["models"]}

            for one in fleet.sidecars:
                await comes(lambda one=one: told(one), lambda found: found == {"plain": False, "gone": True})
            readers = {seen.header(b"via") for seen in fleet.fake.log if seen.method == "GET"}
            assert len(readers) == 1, "one has the duty"
            # It dies, and another one goes on.
            (reader,) = readers
            dying = [one for one in fleet.sidecars if f"detour-{one.lines[0]['instance']}".encode() in (reader or b"")]
            assert len(dying) == 1
            await dying[0].kill()
            fleet.fake.offered.append("gone")
            for one in fleet.running:
                await comes(lambda one=one: told(one), lambda found: found == {"plain": False, "gone": False})
            # Whoever is asked reads them at once.
            fleet.fake.offered.remove("plain")
            done = await fleet.running[-1].post("/v1/providers/refresh?provider=mixed")
            assert done["providers"][0]["delisted"] == ["plain"]
