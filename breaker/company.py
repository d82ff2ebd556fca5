"""What all breakers of a process have in common."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from breaker.transition import Transition
from breaker.transitions import State

if TYPE_CHECKING:
    from breaker.breaker import Breaker
    from breaker.fleet import Fleet


class Company:
    """The count of their moves, those that are not closed, who is told, and the fleet they are part of."""

    __slots__ = ("_tell", "fleet", "generation", "lapsed", "lent", "random", "unwell")

    def __init__(self, random: Callable[[], float], tell: Callable[[Transition], None] | None) -> None:
        """Vary open times by `random` (0 to 1), and have `tell` hear of every transition."""
        self.random = random
        self._tell = tell
        self.generation = 0
        self.unwell: set[Breaker] = set()
        self.lapsed = 0
        self.fleet: Fleet | None = None
        """None for a process that is alone."""
        self.lent: Callable[[Breaker], None] | None = None
        """Told in a fleet when the right to try a breaker out comes to this sidecar."""

    def moved(self, breaker: Breaker, transition: Transition) -> None:
        """Take note of a transition."""
        if transition.state is State.CLOSED:
            self.unwell.discard(breaker)
        else:
            self.unwell.add(breaker)
        if self._tell is not None:
            self._tell(transition)
