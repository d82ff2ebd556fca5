"""docs/scaling.md and its picture, from what was measured of the stores."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from bench import costs
from bench.chart import Axis, Line, draw
from bench.children import ROOT
from bench.costs import Costs, again, typical
from bench.keeping import ATTEMPTS, PROVIDERS
from bench.report import Document, table
from bench.scaling import (
    BUSY,
    FULL,
    LONGEST,
    MAX_CLIENTS,
    Size,
    Traffic,
    flush,
    load,
    memory,
    nodes,
)
from healthapi.fleet.keys import SHARDS
from healthapi.fleet.sender import BATCH, IDENTITIES, PULSE
from healthapi.fleet.states import POLL
from healthapi.keeper import INTERVAL

PAGE: Final = ROOT / "docs" / "scaling.md"
PICTURE: Final = ROOT / "docs" / "scaling.svg"

SIDECARS: Final = (1, 10, 100, 1_000, 10_000)
TARGETS: Final = (10, 100, 1_000, 10_000)
ADVISED: Final = (100, 1_000, 10_000)
DRAWN: Final = (100, 10_000)
TRAFFIC: Final = Traffic()


def advice_table(found: Costs) -> str:
    """Which Redis fleets of some sizes want."""
    rows = []
    for targets in ADVISED:
        for sidecars in SIDECARS:
            many = nodes(found, TRAFFIC, Size(sidecars, targets))
            fleet = [f"{sidecars:,}", f"{targets:,}"]
            if many is None:
                rows.append([*fleet, "several fleets, a Redis each", *[""] * 5])
                continue
            one = load(found, TRAFFIC, Size(sidecars, targets, many))
            what = "one Redis" if many == 1 else f"Cluster, {many} masters"
            if one.connections > MAX_CLIENTS:
                what += f", `maxclients {_round_up(one.connections)}`"
            rows.append(
                [
                    *fleet, what, f"{one.busiest:.1%}", f"{one.period:.1f}", _size(one.memory),
                    _size(one.received + one.sent), f"{one.connections:,}",
                ]
            )  # fmt: skip
    head = ("sidecars", "targets", "Redis", "busiest core", "s between flushes", "memory", "network/s", "connections")
    return table(head, rows)


def _round_up(number: int) -> int:
    return -(-number * 5 // 4 // 1000) * 1000


def _size(many: float) -> str:
    for name, unit in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if many >= unit:
            return f"{many / unit:,.1f} {name}"
    return f"{many:,.0f} B"


def work_table(found: Costs, *, adaptive: bool) -> str:
    """Cores of Redis that are busy, and seconds between flushes, by sidecars and targets."""
    rows = []
    for sidecars in SIDECARS:
        row = [f"{sidecars:,}"]
        for targets in TARGETS:
            one = load(found, TRAFFIC, Size(sidecars, targets), adaptive=adaptive)
            row.append(f"{one.cores:.3f}" + (f" ({one.period:.1f} s)" if adaptive else ""))
        rows.append(row)
    return table(("sidecars", *(f"{targets:,} targets" for targets in TARGETS)), rows)


def scripts_table(found: Costs) -> str:
    """Scripts run, bytes both ways, per second."""
    rows = []
    for sidecars in SIDECARS:
        row = [f"{sidecars:,}"]
        for targets in TARGETS:
            one = load(found, TRAFFIC, Size(sidecars, targets))
            row.append(f"{one.scripts:,.0f}, {_size(one.received + one.sent)}")
        rows.append(row)
    return table(("sidecars", *(f"{targets:,} targets" for targets in TARGETS)), rows)


def memory_table(found: Costs) -> str:
    """Memory after a month."""
    rows = []
    for sidecars in SIDECARS:
        sizes = [_size(memory(found, TRAFFIC, Size(sidecars, targets))) for targets in TARGETS]
        rows.append([f"{sidecars:,}", *sizes])
    return table(("sidecars", *(f"{targets:,} targets" for targets in TARGETS)), rows)


def costs_table(found: Costs) -> str:
    """What single things cost."""
    rows: list[Sequence[str]] = [
        ("one touched target (an entry)", *_cells(found.entry, found.entry_in, found.entry_out)),
        ("one script that is told nothing", *_cells(found.call, found.call_in, found.call_out)),
        ("one question what breakers moved", *_cells(found.poll, found.poll_in, found.poll_out)),
        ("one move of a breaker, told to one sidecar", *_cells(found.heard, 0, found.heard_out)),
    ]
    return table(("", "CPU µs of Redis", "bytes to it", "bytes from it"), rows)


def _cells(seconds: float, received: float, sent: float) -> tuple[str, str, str]:
    return f"{seconds * 1e6:.1f}", f"{received:,.0f}", f"{sent:,.0f}"


def bytes_table(found: Costs) -> str:
    """What single things take."""
    whole_day = 24 * 60 * found.minute_bytes + 24 * found.hour_bytes
    rows = [
        ("record of a target, with its rings", f"{found.record_bytes:,.0f}"),
        ("a minute in which a target was called", f"{found.minute_bytes:,.0f}"),
        ("an hour in which a target was called", f"{found.hour_bytes:,.0f}"),
        ("a day of a target called in every minute", f"{whole_day:,.0f}"),
        ("a sidecar's mark in one shard", f"{found.mark_bytes:,.0f}"),
        ("a connection", f"{found.connection_bytes:,.0f}"),
    ]
    return table(("", "bytes"), rows)


def check_table(document: Document, found: Costs) -> str:
    """What the single costs say of whole flushes, beside what was measured."""
    rows = []
    for touched in costs.TOUCHED:
        runs = again(document, "redis", touched)
        calls, measured = typical(runs, "redis", "calls"), typical(runs, "redis", "cpu_seconds")
        reckoned = calls * found.call + (touched + PROVIDERS) * found.entry
        rows.append([f"{touched:,} targets", f"{measured * 1e3:.1f}", f"{reckoned * 1e3:.1f}"])
    return table(("flush of", "CPU ms of Redis, measured", "reckoned"), rows)


def picture(found: Costs) -> str:
    """Cores against sidecars, with and without flushes that come less often."""
    steps = sorted({round(10 ** (step / 8)) for step in range(33)})
    lines = []
    for colour, targets in enumerate(DRAWN):
        for adaptive, how in ((True, "less often when busy"), (False, "every second")):
            loads = [(many, load(found, TRAFFIC, Size(many, targets), adaptive=adaptive)) for many in steps]
            points = [(float(many), one.cores) for many, one in loads]
            lines.append(Line(f"{targets:,} targets,\n{how}", points, colour, dashed=not adaptive))
    across = Axis("sidecars", 1, 10_000, lambda value: f"{value:,.0f}")
    up = Axis("cores of Redis", 1e-3, 1e2, lambda value: f"{value:,g}")
    title = "Cores of Redis against sidecars, with flushes that come less often when they are work, and without"
    return draw(title, across, up, lines, [(1.0, "one core")])


def render(document: Document) -> str:
    """The whole page."""
    found, machine = costs.costs(document), document["machine"]
    typical_flush = flush(TRAFFIC, 1_000, INTERVAL)
    long_flush = flush(TRAFFIC, 1_000, LONGEST)
    per_redis = MAX_CLIENTS // found.connections
    return f"""<!-- Written by `make bench` from bench/results/stores/. Do not edit. -->

