"""Reaching an origin through a proxy, or saying why not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import uvloop

from config.effective import Origin
from config.egress import EgressProxy
from proxy.certificates import client_context
from proxy.connect import Connector, ConnectTimeoutError, UnreachableError
from proxy.egress import LONGEST, Answer, ProxyError, ask
from tests.e2e.authority import Authority
from tests.e2e.connectproxy import ConnectProxy
from tests.e2e.world import eventually

CANARY = "hunter2-canary"


class Client(asyncio.BufferedProtocol):
    """Keeps what it is told, into a buffer of its own, as the real one."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.read = b""
        self.lost = asyncio.get_running_loop().create_future()
        self.came = asyncio.Event()
        self._buffer = bytearray(65536)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert self.transport is None
        self.transport = transport  # type: ignore[assignment]

    def get_buffer(self, sizehint: int) -> memoryview:
        return memoryview(self._buffer)

    def buffer_updated(self, nbytes: int) -> None:
        self.read += self._buffer[:nbytes]
        self.came.set()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.lost.done():
            self.lost.set_result(exc)


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except OSError:
        pass
    finally:
        writer.transport.abort()


@pytest.fixture
def ours(tmp_path: Path) -> Authority:
    return Authority(tmp_path, "ours")


@pytest.fixture
async def plain() -> AsyncIterator[int]:
    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    yield server.sockets[0].getsockname()[1]
    server.close()


def connector(ours: Authority) -> Connector:
    return Connector(asyncio.get_running_loop(), lambda bundle: client_context(str(ours.file)))


def way(proxy: ConnectProxy, scheme: str, *, user: str = "", tls: bool = False, port: int = 443) -> Origin:
    url = f"http{'s' if tls else ''}://{user}{proxy.authority}"
    return Origin(scheme, "provider.test", port, EgressProxy.parse(url))


async def echoes(made: Client) -> None:
    """Both ways, more than fits anywhere."""
    assert made.transport is not None
    sent = bytes(range(256)) * 2000
    made.transport.write(sent)
    async with asyncio.timeout(20):
        while len(made.read) < len(sent):
            made.came.clear()
            await made.came.wait()
    assert made.read == sent
    made.transport.abort()
    await asyncio.wait_for(made.lost, 20)


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run])
@pytest.mark.parametrize("outer", [False, True])
@pytest.mark.parametrize("inner", [False, True])
def test_the_way_through(ours: Authority, run: Callable[..., None], outer: bool, inner: bool) -> None:
    """With uvloop, which serves, and whose TLS is another than asyncio's; and with asyncio's own."""

    async def go() -> None:
        at = await asyncio.start_server(echo, "127.0.0.1", 0, ssl=ours.server("provider.test") if inner else None)
        ways = {"provider.test:443": at.sockets[0].getsockname()[1]}
        async with ConnectProxy(ways, tls=ours.server("127.0.0.1") if outer else None, password="me:p@ss") as proxy:
            origin = way(proxy, "https" if inner else "http", user="me:p%40ss@", tls=outer)
            made = await connector(ours).open(origin, Client, 20.0)
            assert made.transport is not None
            session = made.transport.get_extra_info("ssl_object")
            assert (session is not None) is (inner or outer)
            await echoes(made)
            assert proxy.asked[0].startswith(b"CONNECT provider.test:443 HTTP/1.1\r\nHost: provider.test:443\r\n")
            assert proxy.through == ["provider.test:443"]
        at.close()

    run(go())


async def refused(ours: Authority, origin: Origin) -> str:
    with pytest.raises(UnreachableError) as caught:
        await connector(ours).open(origin, Client, 20.0)
    text = str(caught.value)
    assert CANARY not in text
    return text


