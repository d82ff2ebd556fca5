"""A configuration that changes under a process that serves: by hand, by itself, by a mounted folder, by mistake."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import yaml

from proxy.fake import Conversation, FakeProvider
from proxy.fake_faults import part
from tests.e2e.crowd import Crowd
from tests.e2e.world import Detour, client, detour, eventually, lab, post, split

pytestmark = pytest.mark.asyncio(loop_scope="module")

CHAT = "/openai/v1/chat/completions"
KEY = "Authorization: Bearer sk-caller\r\n"
RELOADS = 100
CLIENTS = 30


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def fake() -> AsyncIterator[FakeProvider]:
    async with FakeProvider() as provider:
        yield provider


def write(path: Path, config: dict[str, Any]) -> None:
    """Put a new file in the place of the old one, in one step."""
    new = path.with_suffix(".new")
    new.write_text(yaml.safe_dump(config))
    new.replace(path)


def told(running: Detour, text: str) -> list[str]:
    return [line["message"] for line in running.lines if text in line["message"]]


async def reload(running: Detour) -> None:
    """Ask for it, and wait until it is done."""
    before = len(told(running, "read again: ")) + len(told(running, "cannot be used, and"))
    running.process.send_signal(signal.SIGHUP)
    await eventually(
        lambda: len(told(running, "read again: ")) + len(told(running, "cannot be used, and")) == before + 1
    )


async def ask(running: Detour, model: str = "ok", path: str = CHAT, extra: str = KEY) -> int:
    async with client(running.port) as peer:
        await peer.send(post(path, json.dumps({"model": model}).encode(), extra=extra))
        return split(await peer.rest())[0]


async def check(running: Detour, name: str) -> dict[str, Any]:
    _, found = await running.get("/readyz?verbose")
    return dict(next(one for one in found["checks"] if one["name"] == name))


def memory(running: Detour) -> int:
    """Resident memory in KiB."""
    text = Path(f"/proc/{running.process.pid}/status").read_text()
    return int(next(line.split()[1] for line in text.splitlines() if line.startswith("VmRSS:")))


def descriptors(running: Detour) -> int:
    return len(os.listdir(f"/proc/{running.process.pid}/fd"))


# -- under load --------------------------------------------------------------------------------------------------------


@pytest.mark.timeout(180)
async def test_a_hundred_reloads_under_load(fake: FakeProvider, tmp_path: Path) -> None:
    path = tmp_path / "d.yaml"
    config = lab(fake.url, timeouts={})
    async with detour(config, path=path) as running:
        crowd = Crowd(running.port, CHAT, [("ok", False), ("ok@events=10,gap=0.02", True)], CLIENTS)
        figures = []
        for number in range(RELOADS):
            config["limits"] = {"tracked_targets": 1000 + number}
            config["providers"]["openai"]["breakers"] = {"failure_threshold": 2 + number}
            config["providers"][f"lab-{number % 7}"] = {"base_url": f"{fake.url}/lab/v1", "api_key": "sk-lab"}
            config["providers"].pop(f"lab-{(number - 3) % 7}", None)
            write(path, config)
            await reload(running)
            if number in (RELOADS // 2, RELOADS - 1):
                figures.append((memory(running), descriptors(running)))
        await crowd.stop()
        assert crowd.failures == []
        assert crowd.closed == 0, "a reload ends no connection"
        assert crowd.answers > RELOADS
        assert await running.metric("detour_config_reloads_total", result="applied") == RELOADS
        assert await running.metric("detour_requests_total", provider="openai") == crowd.answers
        assert await running.metric("detour_open_permits") == 0
        (half, _), (whole, _) = figures
        assert whole - half < 4096, f"from {half} to {whole} KiB"
        assert abs(figures[0][1] - figures[1][1]) <= CLIENTS
    assert told(running, "cannot be used") == []


# -- by itself ---------------------------------------------------------------------------------------------------------


async def test_the_swap_of_a_mounted_folder_and_the_rotation_of_a_key(fake: FakeProvider, tmp_path: Path) -> None:
    """As a kubelet does it: files are links into `..data`, which is a link that is replaced."""
    config = lab(fake.url)
    config["providers"]["openai"]["api_key"] = "${file:openai-key}"
    for number in (1, 2):
        folder = tmp_path / f"..{number}"
        folder.mkdir()
        (folder / "d.yaml").write_text(yaml.safe_dump(config))
        (folder / "openai-key").write_text(f"sk-rotated-{number}\n")
    (tmp_path / "..data").symlink_to("..1")
    for name in ("d.yaml", "openai-key"):
        (tmp_path / name).symlink_to(f"..data/{name}")
    more = ("-c", str(tmp_path / "d.yaml"))
    async with detour(more=more) as running, client(running.port) as peer:
        seen = []
        for _ in range(2):
            await peer.send(post(CHAT, b'{"model":"ok"}', close=False))
            assert (await peer.answer())[0] == 200
            seen.append(fake.log[-1].header(b"authorization"))
            if len(seen) == 1:
                (tmp_path / "..tmp").symlink_to("..2")
                (tmp_path / "..tmp").replace(tmp_path / "..data")
                await eventually(lambda: bool(told(running, "read again: ")))
        assert seen == [b"Bearer sk-rotated-1", b"Bearer sk-rotated-2"], "on one connection"
        assert told(running, "read again: ") == ["configuration read again: providers.openai.api_key"]
        assert "sk-rotated" not in json.dumps(running.lines)


# -- by mistake --------------------------------------------------------------------------------------------------------


async def test_a_file_with_mistakes_changes_nothing_and_is_told_of(fake: FakeProvider, tmp_path: Path) -> None:
    path = tmp_path / "d.yaml"
    config = lab(fake.url)
    async with detour(config, path=path) as running:
        assert await check(running, "reload") == {
            "name": "reload", "ok": True, "required": False, "detail": "in force as the file says",
        }  # fmt: skip
        wrong = config | {"limits": {"replay": "sk-canary-in-the-wrong-place"}, "retries": {"max_attempts": 0}}
        wrong["providers"] = {}
        write(path, wrong)
        await reload(running)
        assert await ask(running) == 200
        found = await check(running, "reload")
        assert (found["ok"], found["required"]) == (False, False)
        assert "limits.replay: " in found["detail"]
        assert "retries.max_attempts: " in found["detail"]
        assert (await running.get("/readyz"))[0] == 200
        assert await running.metric("detour_config_reload_refused") == 1
        assert await running.metric("detour_config_reloads_total", result="refused") == 1
        path.unlink()
        await reload(running)
        assert "cannot read" in (await check(running, "reload"))["detail"]
        assert await ask(running) == 200
        write(path, config)
        await reload(running)
        assert (await check(running, "reload"))["ok"]
        assert await running.metric("detour_config_reload_refused") == 0
        errors = [line["message"] for line in running.lines if line["level"] == "error"]
        assert {message.partition(":")[0] for message in errors} == {
            "the changed configuration cannot be used, and what was before stays in force",
            "limits.replay", "retries.max_attempts", f"cannot read {path}",
        }  # fmt: skip
        running.lines[:] = [line for line in running.lines if line["level"] != "error"]  # as they were meant to be


async def test_what_needs_a_restart_is_told_and_the_rest_applied(fake: FakeProvider, tmp_path: Path) -> None:
    path = tmp_path / "d.yaml"
    config = lab(fake.url)
    more = ("--set", "admin.token=first")
    async with detour(config, path=path, more=more) as running:
        more_of_it = {"redis": {"fleet": "other"}, "admin": {"origins": ["https://board.example"]}}
        write(path, config | more_of_it)
        await reload(running)
        assert (await check(running, "reload"))["detail"] == "changed, and needs a restart: redis.fleet"
        assert await running.metric("detour_config_restart_needed") == 1
        assert told(running, "before a restart: ") == ["changed and not in force before a restart: redis.fleet"]
        assert (await running.get("/livez", Origin="https://board.example"))[0] == 200
        assert await ask(running) == 200


# -- what stays --------------------------------------------------------------------------------------------------------


async def test_what_is_open_before_is_open_after_and_new_knobs_hold(fake: FakeProvider, tmp_path: Path) -> None:
    path = tmp_path / "d.yaml"
    knobs: dict[str, Any] = {"failure_threshold": 3, "open_for": "60s", "jitter": 0}
    config = lab(fake.url, breakers=knobs)
    async with detour(config, path=path) as running:
        for _ in range(3):
            assert await ask(running, "fail-503") == 503
        assert await ask(running, "fail-401") == 401
        before = await running.record("openai", "fail-503")
        asked = len(fake.log)
        knobs["failure_threshold"] = 1
        write(path, config | {"limits": {"replay": "1MiB"}})
        await reload(running)
        assert await ask(running, "fail-503") == 503
        assert len(fake.log) == asked, "it is open still"
        after = await running.record("openai", "fail-503")
        assert after["error_count"] == before["error_count"] == 3
        assert await running.metric("detour_breaker_state", model="fail-503", state="open") == 1
        assert await ask(running, "fail-500") == 500
        assert await running.metric("detour_breaker_state", model="fail-500", state="open") == 1, "the new threshold"


async def test_a_stream_at_a_provider_that_is_gone_ends_as_it_began(fake: FakeProvider, tmp_path: Path) -> None:
    opened = asyncio.Event()

    async def gated(talk: Conversation) -> None:
        await part(talk)
        await opened.wait()
        await talk.pieces([*talk.answer.content[3:], *talk.answer.closing])
        talk.finish()

    path = tmp_path / "d.yaml"
    config = lab(fake.url, timeouts={})
    async with (
        FakeProvider() as other,
        detour(config | {"providers": {"openai": {"base_url": f"{other.url}/v1"}}}, path=path) as running,
        client(running.port) as stream,
        client(running.port) as idle,
    ):
        other.scripts["gated"] = gated
        await idle.send(post(CHAT, b'{"model":"ok"}', extra=KEY, close=False))
        assert (await idle.answer())[0] == 200
        await stream.send(post(CHAT, b'{"model":"gated","stream":true}', extra=KEY, close=False))
        begun = await stream.until(b'"the "')
        gone = config | {"providers": {"anthropic": config["providers"]["anthropic"]}}
        write(path, gone)
        await reload(running)
        # What the other connection remembers of its last head is of no use any more.
        await idle.send(post(CHAT, b'{"model":"ok"}', extra=KEY, close=False))
        assert (await idle.answer())[0] == 404
        opened.set()
        rest = await stream.until(b"data: [DONE]\n\n\r\n0\r\n\r\n")
        assert begun.count(b"data: ") + rest.count(b"data: ") > 3
        await stream.send(post(CHAT, b'{"model":"ok"}', extra=KEY, close=False))
        assert (await stream.answer())[0] == 404, "the connection lives, the provider does not"
        _, metrics = await running.get("/metrics")
        assert 'provider="openai"' not in metrics
        assert await running.metric("detour_open_permits") == 0
        assert await running.metric("detour_upstream_connections") == 0
        assert (await running.get("/v1/model-health/openai/ok"))[0] == 200, "what happened did happen"


async def test_a_hangup_without_a_file_ends_nothing() -> None:
    async with detour() as running:
        running.process.send_signal(signal.SIGHUP)
        await eventually(lambda: bool(told(running, "no file that can be read twice")))
        assert (await running.get("/readyz"))[0] == 200
