"""What the registry keeps for one provider: its breaker, and which of its models failed lately."""

from __future__ import annotations

from typing import TYPE_CHECKING

from breaker.breaker import Breaker
from breaker.outcome import Blame, Outcome, Status

if TYPE_CHECKING:
    from config.settings import Breakers

BUCKETS = 10
"""Buckets of a breaker's window."""


class ProviderState:
    """One provider. A trip by rate needs failures of two models: one ill model does not condemn its host."""

    __slots__ = ("_step", "breaker")

    def __init__(self, breaker: Breaker, window: float) -> None:
        """Start with nothing seen; `window` is the span of the breaker's window in seconds."""
        self.breaker = breaker
        self._step = window / BUCKETS

    def add(self, outcome: Outcome, model: str, generation: int, now: float) -> None:
        """Hear of an outcome at `model`, as far as it is the host's doing or that of one of its models."""
        verdict, breaker = outcome.verdict, self.breaker
        if verdict.status is Status.SUCCESS:
            breaker.good(generation, now)
        elif verdict.blame is Blame.PROVIDER:
            models = self._models(model, generation, now)
            breaker.bad(generation, now, verdict.message, verdict.http_status, models=models)
        elif verdict.blame is Blame.TARGET:
            models = self._models(model, generation, now)
            last = f"{model}: {verdict.message}"
            breaker.bad(generation, now, last, verdict.http_status, below=True, models=models)

    def adopt(self, knobs: Breakers, now: float) -> None:
        """Go on with other knobs."""
        self.breaker.adopt(knobs)
        self.breaker.fit(now)
        step = knobs.window / BUCKETS
        if step != self._step:
            failed = self.breaker.failed_models
            failed[:] = [(name, int(min((tick + 1) * self._step, now) // step)) for name, tick in failed]
            self._step = step

    def _models(self, model: str, generation: int, now: float) -> int:
        """How many models failed within the window, as far as two, the one that failed now included."""
        breaker = self.breaker
        if generation < breaker.generation:
            return 0
        tick = int(now // self._step)
        others = [(name, at) for name, at in breaker.failed_models if name != model and at > tick - BUCKETS]
        breaker.failed_models[:] = [*others[-1:], (model, tick)]
        return len(breaker.failed_models)
