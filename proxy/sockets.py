"""What asyncio's transports do not say or do: whether a peer left that is not read, an end by RST, bounds for TLS."""

from __future__ import annotations

import asyncio
import os
import select
import socket
from collections.abc import Callable
from typing import Final

BUFFERED: Final = 64 * 1024
"""Bytes that may wait in a transport over TLS, each way, before its producer is told to stop."""
WRITTEN: Final = 8 * 1024
"""The same of a plain one: what is left of a read of 64 KiB stops its producer, so that no second waits behind it."""


def hung_up(sock: socket.socket | None) -> bool:
    """Whether the peer of the socket closed or reset its side, without reading. Known on Linux alone."""
    if sock is None or sock.fileno() < 0 or not hasattr(select, "POLLRDHUP"):
        return False
    poll = select.poll()
    poll.register(sock.fileno(), select.POLLRDHUP)
    return bool(poll.poll(0))


def arrivals(sock: socket.socket | None) -> Callable[[float], object]:
    """What tells, asked with 0, whether anything of the peer waits to be read, its end among them."""
    poll = select.poll()
    if sock is not None and sock.fileno() >= 0:
        poll.register(sock.fileno(), select.POLLIN)
    return poll.poll


def has_come(sock: socket.socket | None) -> bool:
    """Whether bytes of the peer wait to be read, its end not among them."""
    if sock is None or not arrivals(sock)(0):
        return False
    with socket.socket(fileno=os.dup(sock.fileno())) as own:  # the loop's sockets do not give their bytes away
        try:
            return bool(own.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT))
        except OSError:
            return False


def unsent(transport: asyncio.Transport) -> bool:
    """Whether bytes were written that the system has not taken yet, as the peer reads too slowly."""
    if transport.get_write_buffer_size():
        return True
    sock = transport.get_extra_info("socket")
    if transport.get_extra_info("ssl_object") is None or sock is None or sock.fileno() < 0:
        return False
    poll = select.poll()  # nobody tells of what waits below TLS, but then the socket takes no more
    poll.register(sock.fileno(), select.POLLOUT)
    return not poll.poll(0)


def reset(transport: asyncio.Transport) -> None:
    """End a connection so that the peer cannot take it for a clean end: RST instead of FIN."""
    sock = transport.get_extra_info("socket")
    if sock is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
    transport.abort()


def bounded(transport: asyncio.BaseTransport) -> None:
    """Bound what waits in a transport; uvloop's own limits are 64 KiB, over TLS 512 KiB and 256 KiB."""
    if transport.get_extra_info("ssl_object") is None:
        transport.set_write_buffer_limits(high=WRITTEN)  # type: ignore[attr-defined]
    else:
        transport.set_write_buffer_limits(high=BUFFERED)  # type: ignore[attr-defined]
        transport.set_read_buffer_limits(high=BUFFERED)  # type: ignore[attr-defined]


def probed(transport: asyncio.BaseTransport) -> None:
    """Have the system find out, in its own time, that a peer which says nothing is gone without a word."""
    sock = transport.get_extra_info("socket")
    if sock is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
