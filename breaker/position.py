"""Where a breaker stands and how it moves: by itself, by hand, or because a store or another sidecar says so.

Which state follows which is `breaker.transitions`' business. `now` is in seconds of one monotonic clock.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from breaker.circuit import Circuit
from breaker.policy import REASON_LIMIT
from breaker.transition import Cause, Scope, Transition
from breaker.transitions import Event, State, after
from config.words import Mode

if TYPE_CHECKING:
    from breaker.company import Company
    from breaker.memo import Memo
    from config.settings import Breakers

_SHOWN: Final = 8
"""Characters of a key's fingerprint that are shown."""

_SAME_TIME: Final = 0.001
"""Seconds by which two ends of an open time may differ and be the same: clocks are read one after the other."""


class Position:
    """The state of a breaker, since when, why, and for how long."""

    __slots__ = (
        "_circuit",
        "_company",
        "_key",
        "_since",
        "cause",
        "closed",
        "generation",
        "http_status",
        "knobs",
        "leased",
        "manual",
        "model",
        "opened_at",
        "openings",
        "origin",
        "provider",
        "reason",
        "retry_at",
        "scope",
    )

    def __init__(
        self, scope: Scope, provider: str, model: str | None, knobs: Breakers, company: Company, key: str = ""
    ) -> None:
        """Begin closed. `key` is the whole fingerprint of a credential's breaker, and what is looked for in it."""
        self.scope = scope
        self.provider = provider
        self.model = model
        self._key = key
        self.knobs = knobs
        self._company = company
        self._circuit = Circuit(self.name)
        self._since = 0.0
        self.closed = True
        self.openings = 0
        """Openings that still count for how long the next one lasts."""
        self.generation = 0
        """Rises with each transition of any breaker: a permit that is older than the last one of this is not heard."""
        self.cause: Cause | None = None
        self.origin = Cause.MANUAL
        """Why it opened first: trials that fail do not change that."""
        self.reason = ""
        self.manual = False
        self.opened_at: float | None = None
        self.retry_at: float | None = None
        self.http_status: int | None = None
        """The status that opened it, as judged."""
        self.leased = False
        """In a fleet: whether it may be tried out here, now that its open time is over."""

    # -- seen from outside -----------------------------------------------------------------------------------------

    @property
    def state(self) -> State:
        """Where it stands; reading moves nothing, also when the open time is over."""
        return self._circuit.state

    @property
    def credential(self) -> str | None:
        """The beginning of the key's fingerprint, None where the breaker is not a credential's."""
        return self._key[:_SHOWN] if self.scope is Scope.CREDENTIAL else None

    @property
    def key(self) -> str:
        """The fingerprint of the key of a credential's breaker."""
        return self._key

    @property
    def mode(self) -> Mode:
        """Whether it blocks, only watches, or is off."""
        return self.knobs.mode

    @property
    def name(self) -> str:
        """What people call it."""
        target = self.provider if self.model is None else f"{self.provider}/{self.model}"
        return f"{target} (key {self._key[:_SHOWN]})" if self.scope is Scope.CREDENTIAL else target

    @property
    def by_host(self) -> bool:
        """Whether it opened because a host could not be talked to: then any answer from it is a good sign."""
        return self.origin is not Cause.RATE

    @property
    def by_pace(self) -> bool:
        """Whether it opened because answers began too late."""
        return self.origin is Cause.SLOW

    def retry_in(self, now: float) -> float:
        """Seconds until the next trial; 0 when it is not open, or when one may be made."""
        if self.retry_at is None or self._circuit.state is not State.OPEN:
            return 0.0
        return max(self.retry_at - now, 0.0)

    # -- by hand ---------------------------------------------------------------------------------------------------

    def force_open(self, now: float, seconds: float) -> None:
        """Open it for so many seconds; after them a trial decides."""
        self.origin = Cause.MANUAL
        self._move(Event.FORCE_OPEN, Cause.MANUAL, f"opened by hand for {seconds:g} s", now, seconds, manual=True)

    def force_close(self, now: float) -> None:
        """Close it."""
        self._move(Event.FORCE_CLOSE, Cause.MANUAL, "closed by hand", now)

    def reset(self, now: float) -> None:
        """Close it and forget all it has seen."""
        self.openings = 0
        self._move(Event.RESET, Cause.RESET, "reset by hand", now)

    # -- by a store or another sidecar -----------------------------------------------------------------------------

    def told_open(self, memo: Memo, now: float, wall: float) -> bool:
        """Be open as the memo says; False when it is so already. What is half-open elsewhere is open here, and due."""
        seconds, reason = memo.left(wall), memo.reason[:REASON_LIMIT]
        if self._circuit.state is State.OPEN and self.reason == reason:
            alike = memo.state is State.HALF_OPEN or self.cause is memo.why
            if alike and abs(self.retry_in(now) - seconds) < _SAME_TIME:
                return False
        self.openings = max(memo.openings, 0)
        self.origin, self.http_status = memo.origin, memo.http_status
        self._move(Event.TOLD_OPEN, memo.why, reason, now, seconds, age=memo.age(wall), manual=memo.manual)
        return True

    def told_closed(self, memo: Memo, now: float) -> bool:
        """Be closed as the memo says; False when it is so already: then only the openings that count are taken over."""
        openings = max(memo.openings, 0)
        if self.closed:
            if self.openings != openings:
                self.openings, self._since = openings, now
            return False
        self.openings, self.origin = openings, memo.origin
        self._move(Event.TOLD_CLOSED, memo.cause or Cause.RECOVERED, memo.reason[:REASON_LIMIT], now)
        return True

    def told_reset(self, reason: str, now: float) -> None:
        """Close it and forget all it has seen."""
        self.openings = 0
        self._move(Event.TOLD_CLOSED, Cause.RESET, reason[:REASON_LIMIT], now)

    # -- inside ----------------------------------------------------------------------------------------------------

    def _move(
        self,
        event: Event,
        cause: Cause,
        reason: str,
        now: float,
        seconds: float | None = None,
        *,
        age: float = 0.0,
        manual: bool = False,
    ) -> None:
        """Move, and tell of it. Where that leads to open: since `age` seconds ago, and for `seconds` more."""
        was = self._circuit.state
        state = after(was, event)
        self._circuit.move(state)
        self._company.generation += 1
        self.generation = self._company.generation
        self.closed = state is State.CLOSED
        self.cause = cause
        self.reason = reason if event is not Event.WAITED else self.reason
        self.manual = manual or (event is Event.WAITED and self.manual)
        self.leased = event is Event.WAITED and self.leased
        if state is State.OPEN:
            self.opened_at = now - age
            self.retry_at = now + (seconds or 0.0)
        elif state is State.CLOSED:
            self.opened_at = self.retry_at = self.http_status = None
            self._since = now
        told = Transition(
            self.scope, self.provider, self.model, self.credential, was, state, event, cause, reason,
            self.generation, seconds if state is State.OPEN else None, now,
        )  # fmt: skip
        self._moved(told)

    def _moved(self, transition: Transition) -> None:
        """Forget what was seen before, and have others hear of the move."""
        raise NotImplementedError
