"""Providers behind a proxy, and authorities of one's own: a real process, a real proxy, real certificates."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from proxy.fake import FakeProvider
from tests.e2e.authority import Authority
from tests.e2e.connectproxy import ConnectProxy
from tests.e2e.world import ALONE, Detour, client, detour, eventually, post

CANARY = "hunter2-canary"
EVENTS = 30


def chat(model: str = "ok", *, stream: bool = False) -> bytes:
    body = json.dumps({"model": model, "messages": [], "stream": stream}).encode()
    return post("/openai/v1/chat/completions", body)


async def ask(running: Detour, request: bytes) -> tuple[int, bytes]:
    async with client(running.port) as peer:
        await peer.send(request)
        status, _, body = await peer.answer()
        return status, body


@contextlib.asynccontextmanager
async def running(
    folder: Path, upstream: dict[str, Any], url: str, *, env: dict[str, str] | None = None
) -> AsyncIterator[Detour]:
    """A Detour whose provider is at `url`; what it ever wrote or told holds no password."""
    document = ALONE | {
        "providers": {"openai": {"base_url": url, "api_key": "sk-own"}},
        "upstream": upstream,
        "timeouts": {"connect": "2s"},
        "log": {"access": True, "level": "debug"},
    }
    async with detour(document, path=folder / "detour.yaml", env=env) as made:
        yield made
        for path in ("/metrics", "/readyz?verbose", "/v1/model-health", "/v1/providers", "/circuit-breakers"):
            _, told = await made.get(path)
            assert CANARY not in json.dumps(told), path
    assert CANARY not in json.dumps(made.lines)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path, "authority")


@pytest.mark.parametrize("tls", [False, True], ids=["http", "https"])
async def test_an_encrypted_provider_behind_a_proxy_that_wants_a_password(
    tmp_path: Path, authority: Authority, tls: bool
) -> None:
    async with (
        FakeProvider(tls=authority.server("api.test")) as fake,
        ConnectProxy(
            {"api.test:443": fake.port}, tls=authority.server("127.0.0.1") if tls else None, password=f"me:{CANARY}@"
        ) as proxy,
    ):
        url = f"http{'s' if tls else ''}://me:{CANARY}%40@{proxy.authority}"
        upstream = {"proxy": url, "ca_bundle": str(authority.file)}
        async with running(tmp_path, upstream, "https://api.test/v1") as made:
            for _ in range(3):
                assert (await ask(made, chat()))[0] == 200
            status, body = await ask(made, chat(f"ok@events={EVENTS},gap=0.01,size=2000", stream=True))
            assert (status, body.count(b"data: ") > EVENTS) == (200, True)
            assert proxy.through == ["api.test:443"], "a way is kept and used again"
            assert {value for seen in fake.log for name, value in seen.headers if name == b"Authorization"} == {
                b"Bearer sk-own"
            }
            assert all(b"proxy" not in name.lower() for seen in fake.log for name, _ in seen.headers)
            # A client that leaves ends the way through, too.
            async with client(made.port) as peer:
                await peer.send(chat("stall", stream=True))
                await peer.until(b"data: ")
            await eventually(lambda: any(seen.aborted for seen in fake.log))
            await eventually(lambda: proxy.open <= 1)


async def test_a_plain_provider_behind_a_proxy(tmp_path: Path) -> None:
    async with (
        FakeProvider() as fake,
        ConnectProxy({"api.test:8000": fake.port}) as proxy,
        running(tmp_path, {"proxy": proxy.authority}, "http://api.test:8000/v1") as made,
    ):
        assert (await ask(made, chat()))[0] == 200
        assert proxy.asked[0].startswith(b"CONNECT api.test:8000 HTTP/1.1\r\n")
        body = b"a" * 3_000_000
        assert (await ask(made, post("/openai/v1/files", body)))[0] == 200
        assert fake.log[-1].size == len(body)


async def test_the_environments_proxy_is_taken_when_told_to(tmp_path: Path) -> None:
    async with FakeProvider() as fake, ConnectProxy({"api.test:80": fake.port}) as proxy:
        env = {"HTTP_PROXY": f"http://me:{CANARY}@{proxy.authority}", "NO_PROXY": "other.test"}
        async with running(tmp_path, {"proxy": "env"}, "http://api.test/v1", env=env) as made:
            assert (await ask(made, chat()))[0] == 200
        assert proxy.through == ["api.test:80"]
        env["NO_PROXY"] = "api.test"
        async with running(tmp_path, {"proxy": "env"}, "http://api.test/v1", env=env) as made:
            assert (await ask(made, chat()))[0] == 502  # nobody else knows the name
        async with running(tmp_path, {}, "http://api.test/v1", env=env) as made:
            assert (await ask(made, chat()))[0] == 502
        assert len(proxy.asked) == 1


@pytest.mark.parametrize(
    ("made", "status", "why"),
    [
        ({"password": "me:other"}, "network_error", "it answered 407 Proxy Authentication Required"),
        (
            {"answer": b"HTTP/1.1 502 hunter2-canary\r\n\r\nhunter2-canary"},
            "network_error",
            "it answered 502 Bad Gateway",
        ),
        ({"answer": b"\x00\xff" * 9000}, "network_error", "its answer has no end"),
        ({"answer": b""}, "network_error", "it closed the connection without an answer"),
        ({"pause": 60.0}, "timeout", "no connection within 2 s: through egress proxy"),
    ],
    ids=["407", "502", "garbage", "silent", "slow"],
)
async def test_a_proxy_that_gives_no_way(tmp_path: Path, made: dict[str, Any], status: str, why: str) -> None:
    async with FakeProvider() as fake, ConnectProxy({"api.test:80": fake.port}, **made) as proxy:
        upstream = {"proxy": f"http://me:{CANARY}@{proxy.authority}"}
        async with running(tmp_path, upstream, "http://api.test/v1") as detoured:
            got, body = await ask(detoured, chat())
            assert got == (504 if status == "timeout" else 502), body
            record = await detoured.record("openai", "ok")
            assert record["last_status"] == status
            message = record["last_error_message"]
            assert proxy.authority in message
            assert why in message
            # It says nothing about the key, which nobody has seen.
            _, accounts = await detoured.get("/v1/providers")
            (account,) = (entry for entry in accounts["providers"] if entry["name"] == "openai")
            assert account["key"]["state"] == "never_tried"
            assert not fake.log


async def test_a_providers_own_authorities(tmp_path: Path, authority: Authority) -> None:
    """Those of one provider vouch for no other; new ones are taken over."""
    bundle = tmp_path / "lab.pem"
    strange = Authority(tmp_path, "strange")
    bundle.write_bytes(strange.file.read_bytes())
    async with FakeProvider(tls=authority.server("localhost")) as fake:
        url = f"https://localhost:{fake.port}/v1"
        document = ALONE | {
            "providers": {
                "openai": {"base_url": url, "api_key": "sk", "ca_bundle": str(bundle)},
                "groq": {"base_url": url, "api_key": "sk"},
            }
        }
        async with detour(document, path=tmp_path / "detour.yaml") as made:
            status, body = await ask(made, chat())
            assert status == 502, body
            record = await made.record("openai", "ok")
            assert "certificate of localhost" in record["last_error_message"]
            bundle.write_bytes(authority.file.read_bytes())
            await eventually(lambda: any("are taken over" in line["message"] for line in made.lines))
            assert (await ask(made, chat()))[0] == 200
            body = b'{"model":"ok","messages":[]}'
            assert (await ask(made, post("/groq/v1/chat/completions", body)))[0] == 502
            bundle.write_text("nothing")
            await eventually(lambda: any("not taken over" in line["message"] for line in made.lines))
            assert (await ask(made, chat()))[0] == 200
            made.lines = [line for line in made.lines if line["level"] != "error"]


async def test_the_way_of_a_websocket(tmp_path: Path, authority: Authority) -> None:
    async with (
        FakeProvider(tls=authority.server("api.test"), models={"": "upgrade"}) as fake,
        ConnectProxy({"api.test:443": fake.port}) as proxy,
    ):
        upstream = {"proxy": proxy.authority, "ca_bundle": str(authority.file)}
        async with running(tmp_path, upstream, "https://api.test/v1") as made, client(made.port) as peer:
            await peer.send(
                b"GET /openai/v1/realtime?model=upgrade HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\n"
                b"Upgrade: websocket\r\nx-fake-script: upgrade\r\n\r\n"
            )
            assert b" 101 " in await peer.until(b"\r\n\r\n")
            await peer.send(b"there and back")
            assert await asyncio.wait_for(peer.exactly(14), 20) == b"there and back"
