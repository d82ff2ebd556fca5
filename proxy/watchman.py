"""Probes what nobody calls, round by round, on the one sidecar of a fleet whose duty it is."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from breaker.outcome import Neutral
from config.words import Mode
from proxy.purse import Paid
from proxy.rounds import MINUTE, Limits, Sent, choose, due_at

if TYPE_CHECKING:
    from breaker.registry import Registry
    from config.effective import Config
    from proxy.purse import Health, Purse
    from proxy.rounds import Key, Subject

_LOG: Final = logging.getLogger("detour.probes")

AWAY: Final = 1.0
"""Seconds between two looks whether it is one's turn."""

LEAST: Final = 0.25
"""Least seconds between two looks at all targets."""

STEP: Final = 200
"""Targets that are looked at in one go."""

SOON: Final = {"claimed": 60.0, "paced": 10.0, "store": 5.0, "old": 5.0}
"""Most seconds until a target is looked at again for which there was no leave; else it is as if it had failed."""


class Watchman:
    """Goes the rounds until stopped. `wall` tells Unix time in seconds."""

    def __init__(
        self,
        config: Config,
        registry: Registry,
        health: Health,
        purse: Purse,
        now: Callable[[], float],
        wall: Callable[[], float],
    ) -> None:
        """Ask `health` who is to be probed, and pay from `purse`."""
        self._config = config
        self._registry = registry
        self._health = health
        self._purse = purse
        self._now = now
        self._wall = wall
        self._limits = {
            name: Limits(one.probes.max_in_flight, one.probes.models_per_minute, one.probes.pause)
            for name, one in config.providers.items()
        }
        self._keep = max([MINUTE, *(one.pause for one in self._limits.values())])
        self._since: float | None = None
        self._later: dict[Key, float] = {}
        self._sent: list[Sent] = []
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin."""
        self._task = asyncio.create_task(self._run(), name="watchman")

    async def stop(self) -> None:
        """End, with what is under way."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            pause = AWAY
            try:
                pause = await self.round()
            except Exception:
                _LOG.exception("a round of probes failed in a way nobody thought of")
            await asyncio.sleep(pause)

    async def round(self) -> float:
        """Probe who is due, if it is one's turn; seconds until the next round."""
        number = self._health.duty()
        if not number:
            self._since = None
            return AWAY
        now = self._wall()
        self._since = now if self._since is None else self._since
        subjects = await self._health.subjects()
        due, next_at = await self._due(subjects, now, self._since)
        self._tidy(now, len(subjects))
        settings = self._config.settings.probes
        chosen = choose(due, now, settings.max_in_flight, self._limits, self._sent)
        if not chosen:
            wait = LEAST if due else next_at - now
            return max(min(wait, settings.pause), LEAST)
        self._sent += [Sent(now, one.provider, one.model) for one in chosen]
        await asyncio.gather(*(self._probe(one, number) for one in chosen))
        return max(settings.pause, LEAST)

    async def _due(
        self, subjects: Sequence[Subject], now: float, since: float
    ) -> tuple[list[tuple[float, Subject]], float]:
        """Who is due, and when the next of the others is; with turns for others in between."""
        due: list[tuple[float, Subject]] = []
        next_at = math.inf
        for number, one in enumerate(subjects, 1):
            at = due_at(one, since, self._config.settings.probes.pause, self._later)
            if at > now:
                next_at = min(next_at, at)
            elif self._open(one):
                due.append((at, one))
            if not number % STEP:
                await asyncio.sleep(0)
        return due, next_at

    def _open(self, one: Subject) -> bool:
        """Whether no breaker is in the way: those that are not closed are tried out in their own time."""
        pair = (self._registry.breaker(one.provider), self._registry.breaker(one.provider, one.model))
        return all(breaker is None or breaker.closed or breaker.mode is not Mode.ENFORCE for breaker in pair)

    async def _probe(self, one: Subject, number: int) -> None:
        try:
            paid = await self._purse.send(one.provider, one.model, one.timeout, one.max_tokens, one.interval, number)
        except Exception:
            _LOG.exception("a probe failed in a way nobody thought of")
            paid = Paid("unsent")
        self._later[one.provider, one.model] = self._wall() + self._wait(one, paid)

    def _wait(self, one: Subject, paid: Paid) -> float:
        """Seconds for which a target is left alone whatever its record says, which may not know of this probe yet."""
        if isinstance(paid.status, Neutral):
            return one.interval  # and never will
        failing = self._config.providers[one.provider].probes.failing
        return min(one.interval, SOON.get(paid.refusal or "", failing))

    def _tidy(self, now: float, subjects: int) -> None:
        self._sent = [one for one in self._sent if now - one.at < self._keep]
        if len(self._later) > 2 * subjects:
            self._later = {key: until for key, until in self._later.items() if until > now}
