"""What rules have to remember of before: how healthy things were by minute, and since when breakers are not closed."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from msgspec import Struct, field

MINUTE: Final = 60


class Minute(Struct):
    """Health in one minute: the sum of what was seen, and how often it was."""

    total: float = 0.0
    seen: int = 0


class Memory(Struct):
    """Kept with the alerts, so that whoever goes on with them remembers the same."""

    minutes: dict[int, Minute] = field(default_factory=dict)
    since: dict[str, float] = field(default_factory=dict)

    def take(self, now: float, health: float | None, open_: Collection[tuple[str, float]], within: float) -> bool:
        """Remember what is seen at the Unix time `now`; whether it says more than the minute before.

        `health` is None where it is not known. `open_` are the breakers that are not closed, each with when it opened;
        `within` is how many seconds of health are looked back on.
        """
        changed = self._breakers(dict(open_))
        if health is None:
            return changed
        bucket = int(now // MINUTE)
        minute = self.minutes.get(bucket)
        if minute is None:
            first = int((now - within) // MINUTE)
            self.minutes = {at: kept for at, kept in self.minutes.items() if first <= at <= bucket}
            minute = self.minutes[bucket] = Minute()
            changed = True
        minute.total += health
        minute.seen += 1
        return changed

    def best(self, now: float, within: float) -> float | None:
        """The best whole minute of the last `within` seconds, on average; None where there was none.

        The minute under way does not count: what is only known to begin with is no height to fall from.
        """
        first, bucket = int((now - within) // MINUTE), int(now // MINUTE)
        means = [one.total / one.seen for at, one in self.minutes.items() if first <= at < bucket and one.seen]
        return max(means, default=None)

    def begin_again(self) -> None:
        """Nobody has looked for a while: what is open now may have been closed in between."""
        self.since = {}

    def open_since(self, name: str, opened_at: float) -> float:
        """When a breaker was last closed, as far as is known: it opens anew whenever a trial fails."""
        return min(self.since.get(name, opened_at), opened_at)

    def _breakers(self, open_: dict[str, float]) -> bool:
        changed = open_.keys() != self.since.keys()
        if changed:
            self.since = {name: self.open_since(name, at) for name, at in open_.items()}
        return changed
