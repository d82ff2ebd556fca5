from __future__ import annotations

from breaker.outcome import OTHER_MODEL, Neutral, Status
from healthapi import views
from healthapi.views.record import ModelHealth
from tests.healthapi.admin_world import World, answer


def record(world: World, model: str) -> ModelHealth:
    found = views.model_health(world.admin().local(), "groq", model)
    assert found is not None
    return found


def test_an_attempt_reaches_record_and_metrics_once() -> None:
    world = World()
    world.attempt("groq", "m")
    world.attempt("groq", "m", Status.ERROR, message="boom")
    assert (record(world, "m").call_count, record(world, "m").success_count) == (2, 1)
    assert dict(world.metrics.series())["groq", "m"].attempts == {("success", "live"): 1, ("error", "live"): 1}


def test_a_neutral_attempt_reaches_the_metrics_only() -> None:
    world = World()
    world.attempt("groq", "m")
    world.attempt("groq", "m", Neutral.CANCELLED)
    assert record(world, "m").call_count == 1
    assert dict(world.metrics.series())["groq", "m"].attempts["cancelled", "live"] == 1


def test_an_answer_changes_no_record() -> None:
    world = World()
    world.recorder.answer(answer("groq", "m"))
    assert list(world.store.records()) == []
    assert world.metrics.series()[0][1].requests == {(200, False): 1}


def test_what_the_registry_forgets_is_forgotten_everywhere() -> None:
    world = World()
    for number in range(10):
        world.attempt("groq", f"invented-{number}", Status.ERROR)
    names = {model for (_, model), _ in world.metrics.series()}
    assert {"invented-7", "invented-8", "invented-9"} <= names
    assert "invented-0" not in names
    assert world.store.get("groq", "invented-0") is None
    assert record(world, OTHER_MODEL).call_count == 7


def test_what_becomes_of_requests_reaches_the_metrics_only() -> None:
    world = World()
    world.recorder.rejected("groq", "m", "hold_off")
    world.recorder.rerouted("groq", "llama-3.3-70b-versatile", "openrouter", "other", "unhealthy")
    world.recorder.retried("groq", "timeout")
    world.recorder.overspent("groq")
    metrics = world.metrics
    assert dict(metrics.series())["groq", OTHER_MODEL].rejections == {"hold_off": 1}
    assert metrics.reroutes == {("groq", "llama-3.3-70b-versatile", "openrouter", OTHER_MODEL, "unhealthy"): 1}
    assert metrics.retries == {("groq", "timeout"): 1}
    assert metrics.overspendings == {"groq": 1}
    assert list(world.store.records()) == []
    assert len(world.registry) == 0
