"""The SLA figures of metrics, against real history: attempts go in as the data plane tells them."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from prometheus_client.core import Metric

from breaker.outcome import Kind, Status
from healthapi.cell import Cell
from healthapi.history import DAY, HOUR
from healthapi.keeper import Keeper
from healthapi.slabook import EVERY, WHOLE, SlaBook, families
from healthapi.store import Scope, StoreError
from tests.healthapi.admin_world import World

CONFIG = """
sla: {availability: 99}
providers:
  groq: {api_key: k, sla: {availability: 90}}
  openrouter: {api_key: k}
  xai: {}
"""


class Counted(Keeper):
    """A keeper that remembers what it was asked for, and fails when told to."""

    asked: list[tuple[str, int, int]]
    away = False

    async def cells(
        self, scope: Scope, provider: str, model: str, width: int, first: int, last: int
    ) -> list[tuple[int, Kind, Cell]]:
        if self.away:
            raise StoreError("away")
        self.asked.append((provider, width, last - first + 1))
        return await super().cells(scope, provider, model, width, first, last)


@pytest.fixture
async def world() -> AsyncIterator[World]:
    made = World(CONFIG)
    made.keeper = made.kept_by(Counted)
    keeper(made).asked = []
    yield made
    await made.close()


def keeper(world: World) -> Counted:
    assert isinstance(world.keeper, Counted)
    return world.keeper


def book(world: World) -> SlaBook:
    return SlaBook(world.config, world.keeper, lambda: world.now)


def attempts(world: World, provider: str, good: int, bad: int) -> None:
    for status, count in ((Status.SUCCESS, good), (Status.ERROR, bad)):
        for _ in range(count):
            world.attempt(provider, "m", status)


async def test_each_provider_against_its_own_objective(world: World) -> None:
    attempts(world, "groq", 95, 5)
    attempts(world, "openrouter", 198, 2)
    made = book(world)
    await made.refresh()
    assert made.told.keys() == {"groq", "openrouter"}
    groq, openrouter = made.told["groq"], made.told["openrouter"]
    assert (groq.availability, openrouter.availability) == (95.0, 99.0)
    assert groq.budget_left == pytest.approx(50)
    assert openrouter.budget_left == pytest.approx(0)
    assert groq.burns == pytest.approx(dict.fromkeys(("1h", "6h", "24h", "3d"), 0.5))


async def test_they_are_made_once_a_minute(world: World) -> None:
    attempts(world, "groq", 9, 1)
    made = book(world)
    await made.refresh()
    attempts(world, "groq", 0, 10)
    world.now += EVERY - 1
    await made.refresh()
    assert made.told["groq"].availability == 90.0
    world.now += 1
    await made.refresh()
    assert made.told["groq"].availability == 45.0


async def test_what_is_past_is_read_once_in_a_while(world: World) -> None:
    attempts(world, "groq", 90, 10)
    world.now += 3 * HOUR
    made = book(world)
    await made.refresh()
    world.now += EVERY
    attempts(world, "groq", 100, 0)
    keeper(world).asked.clear()
    await made.refresh()
    assert ("groq", HOUR, 2) in keeper(world).asked
    assert made.told["groq"].availability == 95.0
    world.now += WHOLE
    keeper(world).asked.clear()
    await made.refresh()
    assert ("groq", HOUR, 2) not in keeper(world).asked
    assert made.told["groq"].availability == 95.0
    assert (made.told["groq"].burns["1h"], made.told["groq"].burns["24h"]) == (None, pytest.approx(0.5))


async def test_what_is_older_than_thirty_days_is_over(world: World) -> None:
    attempts(world, "groq", 0, 10)
    made = book(world)
    await made.refresh()
    for _ in range(29):
        world.now += DAY
        await made.refresh()
    assert made.told["groq"].availability == 0.0
    world.now += DAY
    await made.refresh()
    assert made.told == {}


async def test_without_the_store_the_figures_stay(world: World) -> None:
    attempts(world, "groq", 9, 1)
    made = book(world)
    await made.refresh()
    keeper(world).away = True
    world.now += EVERY
    await made.refresh()
    assert made.told["groq"].availability == 90.0
    keeper(world).away = False
    attempts(world, "groq", 10, 0)
    world.now += EVERY
    await made.refresh()
    assert made.told["groq"].availability == 95.0


async def test_prometheus_is_told_what_is_known(world: World) -> None:
    attempts(world, "groq", 9, 1)
    made = book(world)
    await made.refresh()
    world.now += 2 * HOUR
    await made.refresh()
    told: dict[str, Metric] = {family.name: family for family in families(made.told)}
    assert list(told) == ["detour_sla_availability", "detour_sla_error_budget_left", "detour_sla_burn_rate"]
    assert [(s.labels, s.value) for s in told["detour_sla_availability"].samples] == [({"provider": "groq"}, 90.0)]
    windows = {sample.labels["window"]: sample.value for sample in told["detour_sla_burn_rate"].samples}
    assert windows == pytest.approx({"6h": 1.0, "24h": 1.0, "3d": 1.0})  # nothing was seen in the last hour
