"""A way to an origin through a proxy: CONNECT (RFC 9110 section 9.3.6), for plain and for encrypted origins alike.

So a proxy sees host and port of an origin and, of encrypted ones, nothing else. It may itself be spoken to over TLS;
then there is TLS within TLS.
"""

from __future__ import annotations

import asyncio
import http
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, TypeVar

from proxy.sockets import bounded

if TYPE_CHECKING:
    import ssl

    from config.effective import Origin
    from config.egress import EgressProxy

LONGEST: Final = 16 * 1024
"""Most bytes of a proxy's answer: its head."""

_STATUS: Final = re.compile(rb"HTTP/1\.[01] ([0-9]{3})(?: [^\r\n]*)?\r?\n")
_BLANK: Final = re.compile(rb"\r?\n\r?\n")

P = TypeVar("P", bound=asyncio.BaseProtocol)


class ProxyError(Exception):
    """The proxy gave no way through: the message says why, without what it was sent or wrote."""


async def through(
    loop: asyncio.AbstractEventLoop,
    transport: asyncio.Transport,
    answer: Answer,
    asked: bytes,
    origin: Origin,
    protocol: Callable[[], P],
    tls: ssl.SSLContext | None,
) -> P:
    """Ask the proxy at the other end of `transport`, whose protocol is `answer`, for a way to `origin` with `asked`.

    `tls` is the context for an encrypted origin, None for a plain one.

    Raises:
        ProxyError: it refused, or what it said was no answer.
        OSError: what comes of TLS with the origin.
    """
    transport.write(asked)
    await answer.came
    made = protocol()
    if tls is None:
        transport.set_protocol(made)
        made.connection_made(transport)
        return made
    inner = await loop.start_tls(transport, made, tls, server_hostname=origin.host)
    if inner is None:
        raise ConnectionResetError("closed during the handshake")
    bounded(inner)
    made.connection_made(inner)
    return made


def ask(origin: Origin, proxy: EgressProxy) -> bytes:
    """The request for a way to `origin`: its port is always said, as proxies decide by it."""
    host = f"[{origin.host}]" if ":" in origin.host else origin.host
    where = f"{host}:{origin.port}".encode("ascii")
    secret = proxy.authorization
    proof = b"" if secret is None else b"Proxy-Authorization: %b\r\n" % secret.reveal().encode()
    return b"CONNECT %b HTTP/1.1\r\nHost: %b\r\n%b\r\n" % (where, where, proof)


class Answer(asyncio.Protocol):
    """Reads a proxy's answer; `came` is done when the way is open."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.came: asyncio.Future[None] = loop.create_future()
        self.came.add_done_callback(_seen)
        self._read = b""

    def data_received(self, data: bytes) -> None:
        """Bytes of the answer. Behind a good one nothing may come: whoever asked speaks first."""
        self._read = (self._read + data)[:LONGEST]
        while not self.came.done():
            end = _BLANK.search(self._read)
            if end is None:
                if len(self._read) == LONGEST:
                    self._fail("its answer has no end")
                return
            status = _STATUS.match(self._read)
            code = int(status[1]) if status is not None else 0
            if code == 0:
                self._fail("its answer is not HTTP")
            elif 100 <= code < 200 and code != 101:
                self._read = self._read[end.end() :]
            elif not 200 <= code < 300:
                self._fail(_refusal(code))
            elif end.end() != len(self._read):
                self._fail("it spoke before it was spoken to")
            else:
                self.came.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        """The proxy ended the connection."""
        self._fail("it closed the connection without an answer")

    def _fail(self, why: str) -> None:
        if not self.came.done():
            self.came.set_exception(ProxyError(why))


def _seen(came: asyncio.Future[None]) -> None:
    """Nobody need be left to hear of a connection's end."""
    if not came.cancelled():
        came.exception()


def _refusal(code: int) -> str:
    try:
        phrase = f" {http.HTTPStatus(code).phrase}"
    except ValueError:
        phrase = ""
    hint = "; check user name and password of the proxy setting" if code == 407 else ""
    return f"it answered {code}{phrase}{hint}"
