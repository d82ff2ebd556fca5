"""How much work sidecars are for a Redis, worked out from what single things cost: no measurement, no clock.

Each sidecar has the same traffic: requests that fall on targets by Zipf's law. In the time between two of its flushes
some targets are touched, each of which is an entry of the flush; a few of the shards that have nothing to be told are
asked whether they are still all there. A flush that is more work comes less often, and so does one that has to wait
for others.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import lru_cache
from typing import Final

from msgspec import Struct

from bench.costs import Costs
from healthapi.fleet.fleet import LONGEST
from healthapi.fleet.fleet import SHARE as BUSY
from healthapi.fleet.keys import SHARDS
from healthapi.fleet.sender import BATCH, HEARTBEAT, IDENTITIES, PULSE
from healthapi.fleet.states import POLL
from healthapi.keeper import INTERVAL

FULL: Final = 0.7
"""Share of a core from which a Redis is called full: beyond it, waiting grows faster than work."""

TIMEOUT: Final = 0.1
"""Seconds that a sidecar waits for one answer, unless it is set up otherwise (`redis.timeout`)."""

MAX_CLIENTS: Final = 10_000
"""Connections that a Redis accepts unless it is told otherwise (`maxclients`)."""

ROOM: Final = 16
"""Cells that one hash of a shard takes, for each target the shard has room for (`FIELDS` in `lua/flush.lua`)."""

CLUSTERS: Final = (1, 3, 4, 5, 6, 8, 11, 13, 16, 22, 32, 64)
"""Numbers of masters. A Cluster has three at least; with those left out, no node has fewer shards."""

MINUTES_KEPT: Final = 25 * 60
HOURS_KEPT: Final = 31 * 24

_EXACT: Final = 64
_GROWTH: Final = 1.05
"""The most popular targets are looked at one by one, the others in groups of like ones, each that much longer."""

_WORST: Final = 0.98
"""A Redis that has more to do than this is reckoned with as having this much: nothing waits for ever."""


class Traffic(Struct, frozen=True):
    """What one sidecar sees. `rate` is in requests per second; the n-th target is called n ** -skew times as often."""

    rate: float = 100.0
    skew: float = 1.0
    providers: int = 20
    moves: float = 1 / 60
    """Moves of breakers per second, in the whole fleet."""


class Size(Struct, frozen=True):
    """A fleet. `nodes` are the masters of its Redis."""

    sidecars: int
    targets: int
    nodes: int = 1


class Flush(Struct, frozen=True):
    """What one flush consists of."""

    entries: float
    calls: float


class Load(Struct, frozen=True):
    """What a fleet is for its Redis.

    `period` is the time between two flushes of one sidecar in seconds, `round_trip` how long one of its round trips
    takes. `cores` is the work on all nodes, `busiest` that on the node that has the most, as shares of a core;
    `scripts`, `received` and `sent` (bytes) are per second, `memory` is in bytes and all of it.
    """

    period: float
    round_trip: float
    cores: float
    busiest: float
    scripts: float
    received: float
    sent: float
    memory: float
    connections: int

    @property
    def fits(self) -> bool:
        """Whether the busiest node has time to spare and answers in time."""
        return self.busiest <= FULL and self.round_trip <= TIMEOUT


@lru_cache(maxsize=64)
def popularity(targets: int, skew: float) -> tuple[tuple[int, float], ...]:
    """Groups of targets: how many, and the share of all requests that falls on each one of them."""
    total = sum(rank**-skew for rank in range(1, targets + 1))
    return tuple(
        (last - first, sum(rank**-skew for rank in range(first, last)) / (last - first) / total)
        for first, last in _groups(targets)
    )


def _groups(targets: int) -> Iterator[tuple[int, int]]:
    first = 1
    while first <= targets:
        last = min(first + (1 if first < _EXACT else max(1, int(first * (_GROWTH - 1)))), targets + 1)
        yield first, last
        first = last


def touched(targets: int, skew: float, requests: float) -> Iterator[tuple[int, float]]:
    """Groups of targets, each with the chance that one of them is among that many requests."""
    for count, share in popularity(targets, skew):
        yield count, -math.expm1(-share * requests)


def flush(traffic: Traffic, targets: int, period: float) -> Flush:
    """A flush of one sidecar that flushes every `period` seconds."""
    requests = traffic.rate * period
    chances = [*touched(targets, traffic.skew, requests), *touched(traffic.providers, traffic.skew, requests)]
    entries = sum(count * chance for count, chance in chances)
    busy = SHARDS * -math.expm1(sum(count * math.log1p(-chance / SHARDS) for count, chance in chances))
    told = SHARDS * -math.expm1((targets + traffic.providers) * math.log1p(-1 / SHARDS))
    most = max(BATCH // max(round(busy), 1), 1)
    beats = min(max(told - busy, 0) * min(period / HEARTBEAT, 1), PULSE)
    return Flush(entries, max(busy, entries / most) + beats)


def load(costs: Costs, traffic: Traffic, size: Size, *, adaptive: bool = True) -> Load:
    """What a fleet is for its Redis, with flushes that come less often when they are more work, or with none such."""
    low, high = INTERVAL, INTERVAL
    if adaptive:
        high = 4 * LONGEST
        for _ in range(40):
            middle = (low + high) / 2
            if _wanted(costs, traffic, size, middle) > middle:
                low = middle
            else:
                high = middle
    return _load(costs, traffic, size, high)


def nodes(costs: Costs, traffic: Traffic, size: Size) -> int | None:
    """How many masters a fleet needs, of `CLUSTERS`; None when even one for each shard is not enough."""
    return next(
        (many for many in CLUSTERS if load(costs, traffic, Size(size.sidecars, size.targets, many)).fits),
        None,
    )


def _wanted(costs: Costs, traffic: Traffic, size: Size, period: float) -> float:
    """The time between two flushes that a sidecar comes to, if all of them flush every `period` seconds."""
    one = flush(traffic, size.targets, period)
    takes = one.entries * costs.entry_aside + _work(costs, one) * _waiting(_load(costs, traffic, size, period).busiest)
    return min(max(INTERVAL, takes / BUSY), LONGEST) + takes


def _work(costs: Costs, one: Flush) -> float:
    return one.calls * costs.call + one.entries * costs.entry


def _waiting(busy: float) -> float:
    """How many times longer something takes on a Redis that is this busy than on one that is not."""
    return 1 / (1 - min(busy, _WORST))


def _load(costs: Costs, traffic: Traffic, size: Size, period: float) -> Load:
    one, many = flush(traffic, size.targets, period), size.sidecars / period
    flushing = many * _work(costs, one)
    # All breakers of a fleet are in one shard, and so on one node; what moves there is told on every node.
    news = size.sidecars * (costs.poll / POLL + traffic.moves * costs.heard)
    busiest = flushing * math.ceil(SHARDS / size.nodes) / SHARDS + news
    asked = size.sidecars / POLL
    told = size.sidecars * traffic.moves * costs.heard_out
    trip = min(_work(costs, one), costs.batch) / size.nodes * _waiting(busiest)
    return Load(
        period=period,
        round_trip=trip,
        cores=flushing + news,
        busiest=busiest,
        scripts=many * one.calls + asked,
        received=many * (one.calls * costs.call_in + one.entries * costs.entry_in) + asked * costs.poll_in,
        sent=many * (one.calls * costs.call_out + one.entries * costs.entry_out) + asked * costs.poll_out + told,
        memory=memory(costs, traffic, size),
        connections=size.sidecars * costs.connections,
    )


def memory(costs: Costs, traffic: Traffic, size: Size) -> float:
    """Bytes that a fleet keeps once it has run for a month."""
    requests = traffic.rate * size.sidecars
    kept = min(size.targets, SHARDS * IDENTITIES)
    marks = size.sidecars * SHARDS * costs.mark_bytes
    return (
        kept * costs.record_bytes
        + _cells(size.targets, traffic.skew, requests * 60, 60) * (MINUTES_KEPT / 60) * costs.minute_bytes
        + _cells(size.targets, traffic.skew, requests * 3600, 24) * (HOURS_KEPT / 24) * costs.hour_bytes
        + marks
        + size.sidecars * costs.connections * costs.connection_bytes
    )


def _cells(targets: int, skew: float, requests: float, parts: int) -> float:
    """Cells of one hour's minutes, or one day's hours, when that many requests fall into each part."""
    busy = sum(count * chance for count, chance in touched(targets, skew, requests))
    return min(busy * parts, SHARDS * IDENTITIES * ROOM)
