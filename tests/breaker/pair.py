"""The real registry and the reference side by side: whatever is done to one is done to the other, and compared."""

from __future__ import annotations

import math
from collections.abc import Collection

import pytest

from breaker.breaker import Breaker
from breaker.health import Health
from breaker.outcome import Outcome, Verdict
from breaker.permit import Permit, Rejection
from breaker.registry import Registry
from breaker.transition import Scope, Transition
from config.settings import Breakers
from tests.breaker.reference import Key, Leave, Model, Moved, Refusal, Target


def near(number: float | None) -> object:
    return None if number is None else pytest.approx(number, abs=1e-6, rel=1e-9)


def key_of(thing: Breaker | Transition) -> Key:
    return thing.provider, thing.model, thing.credential or ""


def said(transition: Transition) -> Moved:
    was, event, state, cause = transition.was, transition.event, transition.state, transition.cause
    return Moved(
        key_of(transition), was.value, event.value, state.value, cause.value, transition.generation, transition.retry_in
    )


class Pair:
    """One registry, one model, one clock, and the permits that are out at both."""

    def __init__(
        self,
        *,
        knobs: Breakers,
        per_provider: dict[str, Breakers] | None = None,
        configured: Collection[Target],
        stand_ins: Collection[Target],
        share: float = 0.0,
        start: float = 0.0,
    ) -> None:
        self.now = start
        per_provider = {provider: knobs for provider, _ in configured} | (per_provider or {})
        self.transitions: list[Transition] = []
        self.registry = Registry(
            tracked=100,
            configured=configured,
            breakers=knobs,
            per_provider=per_provider,
            stand_ins=stand_ins,
            on_transition=self.transitions.append,
            random=lambda: share,
        )
        self.model = Model(knobs, per_provider, configured, stand_ins, lambda: share)
        self.out: list[tuple[Permit, Leave]] = []
        self.generations: dict[Key, int] = {}

    def admit(self, provider: str, model: str, key: str = "", lease: float = math.inf, *, force: bool = False) -> bool:
        """Ask both; whether they let it through."""
        foreseen = self.registry.rejection(provider, model, self.now, key)
        told = self.registry.admit(provider, model, self.now, key, lease, force=force)
        expected = self.model.admit(provider, model, self.now, key[:8], lease, force=force)
        if isinstance(told, Permit):
            assert isinstance(expected, Leave), f"let through, but {expected}"
            assert force or foreseen is None, "asked the same without taking anything"
            assert told.trial == expected.is_trial(self.model)
            self.out.append((told, expected))
        else:
            self.refused(told, expected)
            assert foreseen is not None, "asked the same without taking anything"
            self.refused(foreseen, expected)
        self.compare()
        return isinstance(told, Permit)

    @staticmethod
    def refused(told: Rejection, expected: Leave | list[Refusal]) -> None:
        assert isinstance(expected, list), f"{told}, but there is no reason to"
        longest = max(refusal.retry_after for refusal in expected)
        assert told.retry_after == near(longest)
        assert told.reason
        ties = [refusal for refusal in expected if refusal.retry_after == near(longest)]
        assert (told.kind, told.status) in [(refusal.kind, refusal.status) for refusal in ties]

    def settle(
        self,
        at: int,
        verdict: Verdict,
        *,
        streamed: bool = False,
        reasoning: bool = False,
        first_byte: float | None = 0.5,
        response_time: float = 1.0,
        wall: float = 1.7e9,
    ) -> None:
        permit, leave = self.out.pop(at % len(self.out))
        outcome = Outcome(
            leave.provider,
            leave.model,
            verdict,
            streamed,
            response_time=response_time,
            first_byte=first_byte,
            at=wall,
            reasoning=reasoning,
        )
        permit.settle(outcome, self.now)
        self.model.settle(leave, outcome, self.now)
        self.compare()

    def cancel(self, at: int) -> None:
        permit, leave = self.out.pop(at % len(self.out))
        permit.cancel()
        self.model.cancel(leave)
        self.compare()

    def prove(self, at: int, first_byte: float | None) -> None:
        permit, leave = self.out[at % len(self.out)]
        permit.proved(self.now, first_byte)
        self.model.prove(leave, self.now, first_byte)
        assert permit.out
        self.compare()

    def attempt(self, provider: str, model: str, verdict: Verdict, key: str = "") -> bool:
        """One attempt from admission to its end at once; False when it was refused."""
        admitted = self.admit(provider, model, key)
        if admitted:
            self.settle(-1, verdict)
        return admitted

    def open(self, provider: str, model: str | None, seconds: float) -> None:
        if not self.model.known(provider, model):
            with pytest.raises(KeyError):
                self.registry.open(provider, model, self.now, seconds)
        else:
            assert key_of(self.registry.open(provider, model, self.now, seconds)) == (provider, model, "")
            self.model.force_open(provider, model, self.now, seconds)
        self.compare()

    def close(self, provider: str, model: str | None) -> None:
        if not self.model.known(provider, model):
            with pytest.raises(KeyError):
                self.registry.close(provider, model, self.now)
        else:
            assert key_of(self.registry.close(provider, model, self.now)) == (provider, model, "")
            self.model.force_close(provider, model, self.now)
        self.compare()

    def reset(self, provider: str, model: str | None) -> None:
        if not self.model.known(provider, model):
            with pytest.raises(KeyError):
                self.registry.reset(provider, model, self.now)
        else:
            assert key_of(self.registry.reset(provider, model, self.now)) == (provider, model, "")
            self.model.reset(provider, model, self.now)
        self.compare()

    def reset_all(self) -> None:
        assert self.registry.reset_all(self.now) == self.model.reset_all(self.now)
        self.compare()

    def compare(self) -> None:
        """Everything that can be seen of one against the other."""
        self.told()
        real = {key_of(breaker): breaker for breaker in self.registry.breakers()}
        assert {key for key in real if key[2]} == {key for key in self.model.machines if key[2]}
        for key in real.keys() | self.model.machines.keys():
            self.same(key, real.get(key))
        self.others()

    def told(self) -> None:
        """The transitions of this step; those of different breakers in any order."""
        told = sorted(map(said, self.transitions), key=lambda moved: str(moved[0]))
        expected = sorted(self.model.moved, key=lambda moved: str(moved[0]))
        assert [moved[:5] for moved in told] == [moved[:5] for moved in expected]
        for found, moved in zip(told, expected, strict=True):
            assert found.retry_in == near(moved.retry_in)
        for transition in self.transitions:
            assert transition.generation > max(self.generations.values(), default=0), "generations only grow"
            self.generations[key_of(transition)] = transition.generation
            assert transition.now == self.now
            assert transition.reason
            assert len(transition.reason) <= 500
            assert "\n" not in transition.reason
            scope = Scope.CREDENTIAL if transition.credential else Scope.PROVIDER
            assert transition.scope is (Scope.TARGET if transition.model and not transition.credential else scope)
        self.transitions.clear()
        self.model.moved.clear()

    def same(self, key: Key, breaker: Breaker | None) -> None:
        machine = self.model.machine(key)
        assert key[2] or breaker is self.registry.breaker(*key[:2])
        if breaker is None:
            assert (machine.generation, machine.counts(self.now), machine.run) == (0, (0, 0), 0), key
            return
        left = max(0.0, machine.retry_at - self.now) if machine.state == "open" and machine.retry_at else 0.0
        assert breaker.state.value == machine.state, key
        assert breaker.generation == self.generations.get(key, 0), key
        assert breaker.counts(self.now) == machine.counts(self.now), key
        assert breaker.consecutive == machine.run, key
        assert breaker.trials_out == len(machine.trials), key
        assert breaker.trial_successes == machine.passed, key
        assert breaker.openings == machine.openings, key
        assert (breaker.cause.value if breaker.cause else None) == machine.cause, key
        if machine.state == "open":
            assert breaker.retry_at == near(machine.retry_at), key
        assert breaker.retry_in(self.now) == near(left), key
        assert breaker.manual == machine.manual, key
        if key[2] and machine.state != "closed":
            assert breaker.http_status == machine.http_status, key

    def others(self) -> None:
        registry, model = self.registry, self.model
        assert registry.open_permits == len(self.out)
        assert registry.lapsed_leases == model.lapsed
        held = {row[:3]: row[3] for row in registry.hold_offs(self.now)}
        expected = {at: until - self.now for at, (until, _) in model.hold_offs.items() if until > self.now}
        assert held.keys() == expected.keys()
        for at, left in expected.items():
            assert held[at] == near(left)
        for provider, name in model.tracked:
            good, total = model.health(provider, name, self.now)
            standing = registry.standing(provider, name, self.now)
            assert standing.success_rate == (good / total if total else None), (provider, name)
            assert (standing.health is Health.UNKNOWN) == (total < 5)
