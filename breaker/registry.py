"""The registry: answers "may I?" with a permit and is told "so it went".

Names of models come from callers, so what is kept for them is bounded (semantics, section 7). A target is tracked from
its first counted attempt. Names that never succeeded, which anybody can make up, share a small shelf of their own and
cannot push out a target that once did. Configured targets never leave. On each shelf the one whose last attempt is
oldest goes first, so that a target in use outlives any flood of invented names. What has gone, and what finds no room,
is counted under `OTHER_MODEL`, for which nothing is kept here.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Collection, Iterator
from typing import Final

import msgspec

from breaker.outcome import NO_MODEL, OTHER_MODEL, Outcome, Status
from breaker.permit import Permit, Rejection
from breaker.target import TargetState

_Key = tuple[str, str]

UNPROVEN: Final = 1000
"""Names without any success that are tracked at a time."""

WINDOW: Final = 60.0
"""Span of a target's window in seconds."""


class Registry:
    """The tracked targets of this process. `now` is in seconds of one monotonic clock."""

    __slots__ = (
        "_configured",
        "_on_forget",
        "_proven",
        "_span",
        "_targets",
        "_tracked",
        "_unproven",
        "_unproven_limit",
        "open_permits",
    )

    def __init__(
        self,
        *,
        tracked: int,
        unproven: int = UNPROVEN,
        configured: Collection[_Key] = (),
        window: float = WINDOW,
        on_forget: Callable[[str, str], None] | None = None,
    ) -> None:
        """Make an empty registry.

        Args:
            tracked: most targets that are configured or once succeeded; configured ones find room even beyond it.
            unproven: most names that never succeeded.
            configured: (provider, model) of the targets the configuration names.
            window: seconds each target's window reaches back.
            on_forget: told provider and model of whatever leaves; it may not know that name yet, and must not raise.
        """
        self.open_permits = 0
        self._tracked = tracked
        self._unproven_limit = unproven
        self._configured = frozenset(configured)
        self._span = window
        self._on_forget = on_forget
        self._targets: dict[_Key, TargetState] = {}
        self._proven: OrderedDict[_Key, None] = OrderedDict()  # without the configured ones, oldest attempt first
        self._unproven: OrderedDict[_Key, None] = OrderedDict()  # the same

    def admit(self, provider: str, model: str, now: float) -> Permit | Rejection:
        """Ask for leave to make one attempt at a target. Asking tracks nothing."""
        self.open_permits += 1
        return Permit(self, provider, model)

    def settled(self, outcome: Outcome, now: float) -> Outcome:
        """Take in what became of an attempt; called once by its permit.

        Neutral outcomes change nothing. Returns the outcome, a copy under `OTHER_MODEL` where its name is not tracked.
        """
        self.open_permits -= 1
        verdict = outcome.verdict
        if not verdict.counted or outcome.model == OTHER_MODEL:
            return self._named(outcome)
        key = (outcome.provider, outcome.model)
        state = self._targets.get(key)
        if state is None:
            state = self._targets[key] = TargetState(outcome.provider, outcome.model, self._span)
        state.add(outcome, now)
        if key in self._proven:
            self._proven.move_to_end(key)
            return outcome
        if self._is_pinned(key):
            self._trim_proven()
            return outcome
        self._shelve(key, succeeded=verdict.status is Status.SUCCESS)
        return self._named(outcome)

    def cancelled(self) -> None:
        """Hear that no attempt was made; called once by its permit."""
        self.open_permits -= 1

    def find(self, provider: str, model: str) -> TargetState | None:
        """What is known of one target, None when it is not tracked."""
        return self._targets.get((provider, model))

    def name(self, provider: str, model: str) -> str:
        """The model name to count something under: its own where it is tracked or configured, else `OTHER_MODEL`."""
        key = (provider, model)
        return model if key in self._targets or self._is_pinned(key) else OTHER_MODEL

    def __len__(self) -> int:
        """How many targets are tracked."""
        return len(self._targets)

    def __iter__(self) -> Iterator[TargetState]:
        """Every tracked target."""
        return iter(self._targets.values())

    def _named(self, outcome: Outcome) -> Outcome:
        name = self.name(outcome.provider, outcome.model)
        return outcome if name == outcome.model else msgspec.structs.replace(outcome, model=name)

    def _is_pinned(self, key: _Key) -> bool:
        """Whether a target never leaves: configured, or a provider's own requests without a model."""
        return key in self._configured or key[1] == NO_MODEL

    def _shelve(self, key: _Key, *, succeeded: bool) -> None:
        """Put a target not proven so far last on its shelf; one success proves it for good. Then hold the bounds."""
        if succeeded:
            self._unproven.pop(key, None)
            self._proven[key] = None
            self._trim_proven()
            return
        self._unproven[key] = None
        self._unproven.move_to_end(key)
        if len(self._unproven) > self._unproven_limit:
            self._forget(self._unproven)

    def _trim_proven(self) -> None:
        if self._proven and len(self._targets) - len(self._unproven) > self._tracked:
            self._forget(self._proven)

    def _forget(self, shelf: OrderedDict[_Key, None]) -> None:
        key, _ = shelf.popitem(last=False)
        del self._targets[key]
        if self._on_forget is not None:
            self._on_forget(*key)
