"""Everything that sends probes: the rounds to what nobody calls, and the trials of open breakers."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from proxy.prober import Prober
from proxy.purse import Health, Purse
from proxy.trials import Trials
from proxy.watchman import Watchman

if TYPE_CHECKING:
    from breaker.transition import Transition
    from proxy.plane import DataPlane


class Patrol:
    """Sends probes through a data plane from `start` to `stop`, where the configuration has any."""

    def __init__(self, plane: DataPlane, health: Health, now: Callable[[], float]) -> None:
        """Ask `health` about everything. `now` is in seconds on the registry's clock."""
        config, registry = plane.config, plane.registry
        self._health = health
        self._prober = Prober(plane)
        purse = Purse(config, health, self._prober, now)
        self._watchman = Watchman(config, registry, health, purse, now, plane.wall)
        self._trials = Trials(config, registry, health, purse, now)
        able = [provider for provider in config.providers.values() if provider.configured]
        self.active = any(one.probes.enabled for one in able) or any(one.enabled for one in config.probes.values())
        """Whether there is anything to do."""

    def start(self) -> None:
        """Begin."""
        if self.active:
            self._watchman.start()
            self._trials.start()

    async def stop(self) -> None:
        """Send no more, and end what is under way without a verdict."""
        self._prober.stop()
        self._health.forgo()
        await self._watchman.stop()
        await self._trials.stop()

    def moved(self, transition: Transition) -> None:
        """Hear of a breaker's move, on the way of a request."""
        if self.active:
            self._trials.moved(transition)
