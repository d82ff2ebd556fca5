"""Field names told apart quickly.

A client sends the same few names in the same case with every request, so what a name means here is looked up by the
name as it came, and worked out only the first time.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

MOST: Final = 2048
"""Names remembered; callers choose names, so that there may be any number of them."""
LONGEST: Final = 64
"""Bytes of a name that is remembered."""

DETOUR: Final = b"x-detour-"
"""Fields with this prefix are for Detour itself and never forwarded."""


class Names(dict[bytes, bytes]):
    """Maps a name as it came to its lowercase form when it is one of `special` or Detour's own, else to nothing."""

    __slots__ = ("_special",)

    def __init__(self, special: Collection[bytes]) -> None:
        """Tell the lowercased names in `special` from all others."""
        super().__init__()
        self._special = frozenset(special)

    def __missing__(self, raw: bytes) -> bytes:
        name = raw.lower()
        if name not in self._special and not name.startswith(DETOUR):
            name = b""
        if len(raw) <= LONGEST:
            if len(self) >= MOST:
                self.clear()
            self[raw] = name
        return name
