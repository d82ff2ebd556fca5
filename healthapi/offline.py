"""A store without a sidecar: what `detour cleanup` does where none runs."""

from __future__ import annotations

import time
from typing import Any

import msgspec

from breaker.registry import Registry
from config.effective import Config
from healthapi import cleanup, keeping
from healthapi.cleanuppages import document
from healthapi.keeper import Clock
from healthapi.memory import MemoryStore
from healthapi.offerings import Offerings
from healthapi.store import StoreError


async def clean_up(config: Config, older_than: float, instance: str, *, live: bool) -> dict[str, Any]:
    """The answer of `/v1/model-health/cleanup`, from the configured store itself; with `live` records are removed.

    Raises:
        StoreError: the store cannot be opened or reached, or not everything could be removed.
    """
    store = MemoryStore()
    registry = Registry(
        tracked=config.settings.limits.tracked_targets, configured=config.targets, on_forget=store.forget
    )
    try:
        keeper = keeping.keeper(config, store, registry, instance, Clock())
    except ValueError as error:
        raise StoreError(f"store: {error}") from error
    await keeper.start()
    try:
        if keeper.trouble is not None:
            raise StoreError(keeper.trouble)
        offers = Offerings(config)
        await offers.sync(keeper)
        found = await cleanup.find(keeper, config, time.time(), older_than, offers)
        removed = await cleanup.remove(keeper, found) if live else None
    finally:
        await keeper.stop()
    made: dict[str, Any] = msgspec.to_builtins(await document(found, older_than, removed))
    return made
