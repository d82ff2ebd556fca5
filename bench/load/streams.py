"""The client of the stream runs: opens `--streams` streams, counts events for `--seconds`, prints one line of JSON.

It reads the CPU time and the resident memory of the measured processes itself, at the very moments its counting starts
and ends.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import sys
from time import perf_counter
from typing import Any, cast

import uvloop

from bench.load.wire import post
from bench.proc import cpu_seconds, resident_bytes


class Reader(asyncio.BufferedProtocol):
    """One stream; what it reads is counted and forgotten. All readers share one buffer."""

    buffer = memoryview(bytearray(65536))

    def __init__(self, request: bytes) -> None:
        self._request = request
        self.events = 0
        self.reads = 0
        self.fault = ""
        self.last = math.inf
        self.longest = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        cast(asyncio.Transport, transport).write(self._request)

    def get_buffer(self, sizehint: int) -> memoryview:
        return self.buffer

    def buffer_updated(self, nbytes: int) -> None:
        data = bytes(self.buffer[:nbytes])
        if not self.reads and not data.startswith(b"HTTP/1.1 200 "):
            self.fault = repr(data[:700])
        self.events += data.count(b"\n\n")
        self.reads += 1
        now = perf_counter()
        if now - self.last > self.longest:
            self.longest = now - self.last
        self.last = now

    def start(self) -> None:
        """Look for the longest gap from now on."""
        self.longest = 0.0

    def connection_lost(self, exc: Exception | None) -> None:
        self.fault = f"stream ended: {exc}"


async def measure(args: argparse.Namespace) -> dict[str, Any]:
    """Open, warm up, count."""
    loop = asyncio.get_running_loop()
    request = post(args.path, stream=True)
    readers: list[Reader] = []
    for _ in range(args.streams):
        _, reader = await loop.create_connection(lambda: Reader(request), "127.0.0.1", args.port)
        readers.append(reader)
        await asyncio.sleep(0.001)
    await asyncio.sleep(args.warm)
    events, reads = sum(r.events for r in readers), sum(r.reads for r in readers)
    cpu, began = cpu_seconds(args.pid), loop.time()
    own = cpu_seconds([])
    for reader in readers:
        reader.start()
    await asyncio.sleep(args.seconds)
    seconds = loop.time() - began
    result = {
        "streams": args.streams,
        "events": sum(r.events for r in readers) - events,
        "reads": sum(r.reads for r in readers) - reads,
        "seconds": seconds,
        "cpu_seconds": cpu_seconds(args.pid) - cpu,
        "client_cpu_seconds": cpu_seconds([]) - own,
        "longest_gap": max(r.longest for r in readers),
        "resident_bytes": resident_bytes(args.pid),
        "unanswered": sum(not r.reads for r in readers),
    }
    faults = [r.fault for r in readers if r.fault]
    if faults:
        sys.exit(f"{len(faults)} of {args.streams} streams failed, first: {faults[0]}")
    return result


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--path", required=True)
    parser.add_argument("--streams", type=int, required=True)
    parser.add_argument("--warm", type=float, required=True, help="seconds before counting")
    parser.add_argument("--seconds", type=float, required=True, help="seconds of counting")
    parser.add_argument("--pid", type=int, nargs="*", default=[], help="processes whose CPU time is charged")
    print(json.dumps(uvloop.run(measure(parser.parse_args()))))
