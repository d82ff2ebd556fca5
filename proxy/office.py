"""What nobody's request needs: the admin port's application, alerts, and how providers do against their objectives.

It takes as long to load as everything else of a start together, so that is done when requests are served already.
"""

from __future__ import annotations

import logging
import time
from functools import partial
from typing import TYPE_CHECKING

from aiohttp import web

from healthapi.admin import Admin
from healthapi.alerts import opening
from healthapi.alerts.desk import EVERY
from healthapi.alerts.situation import gather
from healthapi.app import build
from healthapi.runner import Runner
from healthapi.slabook import TICK, SlaBook

if TYPE_CHECKING:
    import socket
    import ssl
    from collections.abc import Callable, Mapping

    from config.effective import Config
    from config.reloads import Reloads
    from healthapi.alerts.channels.contract import Channel
    from proxy.assembly import Assembly


class Office:
    """The admin port's part of a process. Built inside a running loop."""

    def __init__(
        self, parts: Assembly, *, version: str, listeners: Callable[[], Mapping[str, bool]], reloads: Reloads
    ) -> None:
        """Take in what requests are served by; its keeper may have been started or not."""
        config, keeper = parts.config, parts.keeper
        parts.metrics.version = version
        self.alerts = opening.desk(config, keeper, parts.instance, time.time)
        self.sla = SlaBook(config, keeper, time.time)
        self.admin = Admin(
            config=config,
            store=parts.store,
            keeper=keeper,
            registry=parts.registry,
            metrics=parts.metrics,
            lag=parts.lag,
            version=version,
            instance=parts.instance,
            draining=lambda: parts.plane.draining,
            now=time.time,
            listeners=listeners,
            events=parts.events,
            monotonic=parts.plane.watch.now,
            sla=self.sla,
            alerts=self.alerts,
            keys=parts.keys,
            offers=parts.offers,
            read_list=parts.read_list,
            tiers=parts.tiers,
            probing=parts.probing,
            reloads=reloads,
            files=parts.certificates.states,
        )
        pages = build(self.admin)
        self._runner = Runner(pages, access_log=None, logger=_silent(), handle_signals=False, shutdown_timeout=1.0)
        keeper.every(TICK, self.sla.refresh)
        keeper.every(EVERY, partial(self.alerts.tick, partial(gather, self.admin)))

    def adopt(self, config: Config, channels: Mapping[str, Channel]) -> None:
        """Go on with another configuration, and the channels that it names."""
        self.admin.config = config
        self.sla.adopt(config)
        self.alerts.adopt(config.settings.alerts.rules, channels)

    async def listen(self, sockets: list[socket.socket], backlog: int, context: ssl.SSLContext | None) -> None:
        """Answer on bound sockets until `close`."""
        await self._runner.setup()
        for sock in sockets:
            await web.SockSite(self._runner, sock, backlog=backlog, ssl_context=context).start()

    async def close(self) -> None:
        """Answer no more."""
        await self._runner.cleanup()


def _silent() -> logging.Logger:
    """A logger for the HTTP parser of the admin port: it quotes what it refuses, keys included."""
    logger = logging.getLogger("detour.admin.http")
    logger.setLevel(logging.CRITICAL + 1)
    return logger
