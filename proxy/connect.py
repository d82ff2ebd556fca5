"""Opening a connection to an origin: names, address families, TLS, and the proxy it is reached through.

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

from proxy.certificates import FileError, client_context
from proxy.egress import Answer, ProxyError, ask, through
from proxy.sockets import bounded

if TYPE_CHECKING:
    from config.effective import Origin
    from config.egress import EgressProxy

HEAD_START: Final = 0.25
"""Seconds one address family may lead before the next is tried as well (RFC 8305 section 5)."""

P = TypeVar("P", bound=asyncio.BaseProtocol)


class UnreachableError(Exception):
    """The origin could not be reached: DNS, refused, no route, TLS. The text says which, without secrets."""


class ConnectTimeoutError(Exception):
    """The origin was not reached within the connect limit; `way` says by which way it was to be, where by a proxy."""

    way = ""


class Connector:
    """Opens transports; `trust` gives the TLS context in which a bundle of authorities vouches for a server."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, trust: Callable[[str], ssl.SSLContext] = client_context
    ) -> None:
        self._loop = loop
        self._trust = trust

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
                raise UnreachableError(_told(origin, error)) from error
            late = ConnectTimeoutError(f"no connection to {origin.host}:{origin.port} within {limit:g} s")
            if origin.proxy is not None:
                late.way = f"through egress proxy {origin.proxy.where}"
            raise late from None
        except FileError as error:
            raise UnreachableError(f"{error.key}: {error}") from error
        except (OSError, UnicodeError) as error:
            raise UnreachableError(_told(origin, error)) from error

    async def _open(self, origin: Origin, protocol: Callable[[], P]) -> P:
        tls = self._trust(origin.ca_bundle) if origin.tls else None
        if origin.proxy is None:
            made, _ = await self._reach(origin.host, origin.port, protocol, tls)
            return made
        return await self._open_through(origin, origin.proxy, protocol, tls)

    async def _open_through(
        self, origin: Origin, proxy: EgressProxy, protocol: Callable[[], P], tls: ssl.SSLContext | None
    ) -> P:
        outer = self._trust(proxy.ca_bundle) if proxy.tls else None
        try:
            answer, transport = await self._reach(proxy.host, proxy.port, lambda: Answer(self._loop), outer)
        except (OSError, UnicodeError) as error:
            raise UnreachableError(f"egress proxy: {_reason(proxy.host, proxy.port, error)}") from error
        try:
            return await through(self._loop, transport, answer, ask(origin, proxy), origin, protocol, tls)
        except ProxyError as error:
            message = f"egress proxy {proxy.where} gave no way to {origin.host}:{origin.port}: {error}"
            transport.abort()
            raise UnreachableError(message) from error
        except BaseException:
            transport.abort()
            raise

    async def _reach(
        self, host: str, port: int, protocol: Callable[[], P], tls: ssl.SSLContext | None
    ) -> tuple[P, asyncio.Transport]:
        addresses = await self._resolve(host, port)
        sock = await aiohappyeyeballs.start_connection(
            addresses, loop=self._loop, happy_eyeballs_delay=HEAD_START, interleave=1
        )
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            if tls is not None:
                transport, made = await self._loop.create_connection(protocol, sock=sock, ssl=tls, server_hostname=host)
                bounded(transport)
            else:
                transport, made = await self._loop.create_connection(protocol, sock=sock)
        except BaseException:
            sock.close()
            raise
        return made, transport

    async def _resolve(self, host: str, port: int) -> list[aiohappyeyeballs.AddrInfoType]:
        literal = _literal(host, port)
        if literal is not None:
            return [literal]
        found = await self._loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        if not found:
            raise OSError(f"no address for {host}")
        return list(found)


def _literal(host: str, port: int) -> aiohappyeyeballs.AddrInfoType | None:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return None
    if address.version == 4:
        return (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (host, port))
    return (socket.AF_INET6, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (host, port, 0, 0))


def _told(origin: Origin, error: Exception) -> str:
    way = "" if origin.proxy is None else f" (through egress proxy {origin.proxy.where})"
    return _reason(origin.host, origin.port, error) + way


def _reason(host: str, port: int, error: Exception) -> str:
    where = f"{host}:{port}"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"TLS certificate of {where} not accepted: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return f"TLS failure with {where}: {error.reason or 'handshake failed'}"
    if isinstance(error, socket.gaierror):
        return f"name {host} not found: {error.strerror or error}"
    if isinstance(error, ConnectionRefusedError):
        return f"connection to {where} refused"
    return f"no connection to {where}: {error.strerror if isinstance(error, OSError) and error.strerror else error}"
