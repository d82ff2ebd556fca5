"""An exchange that Detour itself fails at, and requests beyond its bounds."""

from __future__ import annotations

import asyncio
import gc
import logging

import pytest

from breaker.permit import Permit, Rejection
from breaker.registry import Registry
from config.load import load_text
from config.settings import Breakers
from proxy.connect import Connector
from proxy.fake import FakeProvider
from proxy.plane import DataPlane
from proxy.pool import Pools
from tests.e2e.world import Peer, client, post, split
from tests.proxy.kept import Kept

FILE = """
providers: {lab: {base_url: "http://127.0.0.1:9/v1"}}
limits: {request_body: 1KiB}
"""


class Broken(Registry):
    def admit(
        self, provider: str, model: str, now: float, key: str = "", lease: float = 0.0, *, force: bool = False
    ) -> Permit | Rejection:
        raise RuntimeError("a bug")


def shut() -> Registry:
    """A registry with a breaker that was opened by hand."""
    registry = Registry(tracked=1, per_provider={"lab": Breakers()})
    registry.open("lab", None, asyncio.get_running_loop().time(), 30.0)
    return registry


async def ask(registry: Registry, raw: bytes) -> tuple[int, bytes, Kept]:
    """What a client gets for `raw`, and what the recorder was told."""
    loop = asyncio.get_running_loop()
    kept = Kept()
    plane = DataPlane(load_text(FILE, {}), registry, kept, Pools(Connector(loop), loop), loop, instance="abc")
    server = await loop.create_server(plane.server, "127.0.0.1", 0)
    try:
        async with client(server.sockets[0].getsockname()[1]) as peer:
            await peer.send(raw)
            status, _, body = split(await peer.rest())
    finally:
        server.close()
        await plane.server.shutdown(1.0)
    assert plane.in_flight == 0
    assert plane.replay.used == 0
    return status, body, kept


BODY = b'{"model":"m","messages":[]}'


async def test_a_failure_of_ours_is_answered_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        status, body, kept = await ask(Broken(tracked=1), post("/lab/v1/chat/completions", BODY))
    assert status == 500
    assert b"a bug" not in body
    (record,) = caplog.records
    assert record.exc_info is not None
    assert [answer.status for answer in kept.answers] == [500]
    assert kept.outcomes == []


async def test_a_rejection_makes_no_attempt() -> None:
    status, body, kept = await ask(shut(), post("/lab/v1/chat/completions", BODY))
    assert (status, b"opened by hand" in body) == (503, True)
    assert [(answer.result, answer.attempts) for answer in kept.answers] == [("rejected", 0)]
    assert kept.outcomes == []
    assert kept.moves == [("rejected", "lab", "m", "open")]


async def test_a_body_announced_too_large_is_not_waited_for() -> None:
    head = post("/lab/v1/chat/completions", b"x" * 1025)[:-1025]
    status, body, kept = await ask(Registry(tracked=1), head)
    assert (status, b"request_body" in body) == (413, True)
    assert kept.answers[0].bytes_in == 0


async def test_a_head_beyond_its_bound_in_one_read() -> None:
    fields = "".join(f"x-{number}: {'v' * 900}\r\n" for number in range(80))
    status, _, kept = await ask(Registry(tracked=1), post("/lab/v1/chat/completions", BODY, extra=fields))
    assert status == 431
    assert kept.answers == [], "it is nobody's request"


async def test_a_request_leaves_nothing_for_the_collector() -> None:
    """A circle of references would keep every request's body until the collector runs, and make it run for long."""
    loop = asyncio.get_running_loop()
    async with FakeProvider() as fake:
        config = load_text(f"providers: {{lab: {{base_url: '{fake.url}/v1'}}}}", {})
        pools = Pools(Connector(loop), loop)
        plane = DataPlane(config, Registry(tracked=10), Kept(), pools, loop, instance="abc")
        server = await loop.create_server(plane.server, "127.0.0.1", 0)
        async with client(server.sockets[0].getsockname()[1]) as peer:
            await several(peer)
            gc.collect()
            gc.disable()
            gc.set_debug(gc.DEBUG_SAVEALL)
            try:
                await several(peer)
                gc.collect()
                left = [type(one).__module__ for one in gc.garbage]
            finally:
                gc.set_debug(0)
                gc.garbage.clear()
                gc.enable()
        server.close()
        await plane.server.shutdown(1.0)
        pools.close()
    ours = [name for name in left if name.startswith(("proxy.", "breaker.")) and not name.startswith("proxy.fake")]
    assert ours == []


async def several(peer: Peer) -> None:
    for _ in range(3):
        await peer.send(post("/lab/v1/chat/completions", BODY, close=False))
        assert (await peer.answer())[0] == 200
