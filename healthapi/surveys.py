"""The surveys that pages and alerts look at: made in turns, and large ones shared by all who ask within a second."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from msgspec import Struct

from healthapi.store import Scope
from healthapi.turns import let_go
from healthapi.views.sources import Sources
from healthapi.views.survey import Survey

LASTS: Final = 1.0
"""Seconds for which a survey is shown to others."""

LARGE: Final = 200
"""Targets from which a survey is shared. A smaller one costs less than being a second late would."""


class Surveyed(Struct, frozen=True):
    """A survey, what it was made from, and how old the records were, as in `Picture`.

    The moment of `sources` is that at which it was begun.
    """

    sources: Sources
    found: Survey
    stale: float | None


class _Kept(Struct, frozen=True):
    at: float
    made: Surveyed


class Surveys:
    """The last large survey of each scope. `now` is in monotonic seconds."""

    def __init__(self) -> None:
        """Begin with none."""
        self._last: dict[Scope, _Kept] = {}
        self._making = {scope: asyncio.Lock() for scope in Scope}

    async def get(self, scope: Scope, now: Callable[[], float], make: Callable[[], Awaitable[Surveyed]]) -> Surveyed:
        """The survey of a scope, made now unless one just was; who asks meanwhile waits for it.

        Raises:
            StoreError: it cannot be made, as `make` says.
        """
        async with self._making[scope]:
            kept = self._last.get(scope)
            if kept is not None and 0 <= now() - kept.at < LASTS:
                return kept.made
            if kept is not None:
                targets = list(kept.made.found.targets)
                del self._last[scope], kept
                await let_go(targets)
            made = await make()
            if len(made.found.targets) >= LARGE:
                self._last[scope] = _Kept(now(), made)
            return made
