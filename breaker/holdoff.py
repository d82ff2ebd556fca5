"""Leaving a target alone after a 429 (semantics section 2.3). Not a breaker: it ends by itself and needs no trial.

It concerns one target and one key: another key's limit may be far away.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from msgspec import Struct

FIRST: Final = 1.0
"""Seconds of the first hold-off when the provider does not say how long."""

LONGEST: Final = 30.0
"""Seconds up to which it doubles while 429s go on."""

MOST: Final = 10_000
"""Hold-offs that are remembered; the one touched least recently goes first."""

Place = tuple[str, str, str]
"""Provider, model and fingerprint of the key."""


class _HoldOff(Struct):
    until: float
    streak: int


class HoldOffs:
    """All hold-offs there are. Times are monotonic seconds."""

    __slots__ = ("places",)

    def __init__(self) -> None:
        """Hold nothing off."""
        self.places: OrderedDict[Place, _HoldOff] = OrderedDict()
        """Those that are remembered, the one touched least recently first."""

    def limited(self, place: Place, retry_after: float | None, longest: float, now: float) -> float:
        """Hear of a 429, and leave the place alone for `retry_after` seconds, at most `longest`; returns until when.

        A later one extends what there is and never shortens it. Where the provider did not say how long, the time
        doubles from one to the next.
        """
        held = self.places.get(place)
        if held is None:
            held = self.places[place] = _HoldOff(now, 0)
            if len(self.places) > MOST:
                self.places.popitem(last=False)
        self.places.move_to_end(place)
        if retry_after is None:
            retry_after = min(FIRST * 2**held.streak, LONGEST)
        held.streak = min(held.streak + 1, 16)
        held.until = max(held.until, now + min(retry_after, longest))
        return held.until

    def left(self, place: Place, now: float) -> float:
        """Seconds the place is still to be left alone; 0 when it is not."""
        held = self.places.get(place)
        return 0.0 if held is None else max(held.until - now, 0.0)

    def succeeded(self, place: Place) -> None:
        """Forget a place: it answers again."""
        self.places.pop(place, None)

    def forget(self, provider: str, model: str | None = None) -> None:
        """Forget all places of a provider, or of one of its models."""
        for place in [p for p in self.places if p[0] == provider and model in (None, p[1])]:
            del self.places[place]

    def clear(self) -> None:
        """Forget everything."""
        self.places.clear()

    def holding(self, now: float) -> list[tuple[Place, float]]:
        """The places to be left alone at `now`, with the seconds left."""
        return [(place, held.until - now) for place, held in self.places.items() if held.until > now]
