from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families as parse

from breaker.outcome import NO_MODEL, OTHER_MODEL, Blame, Status
from healthapi import metrics as module
from healthapi.exposition import render, take
from healthapi.judgement import Judgement, judgement
from healthapi.labels import UNKNOWN_PROVIDER
from tests.healthapi.admin_world import World

MODEL = "llama-3.3-70b-versatile"
KEYS = ("1a2b3c4d5e6f", "ffffffff0000")


def told(world: World) -> Judgement:
    return judgement(world.metrics, world.registry, world.monotonic)


def states(world: World) -> dict[tuple[str, ...], int]:
    """What is not 0 of the states."""
    return {labels: value for labels, value in told(world).states.items() if value}


def values(world: World, sample: str) -> list[tuple[Mapping[str, str], float]]:
    body, _ = render(take(world.metrics, world.registry, world.keeper, world.monotonic), "")
    return [(s.labels, s.value) for f in parse(body.decode()) for s in f.samples if s.name == sample]


def refused(world: World, key: str, times: int = 5) -> None:
    for _ in range(times):
        world.attempt("groq", MODEL, Status.ERROR, key, blame=Blame.PROVIDER_CREDENTIAL, http_status=401)


def test_a_target_has_a_state_once_it_has_moved() -> None:
    world = World()
    world.attempt("groq", MODEL)
    assert states(world) == {("provider", "groq", "", "closed"): 1}
    for _ in range(5):
        world.attempt("groq", MODEL, Status.ERROR)
    assert told(world).states == {
        ("provider", "groq", "", "closed"): 1,
        ("provider", "groq", "", "open"): 0,
        ("provider", "groq", "", "half_open"): 0,
        ("target", "groq", MODEL, "closed"): 0,
        ("target", "groq", MODEL, "open"): 1,
        ("target", "groq", MODEL, "half_open"): 0,
    }
    world.now += 61
    world.registry.admit("groq", MODEL, world.monotonic)
    assert states(world)["target", "groq", MODEL, "half_open"] == 1
    world.registry.reset("groq", None, world.monotonic)
    assert states(world)["target", "groq", MODEL, "closed"] == 1  # it stays: a series that ends is no "all clear"


def test_keys_are_added_up_and_never_shown() -> None:
    world = World()
    for key in KEYS:
        refused(world, key)
    refused(world, "never-moved", 1)
    assert states(world) == {
        ("provider", "groq", "", "closed"): 1,
        ("credential", "groq", "", "open"): 2,
    }
    body, _ = render(take(world.metrics, world.registry, world.keeper, world.monotonic), "")
    assert not any(key[:8].encode() in body for key in KEYS)


def test_names_without_a_place_are_added_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "UNPROVEN", 1)
    world = World()
    for model in ("a", "b", "\udcff"):
        for _ in range(5):
            world.attempt("openrouter", model, Status.ERROR)
    world.registry.open("openrouter", NO_MODEL, world.monotonic, 60.0)
    found = {labels: value for labels, value in states(world).items() if labels[0] == "target"}
    assert found == {
        ("target", "openrouter", "a", "open"): 1,
        ("target", "openrouter", OTHER_MODEL, "open"): 2,
        ("target", "openrouter", NO_MODEL, "open"): 1,
    }


def test_transitions_say_what_kind_of_reason() -> None:
    world = World()
    for _ in range(5):
        world.attempt("groq", MODEL, Status.ERROR)
    world.now += 61
    permit = world.registry.admit("groq", MODEL, world.monotonic)
    permit.cancel()  # type: ignore[union-attr]
    world.registry.close("groq", MODEL, world.monotonic)
    assert values(world, "detour_breaker_transitions_total") == [
        ({"scope": "target", "provider": "groq", "from": before, "to": after, "cause": cause}, 1.0)
        for before, after, cause in (
            ("closed", "open", "consecutive"),
            ("open", "half_open", "waited"),
            ("half_open", "closed", "manual"),
        )
    ]


def test_the_budget_that_is_left() -> None:
    world = World()
    assert told(world).budgets == {}
    for _ in range(100):
        world.registry.budget("groq").request(world.monotonic)
    assert world.registry.budget("groq").spend(world.monotonic)
    assert values(world, "detour_retry_budget_left") == [({"provider": "groq"}, 19.0)]


def test_hold_offs_are_counted_by_provider_while_they_last() -> None:
    world = World()
    for model, key in (("a", "k1"), ("a", "k2"), ("b", "k1")):
        world.attempt("groq", model, Status.RATE_LIMITED, key, blame=Blame.TARGET_CREDENTIAL, retry_after=20.0)
    assert values(world, "detour_hold_offs") == [({"provider": "groq"}, 3.0)]
    world.now += 21
    assert values(world, "detour_hold_offs") == []


def test_a_lapsed_lease_is_seen() -> None:
    world = World()
    world.registry.open("groq", MODEL, world.monotonic, 1.0)
    world.now += 2
    world.registry.admit("groq", MODEL, world.monotonic, lease=1.0)
    assert values(world, "detour_lapsed_leases_total") == [({}, 0.0)]
    world.now += 2
    world.registry.admit("groq", MODEL, world.monotonic, lease=1.0)
    assert values(world, "detour_lapsed_leases_total") == [({}, 1.0)]


@pytest.mark.parametrize(
    ("sample", "labels"),
    [
        ("detour_rejections_total", {"provider": "groq", "model": MODEL, "kind": "open"}),
        (
            "detour_reroutes_total",
            {
                "from_provider": "groq",
                "from_model": MODEL,
                "to_provider": "openrouter",
                "to_model": OTHER_MODEL,
                "cause": "open",
            },
        ),
        ("detour_retries_total", {"provider": "groq", "cause": "timeout"}),
        ("detour_retry_budget_exhausted_total", {"provider": "groq"}),
    ],
)
def test_what_the_data_plane_tells(sample: str, labels: dict[str, Any]) -> None:
    world = World()
    for _ in range(2):
        world.recorder.rejected("groq", MODEL, "open")
        world.recorder.rerouted("groq", MODEL, "openrouter", "m", "open")
        world.recorder.retried("groq", "timeout")
        world.recorder.overspent("groq")
    assert values(world, sample) == [(labels, 2.0)]


def test_a_provider_that_is_not_configured_is_no_label() -> None:
    world = World()
    for _ in range(5):
        world.attempt('gr"ok', "m", Status.RATE_LIMITED, "k", blame=Blame.PROVIDER)
    world.registry.budget('gr"ok').request(world.monotonic)
    found = told(world)
    assert {labels[1] for labels in found.states} == {UNKNOWN_PROVIDER}
    assert (set(found.budgets), set(found.hold_offs)) == ({UNKNOWN_PROVIDER}, {UNKNOWN_PROVIDER})


def test_looking_makes_nothing() -> None:
    world = World()
    told(world)
    assert list(world.registry.breakers()) == []
    assert not world.registry.budgets()
