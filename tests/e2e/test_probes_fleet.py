"""Three real processes on one Redis: one of them probes, whatever happens to it, and none beyond what all may."""

from __future__ import annotations

import asyncio
import itertools
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from healthapi.fleet.duties import RENEW
from proxy.fake import Seen
from proxy.watchman import AWAY
from tests.e2e.fleets import Fleet, open_fleet
from tests.e2e.probed import PROBES, QUICK, gaps, probes
from tests.e2e.sidecars import KEY, Sidecar, Turn, comes
from tests.e2e.world import eventually
from tests.redis_server import redis_server

pytestmark = pytest.mark.timeout(120)

TAKEOVER = 15.0
"""Seconds within which another one takes a dead one's duty over."""

START = 6.0
"""Seconds after which the first one of a fleet has the duty."""

SPARE = 4.0
"""Seconds of them that are left for a machine with much else to do."""

INTERVAL = 2.0


def provider(url: str, name: str, **more: Any) -> dict[str, Any]:
    return {"base_url": f"{url}/{name}/v1", "dialect": "openai", "api_key": KEY, **more}


def sections(fleet: Fleet, models: str, **probe_settings: Any) -> dict[str, Any]:
    """One provider, `acme`, and models of it with an interval of `INTERVAL`."""
    targets = [{"target": f"acme/{model}", "probe": {"interval": f"{INTERVAL}s"}} for model in models]
    return {
        "providers": {"acme": provider(fleet.fake.url, "acme")},
        "models": {"one": {"targets": targets}},
        "probes": QUICK | probe_settings,
    }


@pytest_asyncio.fixture
async def fleet(tmp_path: Path) -> AsyncIterator[Fleet]:
    """Nobody yet."""
    with redis_server(tmp_path) as redis:
        async with open_fleet(tmp_path, redis, "", env=PROBES) as found:
            yield found


def sender(fleet: Fleet, one: Seen) -> Sidecar:
    """Who sent a probe: its instance is the name in Via."""
    name = (one.header(b"via") or b"").rpartition(b"-")[2].decode()
    return next(s for s in fleet.sidecars if any(line.get("instance") == name for line in s.lines))


async def test_one_probes_and_another_takes_over_when_it_is_killed(fleet: Fleet) -> None:
    fleet.sections = sections(fleet, "abcdef")
    await asyncio.gather(*(fleet.join(name) for name in "123"))
    fake = fleet.fake
    await eventually(lambda: all(len(probes(fake, model)) >= 2 for model in "abcdef"))
    first = {sender(fleet, one).name for one in probes(fake)}
    assert len(first) == 1
    holder = next(one for one in fleet.sidecars if one.name in first)
    await eventually(lambda: bool(probes(fake)))
    at = asyncio.get_running_loop().time()
    await holder.kill()
    with fleet.redis.client() as client:
        left = client.pttl(b"detour:{default:00}:d:prober") / 1000
    assert 0 < left <= TAKEOVER - RENEW - AWAY - SPARE, "whatever this machine does meanwhile"
    before = len(probes(fake))
    await eventually(lambda: len(probes(fake)) > before)
    took = probes(fake)[before].at - at
    assert took <= TAKEOVER, took
    await eventually(lambda: all(len(probes(fake, model)) >= 5 for model in "abcdef"))
    assert len({sender(fleet, one).name for one in probes(fake)}) == 2
    for model in "abcdef":
        starts = [one.at for one in probes(fake, model)]
        assert all(b - a >= INTERVAL - 0.05 for a, b in itertools.pairwise(starts)), (model, starts)
    fleet.sidecars.remove(holder)


async def test_a_frozen_holder_that_wakes_up_probes_nothing_twice(fleet: Fleet) -> None:
    fleet.sections = sections(fleet, "abc")
    await asyncio.gather(*(fleet.join(name) for name in "12"))
    fake = fleet.fake
    await eventually(lambda: len(probes(fake)) >= 6)
    await asyncio.sleep(INTERVAL / 2)  # between two rounds: what was claimed is sent
    holder = sender(fleet, probes(fake)[-1])
    other = next(one for one in fleet.sidecars if one is not holder)
    holder.process.send_signal(signal.SIGSTOP)
    try:
        await eventually(lambda: sender(fleet, probes(fake)[-1]) is other)
    finally:
        holder.process.send_signal(signal.SIGCONT)
    await asyncio.sleep(3 * INTERVAL)
    late = probes(fake)[-6:]
    assert {sender(fleet, one).name for one in late} == {other.name}
    for model in "abc":
        starts = [one.at for one in probes(fake, model)]
        assert all(b - a >= INTERVAL - 0.05 for a, b in itertools.pairwise(starts)), (model, starts)


