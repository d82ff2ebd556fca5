"""Very many connections on which nothing is asked, and more of them than the process may have files."""

from __future__ import annotations

import asyncio
import contextlib
import resource
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.lanes import comes, descriptors
from tests.e2e.world import Peer, client, eventually
from tests.hardening.arena import open_arena
from tests.hardening.flood import Memory

MANY = 10_000
SPARE = 1_000
"""Descriptors that this process has for other things."""
EACH = 16 * 1024
"""Most bytes that an idle connection may cost."""
PING = b"OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest.fixture
def many() -> Iterator[int]:
    """As many connections as this machine allows, at most `MANY`."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = min(hard, MANY + SPARE) if hard != resource.RLIM_INFINITY else MANY + SPARE
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    yield min(MANY, max(soft, wanted) - SPARE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def come(port: int, count: int, stack: contextlib.ExitStack) -> list[socket.socket]:
    """Connect; every other one asks something, once."""
    socks = []
    for number in range(count):
        # Each address has some 28 000 ports.
        sock = stack.enter_context(socket.create_connection(("127.0.0.1", port), 30, (f"127.0.0.{2 + number % 8}", 0)))
        if number % 2:
            sock.sendall(PING)
            assert sock.recv(4096).startswith(b"HTTP/1.1 204 ")
        socks.append(sock)
    return socks


async def test_ten_thousand_idle_connections(tmp_path: Path, many: int) -> None:
    async with open_arena(tmp_path) as arena:
        await arena.canary.more(100)
        memory, before, began = Memory(arena.detour), len(arena.canary.took), descriptors(arena.detour)
        calm = arena.canary.since(0)
        with contextlib.ExitStack() as stack:
            socks = await asyncio.to_thread(come, arena.detour.port, many, stack)
            coming = arena.canary.since(before)
            await eventually(lambda: descriptors(arena.detour) >= began + many - 10)
            before = len(arena.canary.took)
            await arena.canary.more(300)
            grown = memory.look()
            print(
                f"{many} idle connections: {grown / many / 1024:.1f} KiB each; canary before: {calm}; while they came:"
            )
            print(f"{coming}; with them there: {arena.canary.since(before)}")
            assert grown <= many * EACH
            # They are of use still.
            for sock in socks[:: many // 10]:
                sock.sendall(PING)
                assert (await asyncio.to_thread(sock.recv, 4096)).startswith(b"HTTP/1.1 204 ")
        await eventually(lambda: descriptors(arena.detour) <= began + 10)
        await arena.canary.more(100)


async def pings(peer: Peer) -> bool:
    """Whether a connection is served; not when it was refused a place."""
    with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
        await peer.send(PING)
        return (await peer.answer())[0] == 204
    return False


async def test_more_connections_than_the_process_may_have_files(tmp_path: Path) -> None:
    """Those that are there live on, and others come in again when there is room."""
    async with open_arena(tmp_path) as arena:
        await arena.canary.more(20)
        await arena.canary.stop()
        running = arena.detour
        async with client(running.port) as kept:
            assert await pings(kept)
            _, hard = resource.prlimit(running.process.pid, resource.RLIMIT_NOFILE)
            resource.prlimit(running.process.pid, resource.RLIMIT_NOFILE, (descriptors(running) + 20, hard))
            with contextlib.ExitStack() as stack:
                for _ in range(100):
                    stack.enter_context(socket.create_connection(("127.0.0.1", running.port), 10))
                    assert await pings(kept)

            async def let_in() -> bool:
                async with client(running.port) as late:
                    return await pings(late)

            await comes(let_in)
            assert await pings(kept)
            resource.prlimit(running.process.pid, resource.RLIMIT_NOFILE, (hard, hard))
