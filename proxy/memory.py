"""The memory that requests' bodies may use together."""

from __future__ import annotations

from typing import Final

READ_AHEAD: Final = 64 * 1024
"""Bytes of each body that may always be buffered, whatever the others hold: finding the model needs them."""


class ReplayMemory:
    """What all buffered bodies use, in bytes, and may use."""

    __slots__ = ("limit", "used")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.used = 0

    def most(self, wanted: int) -> int:
        """How many bytes of a body may be kept where so many are wanted, if there is room; `READ_AHEAD` always may."""
        return max(wanted, READ_AHEAD)

    def full(self, held: int) -> bool:
        """Whether a body of which `held` bytes are buffered may have no more."""
        return self.used > self.limit and held >= READ_AHEAD
