"""The provider of the stream runs: answers every request with an endless stream of events, one each `--gap` seconds.

The streams are dealt out over the milliseconds of a gap, so that the load is even. It is no HTTP server: it waits for
the end of a request's body and sends.
"""

from __future__ import annotations

import argparse
import asyncio
import re
from typing import cast

import uvloop

from bench.load.wire import CHUNK, STREAM_HEAD

_LENGTH = re.compile(rb"(?i)\r\ncontent-length: *(\d+)")
_TICK = 0.001


class Wheel:
    """The open streams, dealt out over the ticks of one gap."""

    def __init__(self, gap: float) -> None:
        self._slots: list[set[asyncio.WriteTransport]] = [set() for _ in range(max(1, round(gap / _TICK)))]
        self._silent = not gap
        self._next = 0

    def join(self, transport: asyncio.WriteTransport) -> int:
        """Put a stream where fewest are, looking at the next ones in turn; returns its slot."""
        self._next = (self._next + 1) % len(self._slots)
        self._slots[self._next].add(transport)
        return self._next

    def leave(self, slot: int, transport: asyncio.WriteTransport) -> None:
        """The stream is gone."""
        self._slots[slot].discard(transport)

    async def turn(self) -> None:
        """One event to every stream of a slot per tick; late ticks are made up for."""
        loop = asyncio.get_running_loop()
        if self._silent:
            await loop.create_future()
        due = loop.time()
        slot = 0
        while True:
            due += _TICK
            await asyncio.sleep(max(0.0, due - loop.time()))
            for transport in self._slots[slot]:
                transport.write(CHUNK)
            slot = (slot + 1) % len(self._slots)


class Stream(asyncio.Protocol):
    """One connection: a request in, a stream out until the other side leaves."""

    def __init__(self, wheel: Wheel) -> None:
        self._wheel = wheel
        self._transport: asyncio.Transport | None = None
        self._slot = -1
        self._seen = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        if self._slot >= 0 or self._transport is None:
            return
        self._seen += data
        head, end, body = self._seen.partition(b"\r\n\r\n")
        length = _LENGTH.search(head)
        if not end or (length and len(body) < int(length[1])):
            return
        self._transport.write(STREAM_HEAD + CHUNK)
        self._slot = self._wheel.join(self._transport)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._transport is not None:
            self._wheel.leave(self._slot, self._transport)


async def serve(port: int, gap: float) -> None:
    """Listen until killed."""
    loop = asyncio.get_running_loop()
    wheel = Wheel(gap)
    server = await loop.create_server(lambda: Stream(wheel), "127.0.0.1", port, backlog=2048)
    async with server:
        await wheel.turn()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--gap", type=float, required=True, help="seconds between events; 0: one event, then silence")
    args = parser.parse_args()
    uvloop.run(serve(args.port, args.gap))
