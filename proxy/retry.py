"""What may follow an attempt that failed while nothing has reached the client (semantics section 4). Pure.

The budget, breakers and limits decide whether a move is made; this file says which moves there are, and in what order.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Final

from breaker.outcome import Retry, Status, Verdict
from config.words import OnRateLimit
from proxy.verdict import Ending

if TYPE_CHECKING:
    from proxy.paths import Endpoint

PAUSE: Final = 0.2
"""Seconds up to which the first retry on the same target waits; doubled from one to the next."""


class Move(enum.Enum):
    """What to do next."""

    SAME = "same"
    """The same target once more, after a pause."""
    OTHER = "other"
    """Another target."""
    WAIT = "wait"
    """The same target, when it may be asked again."""


_RESETS: Final = frozenset((Ending.RESET, Ending.LOST))
_SILENT: Final = frozenset((Ending.NO_HEAD, Ending.NO_CONTENT, Ending.STALLED))
_UNSENT: Final = frozenset((Ending.UNREACHABLE, Ending.CONNECT_TIMEOUT))
_REFUSED: Final = frozenset((429, 503))


def moves(verdict: Verdict, ending: Ending, on_rate_limit: OnRateLimit) -> tuple[Move, ...]:
    """The moves after an attempt, in the order they are tried."""
    if verdict.status is Status.RATE_LIMITED:
        return (Move.WAIT, Move.OTHER) if on_rate_limit is OnRateLimit.WAIT else (Move.OTHER, Move.WAIT)
    if verdict.retry is Retry.NEVER:
        return ()
    if verdict.retry is Retry.ANY and (
        ending in _RESETS or (ending not in _SILENT and (verdict.http_status or 0) >= 500)
    ):
        return Move.SAME, Move.OTHER
    return (Move.OTHER,)


def repeatable(endpoint: Endpoint, background: bool, ending: Ending, http_status: int | None) -> bool:
    """Whether the request may be sent again, after an attempt that ended so (proxy-rules 17).

    A generation that creates nothing at the provider may; others only where the provider did certainly not begin.
    """
    if endpoint.repeatable and not background:
        return True
    return ending in _UNSENT or (ending is Ending.COMPLETE and http_status in _REFUSED)


def pause(again: int, chance: float) -> float:
    """Seconds to wait before the `again`-th retry (0 for the first) on a target; `chance` is from 0 to 1."""
    return PAUSE * 2.0 ** min(again, 10) * chance
