"""One running process: draining, signals, what it logs, and whom its doors let in."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from proxy.fake import Conversation, FakeProvider
from proxy.fake_faults import part
from tests.e2e.test_commands import command
from tests.e2e.world import (
    PATIENCE,
    ROOT,
    USUAL,
    Detour,
    client,
    detour,
    environment,
    eventually,
    lab,
    post,
    split,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")

KEY = "Authorization: Bearer sk-caller\r\n"
CHAT = "/openai/v1/chat/completions"
STREAM = b'{"model":"gated","stream":true}'


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def fake() -> AsyncIterator[FakeProvider]:
    async with FakeProvider() as provider:
        yield provider


@pytest.fixture
def gate(fake: FakeProvider) -> asyncio.Event:
    """Opens the second half of the streams of the model `gated`."""
    opened = asyncio.Event()

    async def gated(talk: Conversation) -> None:
        await part(talk)
        await opened.wait()
        await talk.pieces([*talk.answer.content[3:], *talk.answer.closing])
        talk.finish()

    fake.scripts["gated"] = gated
    return opened


async def healthcheck(running: Detour) -> int:
    code, _, _ = await command("healthcheck", "--admin-listen", f"127.0.0.1:{running.admin_port}")
    return code


# -- signals -----------------------------------------------------------------------------------------------------------


async def test_sigterm_lets_a_running_stream_end(fake: FakeProvider, gate: asyncio.Event, tmp_path: Path) -> None:
    async with detour(lab(fake.url, timeouts={}), path=tmp_path / "d.yaml") as running:
        assert await healthcheck(running) == 0
        async with client(running.port) as stream, client(running.port) as idle:
            await stream.send(post(CHAT, STREAM, extra=KEY, close=False))
            begun = await stream.until(b'"the "')
            assert b"Connection: close" not in begun
            running.process.send_signal(signal.SIGTERM)
            await eventually(lambda: any(line["message"] == "draining" for line in running.lines))
            assert await healthcheck(running) == 1
            status, _ = await running.get("/readyz")
            assert (status, (await running.get("/livez"))[0]) == (503, 200)
            # Served while draining, on connections old and new; each closes behind its answer.
            async with client(running.port) as fresh:
                for peer in (idle, fresh):
                    await peer.send(post(CHAT, b'{"model":"ok"}', extra=KEY, close=False))
                    code, fields, _ = split(await peer.rest())
                    assert code == 200
                    assert (b"Connection", b"close") in fields
            assert running.process.returncode is None
            gate.set()
            rest = await stream.rest()
            assert b"data: [DONE]\n\n" in rest
            assert rest.endswith(b"0\r\n\r\n")
        assert await asyncio.wait_for(running.process.wait(), PATIENCE) == 0
        assert running.lines[-1]["message"] == "stopped"


async def test_a_second_sigterm_ends_at_once(fake: FakeProvider, gate: asyncio.Event, tmp_path: Path) -> None:
    async with detour(lab(fake.url, timeouts={}), path=tmp_path / "d.yaml") as running:
        async with client(running.port) as stream:
            await stream.send(post(CHAT, STREAM, extra=KEY, close=False))
            await stream.until(b'"the "')
            running.process.send_signal(signal.SIGTERM)
            await eventually(lambda: any(line["message"] == "draining" for line in running.lines))
            running.process.send_signal(signal.SIGTERM)
            assert await asyncio.wait_for(running.process.wait(), PATIENCE) == 0
            try:
                rest = await stream.rest()
            except ConnectionResetError:
                rest = b""
            assert not rest.endswith(b"0\r\n\r\n")
        await fake.until(lambda: fake.log[-1].aborted)
    assert not gate.is_set()


@pytest.mark.parametrize("signals", [1, 2])
async def test_a_sigterm_before_the_admin_port_is_there_ends_it_well(signals: int) -> None:
    """Requests are served by then, and code is loaded in a thread."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "proxy.cli", "serve", *USUAL, "--listen", f"127.0.0.1:{port}",
        cwd=ROOT, env=environment(), stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        async with asyncio.timeout(PATIENCE):
            while True:
                with contextlib.suppress(ConnectionRefusedError):
                    async with client(port) as peer:
                        await peer.send(b"GET /nobody HTTP/1.1\r\nHost: localhost\r\n\r\n")
                        assert (await peer.exactly(12)) == b"HTTP/1.1 404"
                    break
                await asyncio.sleep(0.001)
        for _ in range(signals):
            process.send_signal(signal.SIGTERM)
            await asyncio.sleep(0.02)
        _, said = await asyncio.wait_for(process.communicate(), PATIENCE)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, said
    assert b"Traceback" not in said
    assert b"draining" in said


