"""A registry on a moved clock, and the verdicts its tests speak of."""

from __future__ import annotations

from typing import Any

from breaker.outcome import Blame, Neutral, Outcome, Status, Verdict
from breaker.permit import Permit, Rejection
from breaker.registry import Registry
from breaker.transition import Cause, Transition
from breaker.transitions import State
from config.settings import Breakers

CLOSED, OPEN, HALF_OPEN = State.CLOSED, State.OPEN, State.HALF_OPEN
ILL = Verdict(Status.ERROR, Blame.TARGET, message="503 overloaded", http_status=503)
DOWN = Verdict(Status.NETWORK_ERROR, Blame.PROVIDER, message="refused")
NO_ACCESS = Verdict(Status.ERROR, Blame.TARGET_CREDENTIAL, message="no access", http_status=403)
SPENT = Verdict(Status.ERROR, Blame.PROVIDER_CREDENTIAL, message="quota", http_status=402)
LIMITED = Verdict(Status.RATE_LIMITED, Blame.TARGET_CREDENTIAL, message="429", http_status=429)
LEFT = Verdict(Neutral.CANCELLED)

TARGETS = [("p", "a"), ("p", "b"), ("q", "c")]
KEY, OTHER_KEY = "0123456789abcdef", "fedcba9876543210"


class World:
    """A registry, a moved clock, and what was told of transitions."""

    def __init__(self, *, tracked: int = 100, unproven: int = 1000, stand_ins: Any = TARGETS, **knobs: Any) -> None:
        self.told: list[Transition] = []
        self.now = 0.0
        found = Breakers(**({"failure_threshold": 2, "min_requests": 100, "jitter": 0.0} | knobs))
        self.registry = Registry(
            tracked=tracked,
            unproven=unproven,
            configured=TARGETS,
            per_provider={"p": found, "q": found},
            stand_ins=stand_ins,
            on_transition=self.told.append,
            random=lambda: 0.0,
        )

    def ask(self, provider: str = "p", model: str = "a", key: str = "", **how: Any) -> Permit | Rejection:
        return self.registry.admit(provider, model, self.now, key, **how)

    def admitted(self, provider: str = "p", model: str = "a", key: str = "", **how: Any) -> Permit:
        permit = self.ask(provider, model, key, **how)
        assert isinstance(permit, Permit), permit
        return permit

    def refused(self, provider: str = "p", model: str = "a", key: str = "") -> Rejection:
        rejection = self.ask(provider, model, key)
        assert isinstance(rejection, Rejection)
        assert self.registry.rejection(provider, model, self.now, key) == rejection
        return rejection

    def settle(self, permit: Permit, verdict: Verdict, **how: Any) -> None:
        pace: dict[str, Any] = {"streamed": False, "response_time": 1.0, "first_byte": 0.5, "at": 1.7e9} | how
        permit.settle(Outcome(permit.provider, permit.model, verdict, **pace), self.now)

    def attempt(
        self, verdict: Verdict, provider: str = "p", model: str = "a", key: str = "", *, times: int = 1, **how: Any
    ) -> None:
        for _ in range(times):
            self.settle(self.admitted(provider, model, key), verdict, **how)

    def state(self, provider: str, model: str | None = None) -> State:
        breaker = self.registry.breaker(provider, model)
        return CLOSED if breaker is None else breaker.state

    @property
    def causes(self) -> list[tuple[str, str | None, Cause]]:
        return [(transition.provider, transition.model, transition.cause) for transition in self.told]
