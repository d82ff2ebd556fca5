"""Heads and bodies that come slowly or not at all, with the limits as they are: 10 s for a head, 30 s between reads."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from msgspec import Struct

from proxy.body import IDLE
from proxy.intake import HEAD_TIME
from tests.e2e.world import PATIENCE, Peer, client
from tests.hardening.arena import Arena, open_arena
from tests.hardening.case import JUDGED, ask, get, judged, post
from tests.hardening.replies import replies

LENGTH = b"Content-Length: 100"
CHUNKED = b"Transfer-Encoding: chunked"
EARLY = 0.9
"""Share of a limit before which it must not end anything."""


class Slow(Struct, frozen=True):
    """Bytes sent at once, then `drip` every `pause` seconds; what is answered after `limit` seconds."""

    first: bytes
    drip: bytes
    pause: float
    limit: float
    answered: tuple[int, ...]


SLOW = {
    "head-silent": Slow(b"GET /lab/x HT", b"", 0.5, HEAD_TIME, (408,)),
    "head-of-one-byte": Slow(b"G", b"", 0.5, HEAD_TIME, (408,)),
    "head-drips": Slow(b"GET /lab/x HTTP/1.1\r\nX: ", b"y", 0.5, HEAD_TIME, (408,)),
    "head-drips-fields": Slow(b"GET /lab/x HTTP/1.1\r\n", b"X: y\r\n", 0.5, HEAD_TIME, (408,)),
    "head-of-an-odd-method-drips": Slow(b"B", b"R", 1.0, HEAD_TIME, (408,)),
    "second-head-drips": Slow(get() + b"GET /lab/x HTTP/1.1\r\nX: ", b"y", 0.5, HEAD_TIME, (200, 408)),
    "judged-body-silent": Slow(judged(LENGTH, body=b"{"), b"", 1.0, IDLE, (408,)),
    "judged-chunks-silent": Slow(judged(CHUNKED, body=b"1\r\n{\r\n"), b"", 1.0, IDLE, (408,)),
    "body-silent": Slow(post(LENGTH, body=b"a"), b"", 1.0, IDLE, (408,)),
    "chunks-silent": Slow(post(CHUNKED, body=b"1\r\na\r\n"), b"", 1.0, IDLE, (408,)),
    "chunk-size-drips": Slow(post(CHUNKED), b"0", 1.0, IDLE, (408,)),
    "chunk-extension-drips": Slow(post(CHUNKED, body=b"5;"), b"x", 1.0, IDLE, (408,)),
    "trailers-drip": Slow(judged(CHUNKED, body=b"0\r\n"), b"X: y\r\n", 1.0, IDLE, (408,)),
    "continue-and-nothing": Slow(post(LENGTH, b"Expect: 100-continue"), b"", 1.0, IDLE, (100, 408)),
}


@contextlib.asynccontextmanager
async def dripping(peer: Peer, drip: bytes, pause: float) -> AsyncIterator[None]:
    async def drop() -> None:
        with contextlib.suppress(ConnectionError):
            while drip:
                await asyncio.sleep(pause)
                await peer.send(drip)

    task = asyncio.create_task(drop())
    try:
        yield
    finally:
        task.cancel()


async def runs_out(arena: Arena, slow: Slow) -> None:
    clock: Callable[[], float] = asyncio.get_running_loop().time
    async with client(arena.detour.port) as peer:
        await peer.send(slow.first)
        began = clock()
        async with dripping(peer, slow.drip, slow.pause):
            got = b""
            # Whatever has come is taken at once: a reset by what drips after the end would make the reader forget it.
            with contextlib.suppress(ConnectionError):
                while some := await asyncio.wait_for(peer.reader.read(1 << 16), slow.limit + PATIENCE):
                    got += some
    assert tuple(reply.status for reply in replies(got)) == slow.answered, slow
    assert clock() - began >= slow.limit * EARLY, slow


async def keeps_on(arena: Arena) -> None:
    """A body that comes slowly, but comes, has all the time it needs."""
    async with client(arena.detour.port) as peer:
        await peer.send(ask(b"POST %b HTTP/1.1" % JUDGED, b"Authorization: Bearer k", b"Content-Length: 11"))
        for byte in b'{"a": "abc"':
            await peer.send(bytes((byte,)))
            await asyncio.sleep(2.8)
        assert (await peer.answer())[0] == 200


async def test_slow_heads_and_slow_bodies(tmp_path: Path) -> None:
    async with open_arena(tmp_path, pause=0.1) as arena:
        await asyncio.gather(keeps_on(arena), *(runs_out(arena, slow) for slow in SLOW.values()))
        whole = [seen.target for seen in arena.upstream.seen]
        assert sorted(whole) == [JUDGED.removeprefix(b"/lab"), b"/x"]
