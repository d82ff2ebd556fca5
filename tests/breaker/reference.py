"""The breakers once more, plain and slow: what the design says, word by word, with lists of everything that happened.

Nothing of `breaker/` is used here but the words of an outcome, so that both can only agree by both being right. Keys of
a breaker are `(provider, model, key)`: model is None for a whole provider, key is "" where no credential is meant.
Nothing is kept short or fast: events stay until a transition forgets them, and are counted afresh whenever asked.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from typing import NamedTuple

from breaker.outcome import OTHER_MODEL, Blame, Neutral, Outcome, Status
from config.settings import Breakers
from config.words import Mode

CLOSED, OPEN, HALF_OPEN = "closed", "open", "half_open"
BUCKETS = 10
ROUTING_WINDOW = 300.0
FULL = 1.0
"""Seconds a caller is told to wait at a half-open breaker whose trials are all out."""

CREDENTIALS = {Blame.TARGET_CREDENTIAL, Blame.PROVIDER_CREDENTIAL}
HOST_TROUBLE = {"consecutive", "host_rate", "manual"}

Key = tuple[str, str | None, str]
Target = tuple[str, str]


class Moved(NamedTuple):
    """One transition as both sides tell it; the numbers of generations are each side's own, but grow on both."""

    key: Key
    was: str
    event: str
    state: str
    cause: str
    generation: int
    retry_in: float | None


class Refusal(NamedTuple):
    kind: str
    status: int
    retry_after: float


class Event(NamedTuple):
    bucket: int
    good: bool
    blame: Blame
    model: str


def bucket(now: float, span: float) -> int:
    return math.floor(now / (span / BUCKETS))


def scope(key: Key) -> str:
    return "credential" if key[2] else "provider" if key[1] is None else "target"


def slowness(outcome: Outcome, knobs: Breakers) -> bool | None:
    """Whether an answer was slow (True) or quick (False); None when it says nothing about that."""
    if not outcome.streamed or outcome.reasoning:
        return None
    if outcome.first_byte is not None:
        return outcome.first_byte > knobs.slow_first_byte
    given_up = outcome.verdict.status in (Status.TIMEOUT, Neutral.CANCELLED)
    return True if given_up and outcome.response_time > knobs.slow_first_byte else None


