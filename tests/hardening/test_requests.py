"""The corpus of smuggling and malformed requests: nothing unsafe reaches an upstream, and nobody else is disturbed."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.e2e.world import client
from tests.hardening import corpus_fields, corpus_framing, corpus_lines
from tests.hardening.arena import Arena, open_arena, told
from tests.hardening.case import Case, post
from tests.hardening.replies import replies

pytestmark = pytest.mark.asyncio(loop_scope="module")

CASES = [*corpus_lines.CASES, *corpus_fields.CASES, *corpus_framing.CASES]


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def arena(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Arena]:
    async with open_arena(tmp_path_factory.mktemp("requests")) as found:
        yield found


async def test_the_corpus_is_large_and_its_names_are_told_apart() -> None:
    assert len({case.name for case in CASES}) == len({case.raw for case in CASES}) == len(CASES) >= 200


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
async def test_bytes_of_the_corpus(arena: Arena, case: Case) -> None:
    await judge(arena, case)


async def test_bytes_of_the_corpus_in_small_pieces(arena: Arena) -> None:
    """How the bytes are split changes nothing, but that requests are not refused with what comes later."""
    for case in CASES:
        if len(case.raw) < 1000 and not case.whole:
            await judge(arena, case, size=7)


@pytest.mark.parametrize("body", [b"", b"abc"])
async def test_a_connection_stays_behind_an_upgrade_that_nobody_knows(arena: Arena, body: bytes) -> None:
    """As some HTTP clients ask for h2c with their first request, its head and body written one by one."""
    fields = (b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABk")
    async with client(arena.detour.port) as peer:
        for _ in range(3):
            await peer.send(post(*fields, *([b"Content-Length: 3"] if body else ())))
            if body:
                await peer.settled()
                await peer.send(body)
            assert (await peer.answer())[2] == told(b"POST", b"/x", body)


async def judge(arena: Arena, case: Case, size: int = 0) -> None:
    upstream = arena.upstream
    await upstream.settled()
    before, begun = len(upstream.seen), len(upstream.begun)
    raw = await arena.says(case.raw, size=size)
    found = [reply for reply in replies(raw, [method for method, _, _ in case.seen]) if reply.status >= 200]
    statuses, seen = case.statuses, case.seen
    if not found and size:
        return  # refused before all of it was sent: the reset overtook the answer
    if found[-1].status >= 400:
        # Refused perhaps together with requests that came in the same read.
        seen = seen[: len(found) - 1]
        statuses = (*statuses[: len(seen)], statuses[-1] if statuses[-1] >= 400 else 400)
    assert tuple(reply.status for reply in found) == statuses, (case.name, raw)
    assert found[-1].values(b"connection") == [b"close"]
    given = [reply.body for reply in found if reply.status == 200]
    assert given == [b"" if one[0] == b"HEAD" else told(*one) for one in seen]
    assert [(one.method, one.target, one.body) for one in upstream.seen[before:]] == list(seen)
    for one in upstream.seen[before:]:
        if one.target == b"/after":  # which brings no field of its own
            assert [name for name, _ in one.fields] == [b"Host", b"Via"]
    assert len(upstream.begun) - begun <= case.cut
    assert not upstream.unclean
    assert arena.detour.process.returncode is None
