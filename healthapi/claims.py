"""Who gives leave to send probes: the shared store of a fleet, or this sidecar where it is alone.

Alone, what was spent and the latest claims are kept beside the records, and written before a probe is sent: neither a
restart nor a crash makes another day of it, or another interval.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Final

from healthapi.claim import Claim, Leave, Refusal
from healthapi.keeper import Keeper
from healthapi.spend import ALL, Spend, Sum
from healthapi.store import StoreError

_LOG: Final = logging.getLogger("detour.probes")

NOTE: Final = "probes"
"""The name of what is kept beside the records."""

KEPT: Final = 100
"""Claims that are kept there, the latest: what they led to is in the records a second later."""

REMEMBERED: Final = 20_000
"""Most claims that are remembered, the latest."""

MINUTE: Final = 60.0

Key = tuple[str, str]


class Claims:
    """Gives leave, and keeps count in `spend`. `wall` tells Unix time in seconds."""

    def __init__(self, keeper: Keeper, spend: Spend, wall: Callable[[], float]) -> None:
        """Give leave as the keeper's fleet does, or alone."""
        self._keeper = keeper
        self._spend = spend
        self._wall = wall
        self._claimed: OrderedDict[Key, float] = OrderedDict()
        self._recent: dict[str, dict[str, float]] = {}
        self._known = False
        self._reading = asyncio.Lock()

    async def claim(self, wanted: Claim) -> Refusal | Leave:
        """Ask for leave to send one probe, which is counted with it."""
        shared = self._keeper.claims
        if shared is None:
            return await self._claim_alone(wanted)
        try:
            answer, told = await shared.claim(wanted)
        except StoreError:
            return Refusal.STORE
        self._spend.hear(*told)
        return answer

    async def correct(self, leave: Leave, provider: str, model: str, requests: int, tokens: int) -> None:
        """Add to what was spent on the day of a leave; -1 requests for one that was not used, which ends then.

        What cannot be corrected stays as it was claimed, which is the most.
        """
        if not requests and not tokens:
            return
        shared = self._keeper.claims
        if shared is not None:
            try:
                self._spend.hear(*await shared.correct(leave, provider, model, requests, tokens))
            except StoreError as error:
                _LOG.warning("what a probe cost could not be corrected: %s", error)
            return
        self._spend.turn()
        if leave[0] == self._spend.day:
            self._spend.book(provider, requests, tokens)
        key = (provider, model)
        if requests < 0 and round(self._claimed.get(key, 0.0) * 1000) == leave[1]:
            del self._claimed[key]
        await self._keep()

    async def refresh(self) -> None:
        """Hear what was spent.

        Raises:
            StoreError: there is no answer.
        """
        shared = self._keeper.claims
        if shared is not None:
            self._spend.hear(*await shared.told())
        else:
            await self._bring_back()

    # -- alone -----------------------------------------------------------------------------------------------------

    async def _claim_alone(self, wanted: Claim) -> Refusal | Leave:
        try:
            await self._bring_back()
        except StoreError:
            return Refusal.STORE
        now = self._wall()
        self._spend.turn()
        refusal = self._refusal(wanted, now)
        if refusal is not None:
            return refusal
        key = (wanted.provider, wanted.model)
        self._spend.book(wanted.provider, 1, wanted.tokens)
        self._recent.setdefault(wanted.provider, {})[wanted.model] = now
        self._claimed[key] = now
        self._claimed.move_to_end(key)
        if len(self._claimed) > REMEMBERED:
            self._claimed.popitem(last=False)
        leave = (self._spend.day, round(now * 1000))
        await self._keep()
        return leave

    def _refusal(self, wanted: Claim, now: float) -> Refusal | None:
        last = self._claimed.get((wanted.provider, wanted.model))
        if last is not None and abs(now - last) < wanted.interval:
            return Refusal.CLAIMED
        recent = {m: at for m, at in self._recent.get(wanted.provider, {}).items() if now - at < MINUTE}
        self._recent[wanted.provider] = recent
        if wanted.models_per_minute and wanted.model not in recent and len(recent) >= wanted.models_per_minute:
            return Refusal.PACED
        caps = ((ALL, wanted.cap), (wanted.provider, wanted.own_cap))
        for name, cap in caps:
            if not self._spend.sum(name).affords(cap, wanted.tokens):
                self._spend.refuse(name)
        fits = all(self._spend.sum(name).fits(cap, wanted.tokens) for name, cap in caps)
        return None if fits else Refusal.CAPPED

    async def _bring_back(self) -> None:
        """Hear what is kept, once. Raises StoreError."""
        if not self._known:
            async with self._reading:
                await self._read()

    async def _read(self) -> None:
        if self._known:
            return
        text = await self._keeper.note(NOTE)
        if text is not None:
            try:
                self._take(json.loads(text))
            except (ValueError, TypeError, LookupError, AttributeError):
                _LOG.warning("what probes have spent today cannot be read, and is counted from nothing")
        self._known = True

    def _take(self, kept: Any) -> None:
        day, claimed = kept["day"] + 0, {(provider, model): at + 0.0 for provider, model, at in kept["claims"]}
        sums = {
            name: Sum(int(requests), int(tokens), refused)
            for name, (requests, tokens, refused) in kept["spent"].items()
        }
        self._spend.hear(day, sums)
        self._claimed.update(claimed)

    async def _keep(self) -> None:
        """Have it outlive this process, as far as the store takes it: its trouble is told elsewhere."""
        spent = {name: [one.requests, one.tokens, one.refused] for name, one in self._spend.sums.items()}
        latest = [(*key, at) for key, at in list(self._claimed.items())[-KEPT:]]
        text = json.dumps({"day": self._spend.day, "spent": spent, "claims": latest}).encode()
        try:
            await self._keeper.put_note(NOTE, text)
        except StoreError as error:
            _LOG.debug("what probes have spent is not kept: %s", error)
