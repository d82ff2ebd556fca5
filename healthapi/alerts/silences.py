"""Silences: for a while nothing is told of some alerts.

They are kept as a note of their own, since they may be asked of any sidecar of a fleet while one alone looks after the
alerts. It is changed only as it was read, so that none is lost where two are asked for at once.

That an alert is over is told all the same to those who were told that it began: what they keep open would stay open for
ever.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Iterable
from typing import Final

import msgspec
from msgspec import Struct

from healthapi.alerts.alert import Alert
from healthapi.keeper import Keeper
from healthapi.store import StoreError

NOTE: Final = "silences"

MOST: Final = 200
"""Silences at a time."""

TRIES: Final = 20
"""Times that silences are read and written again because others were asked for in between."""

REFRESH: Final = 2.0
"""Seconds after which silences are read again that another sidecar may have been told of."""


class Silence(Struct, frozen=True, kw_only=True):
    """One silence, of alerts of a rule, about a subject, or both; None is any.

    A `subject` that ends with `*` stands for all that begin so. `at` and `until` are Unix times.
    """

    id: str
    rule: str | None = None
    subject: str | None = None
    comment: str = ""
    at: float
    until: float

    def covers(self, alert: Alert) -> bool:
        """Whether an alert is meant."""
        if self.rule is not None and alert.rule != self.rule:
            return False
        if self.subject is None:
            return True
        if self.subject.endswith("*"):
            return alert.subject.startswith(self.subject[:-1])
        return alert.subject == self.subject


class FullError(Exception):
    """There are as many silences as there may be."""


class Silences:
    """The silences there are, wherever they were asked for."""

    def __init__(self, keeper: Keeper) -> None:
        """Keep them with `keeper`."""
        self._keeper = keeper
        self._known: list[Silence] = []
        self._read_at: float | None = None
        self._changing = asyncio.Lock()

    def current(self, now: float) -> list[Silence]:
        """Those that have not ended, as last read."""
        return [one for one in self._known if one.until > now]

    def cover(self, alert: Alert, now: float) -> bool:
        """Whether nothing is to be told of an alert."""
        return any(one.covers(alert) for one in self.current(now))

    async def refresh(self, now: float) -> None:
        """Read them again where others may have changed them. Raises StoreError."""
        if self._read_at is None or (self._keeper.fleet and not 0 <= now - self._read_at < REFRESH):
            async with self._changing:
                await self._read(now)

    async def add(
        self, now: float, seconds: float, *, rule: str | None = None, subject: str | None = None, comment: str = ""
    ) -> Silence:
        """Begin a silence.

        Raises:
            FullError: there are too many.
            StoreError: it cannot be kept.
        """
        made = Silence(
            id=secrets.token_hex(6), rule=rule, subject=subject, comment=comment, at=now, until=now + seconds
        )

        def begin(known: list[Silence]) -> list[Silence]:
            if len(known) >= MOST:
                raise FullError
            return [*known, made]

        await self._change(now, begin)
        return made

    async def end(self, identity: str, now: float) -> Silence | None:
        """End a silence; returns it, None where there is none of that id. Raises StoreError."""
        ended: list[Silence] = []

        def end(known: list[Silence]) -> list[Silence]:
            ended[:] = [one for one in known if one.id == identity]
            return [one for one in known if one.id != identity]

        await self._change(now, end)
        return ended[0] if ended else None

    async def _change(self, now: float, change: Callable[[list[Silence]], list[Silence]]) -> None:
        """Read them, and write what becomes of them; again where others did so in between. Raises StoreError."""
        async with self._changing:
            for _ in range(TRIES):
                was = await self._read(now)
                changed = change(self._known)
                if len(changed) == len(self._known):
                    return
                if await self._keeper.swap_note(NOTE, was, msgspec.json.encode(changed)):
                    self._known = changed
                    return
        raise StoreError("silences are changed all the time by others; ask again")

    async def _read(self, now: float) -> bytes | None:
        text = await self._keeper.note(NOTE)
        try:
            kept: Iterable[Silence] = msgspec.json.decode(text, type=list[Silence]) if text else ()
        except (msgspec.MsgspecError, UnicodeDecodeError):
            kept = ()
        self._known = [one for one in kept if one.until > now]
        self._read_at = now
        return text
