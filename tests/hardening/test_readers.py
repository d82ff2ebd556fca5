"""Readers that hardly read: what waits for each of them is bounded, and nobody else waits for them."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from pathlib import Path

from tests.e2e.lanes import comes
from tests.hardening.arena import open_arena
from tests.hardening.case import ask
from tests.hardening.flood import MIB, PIECE, Flood, Memory, Spring, narrow

READERS = 200
SECONDS = 4
MOST = 25 * MIB
SIZE = 100 * MIB

EVENT = b'data: {"id":"1","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":"%b"}}]}\n\n' % (
    b"a" * 400
)
EVENTS = EVENT * (PIECE // len(EVENT))
CHAT = b"/v1/chat/completions"
FLOODS = {
    b"/large": Flood(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % SIZE, b"a" * PIECE, SIZE),
    CHAT: Flood(
        b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"%x\r\n%b\r\n" % (len(EVENTS), EVENTS),
        SIZE,
    ),
}
BODY = b'{"model":"m","stream":true}'
PLAIN = ask(b"GET /spring/large HTTP/1.1")
STREAM = ask(
    b"POST /spring%b HTTP/1.1" % CHAT,
    b"Authorization: Bearer k",
    b"Content-Type: application/json",
    b"Content-Length: %d" % len(BODY),
    body=BODY,
)


async def sip(sock: socket.socket) -> int:
    """Read 1 KiB each second; how much it came to."""
    loop = asyncio.get_running_loop()
    got = 0
    for _ in range(SECONDS):
        got += len(await loop.sock_recv(sock, 1024))
        await asyncio.sleep(1.0)
    return got


async def test_slow_readers_of_large_answers(tmp_path: Path) -> None:
    async with Spring(FLOODS) as spring:
        providers = {"spring": {"base_url": f"{spring.url}/v1", "dialect": "openai"}}
        async with open_arena(tmp_path, more=providers) as arena:
            await arena.canary.more(100)
            await arena.detour.metric("detour_in_flight_requests")  # what answers it is loaded by the first who asks
            memory = Memory(arena.detour)
            async with contextlib.AsyncExitStack() as stack:
                socks = []
                for request in (PLAIN, STREAM) * (READERS // 2):
                    socks.append(stack.enter_context(narrow(arena.detour.port, request)))
                    await asyncio.sleep(0)
                await spring.stands()
                before = len(arena.canary.took)
                sipping = asyncio.gather(*map(sip, socks))
                await memory.watch(sipping.done)
                assert min(await sipping) >= 1024 * (SECONDS - 1)
                assert await arena.detour.metric("detour_in_flight_requests") >= READERS
                await arena.canary.more(10)
                print(f"{READERS} readers: {memory.look() / MIB:.1f} MiB; canary: {arena.canary.since(before)}")

            async def over() -> bool:
                return await arena.detour.metric("detour_in_flight_requests") <= 2

            await comes(over)
            assert memory.look() <= MOST
