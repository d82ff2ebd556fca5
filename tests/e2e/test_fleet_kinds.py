"""The other kinds of Redis: a Cluster of three nodes, and a master whose replica takes over."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.e2e.fleets import LATE, open_fleet
from tests.e2e.sidecars import MIX
from tests.redis_server import SERVICE, redis_cluster, redis_sentinel

pytestmark = pytest.mark.timeout(60)


async def test_a_cluster_of_three_nodes(tmp_path: Path) -> None:
    with redis_cluster(tmp_path) as nodes:
        addresses = ",".join(node.address for node in nodes)
        async with open_fleet(tmp_path, None, "ab", store=f"redis+cluster://{addresses}") as fleet:
            async with fleet.traffic() as traffic:
                await traffic.more(10 * len(MIX))
                await fleet.trip(fleet.sidecars[0], "guarded/model")
                await fleet.everywhere("guarded/model", "open")
            await fleet.agrees()
            await fleet.adds_up()
            for node in nodes:
                assert int(node.command("DBSIZE")) > 0, node.address
            for one in fleet.sidecars:
                assert await one.trouble() is None


async def test_a_replica_takes_over_from_a_killed_master(tmp_path: Path) -> None:
    with redis_sentinel(tmp_path) as (master, replica, sentinel):
        store = f"redis+sentinel://{sentinel.address}/{SERVICE}/0"
        async with open_fleet(tmp_path, None, "ab", store=store) as fleet:
            async with fleet.traffic() as traffic:
                await traffic.more(4 * len(MIX))
                await fleet.trip(fleet.sidecars[0], "guarded/before")
                await fleet.everywhere("guarded/before", "open")
                await asyncio.to_thread(master.kill)
                await traffic.more(4 * len(MIX))
                await fleet.trip(fleet.sidecars[1], "guarded/meanwhile")
                await fleet.sound(25)
                await traffic.more(4 * len(MIX))
            assert replica.command("ROLE")[0] == b"master"
            await fleet.agrees()
            await fleet.adds_up()
            for model in ("before", "meanwhile"):
                await fleet.everywhere(f"guarded/{model}", "open")
            await asyncio.sleep(LATE)
            await fleet.agrees(0)
