"""What one sidecar finds out about a provider, or is told by hand, the others act upon."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.e2e.fleets import Fleet, open_fleet
from tests.e2e.sidecars import Turn, comes
from tests.redis_server import redis_server

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(60)]

SOON = 2.5
"""Seconds by which all have heard: what is promised is one, a busy machine may take as long again and half."""

FAILING = Turn("fail-503", "error", 503, "ailing")
FINE = Turn("ok", "success", 200, "ailing")


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def fleet(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Fleet]:
    folder = tmp_path_factory.mktemp("breakers")
    with redis_server(folder) as redis:
        async with open_fleet(folder, redis, piped="c") as found:
            yield found


async def heard(fleet: Fleet, target: str, state: str, since: float) -> float:
    """Seconds after which all had heard that a breaker moved at `since`."""
    await fleet.everywhere(target, state)
    took = time.monotonic() - since
    assert took <= SOON, f"{target} {state} everywhere after {took:.2f} s"
    return took


async def test_a_trip_of_one_stops_the_others(fleet: Fleet) -> None:
    first, *others = fleet.sidecars
    at = await fleet.trip(first, "guarded/tripped")
    await heard(fleet, "guarded/tripped", "open", at)
    reason = (await first.breaker("guarded/tripped"))["reason"]
    assert "3 failures in a row" in reason
    for one in others:
        assert (await one.breaker("guarded/tripped"))["reason"] == reason
        await fleet.refuses(one, "guarded/tripped")
    assert len(fleet.seen("guarded/tripped")) == 3
    assert not fleet.seen("guarded/tripped", by="b")


async def test_a_target_that_only_another_one_called_can_be_moved_by_hand(fleet: Fleet) -> None:
    first, second, third = fleet.sidecars
    target, well = "guarded/elsewhere", Turn("ok", "success", 200, "guarded")
    assert (await first.ask(well, "elsewhere")).status == 200
    path = f"/circuit-breakers/{target}"
    await comes(lambda: second.request("GET", path), lambda answer: answer[0] == 200, SOON, "at the second")
    at = time.monotonic()
    await third.post(f"/circuit-breakers/{target}/open?for=5m")
    await heard(fleet, target, "open", at)
    at = time.monotonic()
    await second.post(f"/circuit-breakers/{target}/reset")
    await heard(fleet, target, "closed", at)


async def test_each_sidecar_can_stop_the_others(fleet: Fleet) -> None:
    for one in fleet.sidecars:
        target = f"guarded/by {one.name}"
        await heard(fleet, target, "open", await fleet.trip(one, target))


async def test_what_is_done_by_hand_is_done_everywhere(fleet: Fleet) -> None:
    first, second, third = fleet.sidecars
    target, well = "guarded/by-hand", Turn("ok", "success", 200, "guarded")
    assert (await first.ask(well, "by-hand")).status == 200  # else nothing is known of it
    at = time.monotonic()
    await first.post(f"/circuit-breakers/{target}/open?for=5m")
    await heard(fleet, target, "open", at)
    for one in fleet.sidecars:
        found = await one.breaker(target)
        assert found["manual"], one.name
        assert 290 < found["seconds_until_retry"] <= 300, one.name
        await fleet.refuses(one, target)
    at = time.monotonic()
    await second.post(f"/circuit-breakers/{target}/close")
    await heard(fleet, target, "closed", at)
    await heard(fleet, target, "open", await fleet.trip(third, target))
    at = time.monotonic()
    await first.post(f"/circuit-breakers/{target}/reset")
    await heard(fleet, target, "closed", at)
    for one in fleet.sidecars:
        assert (await one.ask(well, "by-hand")).status == 200


async def test_a_whole_provider_is_opened_and_closed_everywhere(fleet: Fleet) -> None:
    first, second, _ = fleet.sidecars
    at = time.monotonic()
    await second.post("/circuit-breakers/mixed/open?for=5m")  # whose breakers are off: nothing is opened
    await first.post("/circuit-breakers/brief/open?for=5m")
    await heard(fleet, "brief", "open", at)
    for one in fleet.sidecars:
        await fleet.refuses(one, "brief/anything")
        assert (await one.ask(Turn("ok", "success", 200))).status == 200
    at = time.monotonic()
    await second.post("/circuit-breakers/brief/reset")
    await heard(fleet, "brief", "closed", at)
    for one in fleet.sidecars:
        assert (await one.ask(Turn("ok", "success", 200, "brief"), "anything")).status == 200


async def test_a_reset_of_everything_resets_everything_everywhere(fleet: Fleet) -> None:
    targets = [f"guarded/of {one.name}" for one in fleet.sidecars]
    for one, target in zip(fleet.sidecars, targets, strict=True):
        await fleet.trip(one, target)
    for target in targets:
        await fleet.everywhere(target, "open")
    at = time.monotonic()
    await fleet.sidecars[1].post("/circuit-breakers/reset-all")
    for target in targets:
        await heard(fleet, target, "closed", at)
    for one in fleet.sidecars:
        assert (await one.page("/circuit-breakers"))["open_count"] == 0, one.name
        for target in targets:
            turn = Turn("ok", "success", 200, "guarded")
            assert (await one.ask(turn, target.partition("/")[2])).status == 200


async def test_news_that_got_lost_are_asked_for(fleet: Fleet) -> None:
    first, _, deaf = fleet.sidecars
    target = "guarded/unheard"
    with deaf.pipe.hush():
        await heard(fleet, target, "open", await fleet.trip(first, target))
        await fleet.refuses(deaf, target)
        at = time.monotonic()
        await first.post(f"/circuit-breakers/{target}/reset")
        await heard(fleet, target, "closed", at)
    assert deaf.pipe.hushed >= 2


async def test_a_provider_that_fails_a_little_everywhere_trips_everywhere(fleet: Fleet) -> None:
    # 30 requests are needed and half of them failed: each sidecar sees 12, of which 8.
    target = "ailing/a-little"
    for turn in (FINE, FAILING, FAILING) * 4:
        await asyncio.gather(*(one.ask(turn, "a-little") for one in fleet.sidecars))
    at = time.monotonic()
    for one in fleet.sidecars:
        assert len(fleet.seen(target, by=one.name)) == 12
    await heard(fleet, target, "open", at)
    for one in fleet.sidecars:
        reason = (await one.breaker(target))["reason"]
        assert "requests failed in 60 s in the fleet, last: 503" in reason
        await fleet.refuses(one, target)
    # Its time is over after 2 s, two trials pass, and the failures of before are not held against it.
    async with asyncio.timeout(20):
        while {(await one.breaker(target))["state"] for one in fleet.sidecars} != {"closed"}:
            await asyncio.gather(*(one.ask(FINE, "a-little") for one in fleet.sidecars))
    generation = [(await one.breaker(target))["generation"] for one in fleet.sidecars]
    for turn in (FINE, FINE, FAILING) * 3:
        for one in fleet.sidecars:
            assert (await one.ask(turn, "a-little")).status == turn.got
        await asyncio.sleep(0.3)
    await asyncio.sleep(1.5)
    for one, before in zip(fleet.sidecars, generation, strict=True):
        found = await one.breaker(target)
        assert found["state"] == "closed"
        assert found["generation"] >= before
        assert (await one.ask(FINE, "a-little")).status == 200


async def test_who_joins_knows_what_is_open_and_what_was_counted(fleet: Fleet) -> None:
    first, *_ = fleet.sidecars
    await fleet.trip(first, "guarded/before")
    await fleet.everywhere("guarded/before", "open")
    await fleet.agrees()
    wanted = await first.sums()
    late = await fleet.join("d")
    assert (await late.breaker("guarded/before"))["state"] == "open"
    assert (await late.breaker("guarded/before"))["reason"] == (await first.breaker("guarded/before"))["reason"]
    await fleet.refuses(late, "guarded/before")
    assert await late.sums() == wanted
    await fleet.agrees()
    await fleet.leave(late)


async def test_what_is_open_stays_open_when_all_start_again(fleet: Fleet) -> None:
    first, *_ = fleet.sidecars
    await fleet.trip(first, "guarded/lasting")
    assert (await first.ask(Turn("ok", "success", 200, "guarded"), "lasting-by-hand")).status == 200
    await first.post("/circuit-breakers/guarded/lasting-by-hand/open?for=10m")
    await fleet.everywhere("guarded/lasting", "open")
    await fleet.agrees()
    wanted = await first.sums()
    left = (await first.breaker("guarded/lasting"))["seconds_until_retry"]
    began = time.monotonic()
    for one in list(fleet.sidecars):
        await fleet.leave(one)
    await asyncio.gather(*(fleet.join(name, piped=name == "c") for name in "abc"))
    fleet.sidecars.sort(key=lambda one: one.name)
    for one in fleet.sidecars:
        found = await one.breaker("guarded/lasting")
        assert found["state"] == "open"
        assert abs(found["seconds_until_retry"] - left + time.monotonic() - began) < 1.0
        assert (await one.breaker("guarded/lasting-by-hand"))["manual"]
        await fleet.refuses(one, "guarded/lasting")
        assert await one.sums() == wanted
    await fleet.agrees()
