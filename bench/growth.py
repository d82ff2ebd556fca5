"""How requests per second change as work grows: with connections, with targets, with the size of bodies."""

from __future__ import annotations

import msgspec

from bench.measure import Bench, Run, saturated
from bench.peers import answering, sinking


def connections(bench: Bench, name: str) -> Run:
    """The requests of the request runs over few and many connections."""
    with answering(bench.folder, bench.load_core) as upstream, bench.server(name, upstream) as server:
        return _points({many: saturated(_grown(bench), server, many) for many in bench.plan.grown_connections})


def targets(bench: Bench, name: str) -> Run:
    """The same requests for few and many models, each with a target and a stand-in, asked for in turn."""
    runs = {}
    for many in bench.plan.grown_targets:
        groups = many // 2
        with answering(bench.folder, bench.load_core) as upstream, bench.server(name, upstream, groups) as server:
            runs[many] = saturated(_grown(bench), server, models=groups)
    return _points(runs)


def bodies(bench: Bench, name: str) -> Run:
    """Requests with small and large bodies; answers are small, and come when the body has been taken whole."""
    with sinking(bench.folder, bench.load_core, 383) as upstream, bench.server(name, upstream) as server:
        return _points({size: saturated(_grown(bench), server, size=size) for size in bench.plan.grown_bodies})


def _grown(bench: Bench) -> Bench:
    plan = bench.plan
    short = {"requests_seconds": plan.growth_seconds, "warm": min(plan.warm, plan.growth_seconds)}
    return Bench(msgspec.structs.replace(plan, **short), bench.folder, bench.peer_core, bench.load_core)


def _points(runs: dict[int, Run]) -> Run:
    return {"points": [{"at": at, **run} for at, run in runs.items()]}
