"""The state machine of a breaker: one table, and one function that reads it.

Nothing else decides which state follows which. The diagram in the docs is drawn from this table.
"""

from __future__ import annotations

import enum
from typing import Final


class State(enum.StrEnum):
    """What a breaker lets through: everything, nothing, or a few trials."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class Event(enum.StrEnum):
    """What can happen to a breaker."""

    TRIP = "trip"
    """The policy found too many failures, or too many slow answers."""
    WAITED = "waited"
    """The open time is over and somebody asks."""
    RECOVERED = "recovered"
    """Enough trials succeeded."""
    RELAPSED = "relapsed"
    """A trial failed."""
    FORCE_OPEN = "force_open"
    FORCE_CLOSE = "force_close"
    RESET = "reset"
    TOLD_OPEN = "told_open"
    """The store after a restart, or another sidecar of the fleet, says that it is open."""
    TOLD_CLOSED = "told_closed"
    """The same, that it is closed."""


TABLE: Final[dict[tuple[State, Event], State]] = {
    (State.CLOSED, Event.TRIP): State.OPEN,
    (State.OPEN, Event.WAITED): State.HALF_OPEN,
    (State.HALF_OPEN, Event.RECOVERED): State.CLOSED,
    (State.HALF_OPEN, Event.RELAPSED): State.OPEN,
    **{(state, Event.FORCE_OPEN): State.OPEN for state in State},
    **{(state, Event.FORCE_CLOSE): State.CLOSED for state in State},
    **{(state, Event.RESET): State.CLOSED for state in State},
    **{(state, Event.TOLD_OPEN): State.OPEN for state in State},
    **{(state, Event.TOLD_CLOSED): State.CLOSED for state in State},
}
"""State and event to next state; a pair that is not here is illegal."""


class IllegalEventError(Exception):
    """An event that cannot happen in this state: our bug. Nothing was changed."""


def after(state: State, event: Event) -> State:
    """The state that follows.

    Raises:
        IllegalEventError: the table has no such pair.
    """
    following = TABLE.get((state, event))
    if following is None:
        raise IllegalEventError(f"{event} cannot happen to a breaker that is {state}")
    return following
