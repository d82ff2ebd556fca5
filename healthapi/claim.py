"""Leave to send one probe: what is asked for, and why there is none."""

from __future__ import annotations

import enum

from msgspec import Struct

from config.settings import Cap

Leave = tuple[int, int]
"""Leave to send one probe: the day (since 1970-01-01) it is spent on, and when it was given, in Unix milliseconds."""


class Refusal(enum.StrEnum):
    """Why a probe is not to be sent."""

    OLD = "old"
    """The duty to probe is another sidecar's by now."""
    CLAIMED = "claimed"
    """There was one of this target in the interval already."""
    PACED = "paced"
    """As many models of its provider as may be were probed within the last minute."""
    CAPPED = "capped"
    """It would go beyond a cap of the day."""
    STORE = "store"
    """The store that counts them does not answer."""


class Claim(Struct, frozen=True):
    """A probe that is to be sent.

    `tokens` are the most it may cost, `interval` the seconds in which there may be one of its target. `duty` is the one
    in whose name it is sent, with its number; "" for a breaker's trial, which belongs to whoever may make it.
    """

    provider: str
    model: str
    tokens: int
    interval: float
    cap: Cap
    own_cap: Cap
    models_per_minute: int = 0
    duty: str = ""
    number: int = 0
