"""The data plane: what all exchanges share, and the door they come in by."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Protocol

from proxy.body import ReplayMemory
from proxy.exchange import Exchange
from proxy.request import Request, Written
from proxy.server import Server
from proxy.watch import Watch

if TYPE_CHECKING:
    from breaker.outcome import Answer, Outcome
    from breaker.registry import Registry
    from config.effective import Config
    from proxy.pool import Pools


class Recorder(Protocol):
    """Who is told what became of attempts and exchanges. Called on the hot path: must not block, await or raise."""

    def attempt(self, outcome: Outcome) -> None:
        """One attempt was judged."""

    def answer(self, answer: Answer) -> None:
        """One exchange ended."""


class DataPlane:
    """Forwards requests; holds everything that outlives one."""

    def __init__(
        self,
        config: Config,
        registry: Registry,
        recorder: Recorder,
        pools: Pools,
        loop: asyncio.AbstractEventLoop,
        *,
        instance: str,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.config = config
        self.registry = registry
        self.recorder = recorder
        self.pools = pools
        self.loop = loop
        self.instance = instance
        self.wall = wall
        self.name = instance.encode()
        self.watch = Watch(loop)
        limits = config.settings.limits
        self.replay = ReplayMemory(limits.replay_total)
        self.server = Server(self.handle, loop=loop)
        self.in_flight = 0
        self.draining = False
        self.idle = asyncio.Event()
        """Set when the last exchange ended while draining."""
        self._numbers = itertools.count(1)
        self.watch.every(self.server.look_for_leaving)
        self.watch.every(lambda now: pools.expire(loop.time()))

    def request_id(self) -> str:
        """A name for one exchange, unlike any other instance's."""
        return f"{self.instance}-{next(self._numbers):x}"

    def handle(self, request: Request) -> Coroutine[Any, Any, Written]:
        """Serve one request of a client, from here to `ended`."""
        self.in_flight += 1
        return Exchange(self, request).run()

    def ended(self, answer: Answer) -> None:
        """One exchange is over, and this is what its client got."""
        self.in_flight -= 1
        if self.draining and not self.in_flight:
            self.idle.set()
        self.recorder.answer(answer)

    async def drain(self, limit: float) -> int:
        """Have answers close their connections, wait `limit` seconds for exchanges to end; returns how many did not."""
        self.draining = True
        if self.in_flight:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.idle.wait(), limit)
        return self.in_flight
