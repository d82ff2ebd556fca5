"""The data plane: what all exchanges share, and the door they come in by."""

from __future__ import annotations

import asyncio
import itertools
import logging
import time
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Final, Protocol

from proxy.batch import Batch
from proxy.exchange import Exchange
from proxy.memory import ReplayMemory
from proxy.request import Request, Written
from proxy.server import Server
from proxy.watch import Watch

if TYPE_CHECKING:
    from breaker.outcome import Answer, Outcome
    from breaker.registry import Registry
    from config.effective import Config, Provider
    from proxy.errand import Errand
    from proxy.pool import Pools


log = logging.getLogger("detour.proxy")

SELDOM: Final = 60.0
"""Seconds between two log lines that say the same of ordinary requests."""

MOST_SAID: Final = 1000
"""Such lines that are remembered."""


class Recorder(Protocol):
    """Who is told what became of attempts and exchanges. Called on the hot path: must not block, await or raise."""

    def attempt(self, outcome: Outcome) -> None:
        """One attempt was judged."""

    def answer(self, answer: Answer) -> None:
        """One exchange ended."""

    def rejected(self, provider: str, model: str, kind: str) -> None:
        """The target asked for was not to be called; `kind` as in `Rejection`."""

    def rerouted(self, provider: str, model: str, to_provider: str, to_model: str, cause: str) -> None:
        """A request for one target was answered by another; `cause` is what moved it."""

    def retried(self, provider: str, cause: str) -> None:
        """A further attempt was made, for requests that first went to `provider`; `cause` is how the last one ended."""

    def overspent(self, provider: str) -> None:
        """A further attempt was not made because the retry budget of `provider` is empty."""

    def key(self, provider: str, accepted: bool, http_status: int | None, at: float) -> None:
        """A provider told what it thinks of the key configured for it, by that status at that Unix time.

        Not at every request: an acceptance is told again after a minute at the earliest.
        """


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
        self._prefix = f"{instance}-"
        self.watch = Watch(loop)
        self.batch = Batch(loop)
        limits = config.settings.limits
        self.replay = ReplayMemory(limits.replay_total)
        self.server = Server(self.handle, self.replay, loop=loop)
        self.errands: dict[bytes, Errand] = {}
        """Probes that are out, by their words."""
        self.in_flight = 0
        self.over = False
        """Whether the time to drain is over, and what is under way is being ended."""
        self._numbers = itertools.count(1)
        self.sure: dict[str, float] = {}
        """Until when nobody need be told that a provider accepts the key configured for it."""
        self._said: dict[str, float] = {}
        self.watch.every(self.server.look_for_leaving)
        self.watch.every(lambda now: pools.expire(loop.time()))

    def adopt(self, config: Config, recorder: Recorder) -> None:
        """Serve what begins from now on by another configuration; what is under way goes on by its own.

        What connections remember of their last head belongs to the one before.
        """
        self.config = config
        self.recorder = recorder
        self.replay.limit = config.settings.limits.replay_total
        self.sure.clear()
        self.server.forget_ways()
        known = [way for one in config.providers.values() for way in (one, one.queue) if way is not None]
        origins = ((one.origin, one.list_origin) for one in known)
        self.pools.adopt({origin for pair in origins for origin in pair if origin is not None})

    def has_key(self, provider: Provider) -> bool:
        """Whether the key of `provider` is the one that is configured now; what began before may have another one."""
        known = self.config.providers.get(provider.name)
        return known is provider or (known is not None and known.credential == provider.credential)

    @property
    def draining(self) -> bool:
        """Whether the process is on its way to its end."""
        return self.server.draining

    def say_seldom(self, what: str, now: float) -> None:
        """Log a warning that may apply to every request, once in a while."""
        if now - self._said.get(what, -SELDOM) >= SELDOM:
            if len(self._said) >= MOST_SAID:
                self._said.clear()
            self._said[what] = now
            log.warning("%s", what)

    def request_id(self) -> str:
        """A name for one exchange, unlike any other instance's."""
        return self._prefix + hex(next(self._numbers))[2:]

    def handle(self, request: Request) -> Coroutine[Any, Any, Written]:
        """Serve one request of a client, from here to `ended`."""
        self.in_flight += 1
        return Exchange(self, request).run()

    def ended(self, answer: Answer | None) -> None:
        """One exchange is over, and this is what its client got; None for a probe, which has no client."""
        self.in_flight -= 1
        if answer is not None:
            self.recorder.answer(answer)
