"""What the admin port is built from."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from msgspec import Struct, field

from breaker.registry import Registry
from config.effective import Config
from healthapi.lag import Lag
from healthapi.metrics import Metrics
from healthapi.parameters import Parameters
from healthapi.store import Store
from healthapi.views.sources import Sources


def _no_listeners() -> Mapping[str, bool]:
    return {}


class Admin(Struct, frozen=True):
    """Everything a page of the admin port may look at; nothing of it is changed by looking.

    `now` tells Unix time in seconds. `listeners` tells for each listener by name whether it takes connections.
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
    scraping: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held by the one scrape under way: it occupies a worker thread that name resolution needs too."""

    def sources(self) -> Sources:
        """What documents are made from, at this moment."""
        return Sources(self.store, self.config, self.now())


class Call(Struct, frozen=True):
    """One request: the variable parts of its path, decoded, and its parameters."""

    path: dict[str, str]
    query: Parameters
    accept: str
    request_id: str
