"""Leave to make one attempt, and the answer when there is none.

Every attempt holds exactly one permit and gives it back exactly once: settled with what became of the attempt, or
cancelled when none was made. Anything else is a bug of ours and raises, so that a test can see it.
"""

from __future__ import annotations

from typing import Protocol

from msgspec import Struct

from breaker.outcome import Outcome


class PermitError(RuntimeError):
    """A permit was given back twice, or with the outcome of another target: our bug, never the provider's doing."""


class Rejection(Struct, frozen=True):
    """No permit: why, for how many seconds asking again is no use, and the HTTP status that tells the client so."""

    reason: str
    retry_after: float
    status: int


class Issuer(Protocol):
    """Whoever issued a permit; told once of its end, by the permit alone."""

    def settled(self, outcome: Outcome, now: float) -> Outcome:
        """The attempt was made and judged; returns its outcome as tracked."""

    def cancelled(self) -> None:
        """No attempt was made."""


class Permit(Struct, eq=False):
    """Leave to make one attempt at one target."""

    issuer: Issuer
    provider: str
    model: str
    out: bool = True
    """Whether it has still to be given back."""

    def settle(self, outcome: Outcome, now: float) -> Outcome:
        """Give the permit back with what became of the attempt, at `now` on the monotonic clock.

        Returns the outcome as it is tracked: the same one, or a copy under `OTHER_MODEL` for names beyond the bounds.

        Raises:
            PermitError: it was given back before, or the outcome is of another target. Nothing is changed then.
        """
        if outcome.model != self.model or outcome.provider != self.provider:
            raise PermitError(f"outcome of {outcome.provider}/{outcome.model} on a permit for {self._target}")
        if not self.out:
            raise self._twice()
        self.out = False
        return self.issuer.settled(outcome, now)

    def cancel(self) -> None:
        """Give the permit back without an attempt: nothing was sent, nothing is judged.

        Raises:
            PermitError: it was given back before.
        """
        if not self.out:
            raise self._twice()
        self.out = False
        self.issuer.cancelled()

    def _twice(self) -> PermitError:
        return PermitError(f"permit for {self._target} was given back twice")

    @property
    def _target(self) -> str:
        return f"{self.provider}/{self.model}"
