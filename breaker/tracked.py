"""Which targets are kept, and which of them goes when there are too many (semantics section 7).

Names of models come from callers, so what is kept for them is bounded. A target is tracked from its first counted
attempt. Names that never succeeded, which anybody can make up, share a small shelf of their own and cannot push out a
target that once did. Configured targets never leave. On each shelf the one whose last attempt is oldest goes first, so
that a target in use outlives any flood of invented names.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Collection, Iterator

from breaker.outcome import NO_MODEL
from breaker.target import TargetState

Key = tuple[str, str]
"""Provider and model."""


class Tracked:
    """The targets of a registry."""

    __slots__ = ("_configured", "_forgotten", "_make", "_most", "_most_unproven", "_proven", "_states", "_unproven")

    def __init__(
        self,
        most: int,
        most_unproven: int,
        configured: Collection[Key],
        make: Callable[[str, str], TargetState],
        forgotten: Callable[[TargetState], None],
    ) -> None:
        """Track `most` targets that once succeeded and `most_unproven` others; configured ones beyond any bound.

        `make` makes the state of a target, `forgotten` is told of those that leave.
        """
        self._most = most
        self._most_unproven = most_unproven
        self._configured = frozenset(configured)
        self._make = make
        self._forgotten = forgotten
        self._states: dict[Key, TargetState] = {}
        self._proven: OrderedDict[Key, None] = OrderedDict()  # without the configured ones, oldest attempt first
        self._unproven: OrderedDict[Key, None] = OrderedDict()  # the same

    def get(self, key: Key) -> TargetState | None:
        """The state of a target, None when it is not tracked."""
        return self._states.get(key)

    def __contains__(self, key: Key) -> bool:
        """Whether a target is tracked, or would never leave once it is."""
        return key in self._states or self._is_pinned(key)

    def __len__(self) -> int:
        """How many targets are tracked."""
        return len(self._states)

    def __iter__(self) -> Iterator[TargetState]:
        """Every tracked target."""
        return iter(self._states.values())

    def proven(self, provider: str) -> Iterator[str]:
        """The models of a provider that once succeeded and are not configured, the one attempted last coming first."""
        return (model for name, model in reversed(self._proven) if name == provider)

    def attempted(self, key: Key, succeeded: bool) -> TargetState:
        """Track a target that was attempted, as the one attempted last; returns its state.

        One success proves a target for good.
        """
        state = self._states.get(key)
        if state is None:
            state = self._states[key] = self._make(*key)
        elif key in self._configured:
            return state
        if key in self._proven:
            self._proven.move_to_end(key)
        elif self._is_pinned(key):
            self._trim()
        elif succeeded:
            self._unproven.pop(key, None)
            self._proven[key] = None
            self._trim()
        else:
            self._unproven[key] = None
            self._unproven.move_to_end(key)
            if len(self._unproven) > self._most_unproven:
                self._forget(self._unproven)
        return state

    def adopt(self, most: int, configured: Collection[Key]) -> None:
        """Go on with another bound and other configured targets.

        One that is configured no more takes its place among those that succeeded once, as the one attempted last:
        nobody made its name up.
        """
        before, self._configured, self._most = self._configured, frozenset(configured), most
        for key in self._configured - before:
            self._proven.pop(key, None)
            self._unproven.pop(key, None)
        for key in before - self._configured:
            if key in self._states and not self._is_pinned(key):
                self._proven[key] = None
        while self._proven and len(self._states) - len(self._unproven) > most:
            self._forget(self._proven)

    def _is_pinned(self, key: Key) -> bool:
        """Whether a target never leaves: configured, or a provider's own requests without a model."""
        return key in self._configured or key[1] == NO_MODEL

    def _trim(self) -> None:
        if self._proven and len(self._states) - len(self._unproven) > self._most:
            self._forget(self._proven)

    def _forget(self, shelf: OrderedDict[Key, None]) -> None:
        key, _ = shelf.popitem(last=False)
        self._forgotten(self._states.pop(key))
