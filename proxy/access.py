"""The access log: one line per exchange when asked for. Never a prompt, never a credential."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from breaker.outcome import Answer, Outcome
    from proxy.plane import Recorder

log = logging.getLogger("detour.access")


class AccessLog:
    """A recorder that writes a line for every answer and hands everything on."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder

    def attempt(self, outcome: Outcome) -> None:
        """Hand on."""
        self._recorder.attempt(outcome)

    def rejected(self, provider: str, model: str, kind: str) -> None:
        """Hand on."""
        self._recorder.rejected(provider, model, kind)

    def rerouted(self, provider: str, model: str, to_provider: str, to_model: str, cause: str) -> None:
        """Hand on."""
        self._recorder.rerouted(provider, model, to_provider, to_model, cause)

    def retried(self, provider: str, cause: str) -> None:
        """Hand on."""
        self._recorder.retried(provider, cause)

    def overspent(self, provider: str) -> None:
        """Hand on."""
        self._recorder.overspent(provider)

    def key(self, provider: str, accepted: bool, http_status: int | None, at: float) -> None:
        """Hand on."""
        self._recorder.key(provider, accepted, http_status, at)

    def answer(self, answer: Answer) -> None:
        """Write the line. The request's path is left out: it may hold a key in its query."""
        self._recorder.answer(answer)
        log.info(
            "%s %s",
            answer.method,
            answer.endpoint,
            extra={
                "request_id": answer.request_id,
                "provider": answer.provider,
                "model": answer.model,
                "status": answer.status,
                "result": answer.result,
                "streamed": answer.streamed,
                "attempts": answer.attempts,
                "duration_ms": round(answer.duration * 1e3, 1),
                "upstream_ms": round(answer.upstream * 1e3, 1),
                "bytes_in": answer.bytes_in,
                "bytes_out": answer.bytes_out,
            },
        )
