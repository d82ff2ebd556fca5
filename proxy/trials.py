"""Tries open breakers out with probes, so that no user's request has to find out whether a provider is back.

As soon as a breaker opens whose trial can be a probe, its trials are reserved: when its open time is over, users'
requests wait for a moment longer (`PROMISE`). A probe that is not sent after all, because the day's caps are reached or
for any other reason, gives them way at once. In a fleet this is up to the sidecar that has the right to try.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterator
from itertools import chain, islice
from typing import TYPE_CHECKING, Final

from breaker.transition import Scope
from breaker.transitions import State
from config.words import Mode
from proxy.credentials import key_of

if TYPE_CHECKING:
    from breaker.breaker import Breaker
    from breaker.registry import Registry
    from breaker.transition import Transition
    from config.effective import Config
    from proxy.purse import Health, Purse

_LOG: Final = logging.getLogger("detour.probes")

PROMISE: Final = 2.0
"""Seconds after its open time for which a breaker's trial is kept for a probe that has not come yet."""

POLL: Final = 0.25
"""Seconds between two looks at a breaker that is due and may not be tried yet."""

LATER: Final = 10.0
"""Seconds for which a breaker is left to users' requests when its trial could not be a probe, or came to nothing."""

IDLE: Final = 60.0

CANDIDATES: Final = 20
"""Most models of a provider that are looked at to find the one to try it out with."""

Place = tuple[str, str]


class Trials:
    """Sees to the breakers of a registry until stopped. `now` is in seconds on its clock."""

    def __init__(
        self, config: Config, registry: Registry, health: Health, purse: Purse, now: Callable[[], float]
    ) -> None:
        """Pay from `purse`."""
        self.adopt(config)
        self._registry = registry
        self._health = health
        self._purse = purse
        self._now = now
        self._wake = asyncio.Event()
        self._out: dict[Breaker, asyncio.Task[None]] = {}
        self._later: dict[Breaker, float] = {}
        self._task: asyncio.Task[None] | None = None
        registry.lent(self._lent)

    def adopt(self, config: Config) -> None:
        """Go on with another configuration."""
        self._config = config
        self._keys = {name: key_of(provider) for name, provider in config.providers.items()}

    def start(self) -> None:
        """Begin."""
        self._task = asyncio.create_task(self._run(), name="trials")

    async def stop(self) -> None:
        """End, with what is under way; users' requests are let through from here on."""
        tasks = [*self._out.values(), *(() if self._task is None else (self._task,))]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for one in self._registry.unwell():
            one.reserved = 0.0

    def moved(self, transition: Transition) -> None:
        """Hear of a breaker's move, on the way of a request: reserve the trials of one that opened."""
        if transition.state is not State.OPEN:
            return
        for one in self._registry.unwell() if transition.scope is Scope.CREDENTIAL else self._named(transition):
            if one.generation == transition.generation and self._ours(one):
                one.reserved = (one.retry_at or 0.0) + PROMISE
                self._wake.set()

    def _named(self, transition: Transition) -> tuple[Breaker, ...]:
        found = self._registry.breaker(transition.provider, transition.model)
        return () if found is None else (found,)

    def _lent(self, one: Breaker) -> None:
        """Hear that a breaker may be tried out here: a probe comes at once, before any user's request."""
        if self._ours(one):
            one.reserved = max(one.reserved, self._now() + PROMISE)
            self._wake.set()

    # -- looking ---------------------------------------------------------------------------------------------------

    async def _run(self) -> None:
        while True:
            self._wake.clear()
            pause = POLL
            try:
                pause = self._look(self._now())
            except Exception:
                _LOG.exception("a look at open breakers failed in a way nobody thought of")
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._wake.wait()

    def _look(self, now: float) -> float:
        """Begin the trials that are due; seconds until the next look."""
        pause = IDLE
        unwell = self._registry.unwell()
        self._later = {one: until for one, until in self._later.items() if until > now and not one.closed}
        for one in unwell:
            if one in self._out or not self._ours(one):
                continue
            wait = max(one.retry_in(now), self._later.get(one, now) - now)
            if wait <= 0:
                wait = POLL
                if one.rejection(now, probe=True) is None:
                    self._begin(one, now)
            pause = min(pause, wait)
        return pause

    def _begin(self, one: Breaker, now: float) -> None:
        if len(self._out) >= self._config.settings.probes.max_in_flight:
            return
        place = next((place for place in self._places(one) if self._admitted(place, now)), None)
        if place is None:
            self._leave(one, now)
            return
        self._out[one] = asyncio.create_task(self._try(one, place), name="trial")

    def _leave(self, one: Breaker, now: float) -> None:
        """Leave a breaker to users' requests for a while."""
        one.reserved = 0.0
        self._later[one] = now + LATER

    def _ours(self, one: Breaker) -> bool:
        """Whether the trials of a breaker can be probes: nobody else's key is ever spent."""
        provider = self._config.providers.get(one.provider)
        if provider is None or not provider.configured or one.mode is not Mode.ENFORCE:
            return False
        if one.scope is Scope.CREDENTIAL and one.key != self._keys[one.provider]:
            return False
        if one.model is not None:
            return not one.model.startswith("~") and self._config.probed(one.provider, one.model)
        return any(True for _ in self._places(one))

    def _places(self, one: Breaker) -> Iterator[Place]:
        """The targets that a breaker could be tried out with, the best first."""
        if one.model is not None:
            yield one.provider, one.model
            return
        configured = (model for provider, model in self._config.target_timeouts if provider == one.provider)
        for model in islice(chain(configured, self._registry.proven(one.provider)), CANDIDATES):
            if self._config.probed(one.provider, model):
                yield one.provider, model

    def _admitted(self, place: Place, now: float) -> bool:
        key = self._keys[place[0]]
        return self._purse.affordable(*place) and self._registry.rejection(*place, now, key, probe=True) is None

    # -- trying ----------------------------------------------------------------------------------------------------

    async def _try(self, one: Breaker, place: Place) -> None:
        """Try a breaker out until it closes, opens again, or a probe says nothing."""
        try:
            while await self._once(one, place):
                pass
        except Exception:
            _LOG.exception("a trial failed in a way nobody thought of")
            self._leave(one, self._now())
        finally:
            del self._out[one]
            self._wake.set()

    async def _once(self, one: Breaker, place: Place) -> bool:
        """Send one probe; whether another one is to follow."""
        limit, max_tokens = self._health.how(*place)
        before = (one.generation, one.trial_successes, one.state)
        one.reserved = max(one.reserved, self._now() + limit + PROMISE)
        paid = await self._purse.send(*place, limit, max_tokens)
        if one.closed or (one.state is State.OPEN and one.generation != before[0]):
            return False
        if paid.refusal is None and one.trial_successes > (before[1] if one.generation == before[0] else 0):
            return True
        self._leave(one, self._now())
        return False
