"""Configurations that change at the wrong moment, in the wrong way, or more than a running process can."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
import yaml

from proxy.fake import FakeProvider
from tests.e2e import secured
from tests.e2e.authority import Authority
from tests.e2e.crowd import Crowd
from tests.e2e.test_reload import CHAT, KEY, ask, check, descriptors, memory, reload, told, write
from tests.e2e.world import PATIENCE, Detour, RawUpstream, client, detour, eventually, lab, post, split

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(180)]

RELOADS = 100
BARE = ("--store", "memory:")


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def fake() -> AsyncIterator[FakeProvider]:
    async with FakeProvider() as provider:
        yield provider


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path, "authority")


def threads(running: Detour) -> int:
    return len(os.listdir(f"/proc/{running.process.pid}/task"))


def forgive(running: Detour) -> list[str]:
    """The errors that were logged, which are meant to be there."""
    errors = [line["message"] for line in running.lines if line["level"] == "error"]
    running.lines[:] = [line for line in running.lines if line["level"] != "error"]
    return errors


# -- more than a running process can change ----------------------------------------------------------------------------


def other_port() -> str:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return f"127.0.0.1:{taken.getsockname()[1]}"


@pytest.mark.parametrize("path", ["listen", "admin.listen", "store", "tls", "admin.tls", "redis"])
async def test_what_needs_a_restart(fake: FakeProvider, tmp_path: Path, authority: Authority, path: str) -> None:
    """It is told in all three places until the file is as it was; what else the file says holds all the while."""
    file = tmp_path / "d.yaml"
    cert = str(authority.issue("localhost"))
    first = lab(fake.url, listen="127.0.0.1:0", admin={"listen": "127.0.0.1:0"}, store="memory:")
    changed, names = {
        "listen": ({"listen": other_port()}, "listen"),
        "admin.listen": ({"admin": {"listen": other_port()}}, "admin.listen"),
        "store": ({"store": f"sqlite:///{tmp_path}/d.db"}, "store"),
        "tls": ({"tls": {"cert": cert}}, "tls.cert"),
        "admin.tls": ({"admin": {"listen": "127.0.0.1:0", "tls": {"cert": cert}}}, "admin.tls.cert"),
        "redis": ({"redis": {"fleet": "b", "timeout": "9s"}}, "redis.fleet, redis.timeout"),
    }[path]
    async with detour(first, path=file, usual=()) as running:
        for times in (1, 2):
            write(file, first | changed | {"limits": {"replay": f"{times}MiB"}})
            await reload(running)
            assert await check(running, "reload") == {
                "name": "reload", "ok": False, "required": False, "detail": f"changed, and needs a restart: {names}",
            }  # fmt: skip
            assert (await running.get("/readyz"))[0] == 200
            assert await running.metric("detour_config_restart_needed") == names.count(",") + 1
            lines = [line for line in running.lines if "before a restart: " in line["message"]]
            assert [line["level"] for line in lines] == ["warning"] * times
            assert lines[-1]["message"] == f"changed and not in force before a restart: {names}"
        assert told(running, "read again: ") == ["configuration read again: limits.replay"] * 2
        assert await ask(running) == 200, "it is where and what it was"
        write(file, first)
        await reload(running)
        assert (await check(running, "reload"))["ok"]
        assert await running.metric("detour_config_restart_needed") == 0
    assert not (tmp_path / "d.db").exists()


async def test_flags_and_variables_beat_the_file_after_a_reload_too(fake: FakeProvider, tmp_path: Path) -> None:
    file = tmp_path / "d.yaml"
    config = lab(fake.url, client_token="of-the-file")
    more = ("--set", "admin.token=of-the-flag")
    async with detour(config, path=file, more=more, env={"DETOUR_CLIENT_TOKEN": "of-the-variable"}) as running:
        write(file, config | {"client_token": "another", "admin": {"token": "another"}, "limits": {"replay": "1MiB"}})
        await reload(running)
        assert told(running, "read again: ") == ["configuration read again: limits.replay"]
        for token, status in (("another", 401), ("of-the-file", 401), ("of-the-flag", 200)):
            async with client(running.admin_port) as peer:
                field = f"Authorization: Bearer {token}\r\n"
                await peer.send(post("/v1/model-health/cleanup", b"", extra=field))
                assert split(await peer.rest())[0] == status


# -- at the wrong moment -----------------------------------------------------------------------------------------------


async def test_what_comes_of_a_key_that_was_replaced_says_nothing_of_the_new_one(tmp_path: Path) -> None:
    file = tmp_path / "d.yaml"

    async def state(running: Detour) -> str:
        _, found = await running.get("/v1/providers")
        return str(next(one["key"]["state"] for one in found["providers"] if one["name"] == "openai"))

    for status, body in ((401, b'{"error":{"message":"Incorrect API key"}}'), (200, b'{"choices":[{"index":0}]}')):
        async with RawUpstream() as upstream:
            config = lab(upstream.url, timeouts={})
            async with detour(config, path=file) as running, client(running.port) as peer:
                await peer.send(post(CHAT, b'{"model":"m"}'))
                provider = await upstream.accept()
                head, _ = await provider.request()
                assert b"sk-configured-openai" in head
                config["providers"]["openai"]["api_key"] = "sk-new"
                write(file, config)
                await reload(running)
                head = b"HTTP/1.1 %d X\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
                await provider.send(head % (status, len(body)) + body)
                assert split(await peer.rest())[0] == status
                assert await state(running) == "never_tried"


async def test_many_hangups_at_once_are_few_reloads_and_the_last_file_holds(fake: FakeProvider, tmp_path: Path) -> None:
    file = tmp_path / "d.yaml"
    config = lab(fake.url)
    async with detour(config, path=file) as running:
        for number in range(100):
            write(file, config | {"limits": {"connections": 10 + number}})
            running.process.send_signal(signal.SIGHUP)
            await asyncio.sleep(0.002)
        write(file, config | {"providers": {"anthropic": config["providers"]["anthropic"]}})
        running.process.send_signal(signal.SIGHUP)
        await eventually(lambda: any("providers.openai" in message for message in told(running, "read again: ")))
        assert await ask(running) == 404
        assert await running.metric("detour_config_reloads_total", result="refused") == 0
        assert 1 <= await running.metric("detour_config_reloads_total", result="applied") <= 101
        assert (await check(running, "reload"))["ok"]


@pytest.mark.parametrize("what", ["file", "secret", "certificate"])
async def test_a_pipe_in_the_place_of_a_file_holds_up_nothing(
    fake: FakeProvider, tmp_path: Path, authority: Authority, what: str
) -> None:
    """Nobody writes to it: whoever opens it as a file is opened waits for ever, and so does the end of the process."""
    file, secret, cert = tmp_path / "d.yaml", tmp_path / "key", tmp_path / "tls.pem"
    secret.write_text("sk-one")
    cert.write_bytes(authority.issue("localhost").read_bytes())
    config = lab(fake.url, admin={"tls": {"cert": str(cert)}})
    config["providers"]["openai"]["api_key"] = "${file:key}"
    place = {"file": file, "secret": secret, "certificate": cert}[what]
    async with detour(config, path=file) as running:
        content = place.read_text()
        place.unlink()
        os.mkfifo(place)
        await eventually(lambda: any("no regular file" in line["message"] for line in running.lines))
        assert await ask(running) == 200
        place.unlink()
        place.write_text(content if what != "file" else yaml.safe_dump(config | {"limits": {"replay": "1MiB"}}))
        done = "are taken over" if what == "certificate" else "read again: "
        await eventually(lambda: bool(told(running, done)))
        place.unlink()
        os.mkfifo(place)
        running.process.send_signal(signal.SIGHUP)
        await asyncio.sleep(2.5)  # it is open by now, or was refused
        running.process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(running.process.wait(), PATIENCE) == 0
        assert forgive(running)


# -- what a hundred of them leave behind -------------------------------------------------------------------------------


async def test_a_hundred_reloads_over_tls_leave_no_thread_no_descriptor_and_no_memory(
    fake: FakeProvider, tmp_path: Path, authority: Authority
) -> None:
    """With certificates that are renewed, authorities and channels that come and go, and clients that go on asking."""
    file, cert = tmp_path / "d.yaml", tmp_path / "tls.pem"
    certs = [authority.issue("localhost").read_bytes() for _ in range(2)]
    bundles = [str(Authority(tmp_path, name).file) for name in ("one", "two")]
    cert.write_bytes(certs[0])
    config = lab(fake.url, timeouts={}, tls={"cert": str(cert)})
    async with detour(config, path=file, env={"DETOUR_PROBES_ENABLED": "true"}) as running:
        scripts = [("ok", False), ("ok@events=10,gap=0.02", True)]
        crowd = Crowd(running.port, CHAT, scripts, 10, tls=authority.client())
        figures = []
        for number in range(RELOADS):
            cert.write_bytes(certs[number % 2])
            config["upstream"] = {"ca_bundle": bundles[number % 2]}
            config["providers"]["openai"]["breakers"] = {"failure_threshold": 2 + number}
            config["providers"]["anthropic"]["api_key"] = f"sk-{number}"
            hook = {"type": "webhook", "url": f"http://127.0.0.1:9/{number}"}
            config["alerts"] = {"channels": {f"hook{number % 3}": hook}}
            config["admin"] = {"origins": [f"https://board{number}.example"]}
            write(file, config)
            await reload(running)
            if number in (RELOADS // 2, RELOADS - 1):
                figures.append((threads(running), descriptors(running), memory(running)))
        await crowd.stop()
        (tasks, files, half), (more_tasks, more_files, whole) = figures
        print(f"threads {tasks} {more_tasks}, descriptors {files} {more_files}, memory {half} {whole} KiB")
        assert crowd.failures == []
        assert crowd.closed == 0, "a reload ends no connection"
        assert more_tasks <= tasks
        assert more_files <= files + 10
        assert whole - half < 4096
        assert await running.metric("detour_config_reloads_total", result="applied") == RELOADS
        assert await running.metric("detour_open_permits") == 0
        async with secured.client(running.port, authority.client()) as peer:
            await peer.send(post(CHAT, b'{"model":"ok"}', extra=KEY))
            assert split(await peer.rest())[0] == 200
    assert "sk-9" not in json.dumps(running.lines)
