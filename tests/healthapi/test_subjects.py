from __future__ import annotations

from typing import Any

import pytest

from breaker.outcome import NO_MODEL, OTHER_MODEL, Blame, Kind, Neutral, Status
from healthapi.subjects import Subject, failing, subjects
from healthapi.tiers import Tiers
from tests.healthapi.admin_world import NOW, World

CONFIG = """
providers:
  groq: {api_key: k}
  openai: {api_key: k, probes: {enabled: false, failing: 2m}}
  gemini: {}
models:
  one:
    tier: critical
    targets:
      - groq/known
      - target: groq/own
        probe: {interval: 10m, timeout: 7s, max_tokens: 2}
      - target: groq/off
        probe: {enabled: false}
      - gemini/keyless
      - openai/quiet
      - target: openai/loud
        probe: {enabled: true}
"""


async def found(world: World, **how: Any) -> dict[str, Subject]:
    made = await subjects(world.store.records(), world.config, Tiers(), world.now, **how)
    names = [f"{one.provider}/{one.model}" for one in made]
    assert len(names) == len(set(names))
    return dict(zip(names, made, strict=True))


async def test_configured_targets_that_nothing_was_heard_of() -> None:
    world = World(CONFIG)
    assert await found(world) == {
        "groq/known": Subject("groq", "known", 300.0, 30.0, 10, None, failing=False),
        "groq/own": Subject("groq", "own", 600.0, 7.0, 2, None, failing=False),
        "openai/loud": Subject("openai", "loud", 300.0, 30.0, 10, None, failing=False),
    }


async def test_targets_with_records() -> None:
    world = World(CONFIG)
    for provider in ("groq", "openai", "gemini", "nobody"):
        world.attempt(provider, "worked")
        world.attempt(provider, NO_MODEL)
        world.attempt(provider, OTHER_MODEL)
    world.attempt("groq", "off")
    world.attempt("groq", "known", Status.RATE_LIMITED, blame=Blame.TARGET_CREDENTIAL)
    world.attempt("groq", "typo", Status.ERROR, blame=Blame.TARGET_CREDENTIAL, http_status=404)
    world.attempt("groq", "down", Status.ERROR)
    world.attempt("groq", "mistaken", Neutral.CALLER_ERROR)
    world.now += 5
    told = await found(world)
    assert told.keys() == {"groq/known", "groq/own", "openai/loud", "groq/worked", "groq/down"}
    assert told["groq/worked"] == Subject("groq", "worked", 7200.0, 60.0, 5, NOW, failing=False)
    assert told["groq/down"] == Subject("groq", "down", 210.0, 60.0, 5, NOW, failing=True)
    assert told["groq/known"].last == NOW
    assert not told["groq/known"].failing


async def test_what_is_offered_no_more_is_left_alone() -> None:
    world = World(CONFIG)
    world.attempt("groq", "worked")
    world.attempt("groq", "known")
    told = await found(world, delisted=lambda record: record.model == "worked")
    assert told.keys() == {"groq/known", "groq/own", "openai/loud"}


@pytest.mark.parametrize("kind", list(Kind))
@pytest.mark.parametrize(
    ("status", "blame", "fails"),
    [
        (Status.SUCCESS, None, False),
        (Status.ERROR, Blame.TARGET, True),
        (Status.ERROR, Blame.PROVIDER, True),
        (Status.TIMEOUT, Blame.TARGET, True),
        (Status.NETWORK_ERROR, Blame.PROVIDER, True),
        (Status.RATE_LIMITED, Blame.TARGET_CREDENTIAL, False),
        (Status.ERROR, Blame.PROVIDER_CREDENTIAL, False),
        (Status.ERROR, Blame.TARGET_CREDENTIAL, False),
    ],
)
def test_what_fails(status: Status, blame: Blame | None, fails: bool, kind: Kind) -> None:
    world = World(CONFIG)
    world.attempt("groq", "m")
    world.now += 600
    world.attempt("groq", "m", status, blame=blame, kind=kind)
    record = world.store.get("groq", "m")
    assert record is not None
    for later in (0, 30, 400, 3000, 80_000):
        assert failing(record, 7200.0, world.now + later) is fails, later


def test_what_is_unhealthy_fails_though_its_last_attempt_did_not() -> None:
    world = World(CONFIG)
    for status in (Status.ERROR, Status.ERROR, Status.ERROR, Status.ERROR, Status.SUCCESS):
        world.attempt("groq", "m", status)
    record = world.store.get("groq", "m")
    assert record is not None
    assert failing(record, 300.0, world.now)
    assert failing(record, 300.0, world.now + 3000)
    assert not failing(record, 300.0, world.now + 8000)