class Machine:
    """One breaker: every event since its last transition."""

    def __init__(self, key: Key, knobs: Breakers, model: Model) -> None:
        self.key, self.knobs, self.model = key, knobs, model
        self.state = CLOSED
        self.generation = 0
        self.openings = 0
        self.cause: str | None = None
        self.origin: str | None = None
        self.manual = False
        self.http_status: int | None = None
        self.retry_at: float | None = None
        self.calm_since = 0.0
        self.forget()

    def forget(self) -> None:
        self.events: list[Event] = []
        self.slow: list[tuple[int, bool]] = []
        self.run = 0
        self.trials: dict[Leave, float] = {}
        self.passed = 0

    def inside(self, at: int, now: float) -> bool:
        return at > bucket(now, self.knobs.window) - BUCKETS

    def recent(self, now: float) -> list[Event]:
        return [event for event in self.events if self.inside(event.bucket, now)]

    def counts(self, now: float) -> tuple[int, int]:
        recent = self.recent(now)
        good = sum(event.good for event in recent)
        return good, len(recent) - good

    # what an outcome means to this scope

    def hears(self, outcome: Outcome) -> bool | None:
        """True and False are put into the window; None is not."""
        verdict = outcome.verdict
        if not isinstance(verdict.status, Status):
            return None
        if verdict.status is Status.SUCCESS:
            return True
        _, model, key = self.key
        if key:
            own = Blame.PROVIDER_CREDENTIAL if model is None else Blame.TARGET_CREDENTIAL
            return False if verdict.blame is own and verdict.status is not Status.RATE_LIMITED else None
        ours = {Blame.TARGET, Blame.PROVIDER} if model is None else {Blame.TARGET}
        return False if verdict.blame in ours else None

    def own_failure(self, outcome: Outcome) -> bool:
        """Whether it counts as one of the consecutive failures: blamed on this very scope."""
        return self.hears(outcome) is False and (
            scope(self.key) != "provider" or outcome.verdict.blame is Blame.PROVIDER
        )

    def tried(self, outcome: Outcome) -> bool | None:
        """What a trial with this outcome decides: True for success, False for failure, None for nothing."""
        verdict = outcome.verdict
        if scope(self.key) == "target" and self.origin == "slow" and slowness(outcome, self.knobs):
            return False
        by_host = scope(self.key) == "provider" and self.origin in HOST_TROUBLE
        if by_host and isinstance(verdict.status, Status) and verdict.blame in {Blame.TARGET, *CREDENTIALS}:
            return True
        return self.hears(outcome)

    # events

    def move(self, event: str, state: str, cause: str, now: float, retry_at: float | None = None) -> None:
        was = self.state
        self.state, self.cause, self.retry_at = state, cause, retry_at
        self.generation += 1
        self.forget()
        self.manual = event == "force_open" or (event == "waited" and self.manual)
        told = None if retry_at is None else retry_at - now
        self.model.told(Moved(self.key, was, event, state, cause, self.generation, told))
        if state == CLOSED:
            self.calm_since = now
            self.origin = None
            self.model.closed(self.key)

    def open(self, event: str, cause: str, now: float) -> None:
        knobs = self.knobs
        longest = min(knobs.open_for * 2**self.openings, knobs.max_open_for)
        self.openings += 1
        self.move(event, OPEN, cause, now, now + longest * (1 - knobs.jitter * self.model.random()))

    def wait_over(self, now: float) -> None:
        if self.state == OPEN and self.retry_at is not None and now >= self.retry_at:
            self.move("waited", HALF_OPEN, "waited", now)

    def reset(self, now: float) -> bool:
        """Forget everything; only what was not closed moves."""
        ill = self.state != CLOSED
        self.openings = 0
        if ill:
            self.move("reset", CLOSED, "reset", now)
        self.forget()
        return ill

    def lapse(self, now: float) -> None:
        for leave in [leave for leave, until in self.trials.items() if now >= until]:
            del self.trials[leave]
            self.model.lapsed += 1

    def refuses(self, now: float) -> Refusal | None:
        credential = scope(self.key) == "credential"
        status = (self.http_status if credential else None) or 503
        if self.state == OPEN and self.retry_at is not None and now < self.retry_at:
            return Refusal("credential" if credential else "open", status, self.retry_at - now)
        out = sum(now < until for until in self.trials.values())
        if self.state == HALF_OPEN and out >= self.knobs.half_open_requests:
            return Refusal("credential" if credential else "half_open", status, FULL)
        return None

    def settle(self, outcome: Outcome, now: float, *, trial: bool) -> None:
        if self.state == HALF_OPEN and trial:
            self.decide(self.tried(outcome), now, outcome)
        elif self.state == HALF_OPEN and self.hears(outcome) is False and self.tried(outcome) is False:
            self.decide(False, now, outcome)
        elif self.state == CLOSED:
            self.count(outcome, now)

    def decide(self, good: bool | None, now: float, outcome: Outcome | None) -> None:
        if good is False:
            if outcome is not None and outcome.verdict.http_status is not None:
                self.http_status = outcome.verdict.http_status
            self.open("relapsed", "trial_failed", now)
        elif good:
            self.passed += 1
            if self.passed >= self.knobs.success_threshold:
                self.move("recovered", CLOSED, "recovered", now)

    def decay(self, now: float) -> None:
        windows = math.floor((now - self.calm_since) / self.knobs.window)
        if windows < 1:
            return
        good, bad = self.counts(now)
        if good + bad == 0 or good / (good + bad) >= 0.95:
            self.openings = max(0, self.openings - windows)
            self.calm_since += windows * self.knobs.window
        else:
            self.calm_since = now

    def count(self, outcome: Outcome, now: float) -> None:
        """Only what is bad trips: a failure, and then a slow answer."""
        at = bucket(now, self.knobs.window)
        heard = self.hears(outcome)
        if heard is not None:
            self.decay(now)
            self.events.append(Event(at, heard, outcome.verdict.blame, outcome.model))
        if heard:
            self.run = 0
        elif self.own_failure(outcome):
            self.run += 1
        if heard is False and self.trip(outcome, now):
            return
        slow = slowness(outcome, self.knobs) if self.key[:2] in self.model.stand_ins and not self.key[2] else None
        if slow is not None:
            self.slow.append((at, slow))
        if slow:
            self.trip(outcome, now)

    def trip(self, outcome: Outcome, now: float) -> bool:
        cause = self.trips(now)
        if cause is not None:
            self.http_status = outcome.verdict.http_status
            self.origin = cause
            self.open("trip", cause, now)
        return cause is not None

    def trips(self, now: float) -> str | None:
        knobs = self.knobs
        if self.run >= knobs.failure_threshold:
            return "consecutive"
        recent = self.recent(now)
        bad = [event for event in recent if not event.good]
        if recent and len(recent) >= knobs.min_requests:
            if scope(self.key) == "provider":
                if sum(event.blame is Blame.PROVIDER for event in bad) / len(recent) >= knobs.failure_rate:
                    return "host_rate"
                if len({event.model for event in bad}) < 2:
                    bad = []
            if len(bad) / len(recent) >= knobs.failure_rate:
                return "rate"
        late = [slow for at, slow in self.slow if self.inside(at, now)]
        if late and len(late) >= knobs.min_requests and sum(late) / len(late) >= knobs.slow_rate:
            return "slow"
        return None


