"""The client of the latency runs: one request each millisecond whether or not answers came; prints one line of JSON.

A request waits for no other: when every connection is busy a new one is opened, and the wait for it counts.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import sys
from statistics import median
from time import perf_counter
from typing import Any, cast

import uvloop

from bench.load.wire import post

_LENGTH = re.compile(rb"(?i)\r\ncontent-length: *(\d+)")


class Caller(asyncio.Protocol):
    """One connection, one request at a time."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._seen = b""
        self.transport: asyncio.Transport | None = None
        self.sent = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def send(self, due: float) -> None:
        """Send the request whose time was `due`."""
        assert self.transport is not None
        self.sent = due
        self.transport.write(self._run.request)

    def data_received(self, data: bytes) -> None:
        self._seen += data
        head, end, body = self._seen.partition(b"\r\n\r\n")
        if not end:
            return
        length = _LENGTH.search(head)
        if not head.startswith(b"HTTP/1.1 200 ") or length is None:
            self._run.fault = repr(self._seen[:700])
        elif len(body) < int(length[1]):
            return
        self._seen = b""
        self._run.answered(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._run.fault = self._run.fault or f"connection lost: {exc}"


class Run:
    """One run at a fixed rate."""

    def __init__(self, port: int, path: str) -> None:
        self.request = post(path, stream=False)
        self.fault = ""
        self._port = port
        self._loop = asyncio.get_running_loop()
        self._idle: list[Caller] = []
        self._opening: set[asyncio.Task[None]] = set()
        self.times: list[tuple[float, float]] = []
        """When each request was due and how long it took, seconds."""
        self._counting = False
        self.opened = 0

    def answered(self, caller: Caller) -> None:
        """An answer is whole."""
        if self._counting:
            self.times.append((caller.sent, perf_counter() - caller.sent))
        self._idle.append(caller)

    async def _open(self, due: float) -> None:
        self.opened += 1
        _, caller = await self._loop.create_connection(lambda: Caller(self), "127.0.0.1", self._port)
        caller.send(due)

    def _fire(self) -> None:
        due = perf_counter()
        if self._idle:
            self._idle.pop().send(due)
            return
        task = self._loop.create_task(self._open(due))
        self._opening.add(task)
        task.add_done_callback(self._opening.discard)

    async def at(self, rate: float, seconds: float) -> None:
        """Fire `rate` requests a second for that long; ticks that come late are made up for."""
        # The clock of a uvloop ticks in milliseconds, which is as long as what is measured here.
        began = perf_counter()
        sent = 0
        while (now := perf_counter()) < began + seconds and not self.fault:
            while sent < (now - began) * rate:
                self._fire()
                sent += 1
            await asyncio.sleep(max(0.0, began + sent / rate - perf_counter()))

    async def measure(self, rate: float, warm: float, seconds: float) -> dict[str, Any]:
        """Warm up, then count."""
        await self.at(rate, warm)
        self._counting = True
        await self.at(rate, seconds)
        await asyncio.sleep(0.2)
        if self.fault or not self.times:
            sys.exit(self.fault or "no answers")
        times = sorted(took for _, took in self.times)
        return {
            "rate": len(times) / seconds,
            "connections": self.opened,
            **{f"p{q}_ms": times[min(len(times) - 1, len(times) * q // 100)] * 1e3 for q in (50, 90, 99)},
            "max_ms": times[-1] * 1e3,
        }


class Poller(asyncio.Protocol):
    """Asks for one page each second, and writes down from when to when each answer took."""

    EVERY = 1.0

    def __init__(self, path: str) -> None:
        self._request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode()
        self._seen = b""
        self._arrived = asyncio.Event()
        self.transport: asyncio.Transport | None = None
        self.spans: list[tuple[float, float]] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._seen += data
        head, _, body = self._seen.partition(b"\r\n\r\n")
        length = _LENGTH.search(head)
        if length is None or len(body) >= int(length[1]):
            self._arrived.set()

    async def poll(self) -> None:
        """Go on until cancelled. SystemExit when an answer is anything but a whole page."""
        assert self.transport is not None
        while True:
            await asyncio.sleep(self.EVERY)
            self._seen = b""
            self._arrived.clear()
            began = perf_counter()
            self.transport.write(self._request)
            await self._arrived.wait()
            self.spans.append((began, perf_counter()))
            if not self._seen.startswith(b"HTTP/1.1 200 "):
                sys.exit(repr(self._seen[:300]))


def overlap(times: list[tuple[float, float]], spans: list[tuple[float, float]]) -> float:
    """How long the slowest of the requests took that were out during a span, seconds: the median over all spans."""
    slowest = [
        max((took for due, took in times if due < end and due + took > begin), default=0) for begin, end in spans
    ]
    return median(slowest)


async def main(args: argparse.Namespace) -> dict[str, Any]:
    """One run."""
    run = Run(args.port, args.path)
    if not args.poll:
        return await run.measure(args.rate, args.warm, args.seconds)
    loop = asyncio.get_running_loop()
    _, poller = await loop.create_connection(lambda: Poller(args.poll), "127.0.0.1", args.poll_port)
    polling = asyncio.create_task(poller.poll())
    result = await run.measure(args.rate, args.warm, args.seconds)
    if polling.done():
        polling.result()
    polling.cancel()
    counted = [span for span in poller.spans if span[0] > run.times[0][0]]
    if len(counted) < 2:
        sys.exit(f"only {len(counted)} polls were answered: too little time, or too slow an answer")
    between = [(begin + poller.EVERY / 2, end + poller.EVERY / 2) for begin, end in counted][:-1]
    return result | {
        "polls": len(counted),
        "poll_ms": median(end - begin for begin, end in counted) * 1e3,
        "during_ms": overlap(run.times, counted) * 1e3,
        "between_ms": overlap(run.times, between) * 1e3,
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--path", required=True)
    parser.add_argument("--rate", type=float, required=True, help="requests per second")
    parser.add_argument("--warm", type=float, required=True, help="seconds before counting")
    parser.add_argument("--seconds", type=float, required=True, help="seconds of counting")
    parser.add_argument("--poll", default="", help="what is asked of another port each second meanwhile")
    parser.add_argument("--poll-port", type=int, default=0)
    print(json.dumps(uvloop.run(main(parser.parse_args()))))
