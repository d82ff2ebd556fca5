"""The least of many things, picked out one by one: to sort thousands at once would hold the loop for milliseconds."""

from __future__ import annotations

from bisect import insort
from typing import Any, Generic, TypeVar

_T = TypeVar("_T", bound=Any)


class Least(Generic[_T]):
    """The `most` least of what is added, in order; `more` tells whether something had to be left out."""

    def __init__(self, most: int) -> None:
        """Begin with nothing."""
        self.kept: list[_T] = []
        self.more = False
        self._most = most

    def add(self, thing: _T) -> None:
        """Take something in, as long as it is one of the least."""
        if len(self.kept) == self._most:
            self.more = True
            if not thing < self.kept[-1]:
                return
            self.kept.pop()
        insort(self.kept, thing)
