"""The desk: looks after the alerts once a second, on the one sidecar of a fleet whose duty it is.

What goes on is written down before anything is sent, messages that are still to be sent among it, under the number of
the duty. So whoever takes over, after a restart or a kill -9, goes on where this one stopped: with the same alerts, and
with what was not delivered yet. One who has lost the duty without knowing writes nothing, and so sends nothing new.
While the store is away the sidecar that had the duty goes on alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

import msgspec
from msgspec import Struct

from config.alerts import Rules, Severity
from healthapi.alerts import notes
from healthapi.alerts.alert import Alert
from healthapi.alerts.book import GAP, Book, Notice
from healthapi.alerts.channels.contract import Channel
from healthapi.alerts.inhibition import explain
from healthapi.alerts.letters import Writer
from healthapi.alerts.memory import Memory
from healthapi.alerts.message import State
from healthapi.alerts.notes import Kept, Parcel
from healthapi.alerts.rules import find, policy
from healthapi.alerts.sender import Result, Sender, Tried
from healthapi.alerts.silences import Silences
from healthapi.alerts.situation import Situation
from healthapi.keeper import Keeper
from healthapi.store import StoreError

_LOG: Final = logging.getLogger("detour.alerts")

DUTY: Final = "alerts"

EVERY: Final = 1.0
"""Seconds between two evaluations of the rules."""

SHARE: Final = 0.05
"""Most of its time that a sidecar looks at everything: where that takes long, it is done less often than once a second,
and the rules are applied to what was seen last."""

KEEP: Final = 30.0
"""Most seconds, while there are alerts, between two times that it is written down that somebody looks after them: who
takes over does not begin anew with what was pending (`healthapi.alerts.book.GAP`)."""

PARCELS: Final = 1000
"""Messages that are kept for all channels together."""

Look = Callable[[float], Awaitable[Situation]]
"""Looks at everything; told over how many seconds requests are counted."""


class Shown(Struct, frozen=True):
    """All alerts as a page shows them. `here`: this sidecar looks after them; `left_out` is what found no room."""

    active: list[Alert]
    past: list[Alert]
    here: bool
    left_out: int


class Desk:
    """The alerts of a fleet, or of a sidecar alone. Used from one event loop; `now` tells Unix time in seconds.

    Args:
        rules: the section `alerts.rules`.
        channels: the channels by name.
        keeper: where everything is kept, and who knows whose duty it is.
        fleet: the fleet's name.
        instance: this sidecar's.
        now: the clock.
        waits: seconds between attempts at a message.
    """

    def __init__(
        self,
        rules: Rules,
        channels: Mapping[str, Channel],
        keeper: Keeper,
        *,
        fleet: str,
        instance: str,
        now: Callable[[], float],
        waits: tuple[float, ...] | None = None,
    ) -> None:
        """Begin with nothing; what was kept is read when the duty is first had."""
        self._rules = rules
        self._keeper = keeper
        self._writer = Writer(fleet, instance)
        self._now = now
        self._number = 0
        self._book = Book()
        self._memory = Memory()
        self._parcels: list[Parcel] = []
        self._changed = False
        self._situation: Situation | None = None
        self._look_at = 0.0
        self._kept_at = 0.0
        self._keeping = asyncio.Lock()
        self._stopped = False
        self.channels = tuple(channels)
        self.silences = Silences(keeper)
        self.sender = Sender(channels, self._mine, self._done, now, waits)

    def adopt(self, rules: Rules, channels: Mapping[str, Channel]) -> None:
        """Go on with other rules and channels; alerts that fire go on, and so do messages that wait."""
        self._rules = rules
        self.channels = tuple(channels)
        self.sender.adopt(channels)
        left = [parcel for parcel in self._parcels if parcel.channel in channels]
        if len(left) < len(self._parcels):
            extra = {"dropped": len(self._parcels) - len(left)}
            _LOG.warning("alerts that waited for channels that are gone are dropped", extra=extra)
            self._parcels, self._changed = left, True

    # -- what is asked ---------------------------------------------------------------------------------------------

    @property
    def here(self) -> bool:
        """Whether this sidecar looks after the alerts."""
        return self._number != 0

    @property
    def tried(self) -> Mapping[str, Tried]:
        """The last attempt at each channel that this sidecar made."""
        return self.sender.tried

    @property
    def counts(self) -> Counter[tuple[str, Result]]:
        """What became of messages and attempts so far, by channel."""
        return self.sender.counts

    def firing(self) -> Counter[tuple[str, Severity]]:
        """How many alerts fire by rule and severity, of those that this sidecar looks after."""
        return Counter((alert.rule, alert.severity) for alert in self._book.active if alert.state is State.FIRING)

    @property
    def health(self) -> float | None:
        """Healthy models of known ones as the rules saw it last, 0-100; None where another sidecar looks after that."""
        return None if not self.here or self._situation is None else self._situation.health

    async def shown(self) -> Shown:
        """All alerts, wherever they are looked after.

        Raises:
            StoreError: another sidecar looks after them, and what it wrote down cannot be read.
        """
        if self.here:
            return Shown(self._book.active, self._book.past, True, self._book.left_out)
        kept = await notes.active(self._keeper)
        return Shown(sorted(kept.alerts, key=lambda one: one.since), await notes.past(self._keeper), False, 0)

    async def test(self, channel: str) -> Tried:
        """Try a channel out, whoever looks after the alerts. Raises KeyError."""
        return await self.sender.test(channel, self._writer.trial(channel, self._now()))

    # -- what is done once a second ----------------------------------------------------------------------------------

    async def tick(self, look: Look) -> None:
        """Look at everything, decide what is to be told, write it down, and have it sent."""
        number = self._keeper.duty(DUTY, alone=True)
        if self._stopped or not await self._hold(number):
            return
        now = self._now()
        with contextlib.suppress(StoreError):  # then those that are known hold on
            await self.silences.refresh(now)
        situation = await self._seen(look)
        if not self._number:  # lost meanwhile
            return
        now = self._now()
        if now - self._book.at > GAP:
            self._memory.begin_again()
        self._changed |= self._memory.take(
            now, situation.health, [(one.name, one.at) for one in situation.open], self._rules.drop.within
        )
        findings = find(situation, self._memory, self._rules, self._book.firing())
        findings = explain(findings, situation, self._memory, self._rules, self._book, now)
        for notice in self._book.step(findings, now, self._rules, lambda alert: self.silences.cover(alert, now)):
            self._tell(notice, now)
        self._changed |= bool(self._book.active) and not 0 <= now - self._kept_at < KEEP
        await self._keep()
        await self._send()

    async def stop(self) -> None:
        """Send nothing more. What was not delivered is kept, and sent by whoever goes on."""
        self._stopped = True
        await self.sender.stop()
        if self._keeper.trouble is None:  # else it would only be waited for
            await self._keep()

    # -- inside ----------------------------------------------------------------------------------------------------

    def _mine(self) -> bool:
        return not self._stopped and self._number != 0 and self._keeper.duty(DUTY, alone=True) == self._number

    async def _hold(self, number: int) -> bool:
        """Take the duty over, or let go of it; whether it is had."""
        if number == self._number:
            return number != 0
        await self._leave()
        if not number:
            return False
        try:
            kept, past = await notes.active(self._keeper), await notes.past(self._keeper)
        except StoreError as error:
            if self._keeper.fleet:
                return False  # the next time: what another one was about to tell must not be lost
            _LOG.info("alerts begin anew, as those before cannot be read: %s", error)
            kept, past = Kept(), []
        self._book = Book(kept.alerts, past, kept.at)
        self._memory = kept.memory
        self._parcels = kept.parcels
        self._kept_at = 0.0
        self._number = number
        return True

    async def _leave(self) -> None:
        self._number = 0
        self._book, self._memory, self._parcels = Book(), Memory(), []
        self._situation = None
        await self.sender.stop()

    async def _seen(self, look: Look) -> Situation:
        """How things are: looked at anew, unless that takes so long that it has to wait."""
        began = self._now()
        if self._situation is None or not 0 < self._look_at - began <= EVERY / SHARE:
            self._situation = await look(self._rules.error_budget.within)
            ended = self._now()
            self._look_at = ended + min(max((ended - began) / SHARE - EVERY, 0.0), EVERY / SHARE)
        return self._situation

    def _tell(self, notice: Notice, now: float) -> None:
        """Put a message into the post: a parcel for each channel of the rule."""
        alert = notice.alert
        message = self._writer.of(notice, now)
        rule = policy(self._rules, alert.rule)
        named = rule.channels if rule is not None and rule.channels else self.channels
        self._parcels += [Parcel(name, message) for name in named]
        for lost in self._parcels[:-PARCELS]:
            self.sender.counts[lost.channel, Result.DROPPED] += 1
        self._parcels = self._parcels[-PARCELS:]
        extra = {"rule": alert.rule, "subject": alert.subject, "severity": alert.severity, "alert": alert.id}
        level = logging.INFO if alert.state is State.RESOLVED else logging.WARNING
        _LOG.log(level, "alert %s: %s", alert.state, message.message, extra=extra)

    async def _send(self) -> None:
        if self._mine():
            for parcel in list(self._parcels):
                await self.sender.put(parcel)

    async def _done(self, parcel: Parcel, result: Result) -> None:
        """Hear what became of a message, and write it down at once: whoever takes over must not send it again."""
        if parcel not in self._parcels:
            return
        self._parcels.remove(parcel)
        alert = self._book.find(parcel.message.id)
        if alert is not None:
            alert.results[parcel.channel] = result.value
            self._book.past_changed |= alert.state is State.RESOLVED
        self._changed = True
        await self._keep()

    async def _keep(self) -> None:
        """Write down what changed. Where the duty is somebody else's by now, all of it is theirs."""
        async with self._keeping:
            book, number = self._book, self._number
            if not number or not (self._changed or book.changed or book.past_changed):
                return
            past = book.past_changed
            kept = Kept(at=book.at, alerts=book.active, parcels=self._parcels, memory=self._memory)
            text, whole = msgspec.json.encode(kept), msgspec.json.encode(book.past) if past else b""
            self._changed = book.changed = book.past_changed = False
            try:
                ours = not past or await self._keeper.put_note(notes.PAST, whole, DUTY, number)
                ours = ours and await self._keeper.put_note(notes.ACTIVE, text, DUTY, number)
                self._kept_at = book.at
            except StoreError:
                self._changed, book.past_changed = True, book.past_changed or past
                return
            except asyncio.CancelledError:  # of a message that was just delivered
                self._changed, book.past_changed = True, book.past_changed or past
                raise
        if not ours and number == self._number:
            _LOG.info("another sidecar looks after the alerts now")
            self._number = 0
