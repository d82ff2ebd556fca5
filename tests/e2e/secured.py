"""A Detour whose port for traffic speaks TLS, and clients that speak it too."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from tests.e2e.authority import Authority
from tests.e2e.world import Detour, Peer, RawUpstream, detour, lab

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Secured:
    """What a test of TLS works with. `cert` is the listener's file, which may be written again."""

    def __init__(self, running: Detour, upstream: RawUpstream, authority: Authority, cert: Path) -> None:
        self.detour = running
        self.upstream = upstream
        self.authority = authority
        self.cert = cert

    def client(self, context: ssl.SSLContext | None = None) -> contextlib.AbstractAsyncContextManager[Peer]:
        """A connection; of a client that trusts our authority where no context is given."""
        return client(self.detour.port, context or self.authority.client())


@contextlib.asynccontextmanager
async def client(port: int, context: ssl.SSLContext) -> AsyncIterator[Peer]:
    """A connection over TLS to a local port, which is called `localhost`."""
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", port, limit=1 << 24, ssl=context, server_hostname="localhost"
    )
    try:
        yield Peer(reader, writer)
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


@contextlib.asynccontextmanager
async def secured(folder: Path, *, clients: bool = False, **sections: Any) -> AsyncIterator[Secured]:
    """A running Detour with a certificate for `localhost`; with `clients` it wants one of them, too."""
    authority = Authority(folder, "authority")
    cert = folder / "tls.pem"
    cert.write_bytes(authority.issue("localhost").read_bytes())
    tls = {"cert": str(cert)} | ({"client_ca": str(authority.file)} if clients else {})
    async with RawUpstream() as upstream:
        config = lab(upstream.url, tls=tls, **sections)
        async with detour(config, path=folder / "detour.yaml") as running:
            yield Secured(running, upstream, authority, cert)


def fin(peer: Peer) -> None:
    """End one's own direction of the TCP connection, with no word of TLS about it."""
    peer.writer.get_extra_info("socket")._sock.shutdown(socket.SHUT_WR)


def get(path: str = "/openai/v1/models", *, close: bool = False) -> bytes:
    """A GET as bytes."""
    ending = "Connection: close\r\n" if close else ""
    return f"GET {path} HTTP/1.1\r\nHost: localhost\r\n{ending}\r\n".encode()
