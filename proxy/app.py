"""The story of the process: build, load, listen, serve, drain, flush, stop. The one place where everything meets."""

from __future__ import annotations

import asyncio
import gc
import importlib.metadata
import logging
import secrets
import signal
import socket
import sys
import time
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import uvloop
from aiohttp import web

from breaker.registry import Registry
from breaker.transitions import State
from healthapi import keeping, offline
from healthapi.admin import Admin
from healthapi.alerts import opening
from healthapi.alerts.desk import EVERY
from healthapi.alerts.situation import gather
from healthapi.app import build as build_admin
from healthapi.events import EventLog
from healthapi.keeper import Clock
from healthapi.keys import KeyLog
from healthapi.lag import Lag
from healthapi.memory import MemoryStore
from healthapi.metrics import Metrics
from healthapi.offerings import Offerings
from healthapi.probing import Probing
from healthapi.recorder import Recorder
from healthapi.slabook import TICK, SlaBook
from healthapi.store import StoreError
from healthapi.tiers import Tiers
from proxy.access import AccessLog
from proxy.connect import Connector
from proxy.lists import Lists
from proxy.patrol import Patrol
from proxy.plane import DataPlane
from proxy.pool import Pools
from proxy.server import assert_parser

if TYPE_CHECKING:
    from collections.abc import Mapping

    from breaker.transition import Transition
    from config.address import Listen
    from config.effective import Config

log = logging.getLogger("detour")

COLLECT_AFTER: Final = 20_000
"""Objects made and not freed after which the collector looks at the young ones."""
BACKLOG: Final = 4096
STOPPED: Final = 0
CANNOT_START: Final = 3


class CannotStartError(Exception):
    """The process cannot serve: the message says why and what to do."""


def version() -> str:
    """The installed version."""
    try:
        return importlib.metadata.version("detour")
    except importlib.metadata.PackageNotFoundError:
        return "0.0.0+source"


def run(config: Config) -> int:
    """Serve until told to stop; returns the exit status."""
    try:
        _check_parser()
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(App(config).serve())
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

    def __init__(self, config: Config) -> None:
        self.config = config
        self.instance = secrets.token_hex(4)
        self._stop = asyncio.Event()
        self._signals = 0
        self._listening: dict[str, bool] = {}

    async def serve(self) -> int:
        """Listen on both ports, serve until a signal, drain, and stop."""
        loop = asyncio.get_running_loop()
        self._build(loop)
        settings = self.config.settings
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._signalled)
        proxy_sockets = _bind("listen", settings.listen)
        admin_sockets = _bind("admin.listen", settings.admin.listen)
        await self.keeper.start()
        await self.keys.sync(self.keeper)
        await self.offers.sync(self.keeper)
        try:
            await self._serve(loop, proxy_sockets, admin_sockets)
        finally:
            if self.keeper.trouble is None:  # else it would only be waited for
                await self.keys.sync(self.keeper)
            await self.alerts.stop()
            await self.keeper.stop()
        log.info("stopped")
        return STOPPED

    async def _serve(
        self, loop: asyncio.AbstractEventLoop, proxy_sockets: list[socket.socket], admin_sockets: list[socket.socket]
    ) -> None:
        servers = [await loop.create_server(self.plane.server, sock=sock, backlog=BACKLOG) for sock in proxy_sockets]
        runner = web.AppRunner(
            self.admin, access_log=None, logger=_silent(), handle_signals=False, shutdown_timeout=1.0
        )
        await runner.setup()
        for sock in admin_sockets:
            await web.SockSite(runner, sock, backlog=BACKLOG).start()
        self._listening = {"proxy": True, "admin": True}
        self.plane.watch.start()
        self.patrol.start()
        self.lag.start(loop)
        _quiet_collector()
        self._announce(proxy_sockets[0], admin_sockets[0])
        try:
            await self._stop.wait()
            await self._drain(servers)
        finally:
            self.lag.stop()
            await runner.cleanup()

    def _build(self, loop: asyncio.AbstractEventLoop) -> None:
        config = self.config
        for warning in config.warnings:
            log.warning("%s", warning)
        self.lag = Lag()
        self.store = MemoryStore()
        self.events = EventLog()
        pools = Pools(Connector(loop), loop)
        self.registry = Registry(
            tracked=config.settings.limits.tracked_targets,
            configured=config.targets,
            breakers=config.settings.breakers,
            per_provider={name: provider.breakers for name, provider in config.providers.items()},
            stand_ins=config.stand_ins if config.settings.routing.enabled else (),
            budget=config.settings.retries.budget,
            on_forget=self._forget,
            on_transition=self._transition,
        )
        self.metrics = Metrics(
            config=config,
            version=version(),
            instance=self.instance,
            lag=self.lag,
            in_flight=lambda: self.plane.in_flight,
            connections=pools.counts,
            open_permits=lambda: self.registry.open_permits,
        )
        self.keys = KeyLog(config)
        self.offers = Offerings(config)
        self._recorder = Recorder(self.store, self.metrics, self.keys)
        recorder = AccessLog(self._recorder) if config.settings.log.access else self._recorder
        self.plane = DataPlane(config, self.registry, recorder, pools, loop, instance=self.instance)
        clock = Clock(self.plane.watch.now, time.time)
        tiers = Tiers()
        try:
            self.keeper = keeping.keeper(
                config, self.store, self.registry, self.instance, clock, self.keys, self.offers, tiers
            )
        except ValueError as error:
            raise CannotStartError(f"store: {error}") from error
        read_list = Lists(self.plane).read
        self.keeper.every(self.offers.pause, partial(self.offers.due, self.keeper, read_list, time.time))
        try:
            self.alerts = opening.desk(config, self.keeper, self.instance, time.time)
        except ValueError as error:
            raise CannotStartError(str(error)) from error
        probing = Probing(config, self.keeper, tiers, clock.now, clock.wall, self.offers.delisted)
        probing.start()
        self.patrol = Patrol(self.plane, probing, clock.now)
        sla = SlaBook(config, self.keeper, time.time)
        self.keeper.every(TICK, sla.refresh)
        admin = Admin(
            config=config,
            store=self.store,
            keeper=self.keeper,
            registry=self.registry,
            metrics=self.metrics,
            lag=self.lag,
            version=version(),
            instance=self.instance,
            draining=lambda: self.plane.draining,
            now=time.time,
            listeners=self._listeners,
            events=self.events,
            monotonic=self.plane.watch.now,
            sla=sla,
            alerts=self.alerts,
            keys=self.keys,
            offers=self.offers,
            read_list=read_list,
            tiers=tiers,
            probing=probing,
        )
        self.admin = build_admin(admin)
        self.keeper.every(EVERY, partial(self.alerts.tick, partial(gather, admin)))

    def _forget(self, provider: str, model: str) -> None:
        self._recorder.forget(provider, model)

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

    def _listeners(self) -> Mapping[str, bool]:
        return self._listening

    def _announce(self, proxy: socket.socket, admin: socket.socket) -> None:
        """Say where we listen: a banner for a person, a log line for a machine."""
        urls = {"proxy": _url(proxy), "admin": _url(admin)}
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
            raise SystemExit(STOPPED)
        log.info("draining", extra={"in_flight": self.plane.in_flight})
        self._stop.set()

    async def _drain(self, servers: list[asyncio.Server]) -> None:
        """Serve on, each answer closing its connection, until nothing is in flight; end visibly what is left."""
        plane = self.plane
        await self.patrol.stop()
        left = await plane.drain(self.config.settings.drain.timeout)
        self.events.end()
        if left:
            log.warning("drain time is over", extra={"ended": left})
        self._listening["proxy"] = False
        for server in servers:
            server.close()
        await plane.server.shutdown(0.1)
        plane.watch.stop()
        plane.pools.close()


