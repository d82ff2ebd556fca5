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
    from config.effective import Config
    from proxy.plane import DataPlane


class Patrol:
    """Sends probes through a data plane from `start` to `stop`, where the configuration has any."""

    def __init__(self, plane: DataPlane, health: Health, now: Callable[[], float]) -> None:
        """Ask `health` about everything. `now` is in seconds on the registry's clock."""
        config, registry = plane.config, plane.registry
        self._health = health
        self._prober = Prober(plane)
        self._purse = Purse(config, health, self._prober, now)
        self._watchman = Watchman(config, registry, health, self._purse, now, plane.wall)
        self._trials = Trials(config, registry, health, self._purse, now)
        self._began = self._started = False
        self.active = _anything(config)
        """Whether there is anything to do."""

    def start(self) -> None:
        """Begin."""
        self._began = True
        if self.active and not self._started:
            self._started = True
            self._watchman.start()
            self._trials.start()

    def adopt(self, config: Config) -> None:
        """Go on with another configuration. Where it has no probes, the rounds go on and lead to nobody."""
        self._purse.adopt(config)
        self._watchman.adopt(config)
        self._trials.adopt(config)
        self.active = _anything(config)
        if self._began:
            self.start()

    async def stop(self) -> None:
        """Send no more, and end what is under way without a verdict."""
        self._began = False
        self._prober.stop()
        self._health.forgo()
        await self._watchman.stop()
        await self._trials.stop()

    def moved(self, transition: Transition) -> None:
        """Hear of a breaker's move, on the way of a request."""
        if self.active:
            self._trials.moved(transition)


def _anything(config: Config) -> bool:
    able = any(one.probes.enabled for one in config.providers.values() if one.configured)
    return able or any(one.enabled for one in config.probes.values())
