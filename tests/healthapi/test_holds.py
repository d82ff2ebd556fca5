"""No page works on all targets in one go: with no time to itself, it gives others a turn after every few of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from itertools import pairwise
from typing import Final

import pytest

from breaker.outcome import Status
from healthapi import cleanup, turns
from healthapi.admin import Call
from healthapi.keys import KeyLog
from healthapi.offerings import Offerings
from healthapi.parameters import Parameters
from healthapi.presenting import presented
from healthapi.replies import Reply
from healthapi.routes import Route
from healthapi.table import TABLE
from tests.healthapi.admin_world import World

TARGETS: Final = 400

FEW: Final = {
    "/livez",
    "/readyz",
    "/health",
    "/health/quick",
    "/openapi.json",
    "/v1/alerts",  # bounded by itself
    "/v1/providers",  # the configured ones
    "/v1/providers/{provider}/models",  # as many as the provider offers
    "/v1/model-health/{provider}/{model...}",
    "/v1/model-health/provider/{provider}/sla",
    "/v1/model-health/history",
    "/v1/events",
    "/circuit-breakers/{provider}/{model...}",
    "/metrics",  # in a thread of its own
}
"""Pages that do not look at every target one by one."""

ALL: Final = {
    "/v1/model-health": "limit=1000",
    "/v1/model-health/unhealthy": "error_threshold=0&min_calls=1",
    "/v1/model-health/cleanup": "older_than=1ms",
}
"""What has to be asked so that every target is in the answer."""

MANY: Final = [route for route in TABLE if route.method == "GET" and route.path not in FEW]


@pytest.fixture
async def world(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    """Many targets, and no time to be worked on in."""
    made = World()
    for number in range(TARGETS):
        made.attempt("groq", f"m-{number}")  # what never succeeds is not kept in such numbers
        made.attempt("groq", f"m-{number}", Status.ERROR)
    made.now += 1
    await made.archive.open(made.now)
    monkeypatch.setattr(turns, "LONGEST", 0.0)
    yield made
    await made.close()


@pytest.mark.parametrize("as_csv", [False, True])
@pytest.mark.parametrize("route", MANY, ids=lambda route: route.path)
async def test_others_have_turns_while_a_page_is_made(world: World, route: Route, as_csv: bool) -> None:
    admin = world.admin(keys=KeyLog(world.config), offers=Offerings(world.config))
    call = Call({"provider": "groq"}, Parameters(ALL.get(route.path, "")), "", "")

    async def answered() -> Reply:
        made = await route.handler(admin, call)
        assert isinstance(made, Reply)
        return (await presented(route, made, as_csv, ()))[0]

    had = 0
    job = asyncio.ensure_future(answered())
    while not job.done():
        had += 1
        await asyncio.sleep(0)
    assert job.result().status == 200
    assert had >= TARGETS // turns.STEP


async def test_records_leave_in_turns(world: World) -> None:
    """Those that nobody needs any more: thousands, where a list of models was renamed."""
    found = await cleanup.find(world.keeper, world.config, world.now, 0.001)
    assert len(found.models) == TARGETS
    left: list[int] = []
    job = asyncio.ensure_future(cleanup.remove(world.keeper, found))
    while not job.done():
        left.append(len(list(world.store.records())))
        await asyncio.sleep(0)
    assert job.result() == TARGETS
    assert len(list(world.store.records())) == 0
    steps = [before - after for before, after in pairwise(left)]
    assert max(steps) <= turns.STEP
