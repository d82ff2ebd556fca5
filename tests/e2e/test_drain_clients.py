"""Ends of a process as different clients see them: slow ones, those that speak TLS, and signals that come together."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from proxy.fake import FakeProvider
from tests.e2e import secured
from tests.e2e.authority import Authority
from tests.e2e.balancer import LATE, Balancer
from tests.e2e.crowd import Crowd
from tests.e2e.test_drain import CHAT, KEY, draining
from tests.e2e.test_reload import told, write
from tests.e2e.world import PATIENCE, Detour, Peer, RawUpstream, client, detour, eventually, lab, post, split

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(240)]

STREAM = post(CHAT, b'{"model":"ok@events=1000,gap=0.05","stream":true}', extra=KEY, close=False)
LAST_CHUNK = b"0\r\n\r\n"
TLS = [False, True]


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def fake() -> AsyncIterator[FakeProvider]:
    async with FakeProvider() as provider:
        yield provider


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path, "authority")


def settings(authority: Authority, *, tls: bool) -> dict[str, Any]:
    return {"tls": {"cert": str(authority.issue("localhost"))}} if tls else {}


def connected(port: int, trust: ssl.SSLContext | None) -> contextlib.AbstractAsyncContextManager[Peer]:
    return client(port) if trust is None else secured.client(port, trust)


# -- slow readers ------------------------------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def narrow(port: int, trust: ssl.SSLContext | None) -> AsyncIterator[Peer]:
    """A client for which next to nothing is kept on the way."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.setblocking(False)
    await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", port))
    more: dict[str, Any] = {} if trust is None else {"ssl": trust, "server_hostname": "localhost"}
    reader, writer = await asyncio.open_connection(sock=sock, limit=4096, **more)
    try:
        yield Peer(reader, writer)
    finally:
        writer.transport.abort()


async def large(running: Detour, upstream: RawUpstream, peer: Peer, size: int) -> None:
    """Have the provider answer with so many bytes, framed by their number."""
    await peer.send(post(CHAT, b'{"model":"m"}', extra=KEY, close=False))
    provider = await upstream.accept()
    await provider.request()
    provider.writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size + b"x" * size)


@pytest.mark.parametrize("tls", TLS, ids=["plain", "tls"])
async def test_who_reads_slowly_gets_all_of_an_answer_that_was_there(
    tmp_path: Path, authority: Authority, tls: bool
) -> None:
    """Nothing is in flight any more when the provider has said everything; the end of it still waits to be taken."""
    trust = authority.client() if tls else None
    sizes = [5_000_000 + 17_000 * number for number in range(4)]
    async with AsyncExitStack() as stack:
        upstream = await stack.enter_async_context(RawUpstream())
        config = lab(upstream.url, timeouts={}, **settings(authority, tls=tls))
        running = await stack.enter_async_context(detour(config, path=tmp_path / "d.yaml"))
        peers = [await stack.enter_async_context(narrow(running.port, trust)) for _ in sizes]
        for peer, size in zip(peers, sizes, strict=True):
            await large(running, upstream, peer, size)
        got = [await peer.until(b"\r\n\r\n") for peer in peers]
        assert all(head.startswith(b"HTTP/1.1 200 ") for head in got)
        while await running.metric("detour_in_flight_requests"):
            for number, peer in enumerate(peers):
                got[number] += await peer.reader.read(8192)
        running.process.send_signal(signal.SIGTERM)
        await eventually(lambda: draining(running))
        await asyncio.sleep(1.0)
        for number, (peer, size) in enumerate(zip(peers, sizes, strict=True)):
            body = got[number].partition(b"\r\n\r\n")[2] + await peer.rest()
            assert len(body) == size, f"client {number} lost {size - len(body)} bytes"
        assert await asyncio.wait_for(running.process.wait(), PATIENCE) == 0
        assert not any(line["message"] == "drain time is over" for line in running.lines)


@pytest.mark.parametrize("tls", TLS, ids=["plain", "tls"])
async def test_who_reads_nothing_holds_up_the_end_for_the_time_to_drain_alone(
    tmp_path: Path, authority: Authority, tls: bool
) -> None:
    trust = authority.client() if tls else None
    config = {"timeouts": {}, "drain": {"timeout": "1s"}, **settings(authority, tls=tls)}
    async with (
        RawUpstream() as upstream,
        detour(lab(upstream.url, **config), path=tmp_path / "d.yaml") as running,
        narrow(running.port, trust) as peer,
    ):
        await large(running, upstream, peer, 50_000_000)
        await peer.until(b"\r\n\r\n")
        running.process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(running.process.wait(), PATIENCE) == 0
        assert any(line["message"] == "drain time is over" and line["ended"] == 1 for line in running.lines)


# -- TLS ---------------------------------------------------------------------------------------------------------------


