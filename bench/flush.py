"""Measures flushes of one keeper in a process of its own; prints one line of JSON.

What is timed are flushes of what was touched just before, one after the other, with nothing else on the loop; how long
they hold the loop up is seen in further ones, by a task that wants to go on all the time.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import socket
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import msgspec
import redis
import uvloop

from bench.keeping import FLEET, Kept, quiet_collector, written
from bench.redisuse import Use, asking, connections, holdings, use
from config.storeurl import StoreUrl
from healthapi.fleet import scripts
from healthapi.fleet.keys import SHARDS, prefix
from healthapi.fleet.link import Call, Link, LinkError, open_link
from healthapi.fleet.sender import IDENTITIES
from healthapi.store import Scope

INSTANCE = "bench-0"
DAY = 86400
HOUR = 3600
MINUTE = 60
LIVED = 60
"""Attempts that each target had before: its histogram holds most of what it will ever hold."""

TOGETHER = 30
"""Minutes of history that one flush carries where a whole day is played."""

BEATS = 100
POLLS = 1000
HEARERS = 100
MOVES = 200
MOVE = b"m" * 200
"""Rounds of scripts that are told nothing; polls for moved breakers; sidecars that hear of moves, and a move as long as
they are."""


PATIENCE = 60
"""Seconds in which everything has to have been taken."""


class FlushError(Exception):
    """What was to be kept was not taken; the message says why."""


class Watched:
    """A Redis whose doings are looked at from outside; with None, everything is nothing."""

    def __init__(self, client: redis.Redis | None) -> None:
        """Look at the server behind a connection."""
        self.client = client
        self._asking = None if client is None else asking(client)

    def use(self) -> Use:
        """What it has done so far."""
        return Use(0, 0, 0, 0, 0, 0) if self.client is None else use(self.client)

    def since(self, before: Use) -> Use:
        """What it has done since then, but for being asked."""
        found = self.use().since(before)
        return found if self._asking is None else found.since(msgspec.structs.replace(self._asking, memory=0))


async def flushed(kept: Kept) -> bool:
    """Flush until everything was taken; whether it was at once."""
    end = time.monotonic() + PATIENCE
    clean = True
    while time.monotonic() < end:
        await kept.keeper.flush()
        if kept.keeper.trouble is None and not kept.keeper.waiting:
            return clean
        clean = False
    raise FlushError(kept.keeper.trouble or f"{kept.keeper.waiting} are left")


async def timed(kept: Kept, watched: Watched) -> dict[str, Any]:
    """One flush: its wall time, processor time of the process and of the loop's thread, what it wrote, Redis' part."""
    before, bytes_before = watched.use(), written()
    cpu, loop_cpu, wall = time.process_time(), time.thread_time(), time.perf_counter()
    clean = await flushed(kept)
    run: dict[str, Any] = {
        "clean": clean,
        "seconds": time.perf_counter() - wall,
        "loop_cpu_seconds": time.thread_time() - loop_cpu,
        "cpu_seconds": time.process_time() - cpu,
        "written": written() - bytes_before,
    }
    return run | {"redis": msgspec.to_builtins(watched.since(before))}


async def held(kept: Kept) -> dict[str, float]:
    """The longest time that another task had to wait for its turn during one flush, and the loop's own part in it."""
    worst, worst_cpu = 0.0, 0.0
    over = False

    async def wait_for_turns() -> None:
        nonlocal worst, worst_cpu
        wall, cpu = time.perf_counter(), time.thread_time()
        while not over:
            await asyncio.sleep(0)
            now, used = time.perf_counter(), time.thread_time()
            worst, worst_cpu = max(worst, now - wall), max(worst_cpu, used - cpu)
            wall, cpu = now, used

    waiting = asyncio.create_task(wait_for_turns())
    await asyncio.sleep(0)
    try:
        await flushed(kept)
    finally:
        over = True
        await waiting
    return {"seconds": worst, "cpu_seconds": worst_cpu}