async def test_a_drain_that_takes_too_long_ends_visibly(
    fake: FakeProvider, gate: asyncio.Event, tmp_path: Path
) -> None:
    async with detour(lab(fake.url, timeouts={}, drain={"timeout": "100ms"}), path=tmp_path / "d.yaml") as running:
        async with client(running.port) as stream:
            await stream.send(post(CHAT, STREAM, extra=KEY, close=False))
            await stream.until(b'"the "')
            running.process.send_signal(signal.SIGTERM)
            try:
                rest = await stream.rest()
            except ConnectionResetError:
                rest = b""
            assert not rest.endswith(b"0\r\n\r\n")
            assert await asyncio.wait_for(running.process.wait(), PATIENCE) == 0
        assert any(line["message"] == "drain time is over" and line["ended"] == 1 for line in running.lines)
    assert not gate.is_set()


# -- logs --------------------------------------------------------------------------------------------------------------


CANARIES = {
    "prompt": "canary-of-the-prompt",
    "key": "sk-canary0of0the0caller0key0000000",
    "configured": "sk-canary0of0the0configured0key000",
    "query": "AIzaCanaryOfTheQueryKey000000000000000",
    "token": "canary-of-the-admin-token",
    "answer": "Detour keeps",
}


async def test_the_access_log_holds_neither_prompts_nor_keys(fake: FakeProvider, tmp_path: Path) -> None:
    config = lab(fake.url, log={"access": True, "level": "debug"}, timeouts={"first_byte": "300ms", "answer": "300ms"})
    config["providers"]["openai"]["api_key"] = CANARIES["configured"]
    config["admin"] = {"token": CANARIES["token"]}
    models = ["ok", "fail-401", "fail-503", "reset-before", "silent", "error-200", "garbage", "context-length"]
    pages = []
    async with detour(config, path=tmp_path / "d.yaml") as running:
        for index, model in enumerate(models):
            body = json.dumps({"model": model, "messages": [{"role": "user", "content": CANARIES["prompt"]}]}).encode()
            extra = f"Authorization: Bearer {CANARIES['key']}\r\n" if index % 2 else ""
            async with client(running.port) as peer:
                await peer.send(post(f"{CHAT}?key={CANARIES['query']}", body, extra=extra))
                await peer.rest()
        async with client(running.port) as peer:
            await peer.send(post(f"/nobody/{CANARIES['prompt']}?key={CANARIES['query']}", b"{}"))
            assert (await peer.rest()).startswith(b"HTTP/1.1 404 ")
        for page in ("/v1/model-health", "/metrics", "/health/models", "/readyz?verbose", "/health/gateways"):
            pages.append(str(await running.get(page, Authorization=f"Bearer {CANARIES['token']}")))
        await eventually(lambda: len(_accesses(running)) == len(models) + 1)
    found = _accesses(running)
    assert [line["model"] for line in found] == [*models, "~none"]
    assert [line["status"] for line in found] == [200, 401, 503, 502, 504, 200, 502, 400, 404]
    results = [
        "success",
        "error",
        "error",
        "network_error",
        "timeout",
        "error",
        "network_error",
        "caller_error",
        "rejected",
    ]
    assert [line["result"] for line in found] == results
    assert [line["attempts"] for line in found] == [1] * len(models) + [0]
    assert all(line["request_id"].startswith(running.lines[0].get("instance", "")) for line in found)
    everything = json.dumps(running.lines) + "".join(pages)
    for name, canary in CANARIES.items():
        assert canary not in everything, name


def _accesses(running: Detour) -> list[dict[str, Any]]:
    return [line for line in running.lines if line.get("logger") == "detour.access"]


async def test_without_an_access_log_a_request_leaves_no_line(fake: FakeProvider, tmp_path: Path) -> None:
    async with detour(lab(fake.url), path=tmp_path / "d.yaml") as running:
        for model in (b"ok", b"fail-503", b"reset-before"):
            async with client(running.port) as peer:
                await peer.send(post(CHAT, b'{"model":"%b"}' % model, extra=KEY))
                await peer.rest()
    assert [line["message"] for line in running.lines] == ["serving", "draining", "stopped"]


# -- doors -------------------------------------------------------------------------------------------------------------


TOKEN = "admin-token-of-this-test"
CLIENT_TOKEN = "client-token-of-this-test"


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def open_house(fake: FakeProvider, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Detour]:
    """Both ports listen beyond loopback; tokens guard them. The environment has them, not the file."""
    config = lab(
        fake.url,
        hosts=["detour.internal"],
        client_token="${A_SECRET}",
        admin={"token": "${ADMIN}", "open": ["metrics"], "origins": ["https://board.example"]},
    )
    env = {"A_SECRET": CLIENT_TOKEN, "ADMIN": "replaced", "DETOUR_ADMIN_TOKEN": TOKEN}
    more = ("--listen", "0.0.0.0:0", "--admin-listen", "0.0.0.0:0")
    async with detour(config, path=tmp_path_factory.mktemp("house") / "d.yaml", env=env, more=more) as running:
        yield running


async def status_of(port: int, raw: bytes) -> int:
    async with client(port) as peer:
        await peer.send(raw)
        return split(await peer.rest())[0]


