"""Sends probes out of the day's purse: claimed before, accounted for afterwards."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final, Protocol

from msgspec import Struct

from breaker.outcome import Neutral, Status
from proxy.probe import Asks, Shape, shape

if TYPE_CHECKING:
    from config.effective import Config
    from proxy.prober import Probed
    from proxy.rounds import Subject

_LOG: Final = logging.getLogger("detour.probes")

PROMPT: Final = 16
"""Tokens that are claimed beside those of the answer: what a probe says, with what a provider wraps around it."""

UNASKED: Final = "unasked"
"""Why a target is left alone of which nothing can be asked for next to nothing."""

UNSENT: Final = "unsent"
"""Why nothing is known of a probe, which may have been sent all the same."""

LATE: Final = 2.0
"""Seconds after which leave is of no use any more: this process was held up, and another one may have taken over."""

HELD_UP: Final = "late"
"""Why a probe was not sent that there was leave for."""

MOST_SAID: Final = 1000

Leave = tuple[int, int]
"""What `Health.claim` gives, and wants back."""


class Health(Protocol):
    """What is asked of health about probes, and told (see `healthapi.probing.Probing`)."""

    def duty(self) -> int:
        """The number under which probing is this sidecar's duty, 0 where it is not."""

    def forgo(self) -> None:
        """This sidecar sends no more."""

    async def subjects(self) -> Sequence[Subject]:
        """The targets that may be probed."""

    def how(self, provider: str, model: str) -> tuple[float, int]:
        """Seconds that a probe of a target may take, and tokens that its answer may hold."""

    def fits(self, provider: str, tokens: int) -> bool:
        """Whether there is room today for a probe of so many tokens, as far as is known."""

    async def claim(self, provider: str, model: str, tokens: int, interval: float, number: int) -> str | Leave:
        """Ask for leave to send a probe; a word says why there is none."""

    async def sent(self, leave: Leave, provider: str, model: str, result: str, tokens: int, claimed: int) -> None:
        """A probe was sent."""

    async def not_sent(self, leave: Leave, provider: str, model: str, reason: str, claimed: int) -> None:
        """A probe was claimed and not sent."""

    def skipped(self, provider: str, reason: str) -> None:
        """A probe was not claimed."""


class Sender(Protocol):
    """Who sends (see `proxy.prober.Prober`)."""

    async def probe(self, provider: str, model: str, *, timeout: float, max_tokens: int) -> Probed:  # noqa: ASYNC109
        """Send one probe."""


class Paid(Struct, frozen=True):
    """What became of a probe: why it was refused, or what it came to (None where it was not sent after all)."""

    refusal: str | None = None
    status: Status | Neutral | None = None


class Purse:
    """Sends each probe once it has leave."""

    def __init__(self, config: Config, health: Health, sender: Sender, now: Callable[[], float]) -> None:
        """Ask `health` for leave, and have `sender` send. `now` is in seconds of a monotonic clock."""
        self._config = config
        self._health = health
        self._sender = sender
        self._now = now
        self._said: set[tuple[str, str]] = set()

    def adopt(self, config: Config) -> None:
        """Go on with another configuration."""
        self._config = config

    def affordable(self, provider: str, model: str) -> bool:
        """Whether a target may be tried out by a probe: one is allowed, asks it itself and fits into the day."""
        if not self._config.probed(provider, model):
            return False
        _, max_tokens = self._health.how(provider, model)
        made = self._shape(provider, model, max_tokens)
        return made is not None and made.asks is not Asks.ELSEWHERE and self._health.fits(provider, _price(made))

    def _shape(self, provider: str, model: str, max_tokens: int) -> Shape | None:
        known = self._config.providers.get(provider)
        return None if known is None else shape(known, model, max_tokens)

    async def send(
        self, provider: str, model: str, limit: float, max_tokens: int, interval: float = 0.0, number: int = 0
    ) -> Paid:
        """Send one probe, within `limit` seconds. `interval` and `number` as in `Health.claim`."""
        health = self._health
        made = self._shape(provider, model, max_tokens)
        if made is None:
            health.skipped(provider, UNASKED)
            return Paid(UNASKED)
        price = _price(made)
        asked = self._now()
        leave = await health.claim(provider, model, price, interval, number)
        if isinstance(leave, str):
            return Paid(leave)
        if self._now() - asked > LATE:
            await health.not_sent(leave, provider, model, HELD_UP, price)
            return Paid(HELD_UP)
        probed = await self._sender.probe(provider, model, timeout=limit, max_tokens=max_tokens)
        if probed.rejected:
            await health.not_sent(leave, provider, model, probed.rejected, price)
            return Paid(probed.rejected)
        if probed.status is None:  # whether anything was sent is not certain: what was claimed stays spent
            await health.sent(leave, provider, model, UNSENT, price, price)
            return Paid(UNSENT)
        await health.sent(leave, provider, model, probed.status, probed.tokens, price)
        if probed.status is Neutral.CALLER_ERROR:
            self._say(provider, model, probed.reason)
        return Paid(None, probed.status)

    def _say(self, provider: str, model: str, reason: str) -> None:
        """Tell once of a target that a probe's own mistake keeps from being known."""
        key = (provider, model)
        if key not in self._said:
            if len(self._said) >= MOST_SAID:
                self._said.clear()
            self._said.add(key)
            extra = {"target": f"{provider}/{model}"}
            _LOG.warning("a probe was refused as wrong, and says nothing: %s", reason, extra=extra)


def _price(made: Shape) -> int:
    """The most tokens that a probe can cost."""
    return made.tokens + PROMPT if made.tokens else 0
