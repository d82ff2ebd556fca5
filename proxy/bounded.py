"""Bytes of one event, kept within bounds whatever its size.

An event may carry a picture of many megabytes as base64, with its finish reason after it. Long unbroken runs (no
quote, backslash, white space or structural character) are therefore shortened once an event passes the limit: JSON
keeps its structure, only a string's inside or a number's digits get fewer. What is still too long is cut. The result
depends on the bytes alone, never on how they were split: shortening twice changes nothing and a prefix stays a prefix.
"""

from __future__ import annotations

import re
from typing import Final

LIMIT: Final = 256 * 1024
"""Most bytes kept of one event."""

RUN: Final = 1024
"""Most bytes kept of one unbroken run inside an event larger than `LIMIT`."""

# Looking behind makes it try at the beginning of runs only, so that the work stays linear.
_LONG_RUN: Final = re.compile(rb'(?<![^"\\\s{}\[\]:,])([^"\\\s{}\[\]:,]{%d})[^"\\\s{}\[\]:,]+' % RUN)


def bounded(data: bytes) -> bytes:
    """`data` within the bounds: as it is, or shortened, or shortened and cut."""
    return data if len(data) <= LIMIT else _shorten(data)[:LIMIT]


def _shorten(data: bytes | bytearray) -> bytes:
    return _LONG_RUN.sub(rb"\1", data)


class Pile:
    """Pieces of one event put together; `take()` gives what `bounded()` gives for all of them at once."""

    __slots__ = ("_clean", "_kept", "size")

    def __init__(self) -> None:
        """An empty pile; `size` is the number of bytes added since, kept or not."""
        self._kept = bytearray()
        self._clean = 0
        self.size = 0

    def add(self, data: bytes) -> None:
        """Put `data` on the pile."""
        self.size += len(data)
        if len(self._kept) >= LIMIT and self._clean >= LIMIT:
            return
        self._kept += data
        if len(self._kept) > LIMIT:
            self._squeeze()

    def take(self) -> bytes:
        """What was kept; the pile is empty afterwards."""
        if self.size > LIMIT:
            self._squeeze()
        taken = bytes(self._kept)
        self._kept.clear()
        self._clean = 0
        self.size = 0
        return taken

    def _squeeze(self) -> None:
        """Shorten what came since the last time: a run that went on begins at most `RUN` before it."""
        start = max(0, self._clean - RUN)
        self._kept[start:] = _shorten(self._kept[start:])
        del self._kept[LIMIT:]
        self._clean = len(self._kept)
