"""The providers' own lists of models, as somebody would have read them."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct


class Listing(Struct, frozen=True):
    names: Sequence[str] = ()
    whole: bool = True
    problem: str | None = None


class Vendors:
    """Providers with a list; all others cannot be read."""

    def __init__(self, **lists: list[str]) -> None:
        self.lists = lists
        self.asked: list[str] = []
        self.parts: set[str] = set()
        """Those whose list is too long to be read to its end."""

    async def read(self, name: str) -> Listing:
        self.asked.append(name)
        names = self.lists.get(name)
        return Listing(problem="503: overloaded") if names is None else Listing(tuple(names), name not in self.parts)