async def test_caps_are_the_fleets(fleet: Fleet) -> None:
    fleet.sections = sections(fleet, "abcd", daily_cap={"requests": 10, "tokens": 100000})
    await asyncio.gather(*(fleet.join(name) for name in "123"))
    fake = fleet.fake
    await eventually(lambda: len(probes(fake)) == 10)
    await asyncio.sleep(2 * INTERVAL)
    assert len(probes(fake)) == 10
    for one in fleet.sidecars:
        await comes(
            lambda one=one: one.metric("detour_probe_cap_left", provider="~all", what="requests"),
            lambda found: found == 0,
            10.0,
            one.name,
        )
    holder = sender(fleet, probes(fake)[-1])
    await holder.kill()
    fleet.sidecars.remove(holder)
    await asyncio.sleep(TAKEOVER + 1)
    assert len(probes(fake)) == 10, "what was spent is not forgotten with who spent it"


async def test_who_may_try_a_breaker_probes_and_nobody_else(fleet: Fleet) -> None:
    fleet.sections = sections(fleet, "a", daily_cap={"requests": 10000, "tokens": 1000000})
    del fleet.sections["models"]
    knobs = {"failure_threshold": 3, "min_requests": 1000, "open_for": "1s", "success_threshold": 3, "jitter": 0}
    fleet.sections["providers"] = {"brief": provider(fleet.fake.url, "brief", breakers=knobs)}
    await asyncio.gather(*(fleet.join(name) for name in "123"))
    fake, turn = fleet.fake, Turn("", None, 200, "brief")
    for one in fleet.sidecars:
        assert (await one.ask(turn, "m", scripted=False)).status == 200
    fake.models["m"] = "fail-503"
    while (await fleet.sidecars[0].breaker("brief/m"))["state"] != "open":
        await fleet.sidecars[0].ask(turn, "m", scripted=False)
    await fleet.everywhere("brief/m", "open")
    users, sent, over = len(users_of(fleet)), len(probes(fake)), False

    async def user(one: Sidecar) -> None:
        while not over:
            await one.ask(turn, "m", scripted=False)
            await asyncio.sleep(0.01)

    tasks = [asyncio.create_task(user(one)) for one in fleet.sidecars for _ in range(2)]
    try:
        await eventually(lambda: len(probes(fake)) >= sent + 2)
        assert len(users_of(fleet)) == users
        fake.models["m"] = "ok@delay=0.2"
        await fleet.everywhere("brief/m", "closed")
        await eventually(lambda: len(users_of(fleet)) > users)
    finally:
        over = True
        await asyncio.gather(*tasks)
    trials = probes(fake)[sent:]
    assert [one.status for one in trials[-3:]] == [200, 200, 200]
    assert all(gap >= 0 for gap in gaps(trials)), "one at a time"
    assert users_of(fleet)[users].at >= (trials[-1].ended_at or 0.0)


def users_of(fleet: Fleet) -> list[Seen]:
    return [one for one in fleet.fake.log if one.header(b"user-agent") != b"detour"]


async def test_a_morning_of_traffic_leaves_the_rest_to_probes(fleet: Fleet) -> None:
    """Called models are not probed, idle ones once an interval, disabled ones never; all counted as they came."""
    fleet.sections = sections(fleet, "abcd")
    fleet.sections["models"]["off"] = {"targets": [{"target": "acme/off", "probe": {"enabled": False}}]}
    await asyncio.gather(*(fleet.join(name) for name in "123"))
    fake, turn = fleet.fake, Turn("", None, 200, "acme")
    end = time.monotonic() + 12
    while time.monotonic() < end:
        for one in fleet.sidecars:
            for model in "ab":
                assert (await one.ask(turn, model, scripted=False)).status == 200
        await asyncio.sleep(0.2)
    counts = Counter(one.model for one in probes(fake))
    assert counts["off"] == 0
    assert counts["a"] <= 1, "at most before the first request"
    assert counts["b"] <= 1
    assert 2 <= counts["c"] <= 7
    assert 2 <= counts["d"] <= 7

    async def told() -> bool:
        sums = await fleet.sidecars[0].sums()
        return all(sums.get(f"acme/{m}", (0, 0))[0] == len([s for s in fake.log if s.model == m]) for m in "ab")

    await comes(told, bool, 10.0)
    sent = sum([await one.metric("detour_attempts_total", kind="probe") for one in fleet.sidecars])
    assert sent <= len(probes(fake))
    assert sum([await one.metric("detour_probes_total", result="capped") for one in fleet.sidecars]) == 0
