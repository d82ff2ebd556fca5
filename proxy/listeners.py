"""The addresses the process listens on: bound before anything else is begun, so that a taken port is found at once."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from config.address import Listen


class CannotStartError(Exception):
    """The process cannot serve: the message says why and what to do."""


def bind(key: str, listen: Listen) -> list[socket.socket]:
    """Bound sockets for every address `listen` stands for; `key` is the setting it comes from.

    Raises:
        CannotStartError: the address cannot be had.
    """
    host = listen.host or None
    try:
        found = socket.getaddrinfo(host, listen.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        raise CannotStartError(f"{key}: {listen} cannot be resolved: {error.strerror or error}") from error
    sockets: list[socket.socket] = []
    port = listen.port
    for family, kind, protocol, _, address in found:
        sock = socket.socket(family, kind, protocol)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.setblocking(False)
        try:
            sock.bind((address[0], port, *address[2:]))
        except OSError as error:
            sock.close()
            if sockets and family == socket.AF_INET6:
                continue
            for made in sockets:
                made.close()
            raise _cannot(key, listen, error) from error
        port = sock.getsockname()[1]
        sockets.append(sock)
    return sockets


def listen(key: str, address: Listen, sockets: list[socket.socket], backlog: int) -> None:
    """Have connections wait at bound sockets until they are served; `backlog` is how many may.

    Two processes may be bound to the same address, and one can listen there. uvloop does so, too, when it is to serve a
    socket, but where it cannot it goes on without.

    Raises:
        CannotStartError: it is the other one.
    """
    for sock in sockets:
        try:
            sock.listen(backlog)
        except OSError as error:
            raise _cannot(key, address, error) from error


def _cannot(key: str, listen: Listen, error: OSError) -> CannotStartError:
    flag = "--listen" if key == "listen" else "--admin-listen"
    hint = f"choose another with {flag} or `{key}` in the file"
    return CannotStartError(f"{key}: cannot listen on {listen}: {error.strerror or error} ({hint})")


def url(sock: socket.socket, *, tls: bool = False) -> str:
    """Where a bound socket can be reached from here."""
    scheme = "https" if tls else "http"
    host, port = sock.getsockname()[:2]
    if host in ("0.0.0.0", "::"):  # noqa: S104 - compared, not bound
        host = "localhost"
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"