class Leave:
    """A permit: what it was admitted by, and at which generation of each."""

    def __init__(self, provider: str, model: str, key: str) -> None:
        self.provider, self.model, self.key = provider, model, key
        self.generations: dict[Key, int] = {}
        self.moves = 0
        """How many transitions of any breaker there had been when it was issued, or proved."""

    def is_trial(self, model: Model) -> bool:
        return any(self in machine.trials for machine in model.machines.values())


class Model:
    """All of them: who must admit, who is told."""

    def __init__(
        self,
        knobs: Breakers,
        per_provider: Mapping[str, Breakers],
        configured: Collection[Target],
        stand_ins: Collection[Target],
        random: Callable[[], float],
    ) -> None:
        self.knobs, self.per_provider, self.random = knobs, per_provider, random
        self.configured, self.stand_ins = set(configured), set(stand_ins)
        self.machines: dict[Key, Machine] = {}
        self.hold_offs: dict[tuple[str, str, str], tuple[float, int]] = {}
        self.routing: dict[Target, list[tuple[int, bool]]] = {}
        self.cleared: dict[Target, int] = {}
        self.tracked: set[Target] = set()
        self.moved: list[Moved] = []
        self.moves = 0
        self.lapsed = 0

    def told(self, moved: Moved) -> None:
        self.moved.append(moved)
        self.moves += 1

    def of(self, provider: str) -> Breakers:
        return self.per_provider.get(provider, self.knobs)

    def machine(self, key: Key) -> Machine:
        """That breaker, made when it is not there."""
        if key not in self.machines:
            self.machines[key] = Machine(key, self.of(key[0]), self)
        return self.machines[key]

    @staticmethod
    def keys(provider: str, model: str, key: str) -> list[Key]:
        """The breakers that must all admit an attempt, widest first."""
        found: list[Key] = [(provider, None, "")]
        found += [(provider, model, "")] if model != OTHER_MODEL else []
        if key:
            found += [(provider, None, key)]
            found += [(provider, model, key)] if model != OTHER_MODEL else []
        return found

    def present(self, provider: str, model: str, key: str) -> list[Machine]:
        return [self.machines[at] for at in self.keys(provider, model, key) if at in self.machines]

    def refusals(self, provider: str, model: str, now: float, key: str) -> list[Refusal]:
        """Why an attempt should not be made, every reason there is."""
        found = [refusal for machine in self.present(provider, model, key) if (refusal := machine.refuses(now))]
        until, _ = self.hold_offs.get((provider, model, key), (now, 0))
        return found + ([Refusal("hold_off", 429, until - now)] if until > now else [])

    def admit(
        self, provider: str, model: str, now: float, key: str, lease: float, *, force: bool = False
    ) -> Leave | list[Refusal]:
        """Refused, nothing moves. Let through in spite of a refusal (by force, or only observed), it is no trial."""
        leave = Leave(provider, model, key)
        leave.moves = self.moves
        mode = self.of(provider).mode
        if mode is Mode.OFF:
            return leave
        refusals = self.refusals(provider, model, now, key)
        if refusals and mode is Mode.ENFORCE and not force:
            return refusals
        for machine in [] if refusals else self.present(provider, model, key):
            machine.wait_over(now)
            machine.lapse(now)
            if machine.state == HALF_OPEN:
                machine.trials[leave] = now + lease
        self.stamp(leave)
        return leave

    def stamp(self, leave: Leave) -> None:
        """Of this moment: what moved before, it has seen."""
        for at in self.keys(leave.provider, leave.model, leave.key):
            leave.generations[at] = self.machines[at].generation if at in self.machines else 0
        leave.moves = self.moves

    def cancel(self, leave: Leave) -> None:
        for machine in self.machines.values():
            machine.trials.pop(leave, None)

    def prove(self, leave: Leave, now: float, first_byte: float | None) -> None:
        """First content of a trial: a success already, and what comes of it later is a new outcome."""
        tried = [machine for machine in self.machines.values() if leave in machine.trials]
        for machine in tried:
            del machine.trials[leave]
            late = first_byte is not None and first_byte > machine.knobs.slow_first_byte
            machine.decide(not (late and machine.origin == "slow"), now, None)
        if tried:
            self.stamp(leave)

    def settle(self, leave: Leave, outcome: Outcome, now: float) -> None:
        target = (leave.provider, leave.model)
        if self.matters(target, outcome) and leave.model != OTHER_MODEL:
            self.tracked.add(target)
        self.hold(leave, outcome, now)
        for at, generation in leave.generations.items():
            if not self.exists_for(at, outcome):
                continue
            machine = self.machine(at)
            trial = machine.trials.pop(leave, None) is not None
            if machine.generation == generation:
                machine.settle(outcome, now, trial=trial)
        self.route(leave, outcome, now)

    def matters(self, target: tuple[str, str | None], outcome: Outcome) -> bool:
        """Whether a target is known from then on: what counts, and what is too slow where that trips."""
        slow = target in self.stand_ins and slowness(outcome, self.of(target[0]))
        return isinstance(outcome.verdict.status, Status) or bool(slow)

    def exists_for(self, at: Key, outcome: Outcome) -> bool:
        """Whether there is such a breaker by now: a key's comes with its first failure."""
        if at in self.machines:
            return True
        if scope(at) == "credential":
            return Machine(at, self.of(at[0]), self).hears(outcome) is False
        return self.matters(at[:2], outcome)

    def hold(self, leave: Leave, outcome: Outcome, now: float) -> None:
        verdict = outcome.verdict
        at = (leave.provider, leave.model, leave.key)
        knobs = self.of(leave.provider)
        if knobs.mode is Mode.OFF or leave.model == OTHER_MODEL:
            return
        if verdict.status is Status.SUCCESS:
            self.hold_offs.pop(at, None)
        elif verdict.status is Status.RATE_LIMITED:
            until, seen = self.hold_offs.get(at, (-math.inf, 0))
            wait = min(30.0, 2.0**seen) if verdict.retry_after is None else verdict.retry_after
            self.hold_offs[at] = max(until, now + min(wait, knobs.max_open_for)), seen + 1

    def route(self, leave: Leave, outcome: Outcome, now: float) -> None:
        """Health for routing: the last 300 s, without what was asked before the last closing."""
        target = (leave.provider, leave.model)
        verdict = outcome.verdict
        if not isinstance(verdict.status, Status) or leave.model == OTHER_MODEL:
            return
        good = verdict.status is Status.SUCCESS
        heard = good or verdict.blame in (Blame.TARGET, Blame.PROVIDER)
        if heard and leave.moves >= self.cleared.get(target, 0):
            self.routing.setdefault(target, []).append((bucket(now, ROUTING_WINDOW), good))

    def closed(self, key: Key) -> None:
        """A target's breaker closed, or its provider's: health for routing begins anew."""
        for target in self.tracked if not key[2] else []:
            if key[:2] in (target, (target[0], None)):
                self.routing.pop(target, None)
                self.cleared[target] = self.moves

    def health(self, provider: str, model: str, now: float) -> tuple[int, int]:
        oldest = bucket(now, ROUTING_WINDOW) - BUCKETS
        inside = [good for at, good in self.routing.get((provider, model), []) if at > oldest]
        return sum(inside), len(inside)

    # by hand

    def known(self, provider: str, model: str | None) -> bool:
        every = self.configured | self.tracked
        return provider in self.per_provider if model is None else (provider, model) in every

    def by_hand(self, provider: str, model: str | None) -> Machine:
        """The breaker somebody means; what is configured is tracked from then on."""
        if model is not None:
            self.tracked.add((provider, model))
        return self.machine((provider, model, ""))

    def force_open(self, provider: str, model: str | None, now: float, seconds: float) -> None:
        machine = self.by_hand(provider, model)
        machine.origin = "manual"
        machine.move("force_open", OPEN, "manual", now, now + seconds)

    def force_close(self, provider: str, model: str | None, now: float) -> None:
        self.by_hand(provider, model).move("force_close", CLOSED, "manual", now)

    def reset(self, provider: str, model: str | None, now: float) -> None:
        """The breaker and all below it: of a provider everything, of a target its keys'."""
        first = self.by_hand(provider, model)
        first.openings = 0
        first.move("reset", CLOSED, "reset", now)
        for key, machine in self.machines.items():
            if key[0] == provider and model in (None, key[1]) and machine is not first:
                machine.reset(now)
        for at in [at for at in self.hold_offs if at[0] == provider and model in (None, at[1])]:
            del self.hold_offs[at]

    def reset_all(self, now: float) -> int:
        self.hold_offs.clear()
        return sum(machine.reset(now) for machine in self.machines.values())
