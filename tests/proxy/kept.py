"""A recorder that keeps what it is told."""

from __future__ import annotations

from breaker.outcome import Answer, Outcome


class Kept:
    def __init__(self) -> None:
        self.answers: list[Answer] = []
        self.outcomes: list[Outcome] = []
        self.moves: list[tuple[str, ...]] = []
        self.keys: list[tuple[str, bool, int | None]] = []

    def attempt(self, outcome: Outcome) -> None:
        self.outcomes.append(outcome)

    def answer(self, answer: Answer) -> None:
        self.answers.append(answer)

    def rejected(self, provider: str, model: str, kind: str) -> None:
        self.moves.append(("rejected", provider, model, kind))

    def rerouted(self, provider: str, model: str, to_provider: str, to_model: str, cause: str) -> None:
        self.moves.append(("rerouted", provider, model, to_provider, to_model, cause))

    def retried(self, provider: str, cause: str) -> None:
        self.moves.append(("retried", provider, cause))

    def overspent(self, provider: str) -> None:
        self.moves.append(("overspent", provider))

    def key(self, provider: str, accepted: bool, http_status: int | None, at: float) -> None:
        self.keys.append((provider, accepted, http_status))
