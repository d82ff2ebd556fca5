"""How many further attempts a provider's requests may cost (semantics section 4).

Retries help while few requests fail and hurt when most do. So what may be spent on them is a share of the requests
there were lately, with a small amount that is always there for providers with little traffic.
"""

from __future__ import annotations

from typing import Final

from breaker.window import Window

SPAN: Final = 60.0
"""Seconds that count as lately."""

LEAST: Final = 10
"""Further attempts in `SPAN` that are always allowed."""

_REQUESTS, _SPENT = 0, 1


class Budget:
    """Further attempts for the requests that first went to one provider."""

    __slots__ = ("_share", "_window")

    def __init__(self, share: float) -> None:
        """Allow a `share` (0 to 1) of the requests of the last minute."""
        self._share = share
        self._window = Window(SPAN, 2)

    def adopt(self, share: float) -> None:
        """Allow another share from now on."""
        self._share = share

    def request(self, now: float) -> None:
        """Count a request."""
        self._window.at(now)[_REQUESTS] += 1

    def left(self, now: float) -> float:
        """How many further attempts may be made at `now`."""
        requests, spent = self._window.counts(now)
        return max(max(self._share * requests, LEAST) - spent, 0.0)

    def spend(self, now: float) -> bool:
        """Take one further attempt out of the budget, if there is one."""
        if self.left(now) < 1:
            return False
        self._window.add(_SPENT, now)
        return True
