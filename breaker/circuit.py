"""pybreaker's part: it holds the named state of a breaker. This is the one file that knows the library.

Its `call` and `call_async` are not used: they count failures of coroutines as successes, admit everybody while
half-open, know consecutive failures only and read the wall's clock. State, listeners and storage are what is left, and
they are what other tools look at.
"""

from __future__ import annotations

import sys
from typing import Any, Final

from breaker.transitions import State

# It imports Redis and Tornado for what is not used here, and does without where they are not installed.
_UNWANTED: Final = [name for name in ("redis", "tornado") if sys.modules.setdefault(name, None) is None]  # type: ignore[arg-type]
try:
    import pybreaker
finally:
    for name in _UNWANTED:
        del sys.modules[name]

_NAMES: Final = {
    pybreaker.STATE_CLOSED: State.CLOSED,
    pybreaker.STATE_OPEN: State.OPEN,
    pybreaker.STATE_HALF_OPEN: State.HALF_OPEN,
}
_NEVER: Final = 1 << 62


class Circuit(pybreaker.CircuitBreakerListener):
    """The state of one breaker. `state` is pybreaker's, kept at hand by listening to it."""

    __slots__ = ("_circuit", "state")

    def __init__(self, name: str) -> None:
        """Begin closed."""
        self._circuit = pybreaker.CircuitBreaker(fail_max=_NEVER, name=name, listeners=[self])
        self.state = _NAMES[self._circuit.current_state]

    @property
    def name(self) -> str | None:
        """What the breaker is called."""
        return self._circuit.name

    def move(self, state: State) -> None:
        """Enter `state`, whatever it is now; `breaker.transitions` has said that it may."""
        if state is State.OPEN:
            self._circuit.open()
        elif state is State.CLOSED:
            self._circuit.close()
        else:
            self._circuit.half_open()

    def state_change(self, cb: Any, old_state: Any, new_state: Any) -> None:
        """Hear from pybreaker that its state is another one."""
        self.state = _NAMES[new_state.name]
