"""Bytes both ways behind a 101."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from proxy.batch import Batch
from proxy.framing import Framing
from proxy.memory import ReplayMemory
from proxy.relay import Relay
from proxy.reply import Reply
from proxy.request import Written
from proxy.server import Server
from proxy.tunnel import Tunnel, tunnel
from tests.proxy.recording import Transport, feed, upstream

SWITCH = b"HTTP/1.1 101 S\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"
ASK = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"


class Sink:
    """Stands where the attempt stood."""

    def head(self, reply: Reply) -> None:
        """Nothing to do."""

    def upgraded(self, rest: bytes) -> None:
        """Nothing to do."""


class Both:
    """A client's and a provider's connection that agreed to switch, and the tunnel between them."""

    def __init__(self) -> None:
        async def handler(request: Any) -> Written:
            self.asked = request
            await asyncio.get_running_loop().create_future()
            raise AssertionError

        self.client = Transport()
        self.asked: Any = None
        self.connection = Server(handler, ReplayMemory(1 << 20), loop=asyncio.get_running_loop())()
        self.connection.connection_made(self.client)
        self.upstream, self.provider, _ = upstream()
        self.task: asyncio.Task[None] | None = None

    async def join(self, early: bytes = b"", rest: bytes = b"") -> Both:
        self.connection.data_received(ASK + early)
        await settle()
        self.upstream.begin(Sink(), "GET", b"websocket")  # type: ignore[arg-type]
        feed(self.upstream, SWITCH)
        batch = Batch(asyncio.get_running_loop())
        relay = Relay(self.connection, batch, "i", version10=False, head_only=False, close=False, began_at=0.0)
        relay.start(Reply(101, b"S", b"", Framing("none"), upgrade=b"websocket"), now=1.0, upstream=0.5, shape="")
        attempt = SimpleNamespace(connection=self.upstream, relay=relay, upgrade_rest=rest or None)
        self.task = asyncio.create_task(tunnel(self.asked, attempt))  # type: ignore[arg-type]
        await settle()
        return self

    @property
    def got(self) -> bytes:
        """What the client got behind the head."""
        head, _, rest = self.client.written.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 101 S\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n")
        return rest

    async def over(self) -> None:
        assert self.task is not None
        async with asyncio.timeout(5):
            await self.task
        assert self.connection.flow is None
        assert self.provider.ending == "aborted" or self.upstream.transport is None


async def settle() -> None:
    for _ in range(8):
        await asyncio.sleep(0)


async def end(both: Both) -> None:
    both.connection.connection_lost(None)
    await settle()


async def test_bytes_pass_both_ways_and_early_ones_too() -> None:
    both = await Both().join(early=b"c1", rest=b"p1")
    both.connection.data_received(b"c2")
    feed(both.upstream, b"p2")
    assert (both.got, both.provider.written) == (b"p1p2", b"c1c2")
    await end(both)
    await both.over()


async def test_the_client_ends_it() -> None:
    both = await Both().join()
    await end(both)
    await both.over()
    feed(both.upstream, b"late")
    assert both.got == b""


@pytest.mark.parametrize("how", ["lost", "malformed"])
async def test_the_provider_ends_it(how: str) -> None:
    both = await Both().join()
    if how == "lost":
        both.upstream.connection_lost(None)
    else:
        sink = both.upstream.sink
        assert sink is not None
        sink.malformed("broken")
    await both.over()
    await end(both)


async def test_a_provider_that_is_gone_already() -> None:
    both = Both()
    both.connection.data_received(ASK)
    await settle()
    made = Tunnel(both.connection, both.upstream)
    both.upstream.connection_lost(None)
    made.join(b"x")
    assert made.over.done()
    assert both.client.writes == []
    await end(both)


async def test_nothing_to_join() -> None:
    await tunnel(SimpleNamespace(), SimpleNamespace(connection=None))  # type: ignore[arg-type]


async def test_each_side_is_held_to_the_others_pace() -> None:
    both = await Both().join()
    both.connection.pause_writing()
    assert not both.provider.reading
    both.connection.resume_writing()
    assert both.provider.reading
    both.upstream.pause_writing()
    both.connection.data_received(b"more")
    assert not both.client.reading
    both.upstream.resume_writing()
    assert both.client.reading
    await end(both)
    await both.over()


async def test_bytes_for_a_client_that_is_gone_are_dropped() -> None:
    both = await Both().join()
    both.connection.transport = None
    feed(both.upstream, b"late")
    assert both.got == b""


async def test_what_cannot_come_behind_a_switch_changes_nothing() -> None:
    both = await Both().join()
    made = both.upstream.sink
    assert isinstance(made, Tunnel)
    made.informational(Reply(103, b"", b"", Framing("none")))
    made.head(Reply(200, b"", b"", Framing("none")))
    made.body(b"x", True)
    made.upgraded(b"x")
    assert (both.got, made.over.done()) == (b"", False)
    await end(both)
    await both.over()
    made.lost("again")