async def test_a_password_that_is_wrong_or_missing(ours: Authority, plain: int) -> None:
    async with ConnectProxy({"provider.test:443": plain}, password="me:right") as proxy:
        told = (
            f"egress proxy {proxy.authority} gave no way to provider.test:443: it answered 407 Proxy Authentication "
            "Required; check user name and password of the proxy setting"
        )
        assert await refused(ours, way(proxy, "http", user=f"me:{CANARY}@")) == told
        assert await refused(ours, way(proxy, "http")) == told
        assert b"Proxy-Authorization" not in proxy.asked[1]


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (b"HTTP/1.1 502 Bad Gateway\r\n\r\n", "it answered 502 Bad Gateway"),
        (b"HTTP/1.0 403 hunter2-canary\r\nX: hunter2-canary\r\n\r\n<html>hunter2-canary", "it answered 403 Forbidden"),
        (b"HTTP/1.1 302 Found\r\nLocation: http://login\r\n\r\n", "it answered 302 Found"),
        (b"HTTP/1.1 799 Odd\r\n\r\n", "it answered 799"),
        (b"HTTP/1.1 101 Switching\r\n\r\n", "it answered 101 Switching Protocols"),
        (b"HTTP/1.1 200 OK\r\n\r\nand more", "it spoke before it was spoken to"),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 503 No\n\n", "it answered 503 Service Unavailable"),
        (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", "its answer is not HTTP"),
        (b"HTTP/2 200\r\n\r\n", "its answer is not HTTP"),
        (b"\x15\x03\x01\x00\x02\x02\x46\r\n\r\n", "its answer is not HTTP"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"a" * 2 * LONGEST, "its answer has no end"),
        (b"", "it closed the connection without an answer"),
    ],
)
async def test_answers_that_are_no_way(ours: Authority, answer: bytes, why: str) -> None:
    async with ConnectProxy({}, answer=answer) as proxy:
        told = await refused(ours, way(proxy, "https"))
    assert told == f"egress proxy {proxy.authority} gave no way to provider.test:443: {why}"


async def test_one_that_says_nothing_is_a_timeout(ours: Authority) -> None:
    async with ConnectProxy({}, pause=60.0) as proxy:
        with pytest.raises(ConnectTimeoutError) as caught:
            await connector(ours).open(way(proxy, "https"), Client, 0.3)
    assert str(caught.value) == "no connection to provider.test:443 within 0.3 s"
    assert caught.value.way == f"through egress proxy {proxy.authority}"


async def test_one_that_is_not_there(ours: Authority) -> None:
    async with ConnectProxy({}) as proxy:
        pass
    assert await refused(ours, way(proxy, "https")) == f"egress proxy: connection to {proxy.authority} refused"


async def test_one_whose_certificate_does_not_hold(ours: Authority, tmp_path: Path) -> None:
    strange = Authority(tmp_path, "strange")
    async with ConnectProxy({}, tls=strange.server("127.0.0.1")) as proxy:
        told = await refused(ours, way(proxy, "https", tls=True))
        assert told.startswith(f"egress proxy: TLS certificate of {proxy.authority} not accepted: ")
        assert proxy.asked == []


async def test_an_origin_behind_it_whose_certificate_does_not_hold(ours: Authority, tmp_path: Path) -> None:
    strange = Authority(tmp_path, "strange").server("provider.test")
    server = await asyncio.start_server(echo, "127.0.0.1", 0, ssl=strange)
    async with ConnectProxy({"provider.test:443": server.sockets[0].getsockname()[1]}) as proxy:
        told = await refused(ours, way(proxy, "https"))
    server.close()
    assert told.startswith("TLS certificate of provider.test:443 not accepted: ")
    assert told.endswith(f" (through egress proxy {proxy.authority})")


async def test_an_origin_behind_it_that_speaks_no_tls(ours: Authority, plain: int) -> None:
    async with ConnectProxy({"provider.test:443": plain}) as proxy:
        told = await refused(ours, way(proxy, "https"))
    assert told.startswith("TLS failure with provider.test:443: ")


async def test_given_up_while_it_thinks_leaves_nothing(ours: Authority) -> None:
    async with ConnectProxy({}, pause=60.0) as proxy:
        opening = asyncio.create_task(connector(ours).open(way(proxy, "https"), Client, 60.0))
        await eventually(lambda: bool(proxy.asked))
        opening.cancel()
        with pytest.raises(asyncio.CancelledError):
            await opening


def test_the_request() -> None:
    origin = Origin("https", "2001:db8::1", 8443)
    assert ask(origin, EgressProxy.parse("http://a:b@p")) == (
        b"CONNECT [2001:db8::1]:8443 HTTP/1.1\r\nHost: [2001:db8::1]:8443\r\nProxy-Authorization: Basic YTpi\r\n\r\n"
    )
    assert b"Proxy-Authorization" not in ask(origin, EgressProxy.parse("http://p"))


@pytest.mark.parametrize("size", [1, 7])
async def test_an_answer_in_pieces(size: int) -> None:
    answer = Answer(asyncio.get_running_loop())
    whole = b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nA: b\r\n\r\n"
    for start in range(0, len(whole), size):
        assert not answer.came.done()
        answer.data_received(whole[start : start + size])
    assert answer.came.done()
    assert answer.came.result() is None
    answer.data_received(b"more")
    answer.connection_lost(None)


async def test_answers_before_the_answer_without_end_are_no_way() -> None:
    answer = Answer(asyncio.get_running_loop())
    for _ in range(3):
        answer.data_received(b"HTTP/1.1 100\r\n\r\n" * 20_000)
    answer.connection_lost(None)
    with pytest.raises(ProxyError):
        answer.came.result()
