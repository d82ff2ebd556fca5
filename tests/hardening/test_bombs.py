"""Heads, bodies and answers made to be dear: they cost what their bounds say, and nobody else waits for them long."""

from __future__ import annotations

import asyncio
import gzip
import zlib
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.e2e.world import client, eventually
from tests.hardening.arena import Arena, open_arena, told
from tests.hardening.case import ask, judged, post
from tests.hardening.flood import MIB, PIECE, Flood, Memory, Spring
from tests.hardening.replies import BrokenError, replies

pytestmark = pytest.mark.asyncio(loop_scope="module")

ROOM = 48 * MIB
"""Most bytes by which a bomb may make the process grow: far less than what it is made of, or unfolds to."""
LARGEST = 64 * MIB
CLOSE = b"Connection: close"
CHAT = b"/v1/chat/completions"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
FLOODS = {
    CHAT: Flood(b"", b"", 0),
    b"/trailer": Flood(CHUNKED + b"2\r\nok\r\n0\r\nX: ", b"a" * PIECE, 2 * LARGEST),
    b"/trailers": Flood(CHUNKED + b"2\r\nok\r\n0\r\n", b"X: a\r\n" * (PIECE // 6), 2 * LARGEST),
    b"/extension": Flood(CHUNKED + b"2\r\nok\r\n3;", b"a" * PIECE, 2 * LARGEST),
    b"/head": Flood(b"HTTP/1.1 200 OK\r\nX: ", b"a" * PIECE, 2 * LARGEST),
    b"/hints": Flood(b"", b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" * 1000, 2 * LARGEST),
}


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def arena(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Arena]:
    async with Spring(FLOODS) as spring:
        providers = {"spring": {"base_url": f"{spring.url}/v1", "dialect": "openai"}}
        async with open_arena(tmp_path_factory.mktemp("bombs"), more=providers) as found:
            await found.canary.more(50)
            yield found


@pytest.fixture
def memory(arena: Arena) -> Memory:
    return Memory(arena.detour)


async def fine(arena: Arena, memory: Memory) -> None:
    await arena.canary.more(10)
    assert memory.look() <= ROOM, f"{memory.look() / MIB:.1f} MiB"


# -- requests ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("begin", [b"X: ", b"X", b""], ids=["value", "name", "fields"])
async def test_heads_without_end(arena: Arena, memory: Memory, begin: bytes) -> None:
    raw = b"GET /lab/x HTTP/1.1\r\nHost: a\r\n" + begin + (b"a" if begin else b"X: y\r\n") * (4 * MIB)
    for got in await asyncio.gather(*(arena.says(raw) for _ in range(8))):
        assert [reply.status for reply in replies(got)] in ([431], [])  # a reset may overtake it
    await fine(arena, memory)


DEEP = {
    "arrays": b"[" * (4 * MIB),
    "objects": b'{"a":' * MIB,
    "closed": b'{"model":"m","a":' + b"[" * MIB + b"]" * MIB + b"}",
    "before-the-model": b'{"a":' + b'{"b":[' * 100_000 + b"]}" * 100_000 + b',"model":"m"}',
    "fields": b'{"model":"m",' + b",".join(b'"%d":0' % n for n in range(400_000)) + b"}",
    "escapes": b'{"model":"' + b"\\u0041" * 600_000 + b'"}',
    "name": b'{"model":"' + b"m" * (4 * MIB) + b'"}',
    "digits": b'{"model":"m","n":' + b"9" * (4 * MIB) + b"}",
    "quotes": b'{"' * (2 * MIB),
    "backslashes": b'{"model":"' + b"\\" * (4 * MIB),
    "blanks": b" " * (4 * MIB) + b'{"model":"m"}',
    "colons": b'{"model":"m"' + b":" * (2 * MIB),
}


@pytest.mark.parametrize("body", DEEP.values(), ids=DEEP)
async def test_json_that_is_deep_or_wide_passes_as_it_is(arena: Arena, memory: Memory, body: bytes) -> None:
    fields = (b"Content-Type: application/json", b"Content-Length: %d" % len(body), CLOSE)
    (reply,) = replies(await arena.says(judged(*fields, body=body)))
    assert (reply.status, reply.body) == (200, told(b"POST", CHAT, body))
    assert arena.upstream.seen[-1].body == body
    await fine(arena, memory)


async def test_bodies_as_large_as_they_may_be(arena: Arena, memory: Memory) -> None:
    body = b'{"model":"m","input":"' + b"a" * (LARGEST - 24) + b'"}'
    request = judged(b"Content-Length: %d" % len(body), CLOSE, body=body)
    for got in await asyncio.gather(arena.says(request), arena.says(request)):
        (reply,) = replies(got)
        assert (reply.status, reply.body) == (200, told(b"POST", CHAT, body))
    assert arena.upstream.seen.pop().body == body
    await fine(arena, memory)


async def test_bodies_larger_than_they_may_be(arena: Arena, memory: Memory) -> None:
    begun = len(arena.upstream.begun)
    too_large = judged(b"Content-Length: %d" % (LARGEST + 1), body=b"{")
    assert [reply.status for reply in replies(await arena.says(too_large))] == [413]
    assert len(arena.upstream.begun) == begun
    async with client(arena.detour.port) as peer:
        await peer.send(judged(b"Transfer-Encoding: chunked").replace(b"/lab/", b"/spring/"))
        chunk = b"%x\r\n%b\r\n" % (MIB, b"a" * MIB)
        for _ in range(65):
            await peer.send(chunk)
        status, _, _ = await peer.answer()
    assert status == 413
    await fine(arena, memory)


@pytest.mark.parametrize("request_", [judged, post])
async def test_very_many_small_chunks(arena: Arena, memory: Memory, request_: type) -> None:
    body = b"1\r\na\r\n" * 200_000 + b"0\r\n\r\n"
    (reply,) = replies(await arena.says(request_(b"Transfer-Encoding: chunked", CLOSE, body=body)))
    assert reply.status == 200
    assert arena.upstream.seen[-1].body == b"a" * 200_000
    await fine(arena, memory)


# -- answers -----------------------------------------------------------------------------------------------------------


def squeezed(data: bytes, wbits: int = 31) -> bytes:
    squeeze = zlib.compressobj(9, wbits=wbits)
    return squeeze.compress(data) + squeeze.flush()


ZEROS = squeezed(bytes(100 * MIB))
JSON, EVENTS = b"application/json", b"text/event-stream"
BOMBS = {
    "gzip-json": (200, JSON, b"gzip", ZEROS),
    "gzip-error": (400, JSON, b"gzip", ZEROS),
    "gzip-stream": (200, EVENTS, b"gzip", squeezed(b"data: " + b"a" * (100 * MIB))),
    "gzip-events": (200, EVENTS, b"gzip", squeezed(b"data: {}\n\n" * (3 * MIB))),
    "gzip-lines": (200, EVENTS, b"gzip", squeezed(b"\n" * (50 * MIB))),
    "gzip-members": (200, EVENTS, b"gzip", gzip.compress(b"") * 50_000),
    "gzip-twice": (200, JSON, b"gzip", gzip.compress(ZEROS)),
    "deflate-json": (200, JSON, b"deflate", squeezed(bytes(100 * MIB), 15)),
    "deep-json": (200, JSON, b"", b"[" * MIB),
    "deep-error": (400, JSON, b"", b'{"error":' * 100_000),
    "deep-event": (200, EVENTS, b"", b"data: " + b"[" * MIB + b"\n\n"),
    "large-event": (200, EVENTS, b"", b"data: " + b"a" * (16 * MIB)),
    "empty-events": (200, EVENTS, b"", b"data:\n\n" * 200_000),
    "comments": (200, EVENTS, b"", b": ping\n\n" * 200_000),
    "line-ends": (200, EVENTS, b"", b"\r" * MIB),
}


@pytest.mark.parametrize("bomb", BOMBS)
async def test_answers_that_unfold_pass_as_they_are(arena: Arena, memory: Memory, bomb: str) -> None:
    status, kind, coding, body = BOMBS[bomb]
    head = b"HTTP/1.1 %d X\r\nContent-Type: %b\r\nContent-Length: %d\r\n" % (status, kind, len(body))
    coded = b"Content-Encoding: %b\r\n" % coding if coding else b""
    target = CHAT + b"?bomb=" + bomb.encode()
    arena.upstream.script[target] = (head + coded + b"\r\n" + body,)
    asked = ask(
        b"POST /lab%b HTTP/1.1" % target,
        b"Authorization: Bearer k",
        b"Accept-Encoding: gzip, deflate",
        b"Content-Length: 27",
        CLOSE,
        body=b'{"model":"m","stream":true}',
    )
    (reply,) = replies(await arena.says(asked))
    assert (reply.status, reply.body == body) == (status, True)
    await fine(arena, memory)


async def test_an_answer_of_very_many_small_chunks(arena: Arena, memory: Memory) -> None:
    arena.upstream.script[b"/chunks"] = (CHUNKED + b"1\r\na\r\n" * 200_000 + b"0\r\n\r\n",)
    (reply,) = replies(await arena.says(ask(b"GET /lab/chunks HTTP/1.1", CLOSE)))
    assert reply.body == b"a" * 200_000
    await fine(arena, memory)


@pytest.mark.parametrize("target", list(FLOODS)[1:], ids=lambda target: target[1:].decode())
async def test_answers_that_never_come_to_the_point(arena: Arena, memory: Memory, target: bytes) -> None:
    got = await arena.says(ask(b"GET /spring%b HTTP/1.1" % target, CLOSE))
    try:
        final = [reply.status for reply in replies(got) if reply.status >= 200]
    except BrokenError:
        final = [502]
    assert final == [502]
    assert memory.look() <= 8 * MIB
    await fine(arena, memory)


async def test_nothing_is_left_of_them(arena: Arena) -> None:
    await eventually(lambda: len(arena.upstream.lines) < 20)
    assert await arena.detour.metric("detour_in_flight_requests") <= 2
    print(f"canary: {arena.canary.since(0)}")
