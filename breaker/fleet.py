"""What breakers need to know of a fleet: several sidecars that meet in a shared store.

No decision waits for the store. Who may try an open breaker out is settled in the background, and so is the window that
all of them fill together: what was counted here since the last time is found by looking at the breaker's own window, so
that counting costs what it costs alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from breaker.window import Mark, Window
from config.bases import Frozen

SILENCE: Final = 0.5
"""Seconds of silence of the shared store after which each sidecar decides alone."""

_BEGINNING: Final[Mark] = (0, (0, 0, 0, 0, 0))

Columns = tuple[int, int, int, int, int]
"""Successes, failures blamed on the breaker's own, failures below it, slow answers, quick ones."""


class Fleet:
    """Whether the shared store is heard of. Times are monotonic seconds."""

    __slots__ = ("_joined_at", "heard_at")

    def __init__(self, now: float) -> None:
        """Join at `now`, with nothing heard yet."""
        self._joined_at = now
        self.heard_at = -math.inf
        """When the store last answered."""

    def heard(self, now: float) -> None:
        """Take note of an answer."""
        self.heard_at = max(self.heard_at, now)

    def silent(self, now: float) -> bool:
        """Whether nothing was heard for so long that each decides alone."""
        return now - max(self.heard_at, self._joined_at) > SILENCE


class Share(Frozen):
    """What one closed breaker has counted since its last share, for the fleet's window.

    `counts` are `Columns`. `models` are at most two of a provider's models that failed meanwhile, `last` says how the
    last failure went (both empty when none did). `step` is the length of the window's buckets in seconds. `generation`
    tells whether the breaker has moved since.
    """

    provider: str
    model: str | None
    generation: int
    counts: Columns
    models: tuple[str, ...]
    step: float
    last: str


class Heard(Frozen):
    """What the fleet's window held when it was asked: what this breaker counted until `mark` is in it.

    It is of use until `until`, in monotonic seconds.
    """

    counts: Sequence[int]
    models: int
    last: str
    until: float
    mark: Mark


class Pool:
    """How far one closed breaker's window was given to the fleet's, and what was last heard of that."""

    __slots__ = ("_before", "_heard", "_mark")

    def __init__(self, mark: Mark = _BEGINNING) -> None:
        """Begin with nothing given, or with all that a window held when it was marked so."""
        self._mark = mark
        self._before: Mark | None = None
        self._heard: Heard | None = None

    def cut(self, window: Window, now: float) -> tuple[Columns, int]:
        """What was counted since the last cut, and the number of the first bucket that any of it is in."""
        good, bad, below, slow, quick = window.since(self._mark, now)
        self._before, self._mark = self._mark, window.mark()
        return (good, bad, below, slow, quick), max(self._before[0], window.oldest(now))

    def uncut(self) -> None:
        """Take the last cut back: it was not delivered."""
        if self._before is not None:
            self._mark, self._before = self._before, None

    def hear(self, counts: Sequence[int], models: int, last: str, until: float) -> None:
        """Take in what the fleet's window holds with the last cut in it; nothing when none is out."""
        if self._before is not None:
            self._before = None
            self._heard = Heard(counts, models, last, until, self._mark)

    def heard(self, now: float) -> Heard | None:
        """What was last heard, as long as it is of use."""
        return self._heard if self._heard is not None and now < self._heard.until else None
