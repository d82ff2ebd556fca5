"""proxy-rules 5 at the connection: SNI and certificate follow the origin; and how an origin is reached at all."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.e2e.authority import Authority
from tests.e2e.lanes import OK, TIMEOUTS, Lane, values
from tests.e2e.world import ALONE, Detour, Peer, RawUpstream, client, detour

pytestmark = pytest.mark.asyncio(loop_scope="module")


class Site:
    """All origins of this file, and the Detour in front of them."""

    def __init__(self, running: Detour, upstreams: dict[str, RawUpstream], names: dict[str, list[str | None]]) -> None:
        self.running = running
        self.upstreams = upstreams
        self.names = names
        """The server names that clients asked for, by origin."""

    def lane(self, name: str) -> Lane:
        return Lane(self.running, self.upstreams[name], name)


def ipv6() -> bool:
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET6) as sock:
        sock.bind(("::1", 0))
        return any(found[4][0] == "::1" for found in socket.getaddrinfo("localhost", 80))
    return False


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def site(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    folder: Path = tmp_path_factory.mktemp("tls")
    known, unknown = Authority(folder, "known"), Authority(folder, "unknown")
    contexts = {
        "good": known.server("localhost"),
        "address": known.server("127.0.0.1"),
        "wrongname": known.server("other.example"),
        "wrongaddress": known.server("localhost"),
        "unknownca": unknown.server("localhost"),
        "expired": known.server("localhost", expired=True),
        "old": known.server("localhost"),
    }
    contexts["old"].maximum_version = ssl.TLSVersion.TLSv1_2
    names: dict[str, list[str | None]] = {}
    for name, context in contexts.items():
        context.set_alpn_protocols(["h2", "http/1.1"])
        seen = names.setdefault(name, [])
        context.sni_callback = lambda _socket, asked, _context, seen=seen: seen.append(asked)
    async with contextlib.AsyncExitStack() as stack:
        upstreams: dict[str, RawUpstream] = {}
        for name, context in contexts.items():
            host = "127.0.0.1" if "address" in name else "localhost"
            upstreams[name] = await stack.enter_async_context(RawUpstream(host, context))
        providers = {
            name: {
                "base_url": f"https://{'127.0.0.1' if 'address' in name else 'localhost'}:{upstream.port}/v1",
                "dialect": "openai",
            }
            for name, upstream in upstreams.items()
        }
        upstreams["four"] = await stack.enter_async_context(RawUpstream("127.0.0.1"))
        if ipv6():
            upstreams["six"] = await stack.enter_async_context(RawUpstream("::1"))
            providers["literal"] = {"base_url": f"http://[::1]:{upstreams['six'].port}/v1", "dialect": "openai"}
            upstreams["literal"] = upstreams["six"]
        upstreams["plain"] = await stack.enter_async_context(RawUpstream())
        upstreams["slow"] = await stack.enter_async_context(RawUpstream())
        for name in ("four", "six"):
            if name in upstreams:
                providers[name] = {"base_url": f"http://localhost:{upstreams[name].port}/v1", "dialect": "openai"}
        providers["plain"] = {"base_url": f"https://127.0.0.1:{upstreams['plain'].port}/v1", "dialect": "openai"}
        providers["slow"] = {
            "base_url": f"https://127.0.0.1:{upstreams['slow'].port}/v1",
            "dialect": "openai",
            "timeouts": {"connect": "300ms"},
        }
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            providers["refused"] = {"base_url": f"http://127.0.0.1:{taken.getsockname()[1]}/v1", "dialect": "openai"}
            providers["nowhere"] = {"base_url": "http://name.invalid/v1", "dialect": "openai"}
            config = ALONE | {"providers": providers, "timeouts": TIMEOUTS, "log": {"format": "json"}}
            env = {"SSL_CERT_FILE": str(known.file)}
            running = await stack.enter_async_context(detour(config, path=folder / "detour.yaml", env=env))
            yield Site(running, upstreams, names)


async def fails(site: Site, name: str, status: int, judged: str) -> bytes:
    """A request that cannot reach its provider: the body of the answer."""
    async with client(site.running.port) as caller:
        await caller.send(f"GET /{name}/x HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        found, _, body = await caller.answer()
    assert found == status, body
    assert await site.running.metric("detour_attempts_total", provider=name, status=judged) == 1
    return body


@pytest.mark.parametrize("name", ["good", "old"])
@pytest.mark.parametrize("host", ["localhost", "evil.example", "other.example:1"])
async def test_sni_and_certificate_follow_the_origin_whatever_host_says(site: Site, name: str, host: str) -> None:
    lane = site.lane(name)
    before = lane.upstream.accepted
    async with client(lane.port) as caller:
        await caller.send(f"GET /{name}/x HTTP/1.1\r\nHost: {host}\r\nX-Forwarded-Host: {host}\r\n\r\n".encode())
        provider = await lane.upstream.accept()
        head, _ = await provider.request()
        assert values(head, b"host") == [b"localhost:%d" % lane.upstream.port]
        assert provider.writer.get_extra_info("ssl_object").selected_alpn_protocol() == "http/1.1"
        await provider.send(OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
        assert (await caller.answer())[2] == b"ok"
    assert lane.upstream.accepted == before + 1
    assert set(site.names[name]) == {"localhost"}


async def test_the_name_checked_may_be_an_address(site: Site) -> None:
    head, _ = await site.lane("address").sees(site.lane("address").get())
    assert values(head, b"host") == [site.lane("address").authority]
    assert site.names["address"] == [None]


@pytest.mark.parametrize("name", ["wrongname", "wrongaddress", "unknownca", "expired"])
async def test_a_certificate_that_does_not_hold_is_refused(site: Site, name: str) -> None:
    body = await fails(site, name, 502, "network_error")
    assert b"certificate" in body
    assert site.lane(name).upstream.waiting == 0


async def test_a_provider_that_speaks_no_tls_is_unreachable(site: Site) -> None:
    async def answer() -> None:
        peer = await site.upstreams["plain"].accept()
        await peer.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    speaking = asyncio.create_task(answer())
    assert b"TLS" in await fails(site, "plain", 502, "network_error")
    await speaking


async def test_a_handshake_that_never_ends_is_a_timeout(site: Site) -> None:
    await fails(site, "slow", 504, "timeout")
    peer = await site.upstreams["slow"].accept()
    with contextlib.suppress(ConnectionResetError):
        await peer.rest()


async def test_a_closed_port_is_a_network_error(site: Site) -> None:
    assert b"refused" in await fails(site, "refused", 502, "network_error")


async def test_a_name_nobody_knows_is_a_network_error(site: Site) -> None:
    assert b"name.invalid" in await fails(site, "nowhere", 502, "network_error")


@pytest.mark.parametrize("name", ["four", "six", "literal"])
async def test_the_family_that_listens_is_found(site: Site, name: str) -> None:
    if name not in site.upstreams:
        pytest.skip("no IPv6 here")
    lane = site.lane(name)
    async with lane.talk(lane.get("/x", b"Connection: close")) as talk:
        expected = b"[::1]:%d" if name == "literal" else b"localhost:%d"
        assert values(talk.head, b"host") == [expected % lane.upstream.port]
        await talk.provider.send(OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
        assert (await talk.caller.rest()).endswith(b"ok")


async def tls_talk(site: Site, caller: Peer, path: str, body: bytes) -> Peer:
    lane = site.lane("good")
    await caller.send(lane.request("POST" if body else "GET", path, body=body))
    provider = await lane.upstream.accept()
    await provider.until(b"\r\n\r\n")
    return provider


async def test_tls_streams_both_ways_and_is_used_again(site: Site) -> None:
    block = bytes(range(256)) * 4096
    async with client(site.running.port) as caller:
        provider = await tls_talk(site, caller, "/v1/files", block)
        assert await provider.exactly(len(block)) == block
        writing = asyncio.create_task(
            provider.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(block) + block)
        )
        assert (await caller.answer())[2] == block
        await writing
        accepted = site.upstreams["good"].accepted
        await caller.send(site.lane("good").get("/again"))
        await provider.request()
        await provider.send(OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
        assert (await caller.answer())[2] == b"ok"
        assert site.upstreams["good"].accepted == accepted


@pytest.mark.parametrize("phase", ["waiting", "streaming", "uploading"])
async def test_leaving_stops_a_tls_provider_that_only_writes(site: Site, phase: str) -> None:
    """A TLS `close` would wait for the peer's; an abort does not (proxy-rules, traps)."""
    async with client(site.running.port) as caller:
        if phase == "uploading":
            await caller.send(site.lane("good").request("POST", "/v1/files", b"Content-Length: 9999") + b"x")
            provider = await site.upstreams["good"].accept()
        else:
            provider = await tls_talk(site, caller, "/x", b"")
        if phase == "streaming":
            await provider.send(b"HTTP/1.1 200 OK\r\n\r\nbegun")
            await caller.until(b"begun")
        caller.close()
        async with asyncio.timeout(1.0):
            while not provider.writer.transport.is_closing():
                provider.writer.write(b"x")
                await asyncio.sleep(0.01)


async def test_a_tls_answer_cut_off_without_close_notify_is_lost(site: Site) -> None:
    async with client(site.running.port) as caller:
        provider = await tls_talk(site, caller, "/x", b"")
        await provider.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nbegun\r\n")
        await caller.until(b"begun\r\n")
        provider.writer.transport.abort()
        assert not (await caller.rest()).endswith(b"0\r\n\r\n")
