"""Everything that requests need, put together: the data plane, and what knows and keeps health.

Beside `proxy.app` this and `proxy.office` are the files that know both traffic and health. What is made from the
configuration is made here in `__init__`, and hears of another one in `adopt`, in one turn of the event loop: no request
ever sees half of it. What no request needs is made later: a start is over when the first one can be served.
"""

from __future__ import annotations

import logging
import time
from functools import partial
from typing import TYPE_CHECKING, Final, TypedDict

from msgspec import Struct

from breaker.registry import Registry
from breaker.transitions import State
from healthapi import keeping
from healthapi.events import EventLog
from healthapi.keeper import Clock
from healthapi.keys import KeyLog
from healthapi.lag import Lag
from healthapi.memory import MemoryStore
from healthapi.metrics import Metrics
from healthapi.offerings import Offerings
from healthapi.probing import Probing
from healthapi.recorder import Recorder
from healthapi.tiers import Tiers
from healthapi.turns import turns
from proxy.access import AccessLog
from proxy.certificates import FileError, check
from proxy.connect import Connector
from proxy.credentials import key_of
from proxy.listeners import CannotStartError
from proxy.lists import Lists
from proxy.patrol import Patrol
from proxy.plane import DataPlane
from proxy.pool import Pools
from proxy.tls import Certificates, Watched, trusted

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Collection, Iterator, Mapping

    from breaker.transition import Transition
    from config.effective import Config
    from config.settings import Breakers
    from healthapi.alerts.channels.contract import Channel
    from proxy.office import Office
    from proxy.plane import Recorder as Told

log: Final = logging.getLogger("detour")


class Prepared(Struct, frozen=True):
    """What of a configuration had better be made before it is in force, as that may fail or take time."""

    config: Config
    channels: Mapping[str, Channel]
    trusted: Mapping[str, Watched]


def prepare(config: Config) -> Prepared:
    """Make ready for a configuration; needs no event loop.

    Raises:
        ConfigError: files that it names cannot be used.
        ValueError: anything else of it cannot; the message says what and why.
    """
    check(config, time.time(), running=True)
    try:
        made = trusted(config)
    except FileError as error:  # between that look and this one
        raise ValueError(f"{error.key}: {error}") from error
    return Prepared(config, _channels(config), made)


class Assembly:
    """One process without its listeners. Built inside a running loop.

    `office` is where the admin port and alerts are, once that is open.
    """

    office: Office | None = None

    def __init__(self, config: Config, loop: asyncio.AbstractEventLoop, *, instance: str) -> None:
        """Put everything together; nothing is started.

        Raises:
            CannotStartError: something that is configured cannot be used, also what only the office uses.
        """
        self.config = config
        self.instance = instance
        self._fitting: asyncio.Task[None] | None = None
        self.lag = Lag()
        self.store = MemoryStore()
        self.events = EventLog()
        try:
            self.certificates = Certificates(config)
            _channels(config)  # only to see that they can be had: the office opens when requests are served already
        except (FileError, ValueError) as error:
            raise CannotStartError(str(error)) from error
        pools = Pools(Connector(loop, self.certificates.client), loop)
        self.registry = Registry(**_judging(config), on_forget=self.forget, on_transition=self._transition)
        self.metrics = Metrics(
            config=config,
            instance=instance,
            lag=self.lag,
            in_flight=lambda: self.plane.in_flight,
            connections=pools.counts,
            open_permits=lambda: self.registry.open_permits,
        )
        self.keys = KeyLog(config)
        self.offers = Offerings(config)
        self.recorder = Recorder(self.store, self.metrics, self.keys)
        self.plane = DataPlane(config, self.registry, self._told(config), pools, loop, instance=instance)
        clock = Clock(self.plane.watch.now, time.time)
        self.tiers = Tiers()
        try:
            self.keeper = keeping.keeper(
                config, self.store, self.registry, instance, clock, self.keys, self.offers, self.tiers,
                lambda: self.config,
            )  # fmt: skip
        except ValueError as error:
            raise CannotStartError(f"store: {error}") from error
        self.read_list = Lists(self.plane).read
        self.keeper.every(self.offers.pause, partial(self.offers.due, self.keeper, self.read_list, time.time))
        self.probing = Probing(config, self.keeper, self.tiers, clock.now, clock.wall, self.offers.delisted)
        self.probing.start()
        self.patrol = Patrol(self.plane, self.probing, clock.now)

    def adopt(self, prepared: Prepared) -> None:
        """Go on with another configuration; to be called on the event loop.

        What is counted, judged, open or held off stays, as far as the configuration still knows what it is about.
        """
        before, config, now = self.config, prepared.config, self.plane.watch.now()
        self.config = config
        self.registry.adopt(now, **_judging(config))
        for name, key in _replaced(before, config):
            self.registry.key_replaced(name, key, now)
        if self._fitting is not None:
            self._fitting.cancel()
        self._fitting = self.plane.loop.create_task(self._fit(), name="windows")
        self.metrics.adopt(config)
        self.keys.adopt(config)
        self.offers.adopt(config)
        self.probing.adopt(config)
        if self.office is not None:
            self.office.adopt(config, prepared.channels)
        self.patrol.adopt(config)
        self.certificates.adopt(config, prepared.trusted)
        self.plane.adopt(config, self._told(config))

    async def _fit(self) -> None:
        """Give the breakers' windows the length that they are to have now, with turns for others in between."""
        async for breaker in turns(list(self.registry.breakers())):
            breaker.fit(self.plane.watch.now())

    def forget(self, provider: str, model: str) -> None:
        """Hear of a target that the registry does not track any more."""
        self.recorder.forget(provider, model)

    def _told(self, config: Config) -> Told:
        """Who hears of what becomes of requests."""
        return AccessLog(self.recorder) if config.settings.log.access else self.recorder

    def _transition(self, moved: Transition) -> None:
        """Tell the event log, the metrics and the log that a breaker moved."""
        self.events.add(moved)
        self.metrics.transition(moved)
        self.keeper.moved(moved)
        self.patrol.moved(moved)
        target = moved.provider if moved.model is None else f"{moved.provider}/{moved.model}"
        level = logging.WARNING if moved.state is State.OPEN else logging.INFO
        extra = {"scope": moved.scope, "target": target, "cause": moved.cause, "retry_in": moved.retry_in}
        log.log(level, "breaker %s: %s", moved.state, moved.reason, extra=extra)


def _channels(config: Config) -> dict[str, Channel]:
    """Where alerts are sent. Raises ValueError where one cannot be used."""
    configured = config.settings.alerts.channels
    if not configured:
        return {}
    from healthapi.alerts.channels import channels

    return channels(configured)


def _replaced(before: Config, after: Config) -> Iterator[tuple[str, str]]:
    """The providers that have another key than before, each with the fingerprint of the old one."""
    for name in before.providers.keys() & after.providers.keys():
        key = key_of(before.providers[name])
        if key and key != key_of(after.providers[name]):
            yield name, key


class _Judging(TypedDict):
    """What the registry wants to know of a configuration."""

    tracked: int
    configured: Collection[tuple[str, str]]
    breakers: Breakers
    per_provider: Mapping[str, Breakers]
    stand_ins: Collection[tuple[str, str]]
    budget: float


def _judging(config: Config) -> _Judging:
    settings = config.settings
    return _Judging(
        tracked=settings.limits.tracked_targets,
        configured=config.targets,
        breakers=settings.breakers,
        per_provider={name: provider.breakers for name, provider in config.providers.items()},
        stand_ins=config.stand_ins if settings.routing.enabled else (),
        budget=settings.retries.budget,
    )
