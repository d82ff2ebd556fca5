"""The arithmetic of fleets, against sums taken the long way and against flushes to a real Redis."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import math
import random
import re
from pathlib import Path

import pytest
import redis

from bench import costs, scaling
from bench.keeping import PROVIDERS, Kept
from bench.redisuse import asking, connections, holdings, use
from bench.scaling import Size, Traffic
from config.settings import Redis
from healthapi.fleet import scripts
from tests.bench.store_document import store_document
from tests.redis_server import redis_server

COSTS = costs.costs(store_document())
TRAFFIC = Traffic()


@pytest.mark.parametrize(("targets", "skew"), [(1, 1.0), (10, 0.0), (777, 1.0), (10_000, 1.2)])
def test_popularity_is_zipfs(targets: int, skew: float) -> None:
    groups = scaling.popularity(targets, skew)
    assert sum(count for count, _ in groups) == targets
    assert sum(count * share for count, share in groups) == pytest.approx(1)
    total = sum(rank**-skew for rank in range(1, targets + 1))
    assert groups[0] == (1, pytest.approx(1 / total))


def test_targets_touched_are_those_that_chance_touches() -> None:
    targets, requests = 2_000, 3_000
    expected = sum(count * chance for count, chance in scaling.touched(targets, 1.0, requests))
    dice = random.Random(1)
    weights = [1 / rank for rank in range(1, targets + 1)]
    seen = [len(set(dice.choices(range(targets), weights, k=requests))) for _ in range(20)]
    assert expected == pytest.approx(sum(seen) / len(seen), rel=0.03)


@pytest.mark.parametrize("targets", [1, 30, 1_500])
def test_a_flush_is_as_many_scripts_as_a_real_one(tmp_path: Path, targets: int) -> None:
    async def flush(kept: Kept) -> None:
        kept.touch()
        await kept.keeper.flush()
        while kept.keeper.waiting:
            await kept.keeper.flush()

    async def flushed(url: str) -> None:
        kept = Kept(url, targets, "one")
        await kept.keeper.start()
        await flush(kept)  # which teaches the server its scripts
        before = use(client)
        await flush(kept)
        found.append(use(client).since(before).calls)
        await kept.keeper.stop()

    found: list[float] = []
    with redis_server(tmp_path) as server, contextlib.closing(server.client()) as client:
        asyncio.run(flushed(f"redis://127.0.0.1:{server.port}"))
        shards = len({key.split(b":")[2] for key in client.scan_iter(match="*:t")})
    everything = Traffic(rate=1e9, skew=0.0, providers=min(PROVIDERS, targets))
    made = scaling.flush(everything, targets, 1.0)
    assert made.entries == pytest.approx(targets + everything.providers)
    # Some questions about breakers are among what was counted, and names hash as they like.
    assert found[0] == pytest.approx(made.calls, rel=0.35, abs=5)
    assert shards <= 64


def test_what_a_redis_holds_is_told_by_sort(tmp_path: Path) -> None:
    async def flushed(url: str) -> None:
        kept = Kept(url, 20, "one")
        await kept.keeper.start()
        kept.touch()
        await kept.keeper.flush()
        found.append(connections(client)[0])
        await kept.keeper.stop()

    found: list[int] = []
    with redis_server(tmp_path) as server, contextlib.closing(server.client()) as client:
        asyncio.run(flushed(f"redis://127.0.0.1:{server.port}"))
        held = holdings(client)
    assert found == [2]
    assert held["t"].fields == 20
    assert held["m"].fields >= 20 + PROVIDERS
    assert held["g"].keys == 20
    assert all(one.bytes > 0 for one in held.values())


def test_one_sidecar_takes_no_more_of_a_redis_than_its_share() -> None:
    heavy = Traffic(rate=50_000.0)
    one = scaling.load(COSTS, heavy, Size(1, 10_000))
    every_second = scaling.load(COSTS, heavy, Size(1, 10_000), adaptive=False)
    assert every_second.cores > 0.3
    assert one.cores < scaling.BUSY
    assert one.period > 5


@pytest.mark.parametrize("targets", [10, 1_000, 10_000])
def test_more_sidecars_are_more_work_and_flush_no_more_often(targets: int) -> None:
    loads = [scaling.load(COSTS, TRAFFIC, Size(many, targets)) for many in (1, 10, 100, 1_000, 10_000)]
    for less, more in itertools.pairwise(loads):
        assert more.busiest > less.busiest
        assert more.period >= less.period * 0.999
        assert more.memory > less.memory
    for many, load in zip((1, 10, 100, 1_000, 10_000), loads, strict=True):
        assert load.cores <= scaling.load(COSTS, TRAFFIC, Size(many, targets), adaptive=False).cores * 1.001
        assert load.period <= 4 * scaling.LONGEST
        assert all(math.isfinite(figure) for figure in (load.cores, load.scripts, load.received, load.sent))


def test_nodes_are_as_few_as_do() -> None:
    size = Size(300, 10_000)
    many = scaling.nodes(COSTS, TRAFFIC, size)
    assert many is not None
    assert many > 1
    assert scaling.load(COSTS, TRAFFIC, Size(300, 10_000, many)).fits
    assert not scaling.load(COSTS, TRAFFIC, size).fits
    assert scaling.nodes(COSTS, TRAFFIC, Size(1, 10)) == 1
    assert scaling.nodes(COSTS, TRAFFIC, Size(10**6, 10)) is None


def test_memory_is_bounded_by_what_shards_keep() -> None:
    flood = scaling.memory(COSTS, Traffic(rate=1e9, skew=0.0), Size(1, 10**6))
    cells = 64 * 512 * scaling.ROOM
    records = 64 * 512 * COSTS.record_bytes
    assert flood == pytest.approx(records + cells * (25 * COSTS.minute_bytes + 31 * COSTS.hour_bytes), rel=0.01)


def test_a_lone_busy_target_takes_its_minutes_and_hours() -> None:
    assert scaling.memory(COSTS, TRAFFIC, Size(1, 1)) == pytest.approx(
        COSTS.record_bytes + 1500 * 80 + 744 * 200 + 64 * 100 + 3 * 22_000
    )


def test_bounds_are_those_of_the_product() -> None:
    found = re.search(rb"^local FIELDS = (\d+)", scripts.FLUSH.text, re.MULTILINE)
    assert found is not None
    assert int(found[1]) == scaling.ROOM
    assert Redis().timeout == scaling.TIMEOUT
    lives = re.search(rb"MINUTES_LIFE, HOURS_LIFE = .*?, (\d+) \* 3600, (\d+) \* 86400", scripts.FLUSH.text)
    assert lives is not None
    assert (int(lives[1]) * 60, int(lives[2]) * 24) == (scaling.MINUTES_KEPT, scaling.HOURS_KEPT)


def test_asking_costs_a_redis_something(tmp_path: Path) -> None:
    with redis_server(tmp_path) as server, contextlib.closing(redis.Redis(port=server.port)) as client:
        asked = asking(client)
    assert asked.sent > 1000
    assert asked.calls == 0
