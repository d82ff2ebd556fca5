"""When a breaker trips, and in what words (semantics section 2). Pure: counts in, a reason out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from breaker.transition import Cause, Scope
from config.bases import Frozen

if TYPE_CHECKING:
    from config.settings import Breakers

REASON_LIMIT: Final = 500
"""Longest reason, in characters."""


class Seen(Frozen):
    """What a breaker has seen when it asks: failures in a row, and its window.

    `blamed` are failures blamed on what the breaker stands for. For a provider `below` are those blamed on its models,
    and `models` is how many models failed within the window; both are 0 elsewhere. `slow` of `timed` streamed answers
    began late.
    """

    consecutive: int
    successes: int
    blamed: int
    below: int = 0
    models: int = 0
    slow: int = 0
    timed: int = 0


class Trip(Frozen):
    """A reason to open."""

    cause: Cause
    reason: str


def trip(scope: Scope, seen: Seen, knobs: Breakers, last: str, where: str = "") -> Trip | None:
    """Why a closed breaker has to open, None when it has not.

    `last` is what the last failure was, in a line. `where` says where the window was seen, if not here alone.
    """
    if seen.consecutive >= knobs.failure_threshold:
        failures = f"{seen.consecutive} failures in a row" if seen.consecutive > 1 else "a failure"
        return _told(Cause.CONSECUTIVE, failures, last)
    total = seen.successes + seen.blamed + seen.below
    if total >= knobs.min_requests:
        if seen.blamed / total >= knobs.failure_rate:
            cause = Cause.HOST_RATE if scope is Scope.PROVIDER else Cause.RATE
            return _told(cause, _failed(seen.blamed, total, knobs.window) + where, last)
        failed = seen.blamed + seen.below
        if seen.models > 1 and failed / total >= knobs.failure_rate:
            widely = f"{where} at {seen.models} models or more"
            return _told(Cause.RATE, _failed(failed, total, knobs.window) + widely, last)
    if seen.timed >= knobs.min_requests and seen.slow / seen.timed >= knobs.slow_rate:
        slow = f"{seen.slow} of {seen.timed} streamed answers took longer than {knobs.slow_first_byte:g} s to begin"
        return Trip(Cause.SLOW, slow + where)
    return None


def open_time(knobs: Breakers, openings: int, chance: float) -> float:
    """Seconds to stay open after `openings` earlier ones that still count; `chance` is from 0 to 1, to vary it by."""
    longest = knobs.max_open_for
    # No power that overflows: past some doublings the limit holds anyhow.
    time = knobs.open_for * 2.0 ** min(openings, 64)
    return min(time, longest) * (1 - knobs.jitter * chance)


def _failed(failures: int, total: int, window: float) -> str:
    return f"{failures} of {total} requests failed in {window:g} s"


def _told(cause: Cause, what: str, last: str) -> Trip:
    reason = f"{what}, last: {last}" if last else what
    return Trip(cause, reason[:REASON_LIMIT])
