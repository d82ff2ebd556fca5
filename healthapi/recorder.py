"""The one who is told what happened: every attempt and every answer comes through here, once.

The data plane knows this file and nothing else of health. All calls are on the hot path: they count and return.
"""

from __future__ import annotations

from collections.abc import Callable

from breaker.outcome import Answer, Outcome
from healthapi.keys import KeyLog
from healthapi.metrics import Metrics
from healthapi.store import Store


class Recorder:
    """Hands attempts to the health records and metrics, and everything else to the metrics."""

    __slots__ = ("_add", "_count", "_keys", "_metrics", "_store", "answer")

    def __init__(self, store: Store, metrics: Metrics, keys: KeyLog | None = None) -> None:
        """Feed this store, these metrics, and what is known of keys."""
        self._store = store
        self._metrics = metrics
        self._keys = keys
        self._add, self._count = store.add, metrics.attempt
        self.answer: Callable[[Answer], None] = metrics.answer
        """Takes one exchange as its client saw it; called once, at its end."""

    def attempt(self, outcome: Outcome) -> None:
        """Take one settled attempt, as `Permit.settle` returned it. The store leaves neutral ones out."""
        self._add(outcome)
        self._count(outcome)

    def rejected(self, provider: str, model: str, kind: str) -> None:
        """Take an attempt that was not made; `kind` is the rejection's (`Rejection.kind`)."""
        self._metrics.rejected(provider, model, kind)

    def rerouted(self, provider: str, model: str, to_provider: str, to_model: str, cause: str) -> None:
        """Take an exchange that was answered elsewhere than it asked; called once for it.

        `cause` is a rejection's kind, `unhealthy`, or the status or neutral kind of the attempt that made it move.
        """
        self._metrics.rerouted(provider, model, to_provider, to_model, cause)

    def retried(self, provider: str, cause: str) -> None:
        """Take an attempt after the first of an exchange; `cause` is the status of the one before it."""
        self._metrics.retried(provider, cause)

    def overspent(self, provider: str) -> None:
        """Take a further attempt that was not made because the budget was spent."""
        self._metrics.overspent(provider)

    def key(self, provider: str, accepted: bool, http_status: int | None, at: float) -> None:
        """Take what a provider thinks of the key configured for it."""
        if self._keys is not None:
            self._keys.tell(provider, accepted, http_status, at)

    def forget(self, provider: str, model: str) -> None:
        """Let go of a target that the registry no longer tracks (`Registry(on_forget=…)`)."""
        self._store.forget(provider, model)
        self._metrics.forget(provider, model)
