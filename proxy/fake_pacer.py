"""Pieces sent at a steady pace: one timer and one write each and no task, since benchmarks run 500 of these."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from proxy.fake_conversation import Conversation


class Pacer:
    """Sends pieces `gap` seconds apart, the first at once; waits for a client that does not keep up."""

    __slots__ = ("_content", "_done", "_gap", "_next", "_pieces", "_talk", "_timer")

    def __init__(self, talk: Conversation, pieces: Iterable[bytes], gap: float, *, content: bool) -> None:
        """Prepare to send; nothing happens before `run`."""
        self._talk = talk
        self._pieces = iter(pieces)
        self._gap = gap
        self._content = content
        self._done: asyncio.Future[None] = talk.loop.create_future()
        self._timer: asyncio.TimerHandle | None = None
        self._next = talk.loop.time()

    async def run(self) -> None:
        """Send all pieces and return after the last one's gap."""
        self._tick()
        try:
            await self._done
        finally:
            if self._timer is not None:
                self._timer.cancel()

    def _tick(self) -> None:
        talk = self._talk
        paused = talk.connection.paused
        if paused is not None:
            paused.add_done_callback(self._resumed)
            return
        piece = next(self._pieces, None)
        if piece is None or talk.over:
            if not self._done.done():
                self._done.set_result(None)
            return
        talk.send(talk.chunk(piece))
        talk.seen.events += self._content
        self._next += self._gap
        self._timer = talk.loop.call_at(self._next, self._tick)

    def _resumed(self, _paused: asyncio.Future[None]) -> None:
        self._next = self._talk.loop.time()
        if not self._done.done():
            self._tick()
