"""The registry: answers "may I?" with a permit and is told "so it went".

Breakers of three scopes stand behind it: the provider's, the target's, and those of the key in use at either. All that
there are must admit an attempt. Most of the time none of them is anything but closed, and then a permit costs a look
at an empty set. Reading creates nothing.
"""

from __future__ import annotations

import math
import random as randomness
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Final

from breaker.breaker import Breaker
from breaker.budget import Budget
from breaker.hearsay import Hearsay
from breaker.holdoff import HoldOffs
from breaker.outcome import OTHER_MODEL, Blame, Outcome, Status
from breaker.panel import Panel
from breaker.permit import Permit, Rejection
from breaker.target import UNSEEN, Standing, TargetState
from breaker.tracked import Key
from breaker.transition import Scope, Transition
from breaker.trial import passed, slow
from config.settings import Breakers
from config.words import Mode

UNPROVEN: Final = 1000
"""Names without any success that are tracked at a time."""

SHARE: Final = 0.2
"""Further attempts as a share of a provider's recent requests."""

_KEY_SHOWN: Final = 8
_SUCCESS: Final = Status.SUCCESS
_OFF: Final = Mode.OFF
_KEYS: Final = frozenset((Blame.TARGET_CREDENTIAL, Blame.PROVIDER_CREDENTIAL))


