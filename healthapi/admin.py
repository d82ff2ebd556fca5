"""What the admin port is built from."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping

from msgspec import Struct, field

from breaker.registry import Registry
from config.effective import Config
from healthapi.events import EventLog
from healthapi.lag import Lag
from healthapi.metrics import Metrics
from healthapi.parameters import Parameters
from healthapi.store import Store
from healthapi.views.sources import Sources


def _no_listeners() -> Mapping[str, bool]:
    return {}


class Admin(Struct, frozen=True):
    """Everything a page of the admin port may look at; nothing of it is changed by looking (GET).

    `now` tells Unix time in seconds, `monotonic` the seconds that the registry is asked with. `events` has heard of all
    transitions of its breakers. `listeners` tells for each listener by name whether it takes connections.
    """

    config: Config
    store: Store
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

    def sources(self) -> Sources:
        """What documents are made from, at this moment."""
        return Sources(self.store, self.config, self.registry, self.now(), self.monotonic())


class Call(Struct, frozen=True):
    """One request: the variable parts of its path, decoded, and its parameters."""

    path: dict[str, str]
    query: Parameters
    accept: str
    request_id: str
    last_event_id: str = ""
    """The Last-Event-ID header, which a browser sends when it asks for a stream again."""
