"""What asyncio's transports do not say or do: whether a peer has left that is not read, and an end by RST."""

from __future__ import annotations

import asyncio
import select
import socket


def hung_up(sock: socket.socket | None) -> bool:
    """Whether the peer of the socket closed or reset its side, without reading. Known on Linux alone."""
    if sock is None or sock.fileno() < 0 or not hasattr(select, "POLLRDHUP"):
        return False
    poll = select.poll()
    poll.register(sock.fileno(), select.POLLRDHUP)
    return bool(poll.poll(0))


def reset(transport: asyncio.Transport) -> None:
    """End a connection so that the peer cannot take it for a clean end: RST instead of FIN."""
    sock = transport.get_extra_info("socket")
    if sock is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
    transport.abort()