class Registry(Hearsay):
    """The judgement of this process. `now` is in seconds of one monotonic clock."""

    __slots__ = ("_budgets", "_gone", "_share", "open_permits")

    def __init__(
        self,
        *,
        tracked: int,
        unproven: int = UNPROVEN,
        configured: Collection[Key] = (),
        breakers: Breakers | None = None,
        per_provider: Mapping[str, Breakers] | None = None,
        stand_ins: Collection[Key] = (),
        budget: float = SHARE,
        on_forget: Callable[[str, str], None] | None = None,
        on_transition: Callable[[Transition], None] | None = None,
        random: Callable[[], float] = randomness.random,
    ) -> None:
        """Make an empty registry.

        Args:
            tracked: most targets that are configured or once succeeded; configured ones find room even beyond it.
            unproven: most names that never succeeded.
            configured: (provider, model) of the targets the configuration names.
            breakers: the knobs of providers that `per_provider` does not name.
            per_provider: the knobs of the configured providers.
            stand_ins: (provider, model) of the targets that something else could stand in for.
            budget: further attempts as a share of a provider's recent requests.
            on_forget: told provider and model of whatever leaves; it may not know that name yet, and must not raise.
            on_transition: told of every move of a breaker; must not raise.
            random: a number from 0 to 1 that varies open times.
        """
        self.open_permits = 0
        self._gone: frozenset[str] = frozenset()
        """Providers that were configured once, and are not now."""
        self._share = budget
        self._stand_ins = frozenset(stand_ins)
        self._panel = Panel(
            tracked=tracked,
            unproven=unproven,
            configured=configured,
            breakers=breakers or Breakers(),
            per_provider=per_provider or {},
            random=random,
            on_forget=on_forget,
            on_transition=on_transition,
        )
        self._company = self._panel.company
        self._targets = self._panel.targets
        self._hold_offs = HoldOffs()
        self._budgets: dict[str, Budget] = {}

    # -- may I? ----------------------------------------------------------------------------------------------------

    def admit(
        self,
        provider: str,
        model: str,
        now: float,
        key: str = "",
        lease: float = math.inf,
        *,
        force: bool = False,
        probe: bool = False,
    ) -> Permit | Rejection:
        """Ask for leave to make one attempt at a target with the key of that fingerprint. Asking tracks nothing.

        `lease` is how many seconds the attempt can take at most: a trial that is not back by then is given to another.
        `force` passes whatever stands in the way; such an attempt is no trial. `probe` marks our own attempts, for
        which trials are kept (`Breaker.reserved`).
        """
        permit = Permit(self, provider, model, key, self._company.generation)
        if self._company.unwell or self._hold_offs.places:
            knobs = self._panel.knobs(provider)
            if knobs.mode is not Mode.OFF:
                concerned = self._panel.unwell(provider, model, key)
                refused = self._refused(concerned, (provider, model, key), now, probe)
                if refused is None:
                    permit.trials = tuple([one for one in concerned if one.enter(permit, now, lease, probe=probe)])
                    permit.generation = self._company.generation
                elif knobs.mode is Mode.ENFORCE and not force:
                    return refused
        self.open_permits += 1
        return permit

    def rejection(
        self, provider: str, model: str, now: float, key: str = "", *, probe: bool = False
    ) -> Rejection | None:
        """Why an attempt would not be let through now, None when it would. Takes nothing and changes nothing."""
        if not (self._company.unwell or self._hold_offs.places) or self._panel.knobs(provider).mode is not Mode.ENFORCE:
            return None
        return self._refused(self._panel.unwell(provider, model, key), (provider, model, key), now, probe)

    def _refused(
        self, concerned: list[Breaker], place: tuple[str, str, str], now: float, probe: bool
    ) -> Rejection | None:
        """The rejection that lasts longest."""
        worst = None
        for one in concerned:
            found = one.rejection(now, probe=probe)
            if found is not None and (worst is None or found.retry_after > worst.retry_after):
                worst = found
        left = self._hold_offs.left(place, now)
        if left > 0 and (worst is None or left > worst.retry_after):
            reason = "it asked not to be called for a while (429)"
            return Rejection(reason, left, 429, "hold_off", Scope.CREDENTIAL)
        return worst

    # -- so it went ------------------------------------------------------------------------------------------------

    def settled(self, permit: Permit, outcome: Outcome, now: float) -> Outcome:
        """Take in what became of an attempt; called once by its permit.

        Neutral outcomes change no health. Returns the outcome, a copy under `OTHER_MODEL` where its name is not
        tracked.
        """
        self.open_permits -= 1
        provider, model = key = (permit.provider, permit.model)
        if self._gone and provider in self._gone:
            return self._named(outcome)
        if outcome.verdict.status is _SUCCESS and not permit.trials and model != OTHER_MODEL:
            target = self._targets.attempted(key, True)
            self._well(permit, outcome, target, now)
            target.good(outcome.first_byte, permit.generation, now)
            return outcome if self._targets.get(key) is target else self._named(outcome)
        return self._settle(permit, outcome, key, now)

    def _well(self, permit: Permit, outcome: Outcome, target: TargetState, now: float) -> None:
        """What `_judge` comes to for an ordinary success, which is nearly everything there is."""
        breaker, generation = target.breaker, permit.generation
        knobs = breaker.knobs
        if knobs.mode is _OFF:
            return
        host = self._panel.hosts.get(permit.provider) or self._panel.host(permit.provider)
        host.breaker.good(generation, now)
        breaker.good(generation, now)
        if outcome.streamed and (permit.provider, permit.model) in self._stand_ins:
            late = slow(outcome, knobs.slow_first_byte)
            if late is not None:
                breaker.paced(generation, now, slow=late)
        if self._hold_offs.places or self._panel.credentials:
            self._judge_key(permit, outcome, knobs, (), now)

    def _settle(self, permit: Permit, outcome: Outcome, key: Key, now: float) -> Outcome:
        """Take in anything but an ordinary success."""
        status = outcome.verdict.status
        knobs = self._panel.knobs(permit.provider)
        counted = isinstance(status, Status) and permit.model != OTHER_MODEL
        late = key in self._stand_ins and slow(outcome, knobs.slow_first_byte)
        target = self._targets.get(key)
        if counted or late:
            target = self._targets.attempted(key, status is _SUCCESS)
        if knobs.mode is not Mode.OFF:
            self._judge(permit, outcome, target, knobs, now)
        if not counted or target is None:
            return self._named(outcome)
        target.add(outcome, permit.generation, now)
        return outcome if key in self._targets else self._named(outcome)

    def proved(self, permit: Permit, now: float, first_byte: float | None) -> None:
        """Take in that a trial's answer has begun well, `first_byte` seconds after the request; called by its permit.

        From here on the attempt is no trial, and belongs to the generation that this success led to.
        """
        trials, permit.trials = permit.trials, ()
        was_one = False
        for one in trials:
            limit = self._panel.knobs(permit.provider).slow_first_byte
            late = one.by_pace and first_byte is not None and first_byte > limit
            last = f"first content after {first_byte:.1f} s" if late else ""
            was_one = one.tried(permit, now, passed=not late, last=last) or was_one
        if was_one:
            permit.generation = self._company.generation

    def cancelled(self, permit: Permit) -> None:
        """Hear that no attempt was made; called once by its permit."""
        self.open_permits -= 1
        for one in permit.trials:
            one.tried(permit, 0.0, passed=None)

    def _judge(self, permit: Permit, outcome: Outcome, target: TargetState | None, knobs: Breakers, now: float) -> None:
        """Tell every breaker that the outcome concerns. A trial is told apart, and only where it is one."""
        verdict = outcome.verdict
        generation = permit.generation
        tried = self._try(permit, outcome, knobs, now) if permit.trials else ()
        host = self._panel.hosts.get(permit.provider)
        if host is None and verdict.counted:
            host = self._panel.host(permit.provider)
        if host is not None and verdict.counted and host.breaker not in tried:
            host.add(outcome, permit.model, generation, now)
        if target is not None and target.breaker not in tried:
            breaker = target.breaker
            pace = slow(outcome, knobs.slow_first_byte) if (target.provider, target.model) in self._stand_ins else None
            if verdict.status is _SUCCESS:
                breaker.good(generation, now)
            elif verdict.counted and verdict.blame is Blame.TARGET:
                breaker.bad(generation, now, verdict.message, verdict.http_status)
            if pace is not None:
                breaker.paced(generation, now, slow=pace)
        self._judge_key(permit, outcome, knobs, tried, now)

    def _judge_key(
        self, permit: Permit, outcome: Outcome, knobs: Breakers, tried: Collection[Breaker], now: float
    ) -> None:
        verdict = outcome.verdict
        place = (permit.provider, permit.model, permit.key)
        if verdict.status is Status.RATE_LIMITED:
            self._hold_offs.limited(place, verdict.retry_after, knobs.max_open_for, now)
        elif verdict.status is _SUCCESS:
            if self._hold_offs.places:
                self._hold_offs.succeeded(place)
            for one in self._panel.of_key(*place):
                if one not in tried:
                    one.good(permit.generation, now)
        elif permit.key and verdict.counted and verdict.blame in _KEYS:
            model = permit.model if verdict.blame is Blame.TARGET_CREDENTIAL else None
            one = self._panel.credential((permit.provider, model, permit.key))
            if one not in tried:
                one.bad(permit.generation, now, verdict.message, verdict.http_status)

    def _try(self, permit: Permit, outcome: Outcome, knobs: Breakers, now: float) -> list[Breaker]:
        """Give trial permits back with what they came to; returns the breakers for which this was a trial."""
        last, status = outcome.verdict.message, outcome.verdict.http_status
        return [
            one
            for one in permit.trials
            if one.tried(permit, now, passed=passed(one, outcome, knobs), last=last, http_status=status)
        ]

    # -- another configuration -------------------------------------------------------------------------------------

    def adopt(
        self,
        now: float,
        *,
        tracked: int,
        configured: Collection[Key],
        breakers: Breakers,
        per_provider: Mapping[str, Breakers],
        stand_ins: Collection[Key],
        budget: float,
    ) -> None:
        """Go on with another configuration; the arguments are as when it was made. Permits that are out stay good.

        Of providers that are gone nothing is judged any more, also not what attempts still under way come to; their
        targets stay tracked, as records of them are. Windows keep their length until each breaker is told to `fit`:
        thousands of them take longer than everybody else can wait.
        """
        gone = self._panel.adopt(
            tracked=tracked, configured=configured, breakers=breakers, per_provider=per_provider, now=now
        )
        self._gone = (self._gone | gone).difference(per_provider)
        self._stand_ins = frozenset(stand_ins)
        self._share = budget
        for name in gone:
            self._hold_offs.forget(name)
            self._budgets.pop(name, None)
        for one in self._budgets.values():
            one.adopt(budget)

    def key_replaced(self, provider: str, key: str, now: float) -> None:
        """Hear that a provider's configured key, of that fingerprint, has another one in its place."""
        self._panel.key_replaced(provider, key, now)

    # -- by hand ---------------------------------------------------------------------------------------------------

    def open(self, provider: str, model: str | None, now: float, for_: float) -> Breaker:
        """Open the breaker of a provider or target for `for_` seconds; after them a trial decides.

        Raises:
            KeyError: neither configured nor tracked.
        """
        breaker = self._panel.known(provider, model)
        breaker.force_open(now, for_)
        return breaker

    def close(self, provider: str, model: str | None, now: float) -> Breaker:
        """Close the breaker of a provider or target. Raises KeyError as `open`."""
        breaker = self._panel.known(provider, model)
        breaker.force_close(now)
        return breaker

    def reset(self, provider: str, model: str | None, now: float) -> Breaker:
        """Close the breaker of a provider or target and forget what led to it, with its keys' breakers and hold-offs.

        A provider's reset goes for all its models too. Raises KeyError as `open`.
        """
        breaker = self._panel.reset(provider, model, now)
        self._hold_offs.forget(provider, model)
        return breaker

    def reset_all(self, now: float) -> int:
        """Reset everything; returns how many breakers were not closed."""
        self._hold_offs.clear()
        return self._panel.reset_all(now)

    # -- what is known ---------------------------------------------------------------------------------------------

    def knobs(self, provider: str) -> Breakers:
        """The knobs that hold for a provider and its targets."""
        return self._panel.knobs(provider)

    def find(self, provider: str, model: str) -> TargetState | None:
        """What is known of one target, None when it is not tracked."""
        return self._targets.get((provider, model))

    def name(self, provider: str, model: str) -> str:
        """The model name to count something under: its own where it is tracked or configured, else `OTHER_MODEL`."""
        return model if (provider, model) in self._targets else OTHER_MODEL

    def breaker(self, provider: str, model: str | None = None) -> Breaker | None:
        """The breaker of a provider or target, None where there is none yet."""
        return self._panel.find(provider, model)

    def breakers(self) -> Iterator[Breaker]:
        """All breakers there are: providers', targets', keys'."""
        return iter(self._panel)

    def proven(self, provider: str) -> Iterator[str]:
        """The models of a provider that once succeeded and are not configured, the one attempted last coming first."""
        return self._targets.proven(provider)

    def unwell(self) -> list[Breaker]:
        """The breakers of any scope that are not closed, in no order."""
        return list(self._company.unwell)

    def lent(self, told: Callable[[Breaker], None]) -> None:
        """In a fleet: have somebody hear at once when the right to try a breaker out comes here; must not raise."""
        self._company.lent = told

    def standing(self, provider: str, model: str, now: float) -> Standing:
        """How a target looks to routing."""
        target = self._targets.get((provider, model))
        return UNSEEN if target is None else target.standing(now)

    def ill(self, provider: str, model: str, now: float) -> bool:
        """Whether a target is unhealthy by its recent traffic; quick for one that has not failed."""
        target = self._targets.get((provider, model))
        if target is None or not target.ill(now):
            return False
        # While a breaker stands in between, it alone decides: its trials must not wait for health to come back.
        host = self._panel.hosts.get(provider)
        return target.breaker.closed and (host is None or host.breaker.closed)

    def turn(self, provider: str, model: str) -> bool:
        """Whether this request is one of those that an unhealthy target keeps, to prove itself."""
        target = self._targets.get((provider, model))
        return target is None or target.turn()

    def budget(self, provider: str) -> Budget:
        """The retry budget of requests that first go to a provider."""
        found = self._budgets.get(provider)
        if found is None:
            found = Budget(self._share)
            if provider not in self._gone:
                self._budgets[provider] = found
        return found

    def budgets(self) -> Mapping[str, Budget]:
        """All retry budgets there are, by provider."""
        return self._budgets

    def hold_offs(self, now: float) -> list[tuple[str, str, str, float]]:
        """Provider, model, beginning of the key's fingerprint, and seconds left of every hold-off."""
        held = self._hold_offs.holding(now)
        return [(provider, model, key[:_KEY_SHOWN], left) for (provider, model, key), left in held]

    @property
    def lapsed_leases(self) -> int:
        """Trials that were not back when their lease ended: each is a bug of ours."""
        return self._company.lapsed

    def __len__(self) -> int:
        """How many targets are tracked."""
        return len(self._targets)

    def __iter__(self) -> Iterator[TargetState]:
        """Every tracked target."""
        return iter(self._targets)

    # -- inside ----------------------------------------------------------------------------------------------------

    def _named(self, outcome: Outcome) -> Outcome:
        name = self.name(outcome.provider, outcome.model)
        return outcome if name == outcome.model else outcome.named(name)
