"""An open breaker is tried out by one sidecar at a time, for all of them and whatever happens to that one."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from collections.abc import AsyncIterator, Iterable

import pytest
import pytest_asyncio

from proxy.fake import Seen
from tests.e2e.fleets import Fleet, open_fleet
from tests.e2e.sidecars import Sidecar, Turn, comes
from tests.e2e.world import PATIENCE, eventually
from tests.redis_server import redis_server

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(60)]

LEASE = 5.0
"""Seconds for which the right to try is lent."""

ALONE = 0.5
"""Seconds of silence after which each decides alone."""

BUSY = 2.0
"""Seconds that a busy machine may add."""

ASKED = Turn("", None, 200, "brief")
"""The provider does what its model was told to; its breaker opens for 1 s and closes after three trials."""


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def fleet(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Fleet]:
    folder = tmp_path_factory.mktemp("trials")
    with redis_server(folder) as redis:
        async with open_fleet(folder, redis) as found:
            yield found


@contextlib.asynccontextmanager
async def asking(sidecars: Iterable[Sidecar], model: str) -> AsyncIterator[None]:
    """Two clients at each of these sidecars that ask for a model all the time."""
    over = False

    async def ask(one: Sidecar) -> None:
        while not over:
            with contextlib.suppress(OSError, AssertionError):  # a killed one answers nobody
                await one.ask(ASKED, model, scripted=False)
            if one.killed:
                return
            await asyncio.sleep(0.02)

    tasks = [asyncio.create_task(ask(one)) for one in sidecars for _ in range(2)]
    try:
        yield
    finally:
        over = True
        await asyncio.gather(*tasks)


async def opened(fleet: Fleet, model: str, then: str) -> int:
    """Open the breaker of a model everywhere; its provider goes on as `then`. Returns how many requests it saw."""
    await fleet.trip(fleet.sidecars[0], f"brief/{model}")
    await fleet.everywhere(f"brief/{model}", "open")
    fleet.fake.models[model] = then
    return len(fleet.seen(f"brief/{model}"))


def overlaps(trials: Iterable[Seen]) -> list[tuple[float, float | None, float]]:
    """Pairs of requests of which the second came before the first had ended."""
    return [
        (first.at, first.ended_at, second.at)
        for first, second in itertools.pairwise(trials)
        if first.ended_at is None or second.at < first.ended_at
    ]


async def test_one_trial_at_a_time_closes_it_for_all(fleet: Fleet) -> None:
    before = await opened(fleet, "tried", "fail-503@delay=0.3")
    async with asking(fleet.sidecars, "tried"):
        await eventually(lambda: len(fleet.seen("brief/tried")) == before + 1)
        fleet.fake.models["tried"] = "ok@delay=0.3"
        await fleet.everywhere("brief/tried", "closed")
        fleet.fake.models["tried"] = "ok"
        closed = len(fleet.seen("brief/tried"))
        await eventually(
            lambda: (
                all(len(fleet.seen("brief/tried", by=one.name)) > 5 for one in fleet.sidecars)
                and len(fleet.seen("brief/tried")) > closed + 50
            )
        )
    trials = fleet.seen("brief/tried")[before:]
    assert [one.status for one in trials[:5]] == [503, 200, 200, 200, 200]
    assert not overlaps(trials[:5])


async def test_another_takes_over_when_the_holder_is_killed(fleet: Fleet) -> None:
    before = await opened(fleet, "orphaned", "ok@delay=30")
    async with asking(fleet.sidecars, "orphaned"):
        await eventually(lambda: len(fleet.seen("brief/orphaned")) > before)
        trial = fleet.seen("brief/orphaned")[before]
        await asyncio.sleep(1)
        assert len(fleet.seen("brief/orphaned")) == before + 1
        holder = next(one for one in fleet.sidecars if one.name.encode() == trial.header(b"x-sidecar"))
        fleet.fake.models["orphaned"] = "ok"
        await holder.kill()
        at = asyncio.get_running_loop().time()
        await eventually(lambda: len(fleet.seen("brief/orphaned")) > before + 1)
        took = fleet.seen("brief/orphaned")[before + 1].at - at
        assert took <= LEASE + BUSY, took
        await fleet.everywhere("brief/orphaned", "closed")
    fleet.sidecars.remove(holder)
    await fleet.join(holder.name)


async def test_a_long_trial_stays_the_only_one(fleet: Fleet) -> None:
    before = await opened(fleet, "long", f"ok@delay={LEASE + 2}")
    async with asking(fleet.sidecars, "long"):
        await eventually(lambda: len(fleet.seen("brief/long")) > before)
        fleet.fake.models["long"] = "ok@delay=0.2"
        async with asyncio.timeout(PATIENCE):
            await fleet.everywhere("brief/long", "closed")
    assert not overlaps(fleet.seen("brief/long")[before : before + 3])


async def test_a_holder_without_traffic_gives_way(fleet: Fleet) -> None:
    for busy in fleet.sidecars:
        model = f"only {busy.name}"
        before = await opened(fleet, model, "ok")
        due = time.monotonic() + (await busy.breaker(f"brief/{model}"))["seconds_until_retry"]
        async with asking([busy], model):
            await eventually(lambda model=model, before=before: len(fleet.seen(f"brief/{model}")) > before)
            took = time.monotonic() - due
            assert took <= LEASE + BUSY, (busy.name, took)
            await fleet.everywhere(f"brief/{model}", "closed")


async def test_a_holder_whose_requests_stay_away_after_a_trial_gives_way(fleet: Fleet) -> None:
    first, *_, last = fleet.sidecars
    before = await opened(fleet, "left", "ok")

    async def tried() -> bool:
        return (await first.ask(ASKED, "left", scripted=False)).status == 200

    await comes(tried, bool, PATIENCE)
    assert len(fleet.seen("brief/left")) == before + 1
    assert (await first.breaker("brief/left"))["state"] == "half_open"
    at = time.monotonic()
    async with asking([last], "left"):
        await fleet.everywhere("brief/left", "closed")
        took = time.monotonic() - at
    assert took <= LEASE + BUSY, took
    assert len(fleet.seen("brief/left", by=last.name)) >= 3


async def test_whoever_has_the_requests_gets_the_right_to_try_both_provider_and_model(
    fleet: Fleet,
) -> None:
    for one in fleet.sidecars:
        assert (await one.ask(ASKED, "both", scripted=False)).status == 200
    for busy in (*([one] for one in fleet.sidecars), fleet.sidecars):
        for name in ("brief", "brief/both"):
            await fleet.sidecars[0].post(f"/circuit-breakers/{name}/open?for=1s")
            await fleet.everywhere(name, "open")
        before = len(fleet.seen("brief/both"))
        fleet.fake.models["both"] = "ok@delay=0.1"
        due = time.monotonic() + 1
        async with asking(busy, "both"):
            await eventually(lambda before=before: len(fleet.seen("brief/both")) > before)
            took = time.monotonic() - due
            assert took <= LEASE + BUSY, took
            for name in ("brief", "brief/both"):
                await fleet.everywhere(name, "closed")
        assert not overlaps(fleet.seen("brief/both")[before : before + 3])


async def test_each_decides_alone_while_redis_is_silent(fleet: Fleet) -> None:
    before = await opened(fleet, "alone", "ok@delay=0.3")
    fleet.redis.freeze()
    try:
        found = [await one.breaker("brief/alone") for one in fleet.sidecars]
        due = asyncio.get_running_loop().time() + max(one["seconds_until_retry"] for one in found)
        assert all(one["state"] == "open" for one in found)
        async with asking(fleet.sidecars, "alone"):
            for one in fleet.sidecars:
                await fleet.at(one, "brief/alone", "closed")
        firsts = [fleet.seen("brief/alone", by=one.name) for one in fleet.sidecars]
        assert sum(len(mine) for mine in firsts) > before
        for one, mine in zip(fleet.sidecars, firsts, strict=True):
            trials = [seen for seen in mine if seen.status != 503]
            late = trials[0].at - due
            assert -0.1 <= late <= ALONE + BUSY, (one.name, late)
            assert not overlaps(trials[:3])
    finally:
        fleet.redis.thaw()
    await fleet.everywhere("brief/alone", "closed")
