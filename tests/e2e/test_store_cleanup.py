"""`detour cleanup` beside a sidecar and without one, and the same by the clock."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import yaml

from breaker.outcome import Status
from healthapi.archive import Batch
from healthapi.delta import Delta
from proxy.fake import FakeProvider
from tests.e2e.pairs import TOKEN
from tests.e2e.stored import FILE, act, ask, breaker, calls, comes, files, fill, flushed, health, history, read, sidecar
from tests.e2e.test_commands import command
from tests.e2e.world import Detour, lab
from tests.healthapi.samples import delta, outcome

pytestmark = pytest.mark.asyncio(loop_scope="module")

DAY = 86400
GONE = {"openai/unused": "unused", "anthropic/broken": "always_failing", "openai/listed": "unused"}
"""What is kept for nobody, and why."""


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def fake() -> AsyncIterator[FakeProvider]:
    async with FakeProvider() as provider:
        yield provider


def called(name: str, age: float, good: int, bad: int = 0) -> Delta:
    """Calls of one model, so many seconds ago."""
    provider, _, model = name.partition("/")
    about = {"provider": provider, "model": model, "at": time.time() - age}
    return delta(*[outcome(**about)] * good, *[outcome(Status.ERROR, **about)] * bad)


def config(fake: FakeProvider, token: str | None = TOKEN, **sections: Any) -> dict[str, Any]:
    models = {"listed": {"targets": ["openai/listed"]}}
    return lab(fake.url, models=models, **({"admin": {"token": token}} if token else {}), **sections)


async def prepare(folder: Path) -> None:
    """A file with three records that nobody needs, and two that somebody may."""
    old = [
        called("openai/unused", 40 * DAY, 3, 1),
        called("openai/listed", 31 * DAY, 1),
        called("anthropic/broken", 3600, 0, 12),
        called("openai/rare", 20 * DAY, 1),
        called("openai/bad-luck", 3600, 0, 9),
    ]
    await fill(folder / FILE, Batch(old), time.time() - 40 * DAY)


async def clean(folder: Path, running: Detour | int, *more: str, **env: str) -> tuple[int, str, str]:
    """`detour cleanup` with the sidecar's own file: (exit status, standard output, standard error)."""
    port = running if isinstance(running, int) else running.admin_port
    listen = ("--admin-listen", f"127.0.0.1:{port}")
    return await command("cleanup", "-c", str(folder / "detour.yaml"), *listen, *more, cwd=folder, env=env)


