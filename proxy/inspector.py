"""Looks at a streamed answer while it passes: what came, whether it ended as it should, whether it failed. Sans-I/O.

The inspector never changes a byte and never raises, whatever it is fed. Its state depends on the bytes alone, not on
how they were split. Memory is bounded by a few times `proxy.bounded.LIMIT`.
"""

from __future__ import annotations

from typing import Final

from proxy import terminals
from proxy.elements import Elements
from proxy.inband import InBandError
from proxy.readers import failure, reader
from proxy.sight import CONTENT, Sight
from proxy.sse import Splitter
from proxy.steady import Frame, learn

__all__ = ["InBandError", "Inspector"]

LESSONS: Final = 4
"""How often a stream's frame is learnt: thinking, text and tool calls each have their own."""

FRAMED: Final = 4096
"""Largest event, in bytes, whose frame is learnt."""

_SHAPES: Final = frozenset({"sse", "array", "opaque"})


class Inspector:
    """One streamed answer, looked at.

    `shape` says how the body is divided: `sse`, `array` (Gemini without `alt=sse`) or `opaque` (bytes of any kind).

    Attributes:
        content: how many content events have come; compare it before and after `feed`. Of an opaque body, its bytes.
        events: how many events have come, comments and pings not counted.
        error: the first error event, which beats a terminal.
        terminal: whether the end that this kind of stream promises was seen.
        finish: why the model stopped, in its vendor's word; the last one said.
        blocked: why the model did not begin (Gemini's `blockReason`).
        has_terminals: whether this kind of stream promises an end at all.
    """

    __slots__ = (
        "_array",
        "_frame",
        "_lessons",
        "_read",
        "_split",
        "_steady",
        "blocked",
        "content",
        "error",
        "events",
        "finish",
        "has_terminals",
        "terminal",
    )

    def __init__(self, endpoint_name: str, dialect: str, shape: str) -> None:
        if shape not in _SHAPES:
            raise ValueError(f"no such shape: {shape!r}")
        # What every event needs comes first: compiled, an object lies in memory in this order.
        self._steady = False
        """Whether the next event may fit the frame: it begins at a boundary."""
        self._frame: Frame | None = None
        self.content = 0
        self.events = 0
        self.error: InBandError | None = None
        self.terminal = False
        self.finish: str | None = None
        self.blocked: str | None = None
        self.has_terminals = terminals.expected(dialect, endpoint_name, shape)
        self._read = reader(terminals.grammar(dialect, endpoint_name))
        self._split = Splitter() if shape == "sse" else None
        self._array = Elements() if shape == "array" else None
        self._lessons = LESSONS

    def feed(self, data: bytes) -> None:
        """Look at the next bytes of the body."""
        if self._steady and self._frame is not None and self._frame.fits(data):
            self.events += 1
            self.content += 1
            return
        split = self._split
        if split is not None:
            whole = not split.open
            for name, payload in split.feed(data):
                sight = self._read(name, payload) if name != b"error" else failure(payload)
                if sight is CONTENT:
                    self.events += 1
                    self.content += 1
                    if whole and self._lessons:
                        self._learn(data, name, payload)
                else:
                    self._note(sight)
            self._steady = not split.open
        elif self._array is not None:
            self._elements(self._array, data)
        else:
            self.content += len(data)

    def close(self) -> None:
        """The body is over: an event whose closing blank line is missing counts."""
        if self._split is not None:
            for name, payload in self._split.close():
                self._note(self._read(name, payload) if name != b"error" else failure(payload))

    def _learn(self, data: bytes, name: bytes, payload: bytes) -> None:
        """See whether this content event's frame tells the next ones; `data` is what it came in, from a boundary on."""
        if len(data) > FRAMED:
            return
        end = b"\r\n\r\n" if data.endswith(b"\r\n\r\n") else b"\n\n"
        head = data[: max(0, len(data) - len(payload) - len(end))]
        usual = (b"data: ", b"event: " + name + end[: len(end) // 2] + b"data: ")
        if head not in usual or head + payload + end != data:
            return  # not one event by itself
        self._lessons -= 1
        self._frame = learn(head, name, payload, end, self._read) or self._frame

    def _elements(self, array: Elements, data: bytes) -> None:
        for element in array.feed(data):
            self._note(self._read(b"", element))
        # An array is complete at its bracket, whatever its elements say: without it no client can read it.
        self.terminal = self.has_terminals and array.closed

    def _note(self, sight: Sight) -> None:
        if sight.ping:
            return
        self.events += 1
        self.content += sight.content
        self.terminal = self.terminal or sight.terminal
        self.finish = sight.finish or self.finish
        self.blocked = sight.blocked or self.blocked
        self.error = self.error or sight.error
