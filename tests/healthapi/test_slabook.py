"""The SLA figures of metrics, against real history: attempts go in as the data plane tells them."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from prometheus_client.core import Metric

from breaker.outcome import Kind, Status
from healthapi.cell import Cell
from healthapi.history import DAY, HOUR
from healthapi.keeper import Keeper
from healthapi.slabook import EVERY, WHOLE, WINDOWS, SlaBook, families
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
    assert groq.availability == {"1h": 95.0, "24h": 95.0, "30d": 95.0}
    assert openrouter.availability["30d"] == 99.0
    assert groq.p95 == dict.fromkeys(WINDOWS, pytest.approx(0.5, rel=0.05))
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
    assert made.told["groq"].availability["30d"] == 90.0
    world.now += 1
    await made.refresh()
    assert made.told["groq"].availability["30d"] == 45.0


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
    assert made.told["groq"].availability["30d"] == 95.0
    world.now += WHOLE
    keeper(world).asked.clear()
    await made.refresh()
    assert ("groq", HOUR, 2) not in keeper(world).asked
    assert made.told["groq"].availability["30d"] == 95.0
    assert (made.told["groq"].burns["1h"], made.told["groq"].burns["24h"]) == (None, pytest.approx(0.5))


async def test_what_is_older_than_thirty_days_is_over(world: World) -> None:
    attempts(world, "groq", 0, 10)
    made = book(world)
    await made.refresh()
    for _ in range(29):
        world.now += DAY
        await made.refresh()
    assert made.told["groq"].availability["30d"] == 0.0
    world.now += DAY
    await made.refresh()
    assert made.told == {}


async def test_windows_of_availability_and_response_times(world: World) -> None:
    """One slow day long ago, a quick one, and now an hour in between; as the document has them at each moment."""
    made = book(world)
    for took, hours in ((30.0, 49), (1.0, 30), (4.0, 2)):
        for _ in range(hours):
            world.attempt("groq", "m", response_time=took)
            world.attempt("groq", "m", Status.ERROR if took > 2 else Status.SUCCESS, response_time=took)
            await made.refresh()
            world.now += HOUR
    world.now -= HOUR / 2
    await made.refresh()
    p95, availability = made.told["groq"].p95, made.told["groq"].availability
    assert [p95[window] for window in WINDOWS] == [pytest.approx(took, rel=0.05) for took in (4.0, 4.0, 30.0)]
    assert [availability[window] for window in WINDOWS] == pytest.approx([50.0, 100 * 46 / 48, 100 * 111 / 162])
    cells = await world.keeper.cells(Scope.FLEET, "groq", "~all", HOUR, 0, int(world.now // HOUR))
    assert sum(cell.calls for _, _, cell in cells) == 162, "nothing was counted twice or left out"


async def test_hours_in_which_the_store_was_away_are_read_when_it_is_back(world: World) -> None:
    attempts(world, "groq", 10, 0)
    made = book(world)
    await made.refresh()
    keeper(world).away = True
    for _ in range(4):
        world.now += HOUR
        attempts(world, "groq", 0, 5)
        await made.refresh()
    world.now += EVERY
    keeper(world).away = False
    await made.refresh()
    assert made.told["groq"].availability["30d"] == pytest.approx(100 * 10 / 30)


async def test_without_the_store_the_figures_stay(world: World) -> None:
    attempts(world, "groq", 9, 1)
    made = book(world)
    await made.refresh()
    keeper(world).away = True
    world.now += EVERY
    await made.refresh()
    assert made.told["groq"].availability["30d"] == 90.0
    keeper(world).away = False
    attempts(world, "groq", 10, 0)
    world.now += EVERY
    await made.refresh()
    assert made.told["groq"].availability["30d"] == 95.0


async def test_prometheus_is_told_what_is_known(world: World) -> None:
    attempts(world, "groq", 9, 1)
    made = book(world)
    await made.refresh()
    world.now += 2 * HOUR
    await made.refresh()
    told: dict[str, Metric] = {family.name: family for family in families(made.told)}
    assert list(told) == [
        "detour_sla_availability",
        "detour_sla_p95_seconds",
        "detour_sla_error_budget_left",
        "detour_sla_burn_rate",
    ]
    seen = {sample.labels["window"]: sample.value for sample in told["detour_sla_availability"].samples}
    assert seen == {"24h": 90.0, "30d": 90.0}
    slow = {sample.labels["window"]: sample.value for sample in told["detour_sla_p95_seconds"].samples}
    assert slow == dict.fromkeys(("24h", "30d"), pytest.approx(0.5, rel=0.05))
    windows = {sample.labels["window"]: sample.value for sample in told["detour_sla_burn_rate"].samples}
    assert windows == pytest.approx({"6h": 1.0, "24h": 1.0, "3d": 1.0})  # nothing was seen in the last hour