def _silent() -> logging.Logger:
    """A logger for the HTTP parser of the admin port: it quotes what it refuses, keys included."""
    logger = logging.getLogger("detour.admin.http")
    logger.setLevel(logging.CRITICAL + 1)
    return logger


def _quiet_collector() -> None:
    """Take what was built so far out of the garbage collector's sight, and have it look less often.

    A request makes some hundred objects and no cycles; with the default of 700 the collector would run every few
    requests for nothing (measured: 4 % of a request).
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(COLLECT_AFTER, 20, 50)


def _bind(key: str, listen: Listen) -> list[socket.socket]:
    """Bound sockets for every address `listen` stands for.

    Raises:
        CannotStartError: the address cannot be had.
    """
    host = listen.host or None
    try:
        found = socket.getaddrinfo(host, listen.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        raise CannotStartError(f"{key}: {listen} cannot be resolved: {error.strerror or error}") from error
    sockets: list[socket.socket] = []
    port = listen.port
    for family, kind, protocol, _, address in found:
        sock = socket.socket(family, kind, protocol)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.setblocking(False)
        try:
            sock.bind((address[0], port, *address[2:]))
        except OSError as error:
            sock.close()
            if sockets and family == socket.AF_INET6:
                continue
            for made in sockets:
                made.close()
            raise CannotStartError(
                f"{key}: cannot listen on {listen}: {error.strerror or error}{_hint(key)}"
            ) from error
        port = sock.getsockname()[1]
        sockets.append(sock)
    return sockets


def _hint(key: str) -> str:
    flag = "--listen" if key == "listen" else "--admin-listen"
    return f" (choose another with {flag} or `{key}` in the file)"


def _url(sock: socket.socket) -> str:
    host, port = sock.getsockname()[:2]
    if host in ("0.0.0.0", "::"):  # noqa: S104 - compared, not bound
        host = "localhost"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _banner(urls: Mapping[str, str], config: Config) -> str:
    ready = sum(1 for provider in config.providers.values() if provider.configured)
    return (
        f"\n  Detour {version()}\n\n"
        f"  proxy   {urls['proxy']}/<provider>/…   e.g. {urls['proxy']}/openai/v1\n"
        f"  health  {urls['admin']}/v1/model-health   {urls['admin']}/health/system   {urls['admin']}/metrics\n\n"
        f"  {len(config.providers)} providers, {ready} with a credential; Ctrl-C stops\n"
    )
