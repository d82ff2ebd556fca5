"""The four measurements, one run of one peer each. Peers stand on one core, load and provider on another."""

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
from bench.peers import PEERS, Peer, Server, answering, peer_running, streaming

Run = dict[str, Any]

ROUNDS: Final = {"requests": 5, "events": 5, "latency": 3, "memory": 1}
"""How often each is repeated; memory hardly varies."""

CLUMPS: Final = 1.2
"""Events per read of the client above which a stream run is not clean."""

DIRECT: Final = "direct"
LUA: Final = Path(__file__).parent / "load" / "chat.lua"


class Plan(Struct, frozen=True):
    """How long and how large; seconds."""

    rounds: dict[str, int]
    """How often each measurement is repeated."""
    requests_seconds: float = 4
    connections: int = 32
    streams: int = 500
    gap: float = 0.02
    """Between the events of one stream."""
    streams_seconds: float = 6
    rate: int = 1000
    """Requests per second of the latency runs."""
    rate_seconds: float = 5
    idle_streams: int = 1000
    warm: float = 2


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
    def server(self, name: str, upstream: Server) -> Iterator[Server]:
        """A peer in front of `upstream`, or `upstream` itself."""
        with ExitStack() as stack:
            peer = next((peer for peer in PEERS if peer.name == name), None)
            try:
                yield upstream if peer is None else stack.enter_context(self._start(peer, upstream))
            except BenchError as error:
                said = self.folder / f"{name}.out"
                raise BenchError(f"{name}: {error}\n{said.read_text()[-2000:] if said.exists() else ''}") from error

    def _start(self, peer: Peer, upstream: Server) -> Any:
        return peer_running(peer, upstream, self.folder, self.peer_core)


def requests(bench: Bench, name: str) -> Run:
    """Most requests per second of one core: wrk, closed loop."""
    with answering(bench.folder, bench.load_core) as upstream, bench.server(name, upstream) as server:
        return saturated(bench, server)


def saturated(bench: Bench, server: Server) -> Run:
    """As many requests as a server can answer, after some to get warm."""
    _wrk(bench, server, bench.plan.warm)
    before = proc.cpu_seconds(server.pids)
    run = _wrk(bench, server, bench.plan.requests_seconds)
    run["cpu_seconds"] = proc.cpu_seconds(server.pids) - before
    return run | {
        "per_second": run["requests"] / run["seconds"],
        "per_cpu_second": run["requests"] / run["cpu_seconds"],
        "core": run["cpu_seconds"] / run["seconds"],
    }


def _wrk(bench: Bench, server: Server, seconds: float) -> Run:
    url = f"http://127.0.0.1:{server.port}{server.path}"
    connections = str(bench.plan.connections)
    command = ["wrk", "-t1", "-c", connections, "-d", f"{max(1, round(seconds))}s", "-s", str(LUA), "--latency", url]
    return result(command, core=bench.load_core, seconds=seconds + 20)


def events(bench: Bench, name: str) -> Run:
    """CPU time of the peer for each event it relays, with many streams open.

    When something else on the machine holds up provider or proxy, events come in clumps and clumps are cheap: such a
    run says nothing and is taken again, at most twice.
    """
    for _ in range(2):
        run = _events(bench, name)
        if run["clean"]:
            return run
    return _events(bench, name)


def _events(bench: Bench, name: str) -> Run:
    plan = bench.plan
    with streaming(bench.folder, bench.load_core, plan.gap) as upstream, bench.server(name, upstream) as server:
        run = _streams(bench, server, plan.streams, plan.streams_seconds)
    per_second = run["events"] / run["seconds"]
    asked = plan.streams / plan.gap
    clumps, delivered = run["events"] / run["reads"], per_second / asked
    return run | {
        "clean": clumps < CLUMPS and 0.97 < delivered < 1.03 and not run["unanswered"],
        "per_read": clumps,
        "per_second": per_second,
        "asked_per_second": asked,
        "delivered": delivered,
        "cpu_us": run["cpu_seconds"] / run["events"] * 1e6,
        "core": run["cpu_seconds"] / run["seconds"],
    }


def _streams(bench: Bench, server: Server, streams: int, seconds: float) -> Run:
    return bench.load(
        "streams", "--port", server.port, "--path", server.path, "--streams", streams, "--warm", bench.plan.warm,
        "--seconds", seconds, "--pid", *server.pids, seconds=seconds + bench.plan.warm,
    )  # fmt: skip


def latency(bench: Bench, name: str) -> Run:
    """Time of a request at a fixed rate, open loop."""
    with answering(bench.folder, bench.load_core) as upstream, bench.server(name, upstream) as server:
        return steady(bench, server, bench.plan.rate_seconds)


def steady(bench: Bench, server: Server, seconds: float) -> Run:
    """Requests at a fixed rate for that long, after some to get warm."""
    plan = bench.plan
    return bench.load(
        "openloop", "--port", server.port, "--path", server.path, "--rate", plan.rate, "--warm", plan.warm,
        "--seconds", seconds, seconds=plan.warm + seconds,
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


MEASUREMENTS: Final = {"requests": requests, "events": events, "latency": latency, "memory": memory}
"""In the order they are run; each is given the peers of `names`."""


def names(measurement: str) -> list[str]:
    """Who takes part: the baseline has no CPU time and no memory of its own to look at."""
    peers = [peer.name for peer in PEERS]
    return peers if measurement == "memory" else [DIRECT, *peers]


def cores() -> tuple[int, int]:
    """The core of the peers and the core of load and provider: the first two this process may use."""
    allowed = sorted(os.sched_getaffinity(0))
    if len(allowed) < 2:
        raise SystemExit("make bench needs two cores: one for the proxies, one for the load")
    return allowed[0], allowed[1]
