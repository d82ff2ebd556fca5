"""What only one sidecar of a fleet does at a time: to probe, to send alerts, to publish.

A duty is held for a while and renewed long before that is over. Each holder has a number that is higher than those
before it; what is written in the name of a duty says the number, so that one who was frozen meanwhile and believes to
have it still changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from msgspec import Struct

from healthapi.fleet import scripts
from healthapi.fleet.link import Call, Link, LinkError

LIFE: Final = 8.0
"""Seconds for which a duty is held unless it is renewed: another one takes over within so long and a `RENEW`, which
leaves a busy machine five of the fifteen seconds that a takeover may last."""

RENEW: Final = 1.0
"""Seconds between two times that duties are asked for and renewed."""


class _Held(Struct):
    """`until` is when it ends, in monotonic seconds; `away`: the store has not been heard of since it was renewed."""

    number: int = 0
    until: float = 0.0
    away: bool = True


class Duties:
    """The duties this sidecar wants. `now` is in monotonic seconds."""

    def __init__(self, link: Link, prefix: bytes, instance: bytes, now: Callable[[], float]) -> None:
        """Ask for them over `link`, as `instance`."""
        self._link = link
        self._prefix = prefix
        self._instance = instance
        self._now = now
        self._wanted: dict[str, _Held] = {}

    def number(self, name: str, *, alone: bool = False) -> int:
        """The number under which a duty is held here, 0 where it is not; to ask is to want it.

        `alone`: also while the store is away, when it was held here last. Nobody else can take it over meanwhile, but
        for one who hears of the store when this sidecar does not.
        """
        held = self._wanted.setdefault(name, _Held())
        if self._now() < held.until or (alone and held.away):
            return held.number
        return 0

    def forgo(self, name: str) -> None:
        """Want a duty no more; somebody else has it when it is over here."""
        self._wanted.pop(name, None)

    async def renew(self) -> None:
        """Ask for what is wanted, and renew what is held."""
        names = list(self._wanted)
        if not names:
            return
        asked = self._now()
        words: tuple[bytes | int, ...] = (self._instance, round(LIFE * 1000), *map(str.encode, names))
        answer = (await self._link.run([Call(scripts.DUTY, self._prefix, words)]))[0]
        for place, name in enumerate(names):
            held = self._wanted.get(name)
            if held is None:
                continue
            held.away = isinstance(answer, LinkError)
            if not isinstance(answer, LinkError):
                held.number, held.until = answer[place], asked + LIFE if answer[place] else 0.0

    async def resign(self) -> None:
        """Let others have them at once."""
        names = [name for name, held in self._wanted.items() if held.until > self._now()]
        self._wanted.clear()
        if names:
            words: tuple[bytes | int, ...] = (self._instance, 1, *map(str.encode, names))
            await self._link.run([Call(scripts.DUTY, self._prefix, words)])
