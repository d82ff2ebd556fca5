"""Three sidecars of a fleet on a real Redis, without their data planes, on one clock that tests move; Redis' own too.

Their records, claims, tiers and rounds are the product's. What a probe comes to says the test.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections import Counter
from collections.abc import AsyncIterator, Callable
from typing import Any, Final

import pytest
import redis
from msgspec import structs

from breaker.outcome import Blame, Kind, Neutral, Outcome, Status, Verdict
from breaker.permit import Permit
from breaker.registry import Registry
from config.effective import Config
from healthapi import keeping
from healthapi.fleet import scripts
from healthapi.fleet.keys import prefix
from healthapi.keeper import Clock
from healthapi.memory import MemoryStore
from healthapi.probing import DUTY, Probing
from healthapi.tiers import Tiers
from proxy.prober import Probed
from proxy.purse import Purse
from proxy.watchman import AWAY, Watchman
from tests.proxy.morning_rules import Fate, Key
from tests.redis_server import RedisServer

BOOT: Final = 5000.0
"""What the monotonic clocks show when the morning begins."""

_TIME: Final = b'redis.call("TIME")'
_MOVED: Final = b'{redis.call("GET", "clock"), 0}'


def move_redis(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have scripts go by a key of the test's instead of the server's clock."""
    for name in ("FLUSH", "CLAIM", "SPENT"):
        script = getattr(scripts, name)
        assert script.text.count(_TIME) == 1
        text = script.text.replace(_TIME, _MOVED)
        sha = scripts.sha1(text, usedforsecurity=False).hexdigest().encode()
        monkeypatch.setattr(scripts, name, structs.replace(script, text=text, sha=sha))


class Town:
    """The fleet. `fate` says what a probe of a target comes to at a time; `sent` are the probes, by whom and when."""

    def __init__(self, server: RedisServer, config: Config, start: int, fate: Callable[[Key, int], Fate]) -> None:
        self.client = redis.Redis(port=server.port)
        self.config = config
        self.fate = fate
        self.start = start
        self.now = start
        self.sent: list[tuple[int, Key, str]] = []
        self.posts = [Post(self, name) for name in "abc"]
        self.move(start)

    def move(self, now: int) -> None:
        """Move all clocks."""
        self.now = now
        self.client.set("clock", now)

    @property
    def holder(self) -> Post:
        """Who has the duty to probe."""
        (holder,) = [post for post in self.posts if post.alive and post.probing.duty()]
        return holder

    def results(self) -> Counter[tuple[str, str]]:
        """What became of all probes, by provider and result."""
        return sum((Counter(post.probing.results) for post in self.posts), Counter())

    async def renew(self) -> None:
        """What each does once a second."""
        for post in self.posts:
            if post.alive:
                post.probing.duty()
                await post.keeper._shared.duties.renew()  # type: ignore[union-attr]

    async def refresh(self) -> None:
        """What each does every few seconds."""
        for post in self.posts:
            if post.alive:
                await post.probing.refresh()

    def expire(self) -> None:
        """Have the holder's lease run out, as it does in Redis' own time."""
        assert self.client.delete(prefix("default", 0) + b"d:" + DUTY.encode()) == 1

    async def look(self, *, dies: bool = False) -> int:
        """Have everybody look whether it is time for a round; when the holder is to look again.

        `dies`: the holder is killed when all leave for its next round is given and nothing is sent yet.
        """
        await self.renew()
        holder = self.holder
        for post in self.posts:
            if post.alive and post is not holder:
                assert await post.watchman.round() == AWAY
        if not dies:
            return self.now + math.ceil(await holder.watchman.round())
        holder.dying = True
        round_ = asyncio.create_task(holder.watchman.round())
        waits = asyncio.create_task(holder.asked_for.wait())
        await asyncio.wait((round_, waits), return_when=asyncio.FIRST_COMPLETED)
        waits.cancel()
        if round_.done():  # nobody was due
            holder.dying = False
            return self.now + math.ceil(round_.result())
        await holder.settled()
        round_.cancel()
        await asyncio.gather(round_, waits, return_exceptions=True)
        holder.alive = False
        return self.now

    async def close(self) -> None:
        self.client.close()
        for post in self.posts:
            await post.keeper.stop()


class Post:
    """One sidecar."""

    def __init__(self, town: Town, name: str) -> None:
        self.town = town
        self.name = name
        self.alive = True
        self.dying = False
        self.asked_for = asyncio.Event()
        config = town.config
        self.store = MemoryStore()
        self.registry = Registry(
            tracked=1000,
            configured=config.targets,
            breakers=config.settings.breakers,
            per_provider={name: one.breakers for name, one in config.providers.items()},
            on_forget=self.store.forget,
        )
        tiers = Tiers()
        self.keeper = keeping.keeper(config, self.store, self.registry, name, Clock(self.monotonic, self.wall))
        self.probing = Probing(config, self.keeper, tiers, self.monotonic, self.wall)
        purse = Purse(config, self.probing, self, self.monotonic)
        self.watchman = Watchman(config, self.registry, self.probing, purse, self.monotonic, self.wall)

    def wall(self) -> float:
        return float(self.town.now)

    def monotonic(self) -> float:
        return self.town.now - self.town.start + BOOT

    async def call(self, key: Key, fate: Fate, kind: Kind = Kind.LIVE) -> None:
        """An attempt, as the data plane records it; the fleet hears of it."""
        status = Neutral.CALLER_ERROR if fate.result == "caller_error" else Status(fate.result)
        bad = isinstance(status, Status) and status is not Status.SUCCESS
        blame = Blame.TARGET if fate.blamed else Blame.TARGET_CREDENTIAL if bad else Blame.NOBODY
        permit = self.registry.admit(*key, self.monotonic(), force=True)
        assert isinstance(permit, Permit)
        made = Outcome(*key, Verdict(status, blame), False, 0.5, 0.1, self.wall(), kind)
        self.store.add(permit.settle(made, self.monotonic()))
        await self.keeper.flush()

    async def probe(self, provider: str, model: str, **_: Any) -> Probed:
        """Send a probe."""
        if self.dying:
            self.asked_for.set()
            await asyncio.Event().wait()
        town, key = self.town, (provider, model)
        fate = town.fate(key, town.now)
        town.sent.append((town.now, key, self.name))
        await self.call(key, fate, Kind.PROBE)
        status = Neutral.CALLER_ERROR if fate.result == "caller_error" else Status(fate.result)
        return Probed(status, "said so", fate.tokens)

    async def settled(self) -> None:
        """Wait until every leave that was asked for is given or refused: whoever asks last is answered last."""
        await self.keeper.claims.told()  # type: ignore[union-attr]


@contextlib.asynccontextmanager
async def town(
    server: RedisServer, config: Config, start: int, fate: Callable[[Key, int], Fate]
) -> AsyncIterator[Town]:
    """A fleet whose first sidecar has the duty."""
    made = Town(server, config, start, fate)
    try:
        await made.renew()
        await made.refresh()
        yield made
    finally:
        await made.close()
