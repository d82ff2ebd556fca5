"""What the admin port is built from."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Final

from msgspec import Struct, field

from breaker.outcome import Kind
from breaker.registry import Registry
from config.effective import Config
from healthapi.events import EventLog
from healthapi.keeper import Keeper
from healthapi.lag import Lag
from healthapi.metrics import Metrics
from healthapi.parameters import Parameters
from healthapi.store import Reading, Scope
from healthapi.views.sources import Sources

STALE: Final = "X-Detour-Stale"
"""Header of answers from a fleet's records while these cannot be had anew: how many seconds ago they were true."""

_KINDS: Final = tuple(kind.value for kind in Kind)
_SCOPES: Final = tuple(scope.value for scope in Scope)


def _no_listeners() -> Mapping[str, bool]:
    return {}


class Admin(Struct, frozen=True):
    """Everything a page of the admin port may look at; nothing of it is changed by looking (GET).

    `store` has the records of this process, `keeper` those of the fleet, and the history of both. `now` tells Unix time
    in seconds, `monotonic` the seconds that the registry is asked with. `events` has heard of all transitions of its
    breakers. `listeners` tells for each listener by name whether it takes connections.
    """

    config: Config
    store: Reading
    keeper: Keeper
    registry: Registry
    metrics: Metrics
    lag: Lag
    version: str
    instance: str
    draining: Callable[[], bool]
    now: Callable[[], float]
    listeners: Callable[[], Mapping[str, bool]] = _no_listeners
    events: EventLog = field(default_factory=EventLog)
    monotonic: Callable[[], float] = time.monotonic
    scraping: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held by the one scrape under way: it occupies a worker thread that name resolution needs too."""

    async def sources(self, call: Call) -> Sources:
        """What documents are made from, at this moment; of the fleet unless a request says `scope=instance`.

        Records are lent until somebody else has had a turn: make the document before the next `await`.

        Raises:
            Problem: 400 for another scope.
            StoreError: the records cannot be had now.
        """
        picture = await self.keeper.reading(call.scope())
        if picture.stale is not None:
            call.headers[STALE] = str(int(picture.stale))
        return self._sources(picture.store)

    def local(self) -> Sources:
        """What documents are made from that look at this process alone."""
        return self._sources(self.store)

    def _sources(self, store: Reading) -> Sources:
        return Sources(store, self.config, self.registry, self.now(), self.monotonic())


class Call(Struct, frozen=True):
    """One request: the variable parts of its path, decoded, and its parameters; `headers` are added to its answer."""

    path: dict[str, str]
    query: Parameters
    accept: str
    request_id: str
    last_event_id: str = ""
    """The Last-Event-ID header, which a browser sends when it asks for a stream again."""
    headers: dict[str, str] = field(default_factory=dict)

    def kind(self) -> Kind | None:
        """The parameter `kind`: which kind of traffic is meant, None for both.

        Raises:
            Problem: 400 for another word.
        """
        kind = self.query.choice("kind", _KINDS)
        return None if kind is None else Kind(kind)

    def scope(self) -> Scope:
        """The parameter `scope`: whose records are meant, the fleet's unless it says `instance`.

        Raises:
            Problem: 400 for another word.
        """
        return Scope(self.query.choice("scope", _SCOPES) or Scope.FLEET)
