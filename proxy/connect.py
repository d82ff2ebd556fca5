"""Opening a connection to an origin: names, address families and TLS.

Name resolution is the loop's own; trying addresses of both families with a head start is RFC 8305, done by
aiohappyeyeballs. Certificates are always verified and the name checked is the origin's, whatever Host the caller sent.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import ssl
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, TypeVar

import aiohappyeyeballs

if TYPE_CHECKING:
    from config.effective import Origin

HEAD_START: Final = 0.25
"""Seconds one address family may lead before the next is tried as well (RFC 8305 section 5)."""

P = TypeVar("P", bound=asyncio.BaseProtocol)


class UnreachableError(Exception):
    """The origin could not be reached: DNS, refused, no route, TLS. The text says which, without secrets."""


class ConnectTimeoutError(Exception):
    """The origin was not reached within the connect limit."""


def tls_context() -> ssl.SSLContext:
    """A verifying client context that offers HTTP/1.1 alone."""
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    return context


class Connector:
    """Opens transports; holds the one TLS context of the process."""

    def __init__(self, loop: asyncio.AbstractEventLoop, tls: ssl.SSLContext | None = None) -> None:
        self._loop = loop
        self._tls = tls or tls_context()

    async def open(self, origin: Origin, protocol: Callable[[], P], limit: float) -> P:
        """Connect to `origin` within `limit` seconds, TLS handshake included.

        Raises:
            ConnectTimeoutError: the limit passed first.
            UnreachableError: anything else that kept the connection from being made.
        """
        try:
            async with asyncio.timeout(limit):
                return await self._open(origin, protocol)
        except TimeoutError as error:
            if error.errno:
                raise UnreachableError(_reason(origin, error)) from error
            raise ConnectTimeoutError(f"no connection to {origin.host}:{origin.port} within {limit:g} s") from None
        except (OSError, ssl.SSLError, UnicodeError) as error:
            raise UnreachableError(_reason(origin, error)) from error

    async def _open(self, origin: Origin, protocol: Callable[[], P]) -> P:
        addresses = await self._resolve(origin)
        sock = await aiohappyeyeballs.start_connection(
            addresses, loop=self._loop, happy_eyeballs_delay=HEAD_START, interleave=1
        )
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            if origin.tls:
                _, made = await self._loop.create_connection(
                    protocol, sock=sock, ssl=self._tls, server_hostname=origin.host
                )
            else:
                _, made = await self._loop.create_connection(protocol, sock=sock)
        except BaseException:
            sock.close()
            raise
        return made

    async def _resolve(self, origin: Origin) -> list[aiohappyeyeballs.AddrInfoType]:
        literal = _literal(origin)
        if literal is not None:
            return [literal]
        found = await self._loop.getaddrinfo(origin.host, origin.port, type=socket.SOCK_STREAM)
        if not found:
            raise OSError(f"no address for {origin.host}")
        return list(found)


def _literal(origin: Origin) -> aiohappyeyeballs.AddrInfoType | None:
    try:
        address = ipaddress.ip_address(origin.host)
    except ValueError:
        return None
    if address.version == 4:
        return (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (origin.host, origin.port))
    return (socket.AF_INET6, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (origin.host, origin.port, 0, 0))


def _reason(origin: Origin, error: Exception) -> str:
    where = f"{origin.host}:{origin.port}"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"TLS certificate of {where} not accepted: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return f"TLS failure with {where}: {error.reason or 'handshake failed'}"
    if isinstance(error, socket.gaierror):
        return f"name {origin.host} not found: {error.strerror or error}"
    if isinstance(error, ConnectionRefusedError):
        return f"connection to {where} refused"
    return f"no connection to {where}: {error.strerror if isinstance(error, OSError) and error.strerror else error}"
