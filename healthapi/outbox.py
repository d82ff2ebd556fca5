"""What waits to be told to a store: deltas, added up by target, kind and minute.

Because they add up, what waits grows with how much there is to tell apart and not with how many requests there were:
an outage of a store costs memory for targets and minutes alone.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import Final

from breaker.outcome import Kind
from healthapi.delta import Delta

MOST: Final = 50_000
"""Deltas that are kept apart, some 50 MB; beyond that a target's later minutes are added to its last one."""

_Place = tuple[str, str, Kind, int]


class Outbox:
    """Deltas that wait. What is put in belongs to the outbox; the order of one target's deltas is kept."""

    __slots__ = ("_most", "_places", "_waiting")

    def __init__(self, most: int = MOST) -> None:
        """Keep `most` deltas apart."""
        self._most = most
        self._waiting: dict[_Place, Delta] = {}
        self._places: dict[tuple[str, str], dict[_Place, None]] = {}  # of each target, in the order of `_waiting`

    def __len__(self) -> int:
        """How many wait."""
        return len(self._waiting)

    def add(self, delta: Delta) -> None:
        """Put one in."""
        target = (delta.provider, delta.model)
        place = (*target, delta.kind, delta.minute)
        places = self._places.setdefault(target, {})
        earlier = self._waiting.get(place)
        if earlier is None and len(self._waiting) >= self._most:
            place = next((one for one in reversed(places) if one[2] is delta.kind), place)
            earlier = self._waiting.get(place)
        if earlier is None:
            self._waiting[place] = delta
        else:
            earlier.follow(delta)
            # Last again: how the last attempts of a target went is told by the delta that comes last, of either kind.
            self._waiting[place] = self._waiting.pop(place)
            del places[place]
        places[place] = None

    def extend(self, deltas: Iterable[Delta]) -> None:
        """Put several in."""
        for delta in deltas:
            self.add(delta)

    def move(self, provider: str, model: str, to: str | None) -> None:
        """Let a target's deltas be those of another model, or of none: its record left."""
        for delta in [self._waiting.pop(place) for place in self._places.pop((provider, model), ())]:
            if to is not None:
                delta.model = to
                self.add(delta)

    def take(self, most: int | None = None) -> list[Delta]:
        """Take out what waits, or so many of the oldest."""
        if most is None or most >= len(self._waiting):
            waiting, self._waiting = self._waiting, {}
            self._places = {}
            return list(waiting.values())
        return [self._take(place) for place in list(islice(self._waiting, most))]

    def clear(self) -> None:
        """Forget what waits."""
        self._waiting.clear()
        self._places.clear()

    def _take(self, place: _Place) -> Delta:
        target = place[:2]
        places = self._places[target]
        del places[place]
        if not places:
            del self._places[target]
        return self._waiting.pop(place)
