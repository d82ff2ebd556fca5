"""One circuit breaker: what it has seen, when it lets an attempt through, and how it moves.

The rules are elsewhere: which state follows which in `breaker.transitions`, when to trip in `breaker.policy`. `now` is
in seconds of one monotonic clock everywhere.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from breaker import policy
from breaker.circuit import Circuit
from breaker.health import HEALTHY_FROM
from breaker.permit import Permit, Rejection
from breaker.policy import Seen
from breaker.transition import Cause, Scope, Transition
from breaker.transitions import Event, State, after
from breaker.window import Window
from config.words import Mode

if TYPE_CHECKING:
    from breaker.company import Company
    from config.settings import Breakers

GOOD: Final = 0
BAD: Final = 1
"""Blamed on what the breaker stands for."""
BELOW: Final = 2
"""A provider's alone: blamed on one of its models."""
SLOW: Final = 3
QUICK: Final = 4
"""Columns of the window."""

FULL_WAIT: Final = 1.0
"""Seconds after which to ask again when all trials are out."""

_SHOWN: Final = 8
"""Characters of a key's fingerprint that are shown."""


class Breaker:
    """The breaker of a provider, a target or a credential at one of them."""

    __slots__ = (
        "_circuit",
        "_company",
        "_key",
        "_origin",
        "_since",
        "_trials",
        "_window",
        "cause",
        "closed",
        "consecutive",
        "failed_models",
        "generation",
        "http_status",
        "knobs",
        "manual",
        "model",
        "opened_at",
        "openings",
        "provider",
        "reason",
        "retry_at",
        "scope",
        "trial_successes",
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
        self._window = Window(knobs.window, 5)
        self._trials: dict[Permit, float] = {}
        self._origin = Cause.MANUAL
        self._since = 0.0
        self.closed = True
        self.consecutive = 0
        self.failed_models: list[tuple[str, int]] = []
        """Of a provider: the two models that failed last, each with the bucket of the window it was in."""
        self.trial_successes = 0
        self.openings = 0
        """Openings that still count for how long the next one lasts."""
        self.generation = 0
        """Rises with each transition of any breaker: a permit that is older than the last one of this is not heard."""
        self.cause: Cause | None = None
        self.reason = ""
        self.manual = False
        self.opened_at: float | None = None
        self.retry_at: float | None = None
        self.http_status: int | None = None
        """The status that opened it, as judged."""

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
    def trials_out(self) -> int:
        """Trials under way."""
        return len(self._trials)

    def counts(self, now: float) -> tuple[int, int]:
        """Successes and failures in its window; a provider's failures include those of its models."""
        counts = self._window.counts(now)
        return counts[GOOD], counts[BAD] + counts[BELOW]

    def retry_in(self, now: float) -> float:
        """Seconds until the next trial; 0 when it is not open, or when one may be made."""
        if self.retry_at is None or self._circuit.state is not State.OPEN:
            return 0.0
        return max(self.retry_at - now, 0.0)

    # -- asking ----------------------------------------------------------------------------------------------------

    def rejection(self, now: float) -> Rejection | None:
        """Why an attempt may not be made now, None when it may. Changes nothing."""
        if self.closed:
            return None
        if self._circuit.state is State.OPEN:
            wait = self.retry_in(now)
            if wait <= 0:
                return None
            return self._rejected("open", wait, f"is open: {self.reason}")
        if sum(lease > now for lease in self._trials.values()) < self.knobs.half_open_requests:
            return None
        return self._rejected("half_open", FULL_WAIT, f"is being tried out again after: {self.reason}")

    def enter(self, permit: Permit, now: float, lease: float) -> bool:
        """Let `permit` through as far as this breaker goes; whether it is a trial here, for `lease` seconds at most.

        Where the breaker only watches, attempts pass that `rejection` would have refused; they are no trials.
        """
        if self.closed or self.rejection(now) is not None:
            return False
        if self._circuit.state is State.OPEN:
            waited = now if self.opened_at is None else now - self.opened_at
            self._move(Event.WAITED, Cause.WAITED, f"{waited:.0f} s have passed: what comes next is a trial", now)
        for lapsed in [trial for trial, lease in self._trials.items() if lease <= now]:
            del self._trials[lapsed]
            self._company.lapsed += 1
        self._trials[permit] = now + lease
        return True

    def _rejected(self, kind: str, wait: float, why: str) -> Rejection:
        status = 503
        if self.scope is Scope.CREDENTIAL:
            kind, status = "credential", self.http_status or 401
        return Rejection(f"the circuit breaker of {self.name} {why}", wait, status, kind, self.scope)

    # -- being told ------------------------------------------------------------------------------------------------

    def good(self, generation: int, now: float) -> None:
        """An attempt succeeded that was let through at `generation`."""
        if self.closed and generation >= self.generation:
            if self.openings:
                self._calm(now)
            self.consecutive = 0
            self._window.at(now)[GOOD] += 1

    def bad(
        self,
        generation: int,
        now: float,
        last: str,
        http_status: int | None = None,
        *,
        below: bool = False,
        models: int = 0,
    ) -> None:
        """An attempt failed; `last` says how in a line, `http_status` as which status it was judged.

        `below` marks a provider's failure that is blamed on one of its models; `models` is how many of them failed
        within the window, this one included.
        """
        if generation < self.generation:
            return
        if self.closed:
            if self.openings:
                self._calm(now)
            if not below:
                self.consecutive += 1
            self._window.add(BELOW if below else BAD, now)
            self._judge(now, last, http_status, models)
        elif self._circuit.state is State.HALF_OPEN and not (below and self.by_host):
            self._relapse(now, last, http_status)

    def paced(self, generation: int, now: float, *, slow: bool) -> None:
        """A streamed answer began in time, or did not."""
        if self.closed and generation >= self.generation:
            self._window.add(SLOW if slow else QUICK, now)
            if slow:
                self._judge(now, "", None, 0)

    def tried(
        self, permit: Permit, now: float, *, passed: bool | None, last: str = "", http_status: int | None = None
    ) -> bool:
        """A trial is over: it passed, failed, or (None) decides nothing. Whether it was still out here."""
        if self._trials.pop(permit, None) is None:
            return False
        if passed:
            self.trial_successes += 1
            if self.trial_successes >= self.knobs.success_threshold:
                plural = "s" if self.trial_successes > 1 else ""
                self._move(Event.RECOVERED, Cause.RECOVERED, f"{self.trial_successes} trial{plural} succeeded", now)
        elif passed is not None:
            self._relapse(now, last, http_status)
        return True

    @property
    def by_host(self) -> bool:
        """Whether it opened because a host could not be talked to: then any answer from it is a good sign."""
        return self._origin is not Cause.RATE

    @property
    def by_pace(self) -> bool:
        """Whether it opened because answers began too late."""
        return self._origin is Cause.SLOW

    # -- by hand ---------------------------------------------------------------------------------------------------

    def force_open(self, now: float, seconds: float) -> None:
        """Open it for so many seconds; after them a trial decides."""
        self._move(Event.FORCE_OPEN, Cause.MANUAL, f"opened by hand for {seconds:g} s", now, seconds)
        self._origin = Cause.MANUAL

    def force_close(self, now: float) -> None:
        """Close it."""
        self._move(Event.FORCE_CLOSE, Cause.MANUAL, "closed by hand", now)

    def reset(self, now: float) -> None:
        """Close it and forget all it has seen."""
        self._move(Event.RESET, Cause.RESET, "reset by hand", now)
        self.openings = 0

    def clear(self) -> None:
        """Forget all that a closed breaker has seen."""
        self._forget()
        self.openings = 0

    def retire(self) -> None:
        """Take leave of everybody: what it stood for is not kept any more."""
        self._trials.clear()
        self._company.unwell.discard(self)

    # -- inside ----------------------------------------------------------------------------------------------------

    def _judge(self, now: float, last: str, http_status: int | None, models: int) -> None:
        good, bad, below, slow, quick = self._window.counts(now)
        found = policy.trip(
            self.scope, Seen(self.consecutive, good, bad, below, models, slow, slow + quick), self.knobs, last
        )
        if found is not None:
            self._origin = found.cause
            self._open(Event.TRIP, found.cause, found.reason, now, http_status)

    def _relapse(self, now: float, last: str, http_status: int | None) -> None:
        reason = f"a trial failed: {last}" if last else "a trial failed"
        self._open(Event.RELAPSED, Cause.TRIAL_FAILED, reason[: policy.REASON_LIMIT], now, http_status)

    def _open(self, event: Event, cause: Cause, reason: str, now: float, http_status: int | None) -> None:
        seconds = policy.open_time(self.knobs, self.openings, self._company.random())
        self.openings += 1
        self.http_status = http_status
        self._move(event, cause, reason, now, seconds)

    def _calm(self, now: float) -> None:
        """Let open times shrink again: by one step for each whole window that went well since the last step."""
        span = self.knobs.window
        windows = int((now - self._since) // span)
        if windows < 1:
            return
        good, bad, below, _, _ = self._window.counts(now)
        seen = good + bad + below
        if not seen or good / seen >= HEALTHY_FROM:
            self.openings = max(self.openings - windows, 0)
            self._since += windows * span
        else:
            self._since = now

    def _forget(self) -> None:
        self._window.clear()
        self._trials.clear()
        self.failed_models.clear()
        self.consecutive = self.trial_successes = 0

    def _move(self, event: Event, cause: Cause, reason: str, now: float, seconds: float | None = None) -> None:
        was = self._circuit.state
        state = after(was, event)
        self._circuit.move(state)
        self._company.generation += 1
        self.generation = self._company.generation
        self.closed = state is State.CLOSED
        self.cause = cause
        self.reason = reason if event is not Event.WAITED else self.reason
        self.manual = event is Event.FORCE_OPEN or (event is Event.WAITED and self.manual)
        if state is State.OPEN:
            self.opened_at = now
            self.retry_at = now + (seconds or 0.0)
        elif state is State.CLOSED:
            self.opened_at = self.retry_at = self.http_status = None
            self._since = now
        self._forget()
        told = Transition(
            self.scope, self.provider, self.model, self.credential, was, state, event, cause, reason,
            self.generation, seconds if state is State.OPEN else None, now,
        )  # fmt: skip
        self._company.moved(self, told)
