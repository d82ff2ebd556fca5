from __future__ import annotations

import logging

import pytest

from breaker.outcome import NO_MODEL, OTHER_MODEL, Blame, Kind, Outcome, Status
from healthapi import cleanup
from healthapi.cleanup import Found, Reason, stale
from healthapi.history import DAY
from healthapi.record import Record, begin
from healthapi.store import StoreError
from tests.healthapi.admin_world import NOW, World
from tests.healthapi.samples import delta, many, outcome, record

AGE = 30.0 * DAY


def reason_of(*outcomes: Outcome, at: float = NOW, older_than: float = AGE) -> Reason | None:
    found = stale([record(*outcomes)], at, older_than)
    return found[0].reason if found else None


@pytest.mark.parametrize(
    ("outcomes", "after", "reason"),
    [
        (many(1, 0), 0, None),
        (many(1, 0), AGE - 1, None),
        (many(1, 0), AGE, Reason.UNUSED),
        (many(0, 9), 0, None),
        (many(0, 10), 0, Reason.ALWAYS_FAILING),
        (many(1, 1000), 0, None),
        (many(0, 10), AGE, Reason.UNUSED),
        ([outcome(kind=Kind.PROBE)], AGE - 1, None),
        ([outcome(kind=Kind.PROBE)], AGE, Reason.UNUSED),
        ([*many(0, 5), *[outcome(Status.TIMEOUT, kind=Kind.PROBE)] * 5], 0, Reason.ALWAYS_FAILING),
        ([*many(0, 50), outcome(kind=Kind.PROBE)], 0, None),
        ([outcome(Status.ERROR, blame=Blame.TARGET_CREDENTIAL)] * 10, 0, Reason.ALWAYS_FAILING),
        (many(1, 0), -3600, None),
    ],
)
def test_who_is_not_needed(outcomes: list[Outcome], after: float, reason: Reason | None) -> None:
    assert reason_of(*outcomes, at=NOW + after) is reason


def never_called(model: str = "idle") -> Record:
    return begin(delta(outcome(model=model)))


def test_a_record_without_a_call() -> None:
    (found,) = stale([never_called()], NOW, AGE)
    assert (found.key, found.reason, found.last_called_at) == (("groq", "idle"), Reason.NEVER_CALLED, None)


@pytest.mark.parametrize("model", [NO_MODEL, OTHER_MODEL])
def test_pseudo_models_stay(model: str) -> None:
    assert stale([record(*many(0, 99, model=model))], NOW + 10 * AGE, AGE) == []


def test_the_one_called_last_comes_last_and_the_configured_are_known() -> None:
    records = [record(*many(1, 0, model=model, at=NOW + at)) for model, at in (("c", 2), ("b", 1), ("a", 2))]
    found = stale([*records, never_called()], NOW + 2 * AGE, AGE, {("groq", "b"), ("openai", "a")})
    assert [(one.model, one.configured) for one in found] == [("idle", False), ("b", True), ("a", False), ("c", False)]


# -- removing --------------------------------------------------------------------------------------------------------


def busy() -> World:
    """One target that is well, one that never works, one that is long unused."""
    world = World()
    world.attempt("openrouter", "old")
    world.now += AGE
    world.attempt("groq", "fine")
    for _ in range(10):
        world.attempt("groq", "broken", Status.ERROR)
    return world


async def test_what_is_not_needed_goes_and_the_log_has_a_line(caplog: pytest.LogCaptureFixture) -> None:
    world = busy()
    with caplog.at_level(logging.INFO, "detour.store"):
        assert await cleanup.run(world.keeper, world.config, world.now, AGE) == 2
        assert await cleanup.run(world.keeper, world.config, world.now, AGE) == 0
    assert [found.model for found in world.store.records()] == ["fine"]
    (line,) = [found for found in caplog.records if "cleanup" in found.message]
    told = {name: line.__dict__[name] for name in ("removed", "unused", "always_failing", "never_called")}
    assert told == {"removed": 2, "unused": 1, "always_failing": 1, "never_called": 0}
    world.attempt("groq", "broken")
    assert [found.model for found in world.store.records()] == ["fine", "broken"]
    await world.close()


async def test_finding_removes_nothing() -> None:
    world = busy()
    found = await cleanup.find(world.keeper, world.config, world.now, AGE)
    assert [one.model for one in found.models] == ["old", "broken"]
    assert len(list(world.store.records())) == 3
    await world.close()


async def test_nothing_is_removed_by_what_was_true_before() -> None:
    world = busy()
    models = (await cleanup.find(world.keeper, world.config, world.now, AGE)).models
    with pytest.raises(StoreError, match="nothing is removed"):
        await cleanup.remove(world.keeper, Found(models, stale=12.0))
    assert len(list(world.store.records())) == 3
    await world.close()


async def test_what_is_called_between_being_found_and_removed_stays() -> None:
    world = World()
    world.attempt("groq", "old")
    world.attempt("groq", "older")
    world.now += AGE
    found = await cleanup.find(world.keeper, world.config, world.now, AGE)
    world.attempt("groq", "old")
    assert await cleanup.remove(world.keeper, found) == 1
    record = world.store.get("groq", "old")
    assert record is not None
    assert record.sums().calls == 2
    assert world.store.get("groq", "older") is None
    await world.close()
