"""What is told of a breaker that moved: which, from where to where, and why, for people and for counters."""

from __future__ import annotations

import enum

from breaker.transitions import Event, State
from config.bases import Frozen


class Scope(enum.StrEnum):
    """What a breaker stands for: a host, one of its models, or a key in use at one of them."""

    PROVIDER = "provider"
    TARGET = "target"
    CREDENTIAL = "credential"


class Cause(enum.StrEnum):
    """The kind of reason a breaker moved for."""

    CONSECUTIVE = "consecutive"
    """Failures in a row."""
    RATE = "rate"
    """The share of failures."""
    HOST_RATE = "host_rate"
    """The share of failures that were the host's own, such as broken connections."""
    SLOW = "slow"
    """The share of slow answers."""
    TRIAL_FAILED = "trial_failed"
    WAITED = "waited"
    RECOVERED = "recovered"
    MANUAL = "manual"
    RESET = "reset"


class Transition(Frozen):
    """One move of one breaker.

    `model` is None for a provider's breaker. `credential` is the beginning of the key's fingerprint, None for breakers
    that are not a credential's. `reason` is one line for people. `retry_in` are the seconds until the next trial when
    the breaker opened. `now` is the monotonic time in seconds.
    """

    scope: Scope
    provider: str
    model: str | None
    credential: str | None
    was: State
    state: State
    event: Event
    cause: Cause
    reason: str
    generation: int
    retry_in: float | None
    now: float
