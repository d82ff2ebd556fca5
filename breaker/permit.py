"""Leave to make one attempt, and the answer when there is none.

Every attempt holds exactly one permit and gives it back exactly once: settled with what became of the attempt, or
cancelled when none was made. Anything else is a bug of ours and raises, so that a test can see it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from breaker.outcome import Outcome
from breaker.transition import Scope
from config.bases import Frozen

if TYPE_CHECKING:
    from breaker.breaker import Breaker


class PermitError(Exception):
    """A permit was given back twice, or with the outcome of another target: our bug, never the provider's doing."""


class Rejection(Frozen):
    """No permit.

    `reason` says why in a line, `retry_after` for how many seconds asking again is no use (more than 0), `status` which
    HTTP status tells the client so. `kind` is `open`, `half_open` (open but for trials, and those are out), `hold_off`
    or `credential`; `scope` is that of the breaker that refuses.
    """

    reason: str
    retry_after: float
    status: int
    kind: str = "open"
    scope: Scope = Scope.TARGET


class Issuer(Protocol):
    """Whoever issued a permit; told of its end, by the permit alone."""

    def settled(self, permit: Permit, outcome: Outcome, now: float) -> Outcome:
        """The attempt was made and judged; returns its outcome as tracked."""

    def proved(self, permit: Permit, now: float, first_byte: float | None) -> None:
        """A trial's answer has begun well."""

    def cancelled(self, permit: Permit) -> None:
        """No attempt was made."""


class Permit:
    """Leave to make one attempt at one target, with the key whose fingerprint is `key`.

    `generation` tells which transitions it has seen: a breaker that moved since does not listen to it. `trials` are the
    half-open breakers it is a trial of.
    """

    __slots__ = ("generation", "issuer", "key", "model", "out", "provider", "trials")

    def __init__(
        self,
        issuer: Issuer,
        provider: str,
        model: str,
        key: str = "",
        generation: int = 0,
        trials: tuple[Breaker, ...] = (),
    ) -> None:
        self.issuer = issuer
        self.provider = provider
        self.model = model
        self.key = key
        self.generation = generation
        self.trials = trials
        self.out = True
        """Whether it has still to be given back."""

    @property
    def trial(self) -> bool:
        """Whether a half-open breaker waits for what becomes of it."""
        return bool(self.trials)

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
        return self.issuer.settled(self, outcome, now)

    def proved(self, now: float, first_byte: float | None = None) -> None:
        """Say that a streamed answer's first content has come, `first_byte` seconds after the request was sent.

        A trial succeeds by that: an answer of ten minutes must not delay recovery. If it breaks later, that is a new
        outcome. Does nothing for a permit that is no trial.
        """
        if self.trials:
            self.issuer.proved(self, now, first_byte)

    def cancel(self) -> None:
        """Give the permit back without an attempt: nothing was sent, nothing is judged.

        Raises:
            PermitError: it was given back before.
        """
        if not self.out:
            raise self._twice()
        self.out = False
        self.issuer.cancelled(self)

    def _twice(self) -> PermitError:
        return PermitError(f"permit for {self._target} was given back twice")

    @property
    def _target(self) -> str:
        return f"{self.provider}/{self.model}"