def asks(path: str, *fields: str, method: str = "GET", host: str = "127.0.0.1") -> bytes:
    lines = "".join(f"{field}\r\n" for field in fields)
    return f"{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{lines}\r\n".encode()


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (asks("/v1/model-health"), 401),
        (asks("/v1/model-health", "Authorization: Bearer replaced"), 401),
        (asks("/v1/model-health", f"Authorization: Bearer {TOKEN}"), 200),
        (asks("/v1/model-health/stats", f"Authorization: Basic {TOKEN}"), 401),
        (asks("/health/system"), 401),
        (asks("/health/system", f"Authorization: Bearer {TOKEN}"), 200),
        (asks("/metrics"), 200),
        (asks("/livez"), 200),
        (asks("/readyz"), 200),
        (asks("/livez", host="evil.example"), 403),
        (asks("/livez", host="detour.internal:9090"), 200),
        (asks("/livez", host="localhost"), 200),
        (asks("/v1/model-health", f"Authorization: Bearer {TOKEN}", "Origin: https://evil.example"), 403),
        (asks("/v1/model-health", f"Authorization: Bearer {TOKEN}", "Origin: https://board.example"), 200),
        (asks("/v1/model-health", method="POST"), 405),
        (asks("/nowhere"), 404),
    ],
)
async def test_the_admin_port_beyond_loopback(open_house: Detour, raw: bytes, status: int) -> None:
    assert await status_of(open_house.admin_port, raw) == status


PROOF = f"x-detour-token: {CLIENT_TOKEN}\r\n"


@pytest.mark.parametrize(
    ("extra", "host", "status", "key"),
    [
        ("", "127.0.0.1", 401, None),
        ("Authorization: Bearer detour\r\n", "127.0.0.1", 401, None),
        ("x-detour-token: wrong\r\n", "127.0.0.1", 401, None),
        (PROOF, "127.0.0.1", 200, b"Bearer sk-configured-openai"),
        (f"Authorization: Bearer {CLIENT_TOKEN}\r\n", "127.0.0.1", 200, b"Bearer sk-configured-openai"),
        (PROOF + "Authorization: Bearer detour\r\n", "detour.internal", 200, b"Bearer sk-configured-openai"),
        (PROOF, "evil.example", 403, None),
        (PROOF + "Origin: https://evil.example\r\n", "127.0.0.1", 403, None),
        (KEY, "127.0.0.1", 200, b"Bearer sk-caller"),
        (KEY, "evil.example", 200, b"Bearer sk-caller"),
        (KEY + PROOF, "127.0.0.1", 200, b"Bearer sk-caller"),
    ],
)
async def test_whose_key_is_spent_beyond_loopback(
    open_house: Detour, fake: FakeProvider, extra: str, host: str, status: int, key: bytes | None
) -> None:
    before = len(fake.log)
    raw = post(CHAT, b'{"model":"ok"}', host=host, extra=extra)
    assert await status_of(open_house.port, raw) == status
    assert len(fake.log) == before + (key is not None)
    if key is not None:
        assert fake.log[-1].all(b"authorization") == [key]
        assert all(CLIENT_TOKEN.encode() not in value for _, value in fake.log[-1].headers)


async def test_a_laptop_needs_no_token_but_the_right_name(fake: FakeProvider, tmp_path: Path) -> None:
    async with detour(lab(fake.url), path=tmp_path / "d.yaml") as running:
        assert await status_of(running.admin_port, asks("/v1/model-health")) == 200
        assert await status_of(running.admin_port, asks("/v1/model-health", host="evil.example")) == 403
        assert await status_of(running.admin_port, asks("/v1/model-health", "Origin: https://evil.example")) == 403
        assert await status_of(running.port, post(CHAT, b'{"model":"ok"}')) == 200
        assert await status_of(running.port, post(CHAT, b'{"model":"ok"}', host="evil.example")) == 403
        assert (
            await status_of(running.port, post(CHAT, b'{"model":"ok"}', extra="Origin: https://evil.example\r\n"))
            == 403
        )
        assert fake.log[-1].header(b"authorization") == b"Bearer sk-configured-openai"


async def test_a_full_house_is_503_with_retry_after(fake: FakeProvider, gate: asyncio.Event, tmp_path: Path) -> None:
    config = lab(fake.url, limits={"connections": 1, "pool_wait": "50ms"}, timeouts={})
    async with detour(config, path=tmp_path / "d.yaml") as running, client(running.port) as stream:
        await stream.send(post(CHAT, STREAM, extra=KEY))
        await stream.until(b'"the "')
        async with client(running.port) as peer:
            await peer.send(post(CHAT, b'{"model":"nobody"}', extra=KEY))
            status, fields, _ = split(await peer.rest())
        assert status == 503
        assert (b"Retry-After", b"1") in fields
        gate.set()
        assert (await stream.rest()).endswith(b"0\r\n\r\n")
        record = await running.record("openai", "gated")
        assert (record["call_count"], record["last_status"]) == (1, "success")
        assert (await running.get("/v1/model-health/openai/nobody"))[0] == 404
