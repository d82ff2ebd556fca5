"""Probes what nobody calls, round by round, on the one sidecar of a fleet whose duty it is."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from breaker.outcome import Neutral
from config.words import Mode
from proxy.purse import UNSENT, Paid
from proxy.rounds import MINUTE, Limits, Sent, choose, due_at, room_at

if TYPE_CHECKING:
    from breaker.registry import Registry
    from config.effective import Config
    from proxy.purse import Health, Purse
    from proxy.rounds import Key, Subject

_LOG: Final = logging.getLogger("detour.probes")

AWAY: Final = 1.0
"""Seconds between two looks whether it is one's turn."""

LOOK: Final = 1.0
"""Seconds after which all targets are looked at again where rounds are closer together than that."""

LEAST: Final = 0.25
"""Least seconds between two looks at all targets."""

STEP: Final = 200
"""Targets that are looked at in one go."""

SOON: Final = {"claimed": 60.0, "paced": 10.0, "store": 5.0, "old": 5.0}
"""Most seconds until a target is looked at again for which there was no leave; else it is as if it had failed."""


class Watchman:
    """Goes the rounds until stopped. `now` is in seconds of a monotonic clock, `wall` in Unix time.

    When a target was heard of last is Unix time, all else is measured by the clock that nobody can set.
    """

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
        self.adopt(config)
        self._registry = registry
        self._health = health
        self._purse = purse
        self._now = now
        self._wall = wall
        self._since: float | None = None
        self._later: dict[Key, float] = {}
        self._sent: list[Sent] = []
        self._task: asyncio.Task[None] | None = None

    def adopt(self, config: Config) -> None:
        """Go on with another configuration."""
        self._config = config
        self._limits = {
            name: Limits(one.probes.max_in_flight, one.probes.models_per_minute, one.probes.pause)
            for name, one in config.providers.items()
        }
        self._keep = max([MINUTE, *(one.pause for one in self._limits.values())])

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
        now = self._now()
        self._since = now if self._since is None else self._since
        subjects = await self._health.subjects()
        due, next_at = await self._due(subjects, now, self._wall() - now)
        due = [(at, one) for at, one in due if one.provider in self._limits]  # others went while somebody had a turn
        self._tidy(now, len(subjects))
        settings = self._config.settings.probes
        chosen = choose(due, now, settings.max_in_flight, self._limits, self._sent)
        if not chosen:
            until = min(next_at, room_at(now, self._limits, self._sent)) if due else next_at
            return max(min(until - now, max(settings.pause, LOOK)), LEAST)
        await asyncio.gather(*(self._probe(one, number, Sent(now, one.provider, one.model)) for one in chosen))
        return max(settings.pause, LEAST)

    async def _due(
        self, subjects: Sequence[Subject], now: float, ahead: float
    ) -> tuple[list[tuple[float, Subject]], float]:
        """Who is due, and when the next of the others is; with turns for others in between.

        `ahead` is how far Unix time is ahead of the monotonic clock.
        """
        due: list[tuple[float, Subject]] = []
        next_at = math.inf
        since, spread = (self._since or now) + ahead, self._config.settings.probes.pause
        for number, one in enumerate(subjects, 1):
            at = max(due_at(one, since, spread) - ahead, self._later.get((one.provider, one.model), 0.0))
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

    async def _probe(self, one: Subject, number: int, note: Sent) -> None:
        self._sent.append(note)
        try:
            paid = await self._purse.send(one.provider, one.model, one.timeout, one.max_tokens, one.interval, number)
        except Exception:
            _LOG.exception("a probe failed in a way nobody thought of")
            paid = Paid(UNSENT)
        if paid.refusal not in (None, UNSENT):
            self._sent.remove(note)
        self._later[one.provider, one.model] = self._now() + self._wait(one, paid)

    def _wait(self, one: Subject, paid: Paid) -> float:
        """Seconds for which a target is left alone whatever its record says, which may not know of this probe yet."""
        if isinstance(paid.status, Neutral):
            return one.interval  # and never will
        if one.provider not in self._config.providers:
            return one.interval  # it is not configured any more
        return min(one.interval, SOON.get(paid.refusal or "", self._config.again(one.provider)))

    def _tidy(self, now: float, subjects: int) -> None:
        self._sent = [one for one in self._sent if now - one.at < self._keep and one.provider in self._limits]
        if len(self._later) > 2 * subjects:
            self._later = {key: until for key, until in self._later.items() if until > now}
