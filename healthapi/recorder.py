"""The one who is told what happened: every attempt and every answer comes through here, once.

The data plane knows this file and nothing else of health. Both calls are on the hot path: they count and return.
"""

from __future__ import annotations

from breaker.outcome import Answer, Outcome
from healthapi.metrics import Metrics
from healthapi.store import Store


class Recorder:
    """Hands attempts to the health records and metrics, and answers to the metrics."""

    __slots__ = ("_metrics", "_store")

    def __init__(self, store: Store, metrics: Metrics) -> None:
        """Feed this store and these metrics."""
        self._store = store
        self._metrics = metrics

    def attempt(self, outcome: Outcome) -> None:
        """Take one settled attempt, as `Permit.settle` returned it. The store leaves neutral ones out."""
        self._store.add(outcome)
        self._metrics.attempt(outcome)

    def answer(self, answer: Answer) -> None:
        """Take one exchange as its client saw it; called once, at its end."""
        self._metrics.answer(answer)

    def forget(self, provider: str, model: str) -> None:
        """Let go of a target that the registry no longer tracks (`Registry(on_forget=…)`)."""
        self._store.forget(provider, model)
        self._metrics.forget(provider, model)
