"""One connection to one node of the shared store, which is made again whenever it is gone."""

from __future__ import annotations

import asyncio
from collections.abc import MutableSequence, Sequence
from typing import Any, Final

from redis.asyncio.connection import Connection
from redis.exceptions import RedisError, ResponseError

from healthapi.fleet.dial import CONNECT, Dial, Node, shown
from healthapi.fleet.trouble import LinkError, explain

Words = Sequence[bytes | int]
"""One command with its arguments."""

UNANSWERED: Final = object()
"""In the place of an answer that has not come."""


class Line:
    """One connection. One `talk` at a time.

    Connecting goes on when the one who asked for it has no more time: an attempt that takes longer than one exchange
    may take still serves the next one.
    """

    def __init__(self, dial: Dial, node: Node, *, master: bool = False) -> None:
        """Talk to this node; with `master`, refuse to as long as it says that it is a replica."""
        self.where = shown(node)
        self.node = node
        self.trouble: LinkError | None = None
        self._secret = dial.password
        self._connection: Connection = dial.connection(node)
        self._master = master
        self._opening: asyncio.Task[None] | None = None

    async def talk(self, commands: Sequence[Words], answers: MutableSequence[Any]) -> None:
        """Send all commands at once and put what comes back in the places of `answers`, in order, as it comes.

        What the server refuses is there as a ResponseError. Raises LinkError when the connection fails; answers that
        came before stay. Cancelled meanwhile, the connection is dropped: the answers still under way are nobody's.
        """
        connection = self._connection
        try:
            await self._ready()
            whole = False
            try:
                await connection.send_packed_command(connection.pack_commands(commands), check_health=False)
                read = connection.read_response
                for place in range(len(commands)):
                    try:
                        answers[place] = await read(disable_decoding=True, disconnect_on_error=False)
                    except ResponseError as refused:
                        answers[place] = refused
                whole = True
            finally:
                if not whole:
                    await drop(connection)
        except (RedisError, OSError) as error:
            self.trouble = explain(error, self.where, self._secret)
            raise self.trouble from None
        self.trouble = None

    async def close(self) -> None:
        """Let go of the connection."""
        if self._opening is not None:
            self._opening.cancel()
            await asyncio.wait([self._opening])
        await drop(self._connection)

    async def _ready(self) -> None:
        # Nothing is under way between two exchanges: what can be read is the end, or not meant for us.
        if self._connection.is_connected and self._opening is None:
            if not await self._connection.can_read():
                return
            await drop(self._connection)
        if self._opening is None or self._opening.done():
            self._opening = asyncio.create_task(self._open())
            self._opening.add_done_callback(self._opened)
        await asyncio.wait([self._opening])  # which leaves it alone when this here is cancelled
        self._opening.result()
        self._opening, self.trouble = None, None

    async def _open(self) -> None:
        async with asyncio.timeout(CONNECT):
            await open_connection(self._connection, master=self._master)

    def _opened(self, task: asyncio.Task[None]) -> None:
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self.trouble = explain(error, self.where, self._secret)


async def open_connection(connection: Connection, *, master: bool = False) -> None:
    """Make a connection; with `master`, only to one. Leaves nothing behind when it fails or is cancelled."""
    made = False
    try:
        await connection.connect()  # type: ignore[no-untyped-call]
        if master:
            await connection.send_command("ROLE", check_health=False)
            role = await connection.read_response(disable_decoding=True)
            if not isinstance(role, list) or role[:1] != [b"master"]:
                raise ResponseError("READONLY it is no master")
        made = True
    finally:
        if not made:
            await drop(connection)


async def drop(connection: Connection) -> None:
    """End a connection at once. A polite end of TLS would wait for a peer that may have gone silent."""
    if connection._writer is not None:
        connection._writer.transport.abort()
    await connection.disconnect(nowait=True)