async def flushes(kept: Kept, watched: Watched, times: int) -> dict[str, Any]:
    """The cost of flushes that touch all targets: of `times` later ones, on records that have seen some life."""
    before = watched.use()
    kept.touch(LIVED, time.time() - HOUR)
    first = await timed(kept, watched)
    kept.touch()
    await flushed(kept)
    answer: dict[str, Any] = {"first": first, "memory": watched.since(before).memory, "again": [], "held": []}
    for _ in range(times):
        kept.touch()
        answer["again"].append(await timed(kept, watched))
        kept.touch()
        answer["held"].append(await held(kept))
    if watched.client is not None:
        answer["connections"], answer["connection_bytes"] = connections(watched.client)
        await kept.keeper.reading(Scope.FLEET)
        answer["connections_read"], _ = connections(watched.client)
    return answer


async def idle(kept: Kept, watched: Watched) -> dict[str, Any]:
    """What a sidecar asks of Redis that has nothing to tell: scripts that are told nothing, polls, and moves heard."""
    assert watched.client is not None
    kept.touch()
    await flushed(kept)
    port = watched.client.connection_pool.connection_kwargs["port"]
    beats = [
        Call(scripts.FLUSH, prefix(FLEET, number), (INSTANCE.encode(), 0, 0, b"", IDENTITIES))
        for number in range(SHARDS)
    ]
    poll = Call(scripts.POLL, prefix(FLEET, 0), (0,))
    link = open_link(StoreUrl.parse(f"redis://127.0.0.1:{port}"), PATIENCE)
    try:
        return {
            "beats": BEATS * SHARDS,
            "beating": await _repeated(link, beats, BEATS, watched),
            "polls": POLLS,
            "polling": await _repeated(link, [poll], POLLS, watched),
            "heard": HEARERS * MOVES,
            "hearing": msgspec.to_builtins(hearing(watched, port)),
        }
    finally:
        await link.close()


async def _repeated(link: Link, calls: list[Call], times: int, watched: Watched) -> dict[str, float]:
    """What it is for Redis to do the same again and again."""
    await link.run(calls)
    before = watched.use()
    for _ in range(times):
        answers = await link.run(calls)
        if trouble := next((answer for answer in answers if isinstance(answer, LinkError)), None):
            raise FlushError(str(trouble))
    found: dict[str, float] = msgspec.to_builtins(watched.since(before))
    return found


def hearing(watched: Watched, port: int) -> Use:
    """What it is for Redis to tell many sidecars of moves."""
    assert watched.client is not None
    with contextlib.ExitStack() as stack:
        hearers = [stack.enter_context(socket.create_connection(("127.0.0.1", port))) for _ in range(HEARERS)]
        for hearer in hearers:
            hearer.sendall(b"SUBSCRIBE bench\r\n")
            hearer.recv(1024)
        before = watched.use()
        for _ in range(MOVES):
            watched.client.publish("bench", MOVE)
            for hearer in hearers:
                hearer.recv(1024)
        return watched.since(before)


async def day(kept: Kept, watched: Watched) -> dict[str, Any]:
    """What a day of history takes, with every target called in every minute."""
    end = int(time.time() // MINUTE) * MINUTE
    for start in range(end - DAY, end, TOGETHER * MINUTE):
        for minute in range(start, start + TOGETHER * MINUTE, MINUTE):
            kept.touch(at=minute + 1.0)
        await flushed(kept)
    assert watched.client is not None
    return {"holdings": msgspec.to_builtins(holdings(watched.client)), "memory": watched.use().memory}


@contextlib.contextmanager
def watching(url: str) -> Iterator[Watched]:
    """Look at the Redis at an address, if it is one."""
    parts = urlsplit(url)
    if parts.scheme != "redis":
        yield Watched(None)
        return
    with contextlib.closing(redis.Redis(port=parts.port or 6379, socket_timeout=60)) as client:
        yield Watched(client)


async def main(args: argparse.Namespace) -> dict[str, Any]:
    """One measurement."""
    with watching(args.store) as watched:
        kept = Kept(args.store, args.targets, INSTANCE)
        await kept.keeper.start()
        quiet_collector()
        try:
            if args.what == "day":
                return await day(kept, watched)
            if args.what == "idle":
                return await idle(kept, watched)
            return await flushes(kept, watched, args.times)
        finally:
            await kept.keeper.stop()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=("flushes", "idle", "day"))
    parser.add_argument("--store", required=True)
    parser.add_argument("--targets", type=int, required=True)
    parser.add_argument("--times", type=int, default=5)
    print(json.dumps(uvloop.run(main(parser.parse_args()))))