def nobody() -> int:
    """A port on which nothing listens."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def listed(text: str) -> dict[str, str]:
    """What an answer in JSON lists."""
    return {f"{row['provider']}/{row['model']}": row["reason"] for row in json.loads(text)["models"]}


async def test_beside_a_sidecar(fake: FakeProvider, tmp_path: Path) -> None:
    setup = config(fake)
    await prepare(tmp_path)
    async with sidecar(tmp_path, setup) as running:
        before = await health(running)
        assert len(before) == 5
        code, out, err = await clean(tmp_path, running)
        assert (code, err) == (0, "")
        lines = out.splitlines()
        assert lines[0].split() == ["PROVIDER", "MODEL", "WHY", "LAST", "CALL", "CALLS", "ERRORS"]
        assert [line.split()[:2] for line in lines[1:4]] == [
            name.split("/") for name in ("openai/unused", "openai/listed", "anthropic/broken")
        ]
        assert "never successful" in lines[3]
        assert "(configured)" in lines[2]
        assert lines[-1].startswith("3 records would go; --live removes them.")
        code, out, _ = await clean(tmp_path, running, "--json")
        found = json.loads(out)
        assert (code, listed(out)) == (0, GONE)
        assert (found["live"], found["total"], found["removed"]) == (False, 3, 0)
        assert found["older_than_seconds"] == 30 * DAY
        code, out, _ = await clean(tmp_path, running, "--json", "--older-than", "10d")
        assert (code, listed(out)) == (0, GONE | {"openai/rare": "unused"})
        assert await health(running) == before, "nothing was removed so far"

        code, out, err = await clean(tmp_path, running, "--live", "--json")
        assert (code, err) == (0, "")
        found = json.loads(out)
        assert (found["live"], found["total"], found["removed"]) == (True, 3, 3)
        assert listed(out) == GONE
        assert set(await health(running)) == {"openai rare", "openai bad-luck"}
        assert (await history(running, "30d", provider="anthropic"))["totals"]["calls"] == 12, "their sums stay"
        code, out, _ = await clean(tmp_path, running, "--live")
        assert (code, out.splitlines()[0].partition(":")[0]) == (0, "nothing to remove")
        assert await ask(running, "unused", times=2) == [200, 200]
        assert await calls(running, "unused") == 2, "a record again, from nothing"
    async with sidecar(tmp_path, setup) as running:
        assert set(await health(running)) == {"openai rare", "openai bad-luck", "openai unused"}
        assert await calls(running, "unused") == 2


async def test_whoever_has_not_the_token_removes_nothing(fake: FakeProvider, tmp_path: Path) -> None:
    await prepare(tmp_path)
    async with sidecar(tmp_path, config(fake)) as running:
        without = tmp_path / "without"
        without.mkdir()
        (without / "detour.yaml").write_text(yaml.safe_dump(config(fake, None)))
        code, out, err = await clean(without, running, "--live")
        assert (code, out) == (1, "")
        assert err.startswith(f"nothing was cleaned up: the sidecar on 127.0.0.1:{running.admin_port} wants the ")
        assert "DETOUR_ADMIN_TOKEN" in err
        code, out, err = await clean(without, running, "--live", DETOUR_ADMIN_TOKEN="another-token-than-that")
        assert (code, out) == (1, "")
        assert "has another admin.token than this configuration" in err
        assert "another-token" not in err
        assert len(await health(running)) == 5
        code, out, _ = await clean(without, running, "--live", "--json", DETOUR_ADMIN_TOKEN=TOKEN)
        assert (code, listed(out)) == (0, GONE)
        assert len(await health(running)) == 2


async def test_a_sidecar_without_a_token_removes_nothing(fake: FakeProvider, tmp_path: Path) -> None:
    await prepare(tmp_path)
    async with sidecar(tmp_path, config(fake, None)) as running:
        code, out, _ = await clean(tmp_path, running, "--json")
        assert (code, listed(out)) == (0, GONE)
        code, out, err = await clean(tmp_path, running, "--live")
        assert (code, out) == (1, "")
        assert "DETOUR_ADMIN_TOKEN" in err
        assert len(await health(running)) == 5


async def test_without_a_sidecar(fake: FakeProvider, tmp_path: Path) -> None:
    """The file itself is asked, and nothing in it is lost that was not to be removed."""
    setup = config(fake, breakers={})
    await prepare(tmp_path)
    async with sidecar(tmp_path, setup) as running:
        for name in ("anthropic", "openai/rare", "fal"):
            assert (await act(running, f"/circuit-breakers/{name}/open?for=1h"))[0] == 200
        before = await health(running)
    port = nobody()
    code, out, _ = await clean(tmp_path, port, "--json")
    assert (code, listed(out)) == (0, GONE)
    async with sidecar(tmp_path, setup) as running:
        assert await health(running) == before
        for name in ("anthropic", "openai/rare", "fal"):
            assert (await breaker(running, name))["state"] == "open", name
    code, out, err = await clean(tmp_path, port, "--live")
    assert (code, err) == (0, "")
    assert out.splitlines()[-1] == "removed 3 of 3 records"
    names = "SELECT provider || '/' || model FROM record JOIN target ON target.id = target ORDER BY 1"
    assert read(tmp_path / FILE, names) == [("openai/bad-luck",), ("openai/rare",)]
    async with sidecar(tmp_path, setup) as running:
        assert set(await health(running)) == {"openai rare", "openai bad-luck"}
        for name in ("anthropic", "openai/rare", "fal"):
            assert (await breaker(running, name))["state"] == "open", name
        # Beside a sidecar that listens elsewhere: the file is not touched.
        code, out, err = await clean(tmp_path, nobody(), "--live")
        assert (code, out) == (1, "")
        assert "nothing was cleaned up: detour.db is in use by another process" in err


async def test_nothing_to_ask(fake: FakeProvider, tmp_path: Path) -> None:
    (tmp_path / "detour.yaml").write_text(yaml.safe_dump(config(fake)))
    code, out, err = await clean(tmp_path, nobody(), "--live", "--store", "memory:")
    assert (code, out) == (1, "")
    assert "memory: ends with its process" in err
    (tmp_path / FILE).write_bytes(b"no database " * 1000)
    code, out, err = await clean(tmp_path, nobody(), "--live")
    assert (code, out) == (1, "")
    assert "nothing was cleaned up: detour.db is not a database" in err
    for age in ("soon", "0s"):
        code, out, err = await clean(tmp_path, nobody(), "--older-than", age)
        assert (code, out) == (1, "")
        assert "--older-than" in err
    assert (tmp_path / FILE).read_bytes() == b"no database " * 1000


async def test_by_the_clock(fake: FakeProvider, tmp_path: Path) -> None:
    await prepare(tmp_path)
    setup = config(fake, cleanup={"every": "1s", "older_than": "10d"})
    async with sidecar(tmp_path, setup) as running:
        await comes(lambda: health(running), lambda rows: set(rows) == {"openai bad-luck"})

        async def told() -> list[dict[str, Any]]:
            return [line for line in running.lines if str(line["message"]).startswith("cleanup: removed")]

        found = await comes(told, lambda lines: len(lines) > 0)
        assert [line["removed"] for line in found] == [4]
        assert (found[0]["unused"], found[0]["always_failing"], found[0]["never_called"]) == (3, 1, 0)
        # The tenth failure makes it one that never works; the next cleanup lets go of it, and a call brings it back.
        fake.models["bad-luck"] = "fail-503"
        assert await ask(running, "bad-luck") == [503]
        await comes(lambda: health(running), lambda rows: not rows)
        fake.models["bad-luck"] = "ok"
        assert await ask(running, "bad-luck") == [200]
        await flushed(running)
        assert (await running.record("openai", "bad-luck"))["call_count"] == 1
    assert read(tmp_path / FILE, "SELECT count(*) FROM record") == [(1,)]
    assert files(tmp_path) == [FILE, f"{FILE}-lock", "detour.yaml"]
