"""How configured keys were judged: told by real traffic, over restarts, in a fleet, and on the command line."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import yaml

from proxy.fake import FakeProvider
from tests.e2e.fleets import open_fleet
from tests.e2e.pairs import TOKEN
from tests.e2e.sidecars import KEY, Turn
from tests.e2e.stored import FILE, ask, comes, flushed, sidecar
from tests.e2e.test_commands import command
from tests.e2e.test_store_cleanup import nobody
from tests.e2e.world import Detour, client, lab, post
from tests.redis_server import redis_server

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def fake() -> AsyncIterator[FakeProvider]:
    async with FakeProvider() as provider:
        yield provider


def config(fake: FakeProvider, **sections: Any) -> dict[str, Any]:
    return lab(fake.url, admin={"token": TOKEN}, models={"m": {"targets": ["openai/ok"]}}, **sections)


async def keys(running: Detour) -> dict[str, tuple[str, int | None]]:
    """State and status of every provider's key."""
    status, found = await running.get("/v1/providers")
    assert status == 200, found
    return {row["name"]: (row["key"]["state"], row["key"]["http_status"]) for row in found["providers"]}


async def audited(folder: Path, running: Detour | int, *more: str, **env: str) -> tuple[int, str, str]:
    """`detour audit-keys` with the sidecar's own file."""
    port = running if isinstance(running, int) else running.admin_port
    listen = ("--admin-listen", f"127.0.0.1:{port}")
    return await command("audit-keys", "-c", str(folder / "detour.yaml"), *listen, *more, cwd=folder, env=env)


async def test_a_verdict_counts_at_once_and_over_a_restart(fake: FakeProvider, tmp_path: Path) -> None:
    fake.models.clear()
    async with sidecar(tmp_path, config(fake)) as running:
        assert await keys(running) == dict.fromkeys(("openai", "anthropic", "gemini", "fal"), ("never_tried", None))
        assert await ask(running, "ok") == [200]
        assert await ask(running, "bad-key", "anthropic") == [401]
        found = await keys(running)
        assert (found["openai"], found["anthropic"]) == (("accepted", 200), ("refused", 401))
        _, gateways = await running.get("/health/gateways")
        row = gateways["data"]["anthropic"]
        assert (row["status"], row["configured"]) == ("unconfigured", False)
        assert "refused with status 401" in row["error"]
        assert await running.metric("detour_key_state", provider="anthropic", state="refused") == 1
        assert await running.metric("detour_key_state", provider="anthropic", state="accepted") == 0
    async with sidecar(tmp_path, config(fake)) as running:
        assert await keys(running) == found
        assert await ask(running, "ok", "anthropic") == [200]
        assert (await keys(running))["anthropic"] == ("accepted", 200)
        await flushed(running)
    (tmp_path / "detour.yaml").unlink()
    changed = config(fake)
    changed["providers"]["openai"]["api_key"] = "sk-another-key-that-is-new"
    async with sidecar(tmp_path, changed) as running:
        found = await keys(running)
        assert (found["openai"], found["anthropic"]) == (("never_tried", None), ("accepted", 200)), "a new key"
    assert b"sk-configured" not in (tmp_path / FILE).read_bytes()


async def test_a_callers_key_says_nothing_of_ours(fake: FakeProvider, tmp_path: Path) -> None:
    fake.models.clear()
    async with sidecar(tmp_path, config(fake)) as running:
        for model in ("ok", "bad-key"):
            async with client(running.port) as peer:
                body = json.dumps({"model": model, "messages": []}).encode()
                own = "Authorization: Bearer sk-of-somebody-else-0123456789\r\n"
                await peer.send(post("/openai/v1/chat/completions", body, extra=own))
                assert b"x-detour-provider" in await peer.rest()
        assert (await keys(running))["openai"] == ("never_tried", None)


async def test_the_command_asks_the_sidecar(fake: FakeProvider, tmp_path: Path) -> None:
    fake.models.clear()
    async with sidecar(tmp_path, config(fake)) as running:
        assert await ask(running, "bad-key") == [401]
        assert await ask(running, "ok", "anthropic") == [200]
        code, out, err = await audited(tmp_path, running, "--json")
        assert (code, err) == (1, ""), "a refused key is not one that can be used"
        rows = {row["provider"]: row for row in json.loads(out)}
        assert {name: (row["configured"], row["key"]["state"], row["missing"]) for name, row in rows.items()} == {
            "openai": (False, "refused", []),
            "anthropic": (True, "accepted", []),
            "gemini": (True, "never_tried", []),
            "fal": (True, "never_tried", []),
        }
        assert rows["openai"]["key"]["http_status"] == 401
        assert rows["openai"]["base_url"] == f"{fake.url}/v1"
        code, text, err = await audited(tmp_path, running)
        assert (code, err) == (1, "")
        assert "refused with 401, 20" in text
        assert "not known" not in text
        assert "sk-configured" not in out + text
        assert await ask(running, "ok") == [200]
        code, _, _ = await audited(tmp_path, running)
        assert code == 0


async def test_the_command_without_a_sidecar(fake: FakeProvider, tmp_path: Path) -> None:
    (tmp_path / "detour.yaml").write_text(yaml.safe_dump(config(fake)))
    port = nobody()
    code, out, err = await audited(tmp_path, port)
    assert (code, err) == (0, "")
    assert f"how keys were judged is not known: nothing listens on 127.0.0.1:{port} (admin.listen)" in out
    code, out, err = await audited(tmp_path, port, "--json")
    assert (code, err) == (0, "")
    assert {row["key"]["state"] for row in json.loads(out)} == {"unknown"}
    # Whatever else listens there is no Detour.
    code, out, err = await audited(tmp_path, fake.port)
    assert (code, err) == (0, "")
    assert "is not a Detour that knows of keys" in out


async def test_a_sidecar_that_wants_a_token(fake: FakeProvider, tmp_path: Path) -> None:
    setup = config(fake)
    setup["admin"]["listen"] = "0.0.0.0:0"
    async with sidecar(tmp_path, setup, "--admin-listen", "0.0.0.0:0") as running:
        assert await ask(running, "ok") == [200]
        code, out, _ = await audited(tmp_path, running)
        assert code == 0
        assert "accepted, 20" in out
        setup["admin"]["token"] = "another-token-than-that"
        (tmp_path / "detour.yaml").write_text(yaml.safe_dump(setup))
        code, out, _ = await audited(tmp_path, running)
        assert code == 0
        assert "wants another admin.token (DETOUR_ADMIN_TOKEN)" in out


async def test_a_fleet_knows_what_one_found_out(tmp_path: Path) -> None:
    with redis_server(tmp_path) as redis:
        async with open_fleet(tmp_path, redis, "ab") as fleet:
            one, other = fleet.sidecars
            assert (await one.ask(Turn("bad-key", "error", 401))).status == 401
            assert (await other.ask(Turn("ok", "success", 200, "guarded"))).status == 200
            for sidecar_ in fleet.sidecars:
                found = await comes(
                    lambda sidecar_=sidecar_: keys(sidecar_),
                    lambda found: found["mixed"][0] != "never_tried" and found["guarded"][0] != "never_tried",
                )
                assert (found["mixed"], found["guarded"]) == (("refused", 401), ("accepted", 200))
                assert found["brief"] == ("never_tried", None)
            assert KEY.encode() not in str(redis.command("HGETALL", "detour:{default:00}:notes")).encode()
            # The last verdict wins, whoever has it.
            assert (await other.ask(Turn("ok", "success", 200))).status == 200
            await comes(lambda: keys(one), lambda found: found["mixed"] == ("accepted", 200))
