"""What one flush costs, measured, and what follows for one entry, one script and one cell: the inputs of `scaling`."""

from __future__ import annotations

import sys
from statistics import median
from typing import Any, Final

from msgspec import Struct

from bench.children import result
from bench.keeping import PROVIDERS
from bench.measure import Bench, Run
from bench.stores import store
from healthapi.fleet.sender import BATCH

FLUSHED: Final = ("sqlite", "redis")
TOUCHED: Final = (10, 1_000, 10_000)
"""Targets that are touched between two flushes."""

IDLE_TARGETS: Final = 1_000
"""Enough that every shard keeps some."""

DAY_TARGETS: Final = 100
WITHIN: Final = 300.0
"""Seconds that a measurement may take."""

CELL_SORTS: Final = frozenset({"m", "h"})
MARKS: Final = "q"
OWN: Final = frozenset({"v", "vb", "bv", "bb", "b", "bx"})
"""Sorts of keys (see `bench.redisuse.holdings`): cells, marks of sidecars, and what a shard has once."""


def flushes(bench: Bench, kind: str, targets: int, times: int) -> Run:
    """Flushes of so many touched targets to an empty store of one kind."""
    return _run(bench, kind, "flushes", targets, "--times", str(times))


def idle(bench: Bench) -> Run:
    """What a sidecar asks of Redis when it has nothing to tell."""
    return _run(bench, "redis", "idle", IDLE_TARGETS)


def day(bench: Bench) -> Run:
    """What a day of history takes in Redis."""
    return _run(bench, "redis", "day", DAY_TARGETS)


def _run(bench: Bench, kind: str, what: str, targets: int, *more: str) -> Run:
    with store(bench, kind) as url:
        command = [sys.executable, "-m", "bench.flush", what, "--store", url, "--targets", str(targets), *more]
        return result(command, core=bench.peer_core, seconds=WITHIN)


class Costs(Struct, frozen=True):
    """What things cost a Redis and its sidecars: seconds of processor time, and bytes.

    `call` is a script that is told nothing, `entry` one target's share of a flush, `poll` the question what moved,
    `heard` one move told to one sidecar. `…_in` and `…_out` are received and sent by Redis. `entry_aside` is the part
    of a flush's duration that is not Redis' work.
    """

    call: float
    call_in: float
    call_out: float
    entry: float
    entry_in: float
    entry_out: float
    entry_aside: float
    poll: float
    poll_in: float
    poll_out: float
    heard: float
    heard_out: float
    record_bytes: float
    minute_bytes: float
    hour_bytes: float
    mark_bytes: float
    connection_bytes: float
    connections: int

    @property
    def batch(self) -> float:
        """Redis' time for one full round trip, spread over some 64 shards."""
        return BATCH * self.entry + min(BATCH, 64) * self.call


def again(document: dict[str, Any], kind: str, targets: int) -> list[Run]:
    """The flushes measured with a store and so many targets; those that were not held up by anything, if there are."""
    runs: list[Run] = document["flushes"][kind][str(targets)]["again"]
    return [run for run in runs if run["clean"]] or runs


def typical(runs: list[Run], *path: str) -> float:
    """Median of a figure over runs."""
    found: list[Any] = list(runs)
    for name in path:
        found = [one[name] for one in found]
    return float(median(found))


def costs(document: dict[str, Any]) -> Costs:
    """What was measured, put down to single things. `document` is that of a run of `bench.storerun`."""
    most = max(TOUCHED)
    largest, idle_run, held = again(document, "redis", most), document["idle"], document["day"]["holdings"]
    beating, polling, hearing = idle_run["beating"], idle_run["polling"], idle_run["hearing"]
    entries, calls = most + PROVIDERS, typical(largest, "redis", "calls")

    def call(figure: str) -> float:
        return float(beating[figure] / idle_run["beats"])

    def entry(figure: str) -> float:
        return (typical(largest, "redis", figure) - calls * call(figure)) / entries

    records = sum(one["bytes"] for sort, one in held.items() if sort not in CELL_SORTS | OWN | {MARKS})
    run = document["flushes"]["redis"][str(most)]
    return Costs(
        call=call("cpu_seconds"),
        call_in=call("received"),
        call_out=call("sent"),
        entry=entry("cpu_seconds"),
        entry_in=entry("received"),
        entry_out=entry("sent"),
        entry_aside=(typical(largest, "seconds") - typical(largest, "redis", "cpu_seconds")) / entries,
        poll=polling["cpu_seconds"] / idle_run["polls"],
        poll_in=polling["received"] / idle_run["polls"],
        poll_out=polling["sent"] / idle_run["polls"],
        heard=hearing["cpu_seconds"] / idle_run["heard"],
        heard_out=hearing["sent"] / idle_run["heard"],
        record_bytes=records / DAY_TARGETS,
        minute_bytes=held["m"]["bytes"] / held["m"]["fields"],
        hour_bytes=held["h"]["bytes"] / held["h"]["fields"],
        mark_bytes=held[MARKS]["bytes"] / held[MARKS]["keys"],
        connection_bytes=run["connection_bytes"] / run["connections"],
        connections=run["connections_read"],
    )
