"""The port for traffic over TLS: who gets in, and that nothing else is different."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import openai
import pytest
import pytest_asyncio

from proxy.fake import FakeProvider
from tests.e2e.authority import Authority
from tests.e2e.sdk import USER
from tests.e2e.secured import OK, Secured, fin, get, secured
from tests.e2e.world import PATIENCE, Peer, detour, eventually, post
from tests.e2e.world import client as plain_client

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def site(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Secured]:
    async with secured(tmp_path_factory.mktemp("front")) as found:
        yield found


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def closed(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Secured]:
    async with secured(tmp_path_factory.mktemp("closed"), clients=True) as found:
        yield found


async def served(site: Secured, peer: Peer) -> None:
    """One request there and back."""
    await peer.send(get())
    provider = await site.upstream.accept()
    await provider.request()
    await provider.send(OK)
    status, _, body = await peer.answer()
    assert (status, body) == (200, b"ok")
    provider.close()


# -- handshakes --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_versions_that_are_spoken(site: Secured, version: ssl.TLSVersion) -> None:
    context = site.authority.client(version=version)
    context.set_alpn_protocols(["h2", "http/1.1"])
    async with site.client(context) as peer:
        session = peer.writer.get_extra_info("ssl_object")
        assert session.version() == version.name.replace("_", ".")
        assert session.selected_alpn_protocol() == "http/1.1"
        assert session.cipher()[0].startswith(("TLS_", "ECDHE-"))
        await served(site, peer)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
async def test_versions_that_are_too_old(site: Secured, version: ssl.TLSVersion) -> None:
    with pytest.raises(ssl.SSLError) as caught:
        async with site.client(site.authority.client(version=version)):
            pass
    assert caught.value.reason == "TLSV1_ALERT_PROTOCOL_VERSION", "refused by the server, not given up by the client"


async def test_weak_ciphers_are_refused(site: Secured) -> None:
    context = site.authority.client(version=ssl.TLSVersion.TLSv1_2)
    context.set_ciphers("AES128-SHA:ECDHE-ECDSA-AES128-SHA:ECDHE-RSA-AES128-SHA:@SECLEVEL=0")
    with pytest.raises(ssl.SSLError) as caught:
        async with site.client(context):
            pass
    assert "HANDSHAKE_FAILURE" in caught.value.reason


@pytest.mark.parametrize(
    "said",
    [b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"\x00" * 100, b"\x16\x03\x01\x00\x63" + b"a" * 99, b"SSH-2.0-x\r\n", b""],
    ids=["http", "zeros", "hello", "ssh", "nothing"],
)
async def test_what_is_no_tls_is_ended_and_not_worth_a_line(site: Secured, said: bytes) -> None:
    lines = len(site.detour.lines)
    async with plain_client(site.detour.port) as peer:
        await peer.send(said)
        if said:
            with contextlib.suppress(ConnectionError):
                answer = await asyncio.wait_for(peer.reader.read(100), PATIENCE)
                assert answer[:1] in (b"", b"\x15"), "nothing, or an alert"
    async with site.client() as peer:
        await served(site, peer)
    assert len(site.detour.lines) == lines


# -- client certificates -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_a_client_with_a_certificate(closed: Secured, version: ssl.TLSVersion) -> None:
    context = closed.authority.client(certificate=closed.authority.issue("gateway"), version=version)
    async with closed.client(context) as peer:
        await served(closed, peer)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("which", ["none", "strange", "expired", "server's"])
async def test_a_client_without_one_that_holds(
    closed: Secured, tmp_path: Path, which: str, version: ssl.TLSVersion
) -> None:
    from cryptography.x509.oid import ExtendedKeyUsageOID

    certificates = {
        "none": lambda: None,
        "strange": lambda: Authority(tmp_path, "authority").issue("gateway"),
        "expired": lambda: closed.authority.issue("gateway", expired=True),
        "server's": lambda: closed.authority.issue("gateway", purpose=ExtendedKeyUsageOID.SERVER_AUTH),
    }
    context = closed.authority.client(certificate=certificates[which](), version=version)
    accepted = closed.upstream.accepted

    async def ask() -> None:
        async with closed.client(context) as peer:  # with 1.3 a client hears of it after its own handshake
            await peer.answer()

    with pytest.raises(ssl.SSLError) as caught:
        await ask()
    assert "ALERT" in caught.value.reason, "the client is told what is wrong"
    assert closed.upstream.accepted == accepted


# -- nothing else is different -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["fin", "rst", "goodbye"])
async def test_leaving_ends_the_providers_work(site: Secured, how: str) -> None:
    async with site.client() as peer:
        await peer.send(post("/openai/v1/chat/completions", b'{"model":"m","stream":true}'))
        provider = await site.upstream.accept()
        await provider.request()
        await provider.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")
        await provider.send(b'data: {"choices":[{"delta":{"content":"a"}}]}\n\n')
        await peer.until(b"\n\n")
        {"fin": lambda: fin(peer), "rst": peer.abort, "goodbye": peer.close}[how]()
        with contextlib.suppress(ConnectionError):
            await provider.rest()


async def test_leaving_with_an_answer_unread_is_seen(site: Secured) -> None:
    """No FIN reaches a TLS connection behind what cannot be written to it."""
    async with site.client() as peer:
        peer.writer.transport.pause_reading()  # type: ignore[attr-defined]
        await peer.send(get("/openai/v1/files/1/content"))
        provider = await site.upstream.accept()
        await provider.request()
        await provider.send(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n")
        with contextlib.suppress(TimeoutError):
            while True:
                await asyncio.wait_for(provider.send(b"x" * 65536), 0.5)
        fin(peer)
        with contextlib.suppress(ConnectionError):
            assert await provider.rest() == b""


async def test_a_slow_reader_holds_the_provider_back_and_gets_everything(site: Secured) -> None:
    size = 48 << 20
    async with site.client() as peer:
        peer.writer.transport.pause_reading()  # type: ignore[attr-defined]
        await peer.send(get("/openai/v1/files/1/content", close=True))
        provider = await site.upstream.accept()
        await provider.request()
        await provider.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
        block, sent = bytes(range(256)) * 256, 0
        with contextlib.suppress(TimeoutError):
            while sent < size:
                await asyncio.wait_for(provider.send(block), 1.0)
                sent += len(block)
        assert sent < size / 2, "it waits in the sockets and in bounded buffers"
        peer.writer.transport.resume_reading()  # type: ignore[attr-defined]

        async def rest() -> None:
            nonlocal sent
            await provider.writer.drain()
            sent += len(block)
            while sent < size:
                await provider.send(block)
                sent += len(block)

        feeding = asyncio.create_task(rest())
        head = await peer.until(b"\r\n\r\n")
        assert b"200 OK" in head
        for _ in range(size // len(block)):
            assert await peer.exactly(len(block)) == block
        assert await peer.rest() == b""
        await feeding
        provider.close()


async def test_a_large_upload(site: Secured) -> None:
    body = bytes(range(256)) * 40_000
    async with site.client() as peer:
        sending = asyncio.create_task(peer.send(post("/openai/v1/files", body)))
        provider = await site.upstream.accept()
        _, got = await provider.request()
        await sending
        assert got == body
        await provider.send(OK)
        assert (await peer.answer())[0] == 200
        provider.close()


async def test_many_requests_on_one_connection(site: Secured) -> None:
    async with site.client() as peer:
        for _ in range(20):
            await served(site, peer)


async def test_a_truncated_answer_is_not_ended_cleanly(site: Secured) -> None:
    async with site.client() as peer:
        await peer.send(get("/openai/v1/files/1/content", close=True))
        provider = await site.upstream.accept()
        await provider.request()
        await provider.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
        await peer.until(b"abc")
        provider.close()
        with contextlib.suppress(ConnectionError):
            assert b"0\r\n" not in await peer.rest()


async def test_the_official_sdk_streams_through(tmp_path: Path) -> None:
    authority = Authority(tmp_path, "authority")
    tls = {"cert": str(authority.issue("localhost"))}
    async with FakeProvider() as fake:
        config = {"providers": {"openai": {"base_url": f"{fake.url}/v1", "api_key": "sk-own"}}, "tls": tls}
        async with detour(config, path=tmp_path / "detour.yaml") as running:
            base = f"https://localhost:{running.port}/openai/v1"
            http = openai.DefaultAsyncHttpxClient(verify=authority.client())
            async with openai.AsyncOpenAI(base_url=base, api_key="detour", http_client=http, max_retries=0) as sdk:
                whole = await sdk.chat.completions.create(model="ok", messages=USER)
                stream = await sdk.chat.completions.create(model="ok@events=50,gap=0.005", messages=USER, stream=True)
                parts = [chunk.choices[0].delta.content async for chunk in stream if chunk.choices]
            assert whole.choices[0].message.content
            assert len([part for part in parts if part]) >= 50
            assert {value for seen in fake.log for name, value in seen.headers if name == b"Authorization"} == {
                b"Bearer sk-own"
            }


async def test_draining_finishes_what_is_under_way(tmp_path: Path) -> None:
    async with secured(tmp_path) as site, site.client() as idle, site.client() as peer:
        await served(site, idle)
        await peer.send(post("/openai/v1/chat/completions", b'{"model":"m","stream":true}', close=False))
        provider = await site.upstream.accept()
        await provider.request()
        await provider.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        event = b'data: {"choices":[{"delta":{"content":"a"}}]}\n\n'
        await provider.send(b"%x\r\n%b\r\n" % (len(event), event))
        await peer.until(b"a")
        site.detour.process.send_signal(signal.SIGTERM)
        await eventually(lambda: any(line["message"] == "draining" for line in site.detour.lines))
        end = b'data: {"choices":[{"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
        await provider.send(b"%x\r\n%b\r\n0\r\n\r\n" % (len(end), end))
        assert (await peer.until(b"0\r\n\r\n")).count(b"[DONE]") == 1
        assert await asyncio.wait_for(site.detour.process.wait(), PATIENCE) == 0
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            assert await idle.rest() == b""