# Scaling: how large a Redis a fleet wants

Sidecars that share health keep it in Redis. Traffic never waits for it, whatever its state: a Redis that is too small
costs fresh figures, not requests. This page says how large it should be.

{advice_table(found)}

Each sidecar has {TRAFFIC.rate:,.0f} requests/s here, spread over the targets as popularity usually is (the n-th is
called 1/n as often as the first). "Busiest core" is how much of one core the busiest node uses; a Redis is called full
at {FULL:.0%}. Memory is that of all nodes after a month, connections are to each node. Redis accepts {MAX_CLIENTS:,}
connections unless told otherwise: a sidecar has {found.connections} to each node, so `maxclients` is the first limit a
large fleet meets, at {per_redis:,} sidecars.

Where several fleets are said, not even a node for each shard keeps up: give groups of sidecars names of their own
(`redis.fleet`) and a Redis each. Nothing else has to be set up but the address: `redis://`, `redis+sentinel://` or
`redis+cluster://`.

## What a sidecar does to Redis

- Every second, or less often (below), a flush: one entry for each target that was called since the last one, however
  often it was called. With 1,000 targets a sidecar of this traffic touches {typical_flush.entries:,.0f} in a second.
  Entries go out {BATCH} at a time in one round trip.
- With each flush {PULSE} of the shards that have nothing to be told are asked whether they still have what they were.
- Every {POLL:.0f} s it asks which breakers moved. Moves are also published, so this only catches what got lost.
- {found.connections} connections to each node: one for flushes, one that listens, one for readers of the admin port.

