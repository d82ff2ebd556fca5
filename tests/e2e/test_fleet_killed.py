"""A sidecar that ends without a word: what the fleet has of it, and what those have that come after it."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path

import pytest

from tests.e2e.fleets import LATE, Fleet, open_fleet, tally
from tests.e2e.sidecars import MIX, Sidecar, comes
from tests.redis_server import redis_server

pytestmark = pytest.mark.timeout(90)

INTERVAL = 2.0
"""Seconds of counts that may be lost: a flush a second, which a busy machine may have be late."""


async def test_a_killed_sidecar_takes_at_most_one_interval_with_it(tmp_path: Path) -> None:
    with redis_server(tmp_path) as redis:
        async with open_fleet(tmp_path, redis) as fleet:
            gone, *others = fleet.sidecars
            async with fleet.traffic() as traffic:
                await traffic.more(20 * len(MIX))
                await asyncio.sleep(LATE)
                await traffic.more(5 * len(MIX))
                at = asyncio.get_running_loop().time()
                await gone.kill()
                await traffic.more(5 * len(MIX))
            found = await told(fleet, others)
            most, alive = fleet.happened(), fleet.happened(gone)
            sent = fleet.seen(by=gone.name)
            kept = tally(one for one in sent if one.ended_at is not None and one.ended_at < at - INTERVAL)
            assert kept[""].total() > 0
            for name in most:
                least = alive.get(name, Counter()) + kept.get(name, Counter())
                assert least <= found[name] <= most[name], name
            own = [await one.history("instance") for one in others]
            for name, counts in alive.items():
                assert own[0].get(name, Counter()) + own[1].get(name, Counter()) == counts, name
            late = await fleet.join("d")
            assert await late.history() == found
            assert await late.history("instance") == {"": Counter()}


async def told(fleet: Fleet, others: list[Sidecar]) -> dict[str, Counter[str]]:
    """What both others tell once they have told all; it stays so."""
    await asyncio.gather(*(one.history() for one in others))  # which has each of them tell what it has

    async def look() -> list[dict[str, Counter[str]]]:
        return [await one.history() for one in others]

    found = await comes(look, lambda found: found[0] == found[1], 5)
    await asyncio.sleep(LATE)
    assert await look() == found
    return dict(found[0])
