"""Where health is kept, as the configuration says it: builds the keeper with what it needs."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Final

from breaker.registry import Registry
from config.effective import Config
from config.storeurl import StoreKind
from healthapi import cleanup, offerings
from healthapi import keys as keylog
from healthapi.archive import Archive
from healthapi.keeper import Clock, Keeper
from healthapi.keys import KeyLog
from healthapi.memory import MemoryStore
from healthapi.offerings import Offerings
from healthapi.store import Scope
from healthapi.tiers import Tiers

if TYPE_CHECKING:
    from healthapi.fleet.fleet import Fleet

IN_MEMORY: Final = ":memory:"

OWN: Final = frozenset({StoreKind.MEMORY, StoreKind.SQLITE})
"""Stores that are one sidecar's alone."""

LOOK: Final = 60.0
"""Seconds between two looks whether it is time for a cleanup, where these are not closer together."""

ASKED: Final = 1.0
"""Seconds between two times that a sidecar asks whether it is to publish."""


def keeper(
    config: Config,
    store: MemoryStore,
    registry: Registry,
    instance: str,
    clock: Clock,
    keys: KeyLog | None = None,
    offers: Offerings | None = None,
    tiers: Tiers | None = None,
    current: Callable[[], Config] | None = None,
) -> Keeper:
    """What keeps `store` and the breakers of `registry` in the configured place; not started yet.

    What is known of keys and of the providers' lists of models is kept there too, where that is given. `current` tells
    the configuration in force, where that may be another one later.

    Raises:
        ValueError: its address says what is not understood.
    """
    settings, now = config.settings, current or (lambda: config)
    url = settings.store
    fleet = None
    if url.kind not in OWN:
        from healthapi.fleet.fleet import Fleet  # here, so that Redis is loaded only where one is used

        # What is shared outlives processes by days: their short names alone would meet again in a large fleet.
        name = f"{instance}-{secrets.token_hex(8)}"
        fleet = Fleet(url, settings.redis, registry, name, clock.now, clock.wall)
    path = url.path if url.kind is StoreKind.SQLITE else IN_MEMORY
    made = Keeper(store, registry, Archive(path), fleet, clock)

    async def publish(fleet: Fleet) -> None:
        from healthapi.published import documents
        from healthapi.views.sources import Sources

        if fleet.publishes():
            store = (await made.reading(Scope.FLEET)).store
            every = Sources(store, now(), registry, clock.wall(), clock.now(), keys, offers, tiers or Tiers())
            await fleet.publish(await documents(every))

    cleaned_at = clock.now()

    async def clean_up() -> None:
        nonlocal cleaned_at
        how = now().settings.cleanup
        if how.every and clock.now() - cleaned_at >= how.every:
            await cleanup.run(made, now(), clock.wall(), how.older_than, offers)
            cleaned_at = clock.now()

    if fleet is not None and settings.redis.publish_cache:
        made.every(ASKED, partial(publish, fleet))
    made.every(min(settings.cleanup.every or LOOK, LOOK), clean_up)
    if keys is not None:
        made.every(keylog.SYNC, partial(keys.sync, made))
    if offers is not None:
        made.every(offerings.SYNC, partial(offers.sync, made))
    return made
