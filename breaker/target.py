"""What the registry keeps for one target: its live traffic of the last minute.

Only outcomes blamed on the target or its provider move it, and successes. One caller's bad key, spent quota or missing
access must not make a model look ill to everybody else.
"""

from __future__ import annotations

from typing import Final

from breaker.outcome import Blame, Outcome, Status
from breaker.window import Window

_SUCCESS: Final = Status.SUCCESS  # reading a member off its class costs a call
_HEARD: Final = frozenset({Blame.TARGET, Blame.PROVIDER})


class TargetState:
    """One target as its own traffic shows it. `last_…_at` are Unix times, None while there was none."""

    __slots__ = (
        "consecutive_failures",
        "consecutive_successes",
        "last_failure_at",
        "last_success_at",
        "model",
        "provider",
        "window",
    )

    def __init__(self, provider: str, model: str, span: float) -> None:
        """Start with nothing seen and a window of `span` seconds."""
        self.provider = provider
        self.model = model
        self.window = Window(span)
        self.consecutive_failures = 0
        self.consecutive_successes = 0
        self.last_success_at: float | None = None
        self.last_failure_at: float | None = None

    def add(self, outcome: Outcome, now: float) -> None:
        """Take in one outcome, at `now` on the monotonic clock."""
        verdict = outcome.verdict
        status = verdict.status
        if status is _SUCCESS:
            self.consecutive_successes += 1
            self.consecutive_failures = 0
            self.last_success_at = outcome.at
        elif isinstance(status, Status) and verdict.blame in _HEARD:
            self.consecutive_failures += 1
            self.consecutive_successes = 0
            self.last_failure_at = outcome.at
        else:
            return
        self.window.add(status, now)
