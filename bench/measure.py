"""Where measurements are taken, and those of requests, streams, latency and memory: one run of one peer each.

Peers stand on one core, load and provider on another.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

from msgspec import Struct

from bench import proc
from bench.children import BenchError, result
from bench.peers import PEERS, Server, answering, peer_running, streaming
from bench.plan import Plan

Run = dict[str, Any]

CLUMPS: Final = 1.2
"""Events per read of the client above which a stream run is not clean."""

DIRECT: Final = "direct"
LUA: Final = Path(__file__).parent / "load" / "chat.lua"


class Bench(Struct, frozen=True):
    """Where it runs."""

    plan: Plan
    folder: Path
    peer_core: int
    load_core: int

    def load(self, program: str, *arguments: object, seconds: float) -> Run:
        """One run of a load program of ours."""
        command = [sys.executable, "-m", f"bench.load.{program}", *(str(argument) for argument in arguments)]
        return result(command, core=self.load_core, seconds=seconds + 30)

    @contextmanager
    def server(self, name: str, upstream: Server, groups: int = 1) -> Iterator[Server]:
        """A peer in front of `upstream`, or `upstream` itself; Detour with so many model groups."""
        with ExitStack() as stack:
            peer = PEERS.get(name)
            try:
                yield (
                    upstream
                    if peer is None
                    else stack.enter_context(peer_running(peer, upstream, self.folder, self.peer_core, groups=groups))
                )
            except BenchError as error:
                said = self.folder / f"{name}.out"
                raise BenchError(f"{name}: {error}\n{said.read_text()[-2000:] if said.exists() else ''}") from error


def requests(bench: Bench, name: str) -> Run:
    """Most requests per second of one core: wrk, closed loop."""
    with answering(bench.folder, bench.load_core) as upstream, bench.server(name, upstream) as server:
        return saturated(bench, server)


def saturated(bench: Bench, server: Server, connections: int = 0, size: int = 480, models: int = 1) -> Run:
    """As many requests as a server can answer, after some to get warm; how busy both cores are meanwhile.

    `connections` are those of the plan when 0, `size` is that of a body, `models` are asked for in turn.
    """
    load = Load(connections or bench.plan.connections, size, models)
    warmed = wrk(bench, server, max(bench.plan.warm, server.slow), load)
    if warmed["requests"] == warmed["failed"]:
        raise BenchError(f"none of {warmed['requests']} requests was answered well")
    before, others = proc.cpu_seconds(server.pids), proc.core_seconds(bench.load_core)
    run = wrk(bench, server, bench.plan.requests_seconds, load)
    run["cpu_seconds"] = proc.cpu_seconds(server.pids) - before
    return run | {
        "per_second": run["requests"] / run["seconds"],
        "per_cpu_second": run["requests"] / max(run["cpu_seconds"], 0.01),
        "core": run["cpu_seconds"] / run["seconds"],
        "load_core": (proc.core_seconds(bench.load_core) - others) / run["seconds"],
    }


class Load(Struct, frozen=True):
    """What wrk does: over how many connections, bytes of a body, models in turn, ms that a connection rests."""

    connections: int
    size: int = 480
    models: int = 1
    rest: int = 0


def wrk(bench: Bench, server: Server, seconds: float, load: Load) -> Run:
    """One run of wrk."""
    headers = [word for header in server.headers for word in ("-H", header)]
    command = [
        "wrk", "-t1", "-c", str(load.connections), "-d", f"{max(1, round(seconds))}s", "--timeout", "10s",
        "-s", str(LUA), *headers, "--latency", f"{server.url}{server.path}", "--",
        str(load.size), str(load.models), str(load.rest),
    ]  # fmt: skip
    return result(command, core=bench.load_core, seconds=seconds + 30)


def events(bench: Bench, name: str) -> Run:
    """CPU time of the peer for each event it relays, with many streams open; the longest gap between two events."""
    return _undisturbed(bench, name, bench.plan.streams, bench.plan.gap)


def crowd(bench: Bench, name: str) -> Run:
    """The same with more streams."""
    return _undisturbed(bench, name, bench.plan.crowd, bench.plan.crowd_gap)


def _undisturbed(bench: Bench, name: str, streams: int, gap: float) -> Run:
    """One run that is clean, if one of three is.

    When something else on the machine holds up provider or proxy, events come in clumps and clumps are cheap: such a
    run says nothing and is taken again.
    """
    for _ in range(2):
        run = _events(bench, name, streams, gap)
        if run["clean"]:
            return run
    return _events(bench, name, streams, gap)


def _events(bench: Bench, name: str, streams: int, gap: float) -> Run:
    with streaming(bench.folder, bench.load_core, gap) as upstream, bench.server(name, upstream) as server:
        others = proc.core_seconds(bench.load_core)
        run = _streams(bench, server, streams, bench.plan.streams_seconds)
        others = proc.core_seconds(bench.load_core) - others
    per_second = run["events"] / run["seconds"]
    asked = streams / gap
    clumps, delivered = run["events"] / run["reads"], per_second / asked
    return run | {
        "clean": clumps < CLUMPS and 0.97 < delivered < 1.03 and not run["unanswered"],
        "per_read": clumps,
        "per_second": per_second,
        "asked_per_second": asked,
        "delivered": delivered,
        "cpu_us": run["cpu_seconds"] / run["events"] * 1e6,
        "core": run["cpu_seconds"] / run["seconds"],
        "added_gap_ms": (run["longest_gap"] - gap) * 1e3,
    }


def _streams(bench: Bench, server: Server, streams: int, seconds: float) -> Run:
    return bench.load(
        "streams", "--port", server.port, "--path", server.path, "--streams", streams, "--warm", bench.plan.warm,
        "--seconds", seconds, "--pid", *server.pids, seconds=seconds + bench.plan.warm + streams / 200,
    )  # fmt: skip


def latency(bench: Bench, name: str) -> Run:
    """Time of a request at a fixed rate, open loop."""
    with answering(bench.folder, bench.load_core) as upstream, bench.server(name, upstream) as server:
        return steady(bench, server, bench.plan.rate_seconds)


def steady(bench: Bench, server: Server, seconds: float, polled: str = "") -> Run:
    """Requests at a fixed rate for that long, after some to get warm; `polled` is asked of the admin port meanwhile."""
    plan = bench.plan
    poll = ["--poll-port", server.admin, "--poll", polled] if polled else []
    return bench.load(
        "openloop", "--port", server.port, "--path", server.path, "--rate", plan.rate, "--warm", plan.warm,
        "--seconds", seconds, *poll, seconds=plan.warm + seconds,
    )  # fmt: skip


def memory(bench: Bench, name: str) -> Run:
    """Resident memory with many streams open and silent, and with one."""
    with streaming(bench.folder, bench.load_core, 0) as upstream, bench.server(name, upstream) as server:
        least = _streams(bench, server, 1, 0.2)["resident_bytes"]
        run = _streams(bench, server, bench.plan.idle_streams, 0.5)
    if run["unanswered"]:
        raise BenchError(f"{name}: {run['unanswered']} streams were not answered")
    most, streams = run["resident_bytes"], bench.plan.idle_streams
    return {"streams": streams, "one": least, "all": most, "per_stream": (most - least) / (streams - 1)}


def cores() -> tuple[int, int]:
    """The core of the peers and the core of load and provider: the first two this process may use."""
    allowed = sorted(os.sched_getaffinity(0))
    if len(allowed) < 2:
        raise SystemExit("make bench needs two cores: one for the proxies, one for the load")
    return allowed[0], allowed[1]
