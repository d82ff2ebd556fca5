"""The story of the process: build, load, listen, serve, open the admin port, reload, drain, flush, stop."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import secrets
import signal
import socket
import sys
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import uvloop

from config.reloads import Reloads
from healthapi.keeper import LAST
from healthapi.store import StoreError
from proxy.assembly import Assembly, Prepared, prepare
from proxy.beside import beside
from proxy.drain import drain
from proxy.listeners import CannotStartError, bind, listen, url
from proxy.log import set_up
from proxy.reload import Reloader
from proxy.server import assert_parser
from proxy.tls import options
from proxy.version import version

if TYPE_CHECKING:
    from collections.abc import Mapping

    from config.effective import Config
    from config.source import Source
    from proxy.office import Office
    from proxy.tls import Certificates

log = logging.getLogger("detour")

COLLECT_AFTER: Final = 20_000
"""Objects made and not freed after which the collector looks at the young ones."""
BACKLOG: Final = 4096
HURRIED: Final = 0.5
"""Seconds that the store is waited for after a second signal."""
STOPPED: Final = 0
CANNOT_START: Final = 3


def run(config: Config, source: Source | None = None) -> int:
    """Serve until told to stop; returns the exit status. `source` is where `config` was read, and is read again."""
    try:
        _check_parser()
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(App(config, source).serve())
    except CannotStartError as error:
        log.error("%s", error)
        return CANNOT_START
    except KeyboardInterrupt:
        return STOPPED


async def cleanup(config: Config, older_than: float, live: bool) -> dict[str, Any]:
    """List the health records that nobody needs, in the store itself; with `live` remove them.

    Raises:
        CannotStartError: the store cannot be used.
    """
    from healthapi import offline

    try:
        return await offline.clean_up(config, older_than, secrets.token_hex(4), live=live)
    except StoreError as error:
        raise CannotStartError(str(error)) from error


def _check_parser() -> None:
    try:
        assert_parser()
    except RuntimeError as error:
        raise CannotStartError(str(error)) from error


class App:
    """One process: a data plane, an admin port, and what they share. Built inside a running loop by `serve`."""

    def __init__(self, config: Config, source: Source | None = None) -> None:
        """Serve by `config`, and by what `source` holds later, where there is one to look at."""
        self.config = config
        self._source = source
        self._reloader: Reloader[Prepared] | None = None
        self.instance = secrets.token_hex(4)
        self._stop = asyncio.Event()
        self._signals = 0
        self._listening: dict[str, bool] = {}
        self.reloads = Reloads()

    async def serve(self) -> int:
        """Listen on both ports, serve until a signal, drain, and stop."""
        loop = asyncio.get_running_loop()
        self._build(loop)
        settings = self.config.settings
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._signalled)
        if self._reloader is not None:
            loop.add_signal_handler(signal.SIGHUP, self._reloader.ask)
        parts, keeper = self.parts, self.parts.keeper
        with contextlib.ExitStack() as bound:
            proxy_sockets = [bound.enter_context(sock) for sock in bind("listen", settings.listen)]
            admin_sockets = [bound.enter_context(sock) for sock in bind("admin.listen", settings.admin.listen)]
            await keeper.start()
            await parts.keys.sync(keeper)
            await parts.offers.sync(keeper)
            try:
                await self._serve(loop, proxy_sockets, admin_sockets)
            finally:
                if keeper.trouble is None:  # else it would only be waited for
                    await parts.keys.sync(keeper)
                if parts.office is not None:
                    await parts.office.alerts.stop()
                await keeper.stop(HURRIED if self._signals > 1 else LAST)
        log.info("stopped")
        return STOPPED

    async def _serve(
        self, loop: asyncio.AbstractEventLoop, proxy_sockets: list[socket.socket], admin_sockets: list[socket.socket]
    ) -> None:
        parts, settings = self.parts, self.config.settings
        listen("listen", settings.listen, proxy_sockets, BACKLOG)
        listen("admin.listen", settings.admin.listen, admin_sockets, BACKLOG)
        tls = options(parts.certificates.server("tls"))
        servers = [
            await loop.create_server(self.plane.server, sock=sock, backlog=BACKLOG, **tls)  # type: ignore[arg-type]
            for sock in proxy_sockets
        ]
        self.plane.watch.start()
        parts.lag.start(loop)
        try:
            await self._open_office(admin_sockets)
            parts.certificates.start()
            parts.patrol.start()
            if self._reloader is not None:
                self._reloader.start()
            _quiet_collector()
            self._announce(proxy_sockets[0], admin_sockets[0])
            await self._stop.wait()
            await self._drain(servers)
        finally:
            parts.lag.stop()
            parts.certificates.stop()
            if self._reloader is not None:
                self._reloader.stop()
            if parts.office is not None:
                await parts.office.close()

    async def _open_office(self, sockets: list[socket.socket]) -> None:
        """Have the admin port answer, with requests served meanwhile; who asks already waits for it."""
        parts = self.parts
        made, release = await beside(partial(_load, parts.certificates))
        parts.office = made(parts, version=release, listeners=lambda: self._listening, reloads=self.reloads)
        await parts.office.listen(sockets, BACKLOG, parts.certificates.server("admin.tls"))
        self._listening = {"proxy": True, "admin": True}

    def _build(self, loop: asyncio.AbstractEventLoop) -> None:
        for warning in self.config.warnings:
            log.warning("%s", warning)
        self.parts = Assembly(self.config, loop, instance=self.instance)
        self.plane = self.parts.plane
        if self._source is not None:
            self._reloader = Reloader(self._source, self.config, self.reloads, prepare, self._adopt)

    def _adopt(self, prepared: Prepared) -> None:
        """Go on with another configuration."""
        before, self.config = self.config, prepared.config
        if self.config.settings.log != before.settings.log:
            set_up(self.config.settings.log)
        self.parts.adopt(prepared)
        for warning in self.config.warnings:
            if warning not in before.warnings:
                log.warning("%s", warning)

    def _announce(self, proxy: socket.socket, admin: socket.socket) -> None:
        """Say where we listen: a banner for a person, a log line for a machine."""
        settings = self.config.settings
        urls = {
            "proxy": url(proxy, tls=settings.tls.cert is not None),
            "admin": url(admin, tls=settings.admin.tls.cert is not None),
        }
        if sys.stderr.isatty():
            print(_banner(urls, self.config), file=sys.stderr, flush=True)
        else:
            extra = {**urls, "version": version(), "instance": self.instance}
            log.info("serving", extra=extra)

    def _signalled(self) -> None:
        self._signals += 1
        if self._signals > 1:
            log.warning("second signal: ending at once")
            self.plane.pools.close()
            self.parts.events.end()
            raise SystemExit(STOPPED)
        self.plane.server.draining = True
        log.info("draining", extra={"in_flight": self.plane.in_flight})
        self._stop.set()

    async def _drain(self, servers: list[asyncio.Server]) -> None:
        """Serve on until nothing is in flight, and end visibly what takes too long."""

        def shut() -> None:
            self._listening["proxy"] = False
            for server in servers:
                server.close()

        plane = self.plane
        await self.parts.patrol.stop()
        left = await drain(plane, self.config.settings.drain, shut)
        if left:
            log.warning("drain time is over", extra={"ended": left})
        self.parts.events.end()
        plane.watch.stop()
        plane.pools.close()


def _load(certificates: Certificates) -> tuple[type[Office], str]:
    """What the admin port is made by, and which release this is; reads the system's authorities besides."""
    from proxy.office import Office

    certificates.client("")
    return Office, version()


def _quiet_collector() -> None:
    """Take what was built so far out of the garbage collector's sight, and have it look again, less often.

    It does not look through that first: no request would get on for 30 ms, and there is next to nothing to find. A
    request makes some hundred objects and no cycles; with the default of 700 the collector would run every few requests
    for nothing (measured: 4 % of a request).
    """
    gc.freeze()
    gc.set_threshold(COLLECT_AFTER, 20, 50)
    gc.enable()


def _banner(urls: Mapping[str, str], config: Config) -> str:
    ready = sum(1 for provider in config.providers.values() if provider.configured)
    return (
        f"\n  Detour {version()}\n\n"
        f"  proxy   {urls['proxy']}/<provider>/…   e.g. {urls['proxy']}/openai/v1\n"
        f"  health  {urls['admin']}/v1/model-health   {urls['admin']}/health/system   {urls['admin']}/metrics\n\n"
        f"  {len(config.providers)} providers, {ready} with a credential; Ctrl-C stops\n"
    )
