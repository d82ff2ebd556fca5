"""Reaching an origin, or saying why not."""

from __future__ import annotations

import asyncio
import atexit
import errno
import shutil
import socket
import ssl
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from config.effective import Origin
from proxy.certificates import client_context
from proxy.connect import Connector, ConnectTimeoutError, UnreachableError
from tests.e2e.authority import Authority

AUTHORITY = Authority(Path(tempfile.mkdtemp(prefix="detour-tests-")), "local")
atexit.register(shutil.rmtree, AUTHORITY.file.parent)


class Client(asyncio.Protocol):
    transport: asyncio.Transport | None = None

    def connection_made(self, transport: Any) -> None:
        self.transport = transport


def server_context() -> ssl.SSLContext:
    context = AUTHORITY.server("127.0.0.1", "localhost")
    context.set_alpn_protocols(["h2", "http/1.1"])
    return context


def trusting() -> ssl.SSLContext:
    return client_context(str(AUTHORITY.file))


async def listening(context: ssl.SSLContext | None = None, host: str = "127.0.0.1") -> asyncio.Server:
    return await asyncio.get_running_loop().create_server(asyncio.Protocol, host, 0, ssl=context)


def port_of(server: asyncio.Server) -> int:
    port: int = server.sockets[0].getsockname()[1]
    return port


@pytest.fixture
async def plain() -> AsyncIterator[int]:
    server = await listening()
    yield port_of(server)
    server.close()


@pytest.fixture
async def secure() -> AsyncIterator[int]:
    server = await listening(server_context())
    yield port_of(server)
    server.close()


def closed_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


async def reach(origin: Origin, *, limit: float = 5.0, tls: ssl.SSLContext | None = None) -> asyncio.Transport:
    context = tls or client_context()
    made = await Connector(asyncio.get_running_loop(), lambda bundle: context).open(origin, Client, limit)
    assert made.transport is not None
    return made.transport


async def unreachable(origin: Origin, **more: Any) -> str:
    with pytest.raises(UnreachableError) as caught:
        await reach(origin, **more)
    return str(caught.value)


def resolving(monkeypatch: pytest.MonkeyPatch, answer: object) -> None:
    """Have names resolve to `answer`; an exception is raised, None never comes."""

    async def found(*args: object, **more: object) -> object:
        if isinstance(answer, Exception):
            raise answer
        return await asyncio.get_running_loop().create_future() if answer is None else answer

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", found)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_plain(host: str, plain: int) -> None:
    transport = await reach(Origin("http", host, plain))
    assert transport.get_extra_info("peername")[1] == plain
    assert transport.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    assert transport.get_extra_info("ssl_object") is None
    transport.abort()


@pytest.mark.skipif(not socket.has_ipv6, reason="no IPv6 here")
async def test_an_address_of_version_6() -> None:
    try:
        server = await listening(host="::1")
    except OSError:
        pytest.skip("no IPv6 here")
    transport = await reach(Origin("http", "::1", port_of(server)))
    assert transport.get_extra_info("peername")[0] == "::1"
    transport.abort()
    server.close()


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_tls(host: str, secure: int) -> None:
    transport = await reach(Origin("https", host, secure), tls=trusting())
    session = transport.get_extra_info("ssl_object")
    assert session.selected_alpn_protocol() == "http/1.1"
    assert session.version() in ("TLSv1.2", "TLSv1.3")
    transport.abort()


async def test_the_next_address_is_tried(monkeypatch: pytest.MonkeyPatch, plain: int) -> None:
    kind = (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "")
    resolving(monkeypatch, [(*kind, ("127.0.0.1", closed_port())), (*kind, ("127.0.0.1", plain))])
    transport = await reach(Origin("http", "provider.test", 80))
    assert transport.get_extra_info("peername") == ("127.0.0.1", plain)
    transport.abort()


# -- what keeps a connection from being made --------------------------------------------------------------------------


async def test_refused() -> None:
    port = closed_port()
    assert await unreachable(Origin("http", "127.0.0.1", port)) == f"connection to 127.0.0.1:{port} refused"


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (
            socket.gaierror(socket.EAI_NONAME, "Name or service not known"),
            "name p.test not found: Name or service not known",
        ),
        (socket.gaierror("odd"), "name p.test not found: odd"),
        ([], "no connection to p.test:80: no address for p.test"),
        (OSError(errno.ENETUNREACH, "Network is unreachable"), "no connection to p.test:80: Network is unreachable"),
        (OSError("multiple"), "no connection to p.test:80: multiple"),
        (TimeoutError(errno.ETIMEDOUT, "Connection timed out"), "no connection to p.test:80: Connection timed out"),
    ],
)
async def test_names_and_networks(monkeypatch: pytest.MonkeyPatch, answer: object, text: str) -> None:
    resolving(monkeypatch, answer)
    assert await unreachable(Origin("http", "p.test", 80)) == text


async def test_a_host_that_is_no_name() -> None:
    assert "no connection to " in await unreachable(Origin("http", "a" * 64 + ".test", 80))


async def test_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    resolving(monkeypatch, None)
    with pytest.raises(ConnectTimeoutError, match=r"no connection to p\.test:443 within 0\.01 s"):
        await reach(Origin("https", "p.test", 443), limit=0.01)


async def test_the_limit_bounds_the_handshake_too(plain: int) -> None:
    with pytest.raises(ConnectTimeoutError, match=r"within 0\.2 s"):
        await reach(Origin("https", "127.0.0.1", plain), limit=0.2)


async def test_a_certificate_nobody_vouches_for(secure: int) -> None:
    text = await unreachable(Origin("https", "127.0.0.1", secure))
    assert text == f"TLS certificate of 127.0.0.1:{secure} not accepted: unable to get local issuer certificate"


async def test_a_certificate_for_another_name(monkeypatch: pytest.MonkeyPatch, secure: int) -> None:
    kind = (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "")
    resolving(monkeypatch, [(*kind, ("127.0.0.1", secure))])
    text = await unreachable(Origin("https", "provider.test", secure), tls=trusting())
    assert text.startswith(f"TLS certificate of provider.test:{secure} not accepted: Hostname mismatch")


@pytest.mark.parametrize(
    ("answer", "word"), [(b"HTTP/1.1 400 Bad Request\r\n\r\n", "TLS failure with 127.0.0.1:"), (b"", "127.0.0.1:")]
)
async def test_a_peer_that_speaks_no_tls(answer: bytes, word: str) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(answer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    assert word in await unreachable(Origin("https", "127.0.0.1", port_of(server)))
    server.close()


async def test_cancelling_leaves_nothing_open(plain: int) -> None:
    connecting = asyncio.create_task(reach(Origin("https", "127.0.0.1", plain), limit=5.0))
    await asyncio.sleep(0.05)
    connecting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await connecting
