"""The elements of a JSON array out of bytes that may be split anywhere: how Gemini streams without `alt=sse`. Sans-I/O.

Only brackets and strings are looked at. An object in place of the array (an error) is one element. Whatever stands
outside of objects is skipped.
"""

from __future__ import annotations

import re
from typing import Final

from proxy.bounded import Pile

_STRUCTURE: Final = re.compile(rb'["{}\[\]]')
_STRING_END: Final = re.compile(rb'["\\]')
_OPENING: Final = b"{["


class Elements:
    """Turns the bytes of a JSON array into its elements; `closed` once the array, or the lone object, is complete."""

    __slots__ = ("_depth", "_escaped", "_in_element", "_in_string", "_pile", "_top", "closed")

    def __init__(self) -> None:
        self.closed = False
        self._pile = Pile()
        self._top = -1  # depth at which elements begin: 1 inside an array, 0 for a lone object, -1 not known yet
        self._depth = 0
        self._in_element = False
        self._in_string = False
        self._escaped = False

    def feed(self, data: bytes) -> list[bytes]:
        """The elements that `data` completes."""
        elements: list[bytes] = []
        at = begun = 0
        while not self.closed and at < len(data):
            if self._in_string:
                at = self._string(data, at)
                continue
            found = _STRUCTURE.search(data, at)
            if found is None:
                break
            at = found.end()
            mark = found.group()
            if mark == b'"':
                self._in_string = True
            elif mark in _OPENING:
                if self._top < 0:
                    self._top = 1 if mark == b"[" else 0
                if self._depth == self._top and mark == b"{":
                    self._in_element, begun = True, found.start()
                self._depth += 1
            elif self._depth > 0:
                self._depth -= 1
                if self._in_element and self._depth == self._top:
                    self._pile.add(data[begun:at])
                    elements.append(self._pile.take())
                    self._in_element = False
                self.closed = self._depth == 0 and mark == (b"]" if self._top else b"}")
        if self._in_element:
            self._pile.add(data[begun:])
        return elements

    def _string(self, data: bytes, at: int) -> int:
        """Go on inside a string; returns how far."""
        if self._escaped:
            self._escaped = False
            return at + 1
        found = _STRING_END.search(data, at)
        if found is None:
            return len(data)
        if found.group() == b'"':
            self._in_string = False
        else:
            self._escaped = True
        return found.end()
