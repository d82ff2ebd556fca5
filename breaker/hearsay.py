"""What the breakers of this process tell a store and the other sidecars of a fleet, and what they are told.

The registry's part that is called in the background, never on the way of a request. Reading and writing of whatever is
shared belongs to others.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from breaker.fleet import Fleet, Share
from breaker.memo import Memo, memo
from breaker.outcome import OTHER_MODEL
from breaker.transition import Cause, Scope
from breaker.transitions import State
from config.words import Mode

if TYPE_CHECKING:
    from breaker.breaker import Breaker
    from breaker.company import Company
    from breaker.holdoff import HoldOffs
    from breaker.panel import Panel
    from breaker.tracked import Key, Tracked


class Hearsay:
    """The breakers of providers and targets as others hear of them. `now` is monotonic, `wall` Unix seconds."""

    __slots__ = ("_company", "_hold_offs", "_panel", "_stand_ins", "_targets")

    _company: Company
    _hold_offs: HoldOffs
    _panel: Panel
    _stand_ins: frozenset[Key]
    _targets: Tracked

    # -- states ----------------------------------------------------------------------------------------------------

    def memo(self, provider: str, model: str | None, now: float, wall: float) -> Memo | None:
        """What is to be remembered of a breaker, whatever its state; None where there is none."""
        breaker = self._panel.find(provider, model)
        return None if breaker is None else memo(breaker, now, wall)

    def memos(self, now: float, wall: float) -> list[Memo]:
        """What is worth being remembered: whatever is not closed, or would stay open for longer the next time."""
        return [memo(one, now, wall) for one in self._shared() if not one.closed or one.openings]

    def tell(self, memo: Memo, now: float, wall: float) -> bool:
        """Make a breaker what the memo says; whether anything changed.

        What is being tried out elsewhere is open here, and due. A target that is not tracked yet is, when it is open.
        Ignored are providers that are neither configured nor used, and open breakers where `mode` is off.
        """
        if memo.state is not State.CLOSED:
            breaker = self._open_one(memo.provider, memo.model)
            return breaker is not None and breaker.told_open(memo, now, wall)
        if memo.cause is Cause.RESET:
            self._hold_offs.forget(memo.provider, memo.model)
            return self._panel.told_reset(memo, now)
        breaker = self._panel.find(memo.provider, memo.model)
        if breaker is None and memo.openings:
            breaker = self._closed_one(memo.provider, memo.model)
        return breaker is not None and breaker.told_closed(memo, now)

    def track(self, provider: str, model: str, proven: bool) -> None:
        """Track a target as if it had been attempted, and `proven` as if with success; nothing is counted."""
        if model != OTHER_MODEL:
            self._targets.attempted((provider, model), succeeded=proven)

    # -- a fleet ---------------------------------------------------------------------------------------------------

    def join(self, now: float) -> None:
        """Be one of several sidecars from now on: what is open is tried out by one of them at a time."""
        if self._company.fleet is None:
            self._company.fleet = Fleet(now)

    def heard(self, now: float) -> None:
        """Hear that the shared store has answered."""
        if self._company.fleet is not None:
            self._company.fleet.heard(now)

    def due(self, now: float) -> list[Breaker]:
        """The breakers that want the right to be tried out, or hold it: a lease is to be asked for or renewed."""
        found = [
            one
            for one in self._company.unwell
            if one.scope is not Scope.CREDENTIAL and one.mode is Mode.ENFORCE and one.retry_in(now) <= 0
        ]
        return sorted(found, key=lambda one: (one.provider, one.model or ""))

    def lease(self, provider: str, model: str | None, granted: bool) -> None:
        """Say whether a breaker may be tried out here. Nothing for one that is closed."""
        breaker = self._panel.find(provider, model)
        if breaker is not None and not breaker.closed:
            new = granted and not breaker.leased
            breaker.leased = granted
            if new and self._company.lent is not None:
                self._company.lent(breaker)

    def cut(self, provider: str, model: str | None, now: float) -> Share | None:
        """What a breaker has counted since its last cut; None where there is none, or none that judges and is closed.

        Exactly one of `shared` and `uncut` may follow, before the next cut of the same breaker.
        """
        breaker = self._panel.find(provider, model)
        return None if breaker is None else breaker.cut(now)

    def uncut(self, share: Share) -> None:
        """Take back a share that was not delivered: it will be in the next one."""
        breaker = self._panel.find(share.provider, share.model)
        if breaker is not None:
            breaker.uncut(share)

    def shared(
        self, share: Share, counts: Sequence[int], models: int, now: float, lasts: float, last: str = ""
    ) -> None:
        """Hear what the fleet's window holds in all, this share included, and judge by it at once.

        Args:
            share: what was cut for it. Nothing is heard when the breaker has moved since.
            counts: the five columns of `breaker.fleet.Columns`.
            models: how many of a provider's models failed in the fleet.
            now: monotonic seconds.
            lasts: seconds for which failures here are judged together with it.
            last: how the last failure in the fleet went.

        Raises:
            ValueError: there are not five columns.
        """
        good, bad, below, slow, quick = counts
        if share.model is None or (share.provider, share.model) not in self._stand_ins:
            slow = quick = 0  # nothing could stand in for it here, whatever the others are set up with
        breaker = self._panel.find(share.provider, share.model)
        if breaker is not None:
            breaker.shared(share, (good, bad, below, slow, quick), models, now, lasts, last)

    # -- inside ----------------------------------------------------------------------------------------------------

    def _shared(self) -> Iterator[Breaker]:
        """The breakers that mean something to others: all but those of keys."""
        return (one for one in self._panel if one.scope is not Scope.CREDENTIAL)

    def _open_one(self, provider: str, model: str | None) -> Breaker | None:
        """The breaker to be opened, made if need be."""
        if self._panel.knobs(provider).mode is Mode.OFF or not self._panel.used(provider, model):
            return None
        if model is None:
            return self._panel.host(provider).breaker
        if model == OTHER_MODEL:
            return None
        found = self._targets.get((provider, model))
        return (found or self._targets.attempted((provider, model), succeeded=False)).breaker

    def _closed_one(self, provider: str, model: str | None) -> Breaker | None:
        """The breaker that has yet to be made of something that is configured, so that it goes on where it was."""
        try:
            return self._panel.known(provider, model)
        except KeyError:
            return None
