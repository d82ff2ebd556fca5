"""What an outcome means to the breaker that waits for it: the pace of an answer, and how a trial went. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from breaker.outcome import Blame, Neutral, Outcome, Status
from breaker.transition import Scope

if TYPE_CHECKING:
    from breaker.breaker import Breaker
    from config.settings import Breakers


def slow(outcome: Outcome, limit: float) -> bool | None:
    """Whether a streamed answer began too late; None where it says nothing about that.

    A client that leaves late without a byte counts too: callers give up before a hung provider times out here.
    """
    if not outcome.streamed or outcome.reasoning:
        return None
    if outcome.first_byte is not None:
        return outcome.first_byte > limit
    gave_up = outcome.verdict.status in (Status.TIMEOUT, Neutral.CANCELLED)
    return True if gave_up and outcome.response_time > limit else None


def passed(one: Breaker, outcome: Outcome, knobs: Breakers) -> bool | None:
    """What an outcome means to a breaker it was a trial of; None when it decides nothing."""
    verdict = outcome.verdict
    if one.scope is Scope.TARGET and one.by_pace and slow(outcome, knobs.slow_first_byte):
        return False
    if verdict.status is Status.SUCCESS:
        return True
    if not verdict.counted:
        return None
    blame = verdict.blame
    if one.scope is Scope.PROVIDER:
        if blame is Blame.PROVIDER:
            return False
        if one.by_host and blame is not Blame.NOBODY:
            return True  # whatever it said, the host answered
        return False if blame is Blame.TARGET else None
    if one.scope is Scope.TARGET:
        return False if blame is Blame.TARGET else None
    own = Blame.PROVIDER_CREDENTIAL if one.model is None else Blame.TARGET_CREDENTIAL
    return False if blame is own and verdict.status is not Status.RATE_LIMITED else None
