"""The desk as the configuration says it."""

from __future__ import annotations

from collections.abc import Callable

from config.effective import Config
from healthapi.alerts.channels import channels
from healthapi.alerts.desk import Desk
from healthapi.keeper import Keeper


def desk(config: Config, keeper: Keeper, instance: str, now: Callable[[], float]) -> Desk:
    """Who looks after alerts; `now` tells Unix time.

    Raises:
        ValueError: a channel cannot be used; the message says which, why and what to do.
    """
    settings = config.settings
    made = channels(settings.alerts.channels)
    return Desk(settings.alerts.rules, made, keeper, fleet=settings.redis.fleet, instance=instance, now=now)
