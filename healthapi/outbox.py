"""What waits to be told to a store: deltas, added up by target, kind and minute.

Because they add up, what waits grows with how much there is to tell apart and not with how many requests there were:
an outage of a store costs memory for targets and minutes alone.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from breaker.outcome import Kind
from healthapi.delta import Delta

MOST: Final = 50_000
"""Deltas that are kept apart, some 50 MB; beyond that a target's later minutes are added to its last one."""

_Place = tuple[str, str, Kind, int]


class Outbox:
    """Deltas that wait. What is put in belongs to the outbox; the order of one target's deltas is kept."""

    __slots__ = ("_latest", "_most", "_waiting")

    def __init__(self, most: int = MOST) -> None:
        """Keep `most` deltas apart."""
        self._most = most
        self._waiting: dict[_Place, Delta] = {}
        self._latest: dict[tuple[str, str, Kind], _Place] = {}

    def __len__(self) -> int:
        """How many wait."""
        return len(self._waiting)

    def add(self, delta: Delta) -> None:
        """Put one in."""
        target = (delta.provider, delta.model, delta.kind)
        place = (*target, delta.minute)
        earlier = self._waiting.get(place)
        if earlier is None and len(self._waiting) >= self._most and target in self._latest:
            earlier = self._waiting[self._latest[target]]
        if earlier is None:
            self._waiting[place] = delta
            self._latest[target] = place
        else:
            earlier.follow(delta)
            # Last again: how the last attempts of a target went is told by the delta that comes last, of either kind.
            place = (*target, earlier.minute)
            self._waiting[place] = self._waiting.pop(place)

    def extend(self, deltas: Iterable[Delta]) -> None:
        """Put several in."""
        for delta in deltas:
            self.add(delta)

    def move(self, provider: str, model: str, to: str | None) -> None:
        """Let a target's deltas be those of another model, or of none: its record left."""
        for delta in [one for one in self._waiting.values() if one.model == model and one.provider == provider]:
            del self._waiting[provider, model, delta.kind, delta.minute]
            self._latest.pop((provider, model, delta.kind), None)
            if to is not None:
                delta.model = to
                self.add(delta)

    def take(self, most: int | None = None) -> list[Delta]:
        """Take out what waits, or so many of the oldest."""
        if most is None or most >= len(self._waiting):
            waiting, self._waiting = self._waiting, {}
            self._latest.clear()
            return list(waiting.values())
        places = [place for place, _ in zip(self._waiting, range(most), strict=False)]
        for place in places:
            if self._latest.get(place[:3]) == place:
                del self._latest[place[:3]]
        return [self._waiting.pop(place) for place in places]

    def clear(self) -> None:
        """Forget what waits."""
        self._waiting.clear()
        self._latest.clear()
