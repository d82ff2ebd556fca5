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
from config.reloads import Reloads
from config.watched import WatchedFiles
from healthapi.alerts.desk import Desk
from healthapi.events import EventLog
from healthapi.keeper import Keeper
from healthapi.keys import KeyLog
from healthapi.lag import Lag
from healthapi.metrics import Metrics
from healthapi.offerings import Offerings, Read
from healthapi.parameters import Parameters
from healthapi.probing import Probing
from healthapi.slabook import SlaBook
from healthapi.spend import Spend
from healthapi.store import Reading, Scope
from healthapi.surveys import Surveyed, Surveys
from healthapi.tiers import Tiers
from healthapi.views.sources import Sources
from healthapi.views.survey import surveyed

STALE: Final = "X-Detour-Stale"
"""Header of answers from a fleet's records while these cannot be had anew: how many seconds ago they were true."""

_KINDS: Final = tuple(kind.value for kind in Kind)
_SCOPES: Final = tuple(scope.value for scope in Scope)


def _no_listeners() -> Mapping[str, bool]:
    return {}


class Admin(Struct):
    """Everything a page of the admin port may look at; nothing of it is changed by looking (GET).

    The configuration is another one after a reload, the rest stays; `reloads` tells of these.

    `store` has the records of this process, `keeper` those of the fleet, and the history of both. `now` tells Unix time
    in seconds, `monotonic` the seconds that the registry is asked with. `events` has heard of all transitions of its
    breakers. `listeners` tells for each listener by name whether it takes connections. `keys` and `offers` are what is
    known of the configured keys and of the providers' lists of models, `read_list` reads one of these.
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
    surveys: Surveys = field(default_factory=Surveys)
    tiers: Tiers = field(default_factory=Tiers)
    probing: Probing | None = None
    sla: SlaBook | None = None
    alerts: Desk | None = None
    keys: KeyLog | None = None
    offers: Offerings | None = None
    read_list: Read | None = None
    reloads: Reloads = field(default_factory=Reloads)
    files: list[WatchedFiles] = field(default_factory=list)

    @property
    def spend(self) -> Spend | None:
        """What probes spend, where there are any."""
        return None if self.probing is None else self.probing.spend

    async def survey(self, asked: Call | Scope) -> Surveyed:
        """Every target judged, of the fleet or of this process; it may be a second old where there are many.

        Raises:
            Problem: 400 for another scope.
            StoreError: the records cannot be had now.
        """
        scope = asked if isinstance(asked, Scope) else asked.scope()

        async def make() -> Surveyed:
            picture = await self.keeper.reading(scope)
            sources = self._sources(picture.store)
            return Surveyed(sources, await surveyed(sources), picture.stale)

        made = await self.surveys.get(scope, self.monotonic, make)
        if isinstance(asked, Call) and made.stale is not None:
            asked.headers[STALE] = str(int(made.stale))
        return made

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
        return Sources(
            store, self.config, self.registry, self.now(), self.monotonic(), self.keys, self.offers, self.tiers
        )


class Call(Struct, frozen=True):
    """One request: the variable parts of its path, decoded, and its parameters; `headers` are added to its answer."""

    path: dict[str, str]
    query: Parameters
    accept: str
    request_id: str
    last_event_id: str = ""
    """The Last-Event-ID header, which a browser sends when it asks for a stream again."""
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    """What was sent along, where the endpoint takes anything."""

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
