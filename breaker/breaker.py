"""One circuit breaker: what it has seen, when it lets an attempt through, and how it judges.

The rules are elsewhere: when to trip in `breaker.policy`, how to move in `breaker.position`. `now` is in seconds of one
monotonic clock everywhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from breaker import policy
from breaker.fleet import SILENCE, Pool, Share
from breaker.health import HEALTHY_FROM
from breaker.permit import Permit, Rejection
from breaker.policy import Seen, Trip
from breaker.position import Position
from breaker.transition import Cause, Scope, Transition
from breaker.transitions import Event, State
from breaker.window import Window
from config.words import Mode

if TYPE_CHECKING:
    from breaker.company import Company
    from breaker.fleet import Columns, Fleet
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


class Breaker(Position):
    """The breaker of a provider, a target or a credential at one of them."""

    __slots__ = (
        "_last",
        "_pool",
        "_trials",
        "_window",
        "consecutive",
        "failed_models",
        "reserved",
        "trial_successes",
    )

    def __init__(
        self, scope: Scope, provider: str, model: str | None, knobs: Breakers, company: Company, key: str = ""
    ) -> None:
        """Begin closed. `key` is the whole fingerprint of a credential's breaker, and what is looked for in it."""
        super().__init__(scope, provider, model, knobs, company, key)
        self._window = Window(knobs.window, 5)
        self._trials: dict[Permit, float] = {}
        self._last = ""
        self._pool: Pool | None = None
        self.consecutive = 0
        self.failed_models: list[tuple[str, int]] = []
        """Of a provider: the two models that failed last, each with the bucket of the window it was in."""
        self.trial_successes = 0
        self.reserved = 0.0
        """Until then its trials are for probes alone, so that no user's request has to find out; it ends by itself."""

    # -- seen from outside -----------------------------------------------------------------------------------------

    @property
    def trials_out(self) -> int:
        """Trials under way."""
        return len(self._trials)

    def counts(self, now: float) -> tuple[int, int]:
        """Successes and failures in its window; a provider's failures include those of its models."""
        counts = self._window.counts(now)
        return counts[GOOD], counts[BAD] + counts[BELOW]

    # -- asking ----------------------------------------------------------------------------------------------------

    def rejection(self, now: float, *, probe: bool = False) -> Rejection | None:
        """Why an attempt, of a user's or a `probe`, may not be made now, None when it may. Changes nothing."""
        if self.closed:
            return None
        if self._circuit.state is State.OPEN:
            wait = self.retry_in(now)
            if wait > 0:
                return self._rejected("open", wait, f"is open: {self.reason}")
            if self._company.fleet is None or self._may_try(self._company.fleet, now):
                if probe or now >= self.reserved:
                    return None
                return self._rejected("open", FULL_WAIT, f"is open, a probe is to try it out first: {self.reason}")
            return self._rejected("open", FULL_WAIT, f"is open, another sidecar may be trying it out: {self.reason}")
        if sum(lease > now for lease in self._trials.values()) < self.knobs.half_open_requests and (
            probe or now >= self.reserved
        ):
            return None
        return self._rejected("half_open", FULL_WAIT, f"is being tried out again after: {self.reason}")

    def enter(self, permit: Permit, now: float, lease: float, *, probe: bool = False) -> bool:
        """Let `permit` through as far as this breaker goes; whether it is a trial here, for `lease` seconds at most.

        Where the breaker only watches, attempts pass that `rejection` would have refused; they are no trials.
        """
        if self.closed or self.rejection(now, probe=probe) is not None:
            return False
        if self._circuit.state is State.OPEN:
            waited = now if self.opened_at is None else now - self.opened_at
            self._move(Event.WAITED, Cause.WAITED, f"{waited:.0f} s have passed: what comes next is a trial", now)
        for lapsed in [trial for trial, lease in self._trials.items() if lease <= now]:
            del self._trials[lapsed]
            self._company.lapsed += 1
        self._trials[permit] = now + lease
        return True

    def _may_try(self, fleet: Fleet, now: float) -> bool:
        """Whether a trial may be made here, now that the open time is over.

        Others know nothing of a key, and what is only watched keeps nobody away.
        """
        if self.leased or self.scope is Scope.CREDENTIAL or self.knobs.mode is not Mode.ENFORCE:
            return True
        return now >= (self.retry_at or 0.0) + SILENCE and fleet.silent(now)

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
            self._last = last
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

    def clear(self) -> None:
        """Forget all that a closed breaker has seen."""
        self._forget()
        self.openings = 0

    def adopt(self, knobs: Breakers) -> None:
        """Go on with other knobs: what was counted, the state and its open time stay as they are.

        The window keeps its length until `fit`.
        """
        self.knobs = knobs

    def fit(self, now: float) -> None:
        """Have a window of the length that the knobs say, with what was counted."""
        if not self._window.spans(self.knobs.window):
            self._window = self._window.resized(self.knobs.window, now)
            if self._pool is not None:
                self._pool = Pool(self._window.mark())

    def retire(self) -> None:
        """Take leave of everybody: what it stood for is not kept any more."""
        self._trials.clear()
        self._company.unwell.discard(self)

    # -- in a fleet ------------------------------------------------------------------------------------------------

    def cut(self, now: float) -> Share | None:
        """What it has counted since its last cut, for the fleet's window; None when it takes no part in that."""
        if not self.closed or self.knobs.mode is Mode.OFF:
            return None
        if self._pool is None:
            self._pool = Pool()
        counts, since = self._pool.cut(self._window, now)
        failed = counts[BAD] + counts[BELOW] > 0
        models = tuple([model for model, at in self.failed_models if at >= since]) if failed else ()
        return Share(
            self.provider, self.model, self.generation, counts, models, self._window.step, self._last if failed else ""
        )

    def uncut(self, share: Share) -> None:
        """Take the last cut back, unless it is of a time before the last move."""
        if self._pool is not None and share.generation == self.generation:
            self._pool.uncut()

    def shared(self, share: Share, counts: Columns, models: int, now: float, lasts: float, last: str) -> None:
        """Hear what the fleet's window holds, and judge by it, unless the share is of a time before the last move."""
        if self._pool is None or share.generation != self.generation:
            return
        self._pool.hear(counts, models, last, now + lasts)
        found = self._trip_in_fleet(now, last or self._last, models)
        if found is not None:
            self._trip(found, now, None)

    # -- inside ----------------------------------------------------------------------------------------------------

    def _judge(self, now: float, last: str, http_status: int | None, models: int) -> None:
        found = policy.trip(self.scope, _seen(self._window.counts(now), models, self.consecutive), self.knobs, last)
        if found is None and self._pool is not None:
            found = self._trip_in_fleet(now, last, models)
        if found is not None:
            self._trip(found, now, http_status)

    def _trip_in_fleet(self, now: float, last: str, models: int) -> Trip | None:
        """Why the fleet's window asks for it to open: what was heard of that, and what was counted here since."""
        heard = None if self._pool is None else self._pool.heard(now)
        if heard is None:
            return None
        newer = self._window.since(heard.mark, now)
        counts = [there + here for there, here in zip(heard.counts, newer, strict=True)]
        return policy.trip(self.scope, _seen(counts, max(models, heard.models)), self.knobs, last, " in the fleet")

    def _trip(self, found: Trip, now: float, http_status: int | None) -> None:
        self.origin = found.cause
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
        self._last = ""
        self._pool = None

    def _moved(self, transition: Transition) -> None:
        self._forget()
        if transition.state is not State.HALF_OPEN:
            self.reserved = 0.0
        self._company.moved(self, transition)


def _seen(counts: Sequence[int], models: int, consecutive: int = 0) -> Seen:
    """A window's columns in the policy's words."""
    good, bad, below, slow, quick = counts
    return Seen(consecutive, good, bad, below, models, slow, slow + quick)
