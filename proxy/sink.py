"""Who an upstream connection reads an answer for."""

from __future__ import annotations

from typing import Protocol

from proxy.reply import Reply


class Sink(Protocol):
    """Who an answer is read for."""

    def informational(self, reply: Reply) -> None:
        """A 1xx answer but 101 came."""

    def head(self, reply: Reply) -> None:
        """The final answer's head came."""

    def body(self, data: bytes, done: bool, framed: bytes = b"") -> None:
        """Body bytes of one network read; `done` when they are the last.

        `framed` are the same as they came, where they came as plain whole chunks.
        """

    def upgraded(self, rest: bytes) -> None:
        """The head was 101 and `rest` is the first of what follows it."""

    def raw(self, data: bytes) -> None:
        """Bytes of an upgraded connection."""

    def malformed(self, detail: str) -> None:
        """What came is not HTTP or breaks framing rules; the connection is gone."""

    def lost(self, detail: str) -> None:
        """The connection ended before the answer did."""

    def writable(self) -> None:
        """The connection takes more bytes again after `blocked`."""
