"""Malformed answers: none reaches a client as something else, and none is left for the next client to find."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.e2e.world import client, eventually
from tests.hardening.arena import Arena, open_arena, told
from tests.hardening.case import ask
from tests.hardening.corpus_answers import ANSWERS, POISON, Answer, head
from tests.hardening.replies import BrokenError, Reply, replies

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def arena(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Arena]:
    async with open_arena(tmp_path_factory.mktemp("answers")) as found:
        yield found


async def test_the_corpus_is_large_and_its_names_are_told_apart() -> None:
    assert len({answer.name for answer in ANSWERS}) == len(ANSWERS) >= 40


def request(method: bytes, path: bytes, *fields: bytes) -> bytes:
    return ask(b"%b /lab%b HTTP/1.1" % (method, path), *fields)


@pytest.mark.parametrize("answer", ANSWERS, ids=lambda answer: answer.name)
async def test_an_answer_of_the_corpus(arena: Arena, answer: Answer) -> None:
    target = b"/answers/" + answer.name.encode()
    arena.upstream.script[target] = answer.parts
    raw = await arena.says(request(answer.method, target, b"Connection: close"))
    try:
        (final,) = [reply for reply in replies(raw, [answer.method]) if reply.status >= 200]
    except BrokenError:
        assert answer.comes == "broken", raw
        assert b"poison" not in raw
    else:
        check(answer, final)
    line = arena.upstream.scripted[target]
    if answer.gone:
        await eventually(lambda: line not in arena.upstream.lines)
    # The connection that an answer leaves behind is the first to be used again.
    for number in range(2):
        path = b"/next/%d" % number
        (reply,) = replies(await arena.says(request(b"GET", path, b"Connection: close")))
        assert (reply.status, reply.body) == (200, told(b"GET", path, b""))
        assert not reply.values(b"x-poison")
    if not answer.gone:
        assert line in arena.upstream.lines


def check(answer: Answer, reply: Reply) -> None:
    if isinstance(answer.comes, str):
        assert reply.status == 502
        assert b"poison" not in reply.body
    else:
        assert (reply.status, reply.body) == (200, answer.comes)
    assert not reply.values(b"x-poison")


async def test_what_comes_on_an_idle_connection_is_nobodys_answer(arena: Arena) -> None:
    """Bytes that wait to be read when a connection is taken were sent before its request was: they cannot answer it."""
    arena.upstream.script[b"/poisoned"] = (head(),)
    async with client(arena.detour.port) as caller:
        for _ in range(10):
            before = set(arena.upstream.lines)
            await caller.send(request(b"GET", b"/poisoned"))
            assert (await caller.answer())[2] == b"ok"
            os.kill(arena.detour.process.pid, signal.SIGSTOP)
            try:
                await caller.send(request(b"GET", b"/mine"))
                await caller.settled()
                for line in before & arena.upstream.lines:
                    line.transport.write(POISON)
                await asyncio.sleep(0.05)
            finally:
                os.kill(arena.detour.process.pid, signal.SIGCONT)
            status, _, body = await caller.answer()
            assert (status, body) == (200, told(b"GET", b"/mine", b""))