## Flushes that come less often

A sidecar looks at how long its flush took and lets so much time pass that flushes are at most {BUSY:.0%} of it: from
{INTERVAL:.0f} s up to {LONGEST:.0f} s between two of them. When Redis is busy with others, flushes take longer and come
less often for everybody. What happens meanwhile adds up, and it is targets that count and not requests: with 1,000
targets a flush of {LONGEST:.0f} s has {long_flush.entries:,.0f} entries, {LONGEST / INTERVAL:.0f} of one second have
{typical_flush.entries * LONGEST / INTERVAL:,.0f}. Openings of breakers do not wait for a flush.

![Cores of Redis against sidecars](scaling.svg)

Cores of Redis busy with flushes every second:

{work_table(found, adaptive=False)}

The same with flushes that come less often (seconds between two of them):

{work_table(found, adaptive=True)}

More than {FULL} is more than one Redis carries well; beyond 1 the figure is what is asked of it, not what it does. Up
to there flushes are short and nothing changes: it is a Redis that is nearly full whose sidecars come less often, and a
few sidecars that touch many thousands of targets each. Scripts run, and bytes both ways, per second:

{scripts_table(found)}

## Memory

Minutes are kept for 25 hours, hours for 31 days; what was not called takes nothing. A shard keeps at most {IDENTITIES}
targets, {SHARDS * IDENTITIES:,} in all: callers cannot fill Redis with names they make up. After a month:

{memory_table(found)}

## Keys, and why a Cluster works

A fleet's keys are `detour:{{<fleet>:<NN>}}:…`, where NN is one of {SHARDS} shards and a target belongs to the shard
that its name hashes to. What stands in braces is the *hash tag*: a Cluster puts all keys with the same one on the same
node. So a script finds all it needs at hand on one node, and the shards spread over the nodes. Breakers are few and are
all in shard 00, which is why a fleet of many thousands of sidecars keeps that node busier than the others.

| key after the prefix | what it holds |
|---|---|
| `t` `x` `z` | records by target; their versions; those that left lately |
| `g:…` | counts of a target by minute, hour and day, for uptime |
| `m:<hour>` `h:<day>` | cells of history, one field for each target and minute or hour |
| `q:<instance>` | the last batch of a sidecar, so that none counts twice |
| `w:…` | the window all sidecars fill for one breaker |
| `b` `bx` `bv` `l:…` | breakers and who may try one out (shard 00) |

A sidecar opens a connection to every node, so more nodes do not mean fewer connections on each one.

## What this is worked out from

Measured on one machine ({machine["processor"]}, Redis {document["versions"]["redis"]}, {document["taken_at"]}), with
real flushes of {max(costs.TOUCHED):,} targets, {ATTEMPTS} attempts each, and breakers that share their windows:

{costs_table(found)}

{bytes_table(found)}

These figures put together again, beside flushes that were measured:

{check_table(document, found)}

Everything else on this page is arithmetic on them (`bench/scaling.py`): targets touched by Zipf's law, waiting that
grows as 1 / (1 - busy), {TRAFFIC.moves * 60:,.0f} move of a breaker a minute. Your processor, your network and your
traffic differ: take it for the order of magnitude. `detour_store_flush_seconds` and `detour_store_trouble` tell what is
the case.
"""


def write(document: Document) -> None:
    """Write page and picture."""
    PAGE.write_text(render(document), encoding="utf-8")
    PICTURE.write_text(picture(costs.costs(document)), encoding="utf-8")
