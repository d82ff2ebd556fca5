"""Connections to one origin, kept warm and bounded.

The newest idle connection is taken first, so that the rest grow old and are dropped before the provider drops them
(proxy-rules 18). With a cap, callers wait their turn in order, for a bounded time.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Collection
from typing import TYPE_CHECKING, Final

from proxy.connect import UnreachableError
from proxy.upstream import Upstream

if TYPE_CHECKING:
    from config.effective import Origin
    from proxy.connect import Connector

IDLE_EXPIRY: Final = 55.0
"""Seconds an idle connection is kept; providers and their balancers close at 60 s."""


class PoolWaitError(Exception):
    """No connection became free within the wait."""


class Pool:
    """All connections to one origin."""

    def __init__(self, origin: Origin, connector: Connector, loop: asyncio.AbstractEventLoop) -> None:
        self.origin = origin
        self.connecting = 0
        self.wanted = True
        """Whether the configuration still leads here: else connections close as they come back."""
        self._connector = connector
        self._loop = loop
        self._idle: list[Upstream] = []
        self._open: set[Upstream] = set()
        self._waiters: deque[asyncio.Future[None]] = deque()

    def take(self, now: float, max_idle: float = IDLE_EXPIRY) -> Upstream | None:
        """An idle connection that rested at most `max_idle` seconds, or None."""
        idle = self._idle
        while idle and now - idle[-1].idle_since <= max_idle:
            taken = idle.pop()
            if not taken.spoke():
                return taken
            self._open.discard(taken)
            taken.abort()
        return None

    async def connect(self, limit: float, cap: int = 0, wait: float = 0.0) -> Upstream:
        """A new connection, made within `limit` seconds; with a `cap` on connections, after at most `wait` seconds.

        May return an idle connection instead where one was given back while waiting.

        Raises:
            ConnectTimeoutError, UnreachableError: as `Connector.open`.
            PoolWaitError: the cap is reached and nothing came free in time.
        """
        if cap and len(self._open) + self.connecting >= cap:
            if self._idle:
                # It rested too long for this request, or it would have been taken: a new one gets its place.
                rested = self._idle.pop(0)
                self._open.discard(rested)
                rested.abort()
            else:
                await self._turn(wait, cap)
                reused = self.take(self._loop.time())
                if reused is not None:
                    return reused
        self.connecting += 1
        try:
            made = await self._connector.open(self.origin, lambda: Upstream(self), limit)
            if made.transport is None:
                # Gone between the handshake and here: nobody would ever be told.
                raise UnreachableError(f"connection to {self.origin.host}:{self.origin.port} closed at once")
        except BaseException:
            self._wake()
            raise
        finally:
            self.connecting -= 1
        self._open.add(made)
        return made

    def release(self, connection: Upstream) -> None:
        """Take `connection` back as idle."""
        if not self.wanted:
            connection.abort()
            return
        connection.idle_since = self._loop.time()
        self._idle.append(connection)
        if self._waiters:
            self._wake()

    def forget(self, connection: Upstream) -> None:
        """`connection` is gone."""
        self._open.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)
        self._wake()

    def expire(self, now: float) -> None:
        """Close what has been idle for longer than `IDLE_EXPIRY`."""
        idle = self._idle
        while idle and now - idle[0].idle_since > IDLE_EXPIRY:
            idle.pop(0).abort()

    @property
    def empty(self) -> bool:
        """Whether there is nothing left of it."""
        return not (self._open or self.connecting or self._waiters)

    def want(self, wanted: bool) -> None:
        """Say whether the configuration leads here; if not, idle connections close."""
        self.wanted = wanted
        if not wanted:
            for connection in list(self._idle):
                connection.abort()

    def close(self) -> None:
        """Close every connection, used or not."""
        for connection in list(self._open):
            connection.abort()

    def counts(self) -> tuple[int, int, int, int]:
        """(idle, active, connecting, waiting)."""
        idle = len(self._idle)
        return idle, len(self._open) - idle, self.connecting, len(self._waiters)

    async def _turn(self, wait: float, cap: int) -> None:
        try:
            async with asyncio.timeout(wait):
                queue = self._waiters.append
                while not self._idle and len(self._open) + self.connecting >= cap:
                    turn: asyncio.Future[None] = self._loop.create_future()
                    queue(turn)
                    # Should somebody else be quicker to take what its turn was for, it is still the next.
                    queue = self._waiters.appendleft
                    try:
                        await turn
                    except BaseException:
                        if turn.done() and not turn.cancelled():
                            self._wake()
                        raise
                    finally:
                        if turn in self._waiters:
                            self._waiters.remove(turn)
        except TimeoutError:
            where = f"{self.origin.host}:{self.origin.port}"
            raise PoolWaitError(f"all {cap} connections to {where} were busy for {wait:g} s") from None

    def _wake(self) -> None:
        while self._waiters:
            turn = self._waiters.popleft()
            if not turn.done():
                turn.set_result(None)
                return


class Pools:
    """The pools of all origins."""

    def __init__(self, connector: Connector, loop: asyncio.AbstractEventLoop) -> None:
        self._connector = connector
        self._loop = loop
        self._pools: dict[Origin, Pool] = {}
        self._origins: Collection[Origin] | None = None

    def of(self, origin: Origin) -> Pool:
        """The pool of `origin`, made at its first use."""
        pool = self._pools.get(origin)
        if pool is None:
            pool = self._pools[origin] = Pool(origin, self._connector, self._loop)
            pool.wanted = self._origins is None or origin in self._origins
        return pool

    def adopt(self, origins: Collection[Origin]) -> None:
        """Keep connections to these origins from now on; to others, while they are in use."""
        self._origins = origins
        for origin, pool in self._pools.items():
            pool.want(origin in origins)

    def expire(self, now: float) -> None:
        """Close what has been idle for too long, everywhere."""
        for pool in list(self._pools.values()):
            pool.expire(now)
            if not pool.wanted and pool.empty:
                del self._pools[pool.origin]

    def close(self) -> None:
        """Close every connection."""
        for pool in self._pools.values():
            pool.close()

    def counts(self) -> dict[str, int]:
        """Connections by state: `idle`, `active`, `connecting`; and requests `waiting` for one."""
        idle = active = connecting = waiting = 0
        for pool in self._pools.values():
            a, b, c, d = pool.counts()
            idle, active, connecting, waiting = idle + a, active + b, connecting + c, waiting + d
        return {"idle": idle, "active": active, "connecting": connecting, "waiting": waiting}
