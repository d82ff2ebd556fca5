"""What is held of an answer until it has proved good (semantics sections 1 and 4).

A bad answer that is still held can be replaced by another attempt, or by a clear error; one that was let through
cannot.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from proxy.inspector import Inspector

_ERROR: Final = b'"error"'
HOLD_BODY: Final = 64 * 1024
"""Most bytes of an error or JSON answer that are held, and looked at."""
HOLD_STREAM: Final = 256 * 1024
"""Most bytes of a stream that are held before its first content event."""
HOLD_TIME: Final = 25.0
"""Seconds after which a held stream's keep-alive comments pass, so that nothing in between cuts the line."""


class Gate:
    """The bytes held of one answer; open once they were taken."""

    __slots__ = ("_held", "_size", "shut")

    def __init__(self) -> None:
        self._held: list[bytes] = []
        self._size = 0
        self.shut = True
        """Whether bytes are held still."""

    def hold(self, data: bytes) -> None:
        """Hold back more of the answer."""
        if data:
            self._held.append(data)
            self._size += len(data)

    @property
    def held(self) -> list[bytes]:
        """What is held; after the gate was opened, the beginning of what was."""
        return self._held

    def open(self) -> bytes:
        """Let through what was held."""
        self.shut = False
        held = self._held
        return held[0] if len(held) == 1 else b"".join(held)

    def forget(self) -> None:
        """Keep nothing of what went through; the verdict on a good answer does not need it."""
        self._held = []

    def whole(self, data: bytes) -> bool:
        """Open for an answer that came in one piece and can only be good; most are."""
        if self._held or data.find(_ERROR) >= 0:  # to `in` the bytes may be a number, which costs an exception
            return False
        self.shut = False
        return True

    def body_ready(self, status: int, *, done: bool, readable: bool) -> bool:
        """Whether an answer that is no stream has proved good, or can be held no longer."""
        if self._size > HOLD_BODY:
            return True
        return done and status < 400 and readable and not self._suspicious()

    def stream_ready(self, inspector: Inspector, *, done: bool, passes: bool, last: bool) -> bool:
        """Whether a stream has; `last` says that nothing else would be tried should it be an error."""
        if inspector.content or self._size > HOLD_STREAM:
            return True
        if inspector.error is not None:
            return last and not done
        return inspector.terminal or (done and passes)

    def _suspicious(self) -> bool:
        """Whether a JSON answer may carry an error in place of a result; a byte test that never misses one."""
        held = self._held
        return len(held) > 1 or (len(held) == 1 and held[0].find(_ERROR) >= 0)
