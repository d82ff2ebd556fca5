"""The last head of a connection and what it decided.

A gateway sends the same head again and again on a connection, with another Content-Length. Such a head need not be
parsed again: byte for byte it is one that was found well-formed, and another number of digits changes nothing in that.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from config.effective import Config
    from proxy.head import Head
    from proxy.way import Way

LONGEST_DIGITS: Final = 18
MOST_BYTES: Final = 16 * 1024
"""Bytes of the largest head that is remembered."""

_LENGTH: Final = re.compile(rb"\r\ncontent-length:[ \t]*([0-9]+)", re.IGNORECASE)


class Known:
    """A head that was served, and its way by `config`."""

    __slots__ = ("_after", "_before", "config", "head", "way")

    def __init__(self, way: Way, config: Config, head: Head) -> None:
        """Remember `way` for heads like `head`, which has at most one Content-Length."""
        found = _LENGTH.search(head.raw)
        at, behind = found.span(1) if found is not None else (len(head.raw), len(head.raw))
        self._before = head.raw[:at]
        self._after = head.raw[behind:]
        """Empty where the head says no length."""
        self.way = way
        self.config = config
        self.head = head
        head.raw = b""

    def length(self, data: bytearray, end: int) -> tuple[int, int] | None:
        """Where a head ends that `data` begins with and that differs in nothing but its length, and that length.

        The length is -1 where such heads have none. Only what is before `end` counts. None for another head, or for
        one that has not come whole.
        """
        before = self._before
        if not data.startswith(before, 0, end):
            return None
        at, after = len(before), self._after
        if not after:
            return at, -1
        behind = data.find(after, at, min(at + LONGEST_DIGITS + len(after), end))
        if behind < 0:
            return None
        digits = data[at:behind]
        return (behind + len(after), int(digits)) if digits.isdigit() else None


def remember(way: Way, config: Config, head: Head) -> Known | None:
    """What to know of a head; None where it is too large for that."""
    return Known(way, config, head) if 0 < len(head.raw) <= MOST_BYTES else None
