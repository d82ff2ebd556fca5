"""What is asked of health by who sends probes (which targets, whose turn, leave to send), and what it is told."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from config.effective import Config
from healthapi.claim import Claim, Leave, Refusal
from healthapi.claims import Claims
from healthapi.keeper import Keeper
from healthapi.record import Record
from healthapi.spend import ALL, Spend
from healthapi.store import Scope, StoreError
from healthapi.subjects import Subject, subjects
from healthapi.tiers import RENEW, Tiers

DUTY: Final = "prober"
"""The duty to probe: one sidecar of a fleet does."""

REFRESH: Final = 5.0
"""Seconds between two times that a fleet's spending is heard of."""


class Probing:
    """Health as the prober sees it. `now` is in seconds of a monotonic clock, `wall` in Unix time."""

    def __init__(
        self,
        config: Config,
        keeper: Keeper,
        tiers: Tiers,
        now: Callable[[], float],
        wall: Callable[[], float],
        delisted: Callable[[Record], bool] = lambda _: False,
    ) -> None:
        """Ask the keeper, and renew `tiers`. Models that are `delisted` are left alone."""
        self._config = config
        self._keeper = keeper
        self._tiers = tiers
        self._now = now
        self._wall = wall
        self._delisted = delisted
        self._renewed: float | None = None
        self.spend = Spend(config, wall)
        self._claims = Claims(keeper, self.spend, wall)
        self.results: dict[tuple[str, str], int] = {}
        """What became of probes, by provider and result."""
        self.tokens: dict[str, int] = {}
        """What they cost, by provider."""

    def adopt(self, config: Config) -> None:
        """Go on with another configuration; tiers are told anew at the next look."""
        self._config = config
        self.spend.adopt(config)
        self._renewed = None
        self.results = {key: count for key, count in self.results.items() if key[0] in config.providers}
        self.tokens = {name: count for name, count in self.tokens.items() if name in config.providers}

    def start(self) -> None:
        """Have tiers and spending heard of again and again, from the keeper's start on."""
        self._keeper.every(REFRESH, self.refresh)

    async def refresh(self) -> None:
        """Hear what was spent, and count traffic anew when it is time.

        Raises:
            StoreError: it cannot be told now.
        """
        now = self._now()
        if self._renewed is None or now - self._renewed >= RENEW:
            picture = await self._keeper.reading(Scope.FLEET)
            await self._tiers.renew(picture.store.records(), self._config.targets, self._wall())
            self._renewed = now
        await self._claims.refresh()

    # -- asked -----------------------------------------------------------------------------------------------------

    def duty(self) -> int:
        """The number under which it is this sidecar's turn to probe, 0 where it is another one's."""
        return self._keeper.duty(DUTY)

    def forgo(self) -> None:
        """Leave the duty to another sidecar: this one sends no more."""
        self._keeper.forgo(DUTY)

    async def subjects(self) -> Sequence[Subject]:
        """The targets that may be probed; none while it is not known when they were called last."""
        try:
            if self._renewed is None:
                await self.refresh()
            picture = await self._keeper.reading(Scope.FLEET)
        except StoreError:
            return ()
        if picture.stale is not None:
            return ()
        return await subjects(picture.store.records(), self._config, self._tiers, self._wall(), self._delisted)

    def how(self, provider: str, model: str) -> tuple[float, int]:
        """How a target is probed: seconds that an answer may take, and tokens it may hold."""
        how = self._config.probing(provider, model, self._tiers.of(self._config, provider, model))
        return how.timeout, how.max_tokens

    def fits(self, provider: str, tokens: int) -> bool:
        """Whether there is room today for a probe of so many tokens, as far as is known here."""
        return self.spend.fits(provider, tokens)

    async def claim(self, provider: str, model: str, tokens: int, interval: float, number: int) -> Refusal | Leave:
        """Ask for leave to send one probe, which is counted with it.

        `interval` are the seconds in which there may be one. `number` is the duty's; 0 for a breaker's trial, which
        belongs to whoever may make it.
        """
        limits = self._config.providers[provider].probes
        wanted = Claim(
            provider,
            model,
            tokens,
            interval,
            self.spend.cap(ALL),
            limits.daily_cap,
            limits.models_per_minute,
            DUTY if number else "",
            number,
        )
        answer = await self._claims.claim(wanted)
        if isinstance(answer, Refusal):
            self._count(provider, answer)
        return answer

    # -- told ------------------------------------------------------------------------------------------------------

    async def sent(self, leave: Leave, provider: str, model: str, result: str, tokens: int, claimed: int) -> None:
        """Hear that a probe was sent, what it came to and cost, and how much had been claimed for it."""
        self._count(provider, result)
        if provider in self._config.providers:
            self.tokens[provider] = self.tokens.get(provider, 0) + tokens
        await self._claims.correct(leave, provider, model, 0, tokens - claimed)

    async def not_sent(self, leave: Leave, provider: str, model: str, reason: str, claimed: int) -> None:
        """Hear that a probe was claimed and not sent."""
        self._count(provider, reason)
        await self._claims.correct(leave, provider, model, -1, -claimed)

    def skipped(self, provider: str, reason: str) -> None:
        """Hear that a probe was not even claimed."""
        self._count(provider, reason)

    def _count(self, provider: str, result: str) -> None:
        key = (provider, result)
        if provider not in self._config.providers:  # it has just gone
            return
        self.results[key] = self.results.get(key, 0) + 1