async def test_rolling_restarts_over_tls_lose_no_request(
    fake: FakeProvider, tmp_path: Path, authority: Authority
) -> None:
    config = lab(fake.url, timeouts={}, drain={"timeout": "60s", "linger": f"{5 * LATE}s"})
    config |= settings(authority, tls=True)
    scripts = [("ok", False), ("ok@events=10,gap=0.2", True)]
    async with AsyncExitStack() as stack:
        balancer = await stack.enter_async_context(Balancer())

        async def begin(number: int) -> tuple[AsyncExitStack, Detour]:
            own = await stack.enter_async_context(AsyncExitStack())
            running = await own.enter_async_context(detour(config, path=tmp_path / f"{number}.yaml"))
            balancer.backends.append(running)
            await eventually(lambda: running in balancer.ready)
            return own, running

        fleet = [await begin(number) for number in range(2)]
        crowd = Crowd(balancer.port, CHAT, scripts, 40, pause=0.25, tls=authority.client())
        for number in range(4):
            before = crowd.answers
            fleet.append(await begin(2 + number))
            own, old = fleet.pop(0)
            await eventually(lambda before=before: crowd.answers > before + 40)
            old.process.send_signal(signal.SIGTERM)
            assert await asyncio.wait_for(old.process.wait(), 90) == 0
            balancer.backends.remove(old)
            await own.aclose()
        await crowd.stop()
        assert crowd.failures == []
        assert balancer.refused == 0
        assert crowd.closed >= 4
        assert len(crowd.counts) == len(scripts)


# -- signals -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tls", TLS, ids=["plain", "tls"])
@pytest.mark.parametrize("pair", [("SIGTERM", "SIGTERM"), ("SIGINT", "SIGTERM"), ("SIGTERM", "SIGINT")], ids="-".join)
async def test_a_second_signal_ends_all_streams_at_once(
    fake: FakeProvider, tmp_path: Path, authority: Authority, tls: bool, pair: tuple[str, str]
) -> None:
    trust = authority.client() if tls else None
    config = lab(fake.url, timeouts={}, drain={"timeout": "10m", "linger": "5m"}, **settings(authority, tls=tls))
    async with AsyncExitStack() as stack:
        running = await stack.enter_async_context(detour(config, path=tmp_path / "d.yaml"))
        peers = [await stack.enter_async_context(connected(running.port, trust)) for _ in range(20)]
        for peer in peers:
            await peer.send(STREAM)
        for peer in peers:
            await peer.until(b"\n\n")
        first, second = (signal.Signals[name] for name in pair)
        running.process.send_signal(first)
        await eventually(lambda: draining(running))
        assert running.process.returncode is None
        running.process.send_signal(second)
        assert await asyncio.wait_for(running.process.wait(), PATIENCE) == 0
        for peer in peers:
            with contextlib.suppress(ConnectionError, ssl.SSLError):
                assert not (await peer.rest()).endswith(LAST_CHUNK)


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
async def test_a_reload_while_it_drains(fake: FakeProvider, tmp_path: Path, name: str) -> None:
    """Two hangups and the end at one time, and another configuration before the last stream is over."""
    path = tmp_path / "d.yaml"
    config = lab(fake.url, timeouts={}, drain={"timeout": "60s"})
    script = b'{"model":"ok@events=40,gap=0.05","stream":true}'
    async with (
        detour(config, path=path, env={"DETOUR_PROBES_ENABLED": "true"}) as running,
        client(running.port) as peer,
    ):
        await peer.send(post(CHAT, script, extra=KEY, close=False))
        begun = await peer.until(b"\n\n")
        providers = {"anthropic": config["providers"]["anthropic"]}
        channels = {"channels": {"hook": {"type": "webhook", "url": "http://127.0.0.1:9/"}}}
        write(path, config | {"providers": providers, "alerts": channels})
        for number in (signal.SIGHUP, signal.Signals[name], signal.SIGHUP):
            running.process.send_signal(number)
        await eventually(lambda: draining(running) and bool(told(running, "read again: ")))
        rest = begun + await peer.rest()
        assert rest.endswith(LAST_CHUNK)
        assert rest.count(b"data: ") > 40
        assert await asyncio.wait_for(running.process.wait(), PATIENCE) == 0
        assert running.lines[-1]["message"] == "stopped"
        assert not any(line["message"] == "drain time is over" for line in running.lines)


@pytest.mark.parametrize("path", ["/livez", "/readyz"])
async def test_the_admin_port_answers_to_the_end(fake: FakeProvider, tmp_path: Path, path: str) -> None:
    config = lab(fake.url, drain={"timeout": "60s", "linger": "2s"})
    async with detour(config, path=tmp_path / "d.yaml") as running:
        running.process.send_signal(signal.SIGINT)
        await eventually(lambda: draining(running))
        async with client(running.admin_port) as peer:
            await peer.send(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
            assert split(await peer.rest())[0] == (200 if path == "/livez" else 503)
