from __future__ import annotations

import asyncio

import pytest

from breaker.outcome import Status
from healthapi.admin import STALE, Admin, Call
from healthapi.parameters import Parameters
from healthapi.store import Picture, Scope, StoreError
from healthapi.surveys import LARGE, LASTS, Surveyed, Surveys
from healthapi.views import Sources
from healthapi.views.survey import survey, surveyed
from tests.healthapi.admin_world import World
from tests.healthapi.samples import NOW, many, outcome, sources, store


def call(query: str = "") -> Call:
    return Call({}, Parameters(query), "", "adm-1")


def busy(count: int) -> World:
    world = World("{providers: {groq: {api_key: k}}, limits: {tracked_targets: 100000}}")
    for number in range(count):
        world.store.add(outcome(model=f"m{number}", at=NOW + number % 97))
    return world


def judged(made: Surveyed) -> list[str]:
    return [target.record.model for target in made.found.targets]


async def test_in_turns_it_finds_the_same() -> None:
    kept = store(*(one for number in range(600) for one in many(number % 7, number % 3, model=f"m{number % 211}")))
    made = sources(kept)
    assert await surveyed(made) == survey(made)


async def test_others_have_turns_and_records_may_change_meanwhile() -> None:
    world = busy(3000)
    made = asyncio.create_task(world.admin().survey(Scope.FLEET))
    others = 0
    while not made.done():
        await asyncio.sleep(0)
        others += 1
        world.store.add(outcome(Status.ERROR, model=f"later{others}"))
        world.store.add(outcome(Status.ERROR, model=f"m{others}", message="later", at=NOW + 500))
        world.store.forget("groq", f"m{3000 - others}")
    found = (await made).found
    assert others > 5
    assert {target.record.model for target in found.targets} <= {f"m{number}" for number in range(3000)}
    assert len(found.targets) >= 3000 - others
    assert sum(found.counts.values()) == len(found.targets)
    times = [target.record.updated_at for target in found.targets]
    assert times == sorted(times, reverse=True)


async def test_a_large_one_is_shared_for_a_second() -> None:
    world = busy(LARGE)
    admin = world.admin()
    first = await admin.survey(Scope.FLEET)
    world.store.add(outcome(model="new"))
    assert await admin.survey(call()) is first
    assert judged(await admin.survey(Scope.INSTANCE))[-1] == "new"
    world.now += LASTS
    later = await admin.survey(Scope.FLEET)
    assert "new" in judged(later)
    assert len(first.found.targets) == LARGE  # what somebody still looks at is not emptied
    assert later.sources.now == first.sources.now + LASTS


async def test_a_small_one_is_always_new() -> None:
    world = busy(LARGE - 1)
    admin = world.admin()
    await admin.survey(Scope.FLEET)
    world.store.add(outcome(model="new"))
    assert "new" in judged(await admin.survey(Scope.FLEET))


async def test_who_asks_at_the_same_time_shares_one() -> None:
    world = busy(2000)
    admin = world.admin()
    all_made = await asyncio.gather(*(admin.survey(Scope.FLEET) for _ in range(5)))
    assert len({id(made) for made in all_made}) == 1


async def test_one_who_leaves_keeps_nobody_waiting() -> None:
    world = busy(2000)
    admin = world.admin()
    leaving = asyncio.create_task(admin.survey(Scope.FLEET))
    await asyncio.sleep(0)
    waiting = asyncio.create_task(admin.survey(Scope.FLEET))
    await asyncio.sleep(0)
    leaving.cancel()
    assert len(judged(await waiting)) == 2000
    with pytest.raises(asyncio.CancelledError):
        await leaving


async def test_what_cannot_be_made_is_told_and_tried_again() -> None:
    surveys, made = Surveys(), sources(store(*many(9, 0)))
    tries = 0

    async def make() -> Surveyed:
        nonlocal tries
        tries += 1
        if tries == 1:
            raise StoreError("not now")
        return Surveyed(made, survey(made), None)

    with pytest.raises(StoreError):
        await surveys.get(Scope.FLEET, lambda: 0.0, make)
    assert judged(await surveys.get(Scope.FLEET, lambda: 0.0, make)) == ["llama"]


async def test_a_clock_that_goes_back_keeps_no_survey_for_long() -> None:
    world = busy(LARGE)
    admin = world.admin()
    first = await admin.survey(Scope.FLEET)
    world.now -= 100
    assert await admin.survey(Scope.FLEET) is not first


class Old:
    """A keeper whose records were true a while ago."""

    def __init__(self, made: Sources) -> None:
        self._made = made

    async def reading(self, scope: Scope) -> Picture:
        return Picture(self._made.store, stale=12.7)


async def test_who_asks_is_told_how_old_the_records_are() -> None:
    admin: Admin = World().admin(keeper=Old(sources(store(*many(9, 0)))))
    asked = call()
    assert (await admin.survey(asked)).stale == 12.7
    assert asked.headers == {STALE: "12"}
