"""Hearing what the other sidecars say, on a connection of its own that is made anew whenever it fails."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from redis.asyncio.connection import Connection
from redis.exceptions import RedisError

from config.storeurl import StoreKind
from healthapi.fleet.dial import CONNECT, Dial
from healthapi.fleet.line import drop, open_connection
from healthapi.fleet.route import Route
from healthapi.fleet.trouble import LinkError

FIRST_PAUSE: Final = 0.1
LONGEST_PAUSE: Final = 1.0
"""Seconds between two tries to connect: the first pause, doubling up to the longest."""

QUIET: Final = 5.0
"""After so many seconds without a word the other side is asked whether it is there."""

PATIENCE: Final = 2.0
"""Seconds it has for the answer to that, or to a subscription."""

_Heard = Callable[[bytes], None]


async def listen(dial: Dial, channel: bytes, on_message: _Heard, on_up: Callable[[], None]) -> None:
    """Subscribe and go on until cancelled (see `Link.listen`)."""
    turn, pause = 0, FIRST_PAUSE
    while True:
        heard = asyncio.Event()
        route = Route(dial)
        try:
            await _hear(dial, route, turn, channel, on_message, _both(heard.set, on_up))
        except (LinkError, RedisError, OSError):
            pass
        finally:
            await route.close()
        # The first node that answered may be the one that is gone: another one is asked next time.
        turn += 1
        pause = FIRST_PAUSE if heard.is_set() else pause
        await asyncio.sleep(pause)
        pause = min(2 * pause, LONGEST_PAUSE)


async def _hear(
    dial: Dial, route: Route, turn: int, channel: bytes, on_message: _Heard, on_up: Callable[[], None]
) -> None:
    """One subscription. Returns or raises when it is over."""
    await route.find()
    nodes = sorted(route.nodes)
    connection = dial.connection(nodes[turn % len(nodes)])
    try:
        async with asyncio.timeout(CONNECT):
            await open_connection(connection, master=dial.kind is StoreKind.SENTINEL)
            await connection.send_command("SUBSCRIBE", channel, check_health=False)
        said = await _next(connection)
        while said is not None:
            if said[0] == b"subscribe":
                on_up()
            elif said[0] == b"message":
                on_message(said[2])
            said = await _next(connection)
    finally:
        await drop(connection)


async def _next(connection: Connection) -> list[bytes] | None:
    """What is said next, be it the answer to a question whether anybody is there; None when nobody is."""
    said: list[bytes] | None = await connection.read_response(disable_decoding=True, timeout=QUIET)
    if said is None:
        await connection.send_command("PING", check_health=False)
        said = await connection.read_response(disable_decoding=True, timeout=PATIENCE)
    return said


def _both(first: Callable[[], None], then: Callable[[], None]) -> Callable[[], None]:
    def both() -> None:
        first()
        then()

    return both
