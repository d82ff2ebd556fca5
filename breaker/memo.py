"""What outlives the process of one breaker: kept for after a restart, and told to the other sidecars of a fleet.

Only of providers and targets. Keys are known by fingerprints that every process salts anew, so that what is said of
them means nothing elsewhere.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from msgspec import Struct

from breaker.transition import Cause
from breaker.transitions import State

if TYPE_CHECKING:
    from breaker.breaker import Breaker


class Memo(Struct, frozen=True):
    """One breaker at one moment.

    `model` is None for a provider's. `origin` is why it first opened, `openings` how many openings still count for how
    long the next one lasts. `opened_at` and `retry_at` are Unix seconds, 0 while it is closed.
    """

    provider: str
    model: str | None
    state: State
    cause: Cause | None
    origin: Cause
    reason: str
    manual: bool
    openings: int
    http_status: int | None
    opened_at: float
    retry_at: float

    def left(self, wall: float) -> float:
        """Seconds it has still to stay open at the Unix time `wall`: none when it is being tried out already.

        Never more than it was opened for, whatever the clocks of two machines say.
        """
        if self.state is not State.OPEN:
            return 0.0
        return _between(self.retry_at - wall, self.retry_at - self.opened_at)

    def age(self, wall: float) -> float:
        """Seconds since it opened."""
        return 0.0 if self.state is State.CLOSED else _between(wall - self.opened_at, math.inf)

    @property
    def why(self) -> Cause:
        """What it opened for, as far as that is known; a trial under way is no reason to be open."""
        return self.origin if self.cause in (None, Cause.WAITED) else self.cause


def memo(breaker: Breaker, now: float, wall: float) -> Memo:
    """What is to be remembered of a breaker at `now` on the monotonic clock, which is the Unix time `wall`."""
    ahead = wall - now
    return Memo(
        breaker.provider,
        breaker.model,
        breaker.state,
        breaker.cause,
        breaker.origin,
        breaker.reason,
        breaker.manual,
        breaker.openings,
        breaker.http_status,
        0.0 if breaker.opened_at is None else breaker.opened_at + ahead,
        0.0 if breaker.retry_at is None else breaker.retry_at + ahead,
    )


def _between(seconds: float, most: float) -> float:
    """Limit what comes out of a store; what is no number of seconds at all is none."""
    return min(max(seconds, 0.0), most) if math.isfinite(seconds) and most > 0 else 0.0
