from __future__ import annotations

import pytest

from breaker.outcome import NO_MODEL, OTHER_MODEL, Kind, Neutral, Status
from healthapi import metrics as module
from healthapi.labels import UNKNOWN_PROVIDER
from healthapi.metrics import Metrics
from healthapi.series import Series
from tests.healthapi.admin_world import LOOPBACK, World, answer, outcome

CONFIGURED = ("groq", "llama-3.3-70b-versatile")


@pytest.fixture
def metrics() -> Metrics:
    return World().metrics


def names(metrics: Metrics) -> set[tuple[str, str]]:
    return {labels for labels, _ in metrics.series()}


def one(metrics: Metrics) -> Series:
    ((_, series),) = metrics.series()
    return series


def test_attempts_are_counted_by_status_and_kind(metrics: Metrics) -> None:
    for status, kind in (
        (Status.SUCCESS, Kind.LIVE),
        (Status.SUCCESS, Kind.LIVE),
        (Status.SUCCESS, Kind.PROBE),
        (Status.TIMEOUT, Kind.LIVE),
        (Neutral.CANCELLED, Kind.LIVE),
    ):
        metrics.attempt(outcome("groq", "m", status, kind=kind))
    assert one(metrics).attempts == {
        ("success", "live"): 2,
        ("success", "probe"): 1,
        ("timeout", "live"): 1,
        ("cancelled", "live"): 1,
    }


def test_times_are_those_of_counted_attempts(metrics: Metrics) -> None:
    metrics.attempt(outcome("groq", "m", response_time=2.0, first_byte=0.5, streamed=True))
    metrics.attempt(outcome("groq", "m", response_time=1.0, first_byte=0.25, streamed=False))
    metrics.attempt(outcome("groq", "m", Status.NETWORK_ERROR, response_time=3.0, first_byte=None))
    metrics.attempt(outcome("groq", "m", Neutral.CALLER_ERROR, response_time=100.0, first_byte=100.0))
    series = one(metrics)
    assert (series.response_time.latencies.count, series.response_time.total) == (3, 6.0)
    assert {streamed: (t.latencies.count, t.total) for streamed, t in series.first_byte.items()} == {
        True: (1, 0.5),
        False: (1, 0.25),
    }


def test_a_clock_that_went_backwards_takes_nothing_from_a_sum(metrics: Metrics) -> None:
    metrics.attempt(outcome("groq", "m", response_time=2.0))
    metrics.attempt(outcome("groq", "m", response_time=-5.0))
    series = one(metrics)
    assert (series.response_time.latencies.count, series.response_time.total) == (2, 2.0)


def test_answers_are_counted_by_status_and_streamed_with_their_bytes(metrics: Metrics) -> None:
    metrics.attempt(outcome("groq", "m"))
    metrics.answer(answer("groq", "m", 200))
    metrics.answer(answer("groq", "m", 200, streamed=True))
    metrics.answer(answer("groq", "m", 503, bytes_in=1, bytes_out=2))
    metrics.answer(answer("groq", "m", 503, bytes_in=1, bytes_out=2))
    series = one(metrics)
    assert series.requests == {(200, False): 1, (200, True): 1, (503, False): 2}
    assert (series.bytes_in, series.bytes_out) == (202, 2004)


@pytest.mark.parametrize(
    ("model", "status", "counted_as"),
    [
        ("never-seen", Neutral.CALLER_ERROR, OTHER_MODEL),
        ("never-seen", Neutral.CANCELLED, OTHER_MODEL),
        ("never-seen", Status.ERROR, "never-seen"),
        ("never-seen", Status.SUCCESS, "never-seen"),
        (CONFIGURED[1], Neutral.CANCELLED, CONFIGURED[1]),
        (NO_MODEL, Neutral.CANCELLED, NO_MODEL),
        (NO_MODEL, Status.SUCCESS, NO_MODEL),
        (OTHER_MODEL, Status.ERROR, OTHER_MODEL),
        ("line\nbreak", Status.SUCCESS, OTHER_MODEL),
        ("no utf-8 \udcff", Status.SUCCESS, OTHER_MODEL),
        ("x" * 257, Status.SUCCESS, OTHER_MODEL),
    ],
)
def test_which_name_an_attempt_is_counted_under(
    metrics: Metrics, model: str, status: Status | Neutral, counted_as: str
) -> None:
    metrics.attempt(outcome("groq", model, status))
    assert names(metrics) == {("groq", counted_as)}


def test_an_answer_makes_no_name_known(metrics: Metrics) -> None:
    metrics.answer(answer("groq", "invented"))
    metrics.answer(answer(*CONFIGURED))
    metrics.answer(answer("groq", NO_MODEL))
    assert names(metrics) == {("groq", OTHER_MODEL), CONFIGURED, ("groq", NO_MODEL)}


@pytest.mark.parametrize("provider", ["", "grok", "\udcff", "../..", '"}'])
def test_a_path_without_a_known_provider_has_one_name(metrics: Metrics, provider: str) -> None:
    metrics.answer(answer(provider, "m", 404))
    metrics.answer(answer(provider, NO_MODEL, 404))
    assert names(metrics) == {(UNKNOWN_PROVIDER, NO_MODEL)}
    assert one(metrics).requests == {(404, False): 2}


def test_names_are_bounded_and_nothing_is_lost(metrics: Metrics, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PROVEN", 3)
    monkeypatch.setattr(module, "UNPROVEN", 2)
    for number in range(50):
        metrics.attempt(outcome("groq", f"good-{number}"))
        metrics.attempt(outcome("groq", f"bad-{number}", Status.ERROR))
        metrics.answer(answer("groq", f"good-{number}"))
    assert names(metrics) == {("groq", name) for name in ("good-0", "good-1", "good-2", "bad-0", "bad-1", OTHER_MODEL)}
    assert sum(sum(series.attempts.values()) for _, series in metrics.series()) == 100
    assert sum(sum(series.requests.values()) for _, series in metrics.series()) == 50


def test_invented_names_take_no_place_from_working_ones(metrics: Metrics, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "UNPROVEN", 2)
    for number in range(50):
        metrics.attempt(outcome("groq", f"invented-{number}", Status.ERROR))
    metrics.attempt(outcome("groq", "real"))
    assert ("groq", "real") in names(metrics)


def test_the_first_success_gives_a_lasting_place(metrics: Metrics, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PROVEN", 1)
    monkeypatch.setattr(module, "UNPROVEN", 1)
    metrics.attempt(outcome("groq", "a", Status.ERROR))
    metrics.attempt(outcome("groq", "b", Status.ERROR))
    assert names(metrics) == {("groq", "a"), ("groq", OTHER_MODEL)}
    metrics.attempt(outcome("groq", "a"))
    metrics.attempt(outcome("groq", "b", Status.ERROR))
    metrics.attempt(outcome("groq", "b"))  # no lasting place is left: it keeps the one it has
    metrics.attempt(outcome("groq", "c", Status.ERROR))
    assert names(metrics) == {("groq", "a"), ("groq", "b"), ("groq", OTHER_MODEL)}
    assert dict(metrics.series())["groq", "a"].attempts == {("error", "live"): 1, ("success", "live"): 1}


def test_what_is_forgotten_ends_and_gives_its_place_away(metrics: Metrics, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "UNPROVEN", 1)
    metrics.attempt(outcome("groq", "a", Status.ERROR))
    metrics.forget("groq", "a")
    metrics.forget("groq", "a")
    metrics.forget("groq", "never-known")
    metrics.attempt(outcome("groq", "b", Status.ERROR))
    assert names(metrics) == {("groq", "b")}


@pytest.mark.parametrize("model", [OTHER_MODEL, NO_MODEL])
def test_pseudo_models_are_never_forgotten(metrics: Metrics, model: str) -> None:
    metrics.attempt(outcome("groq", model, Status.ERROR))
    metrics.forget("groq", model)
    assert names(metrics) == {("groq", model)}


def test_warnings_are_those_of_the_configuration() -> None:
    world = World()
    assert world.metrics.warnings == len(world.config.warnings)


def test_all_attempts_are_counted_by_outcome(metrics: Metrics) -> None:
    assert set(metrics.outcomes) == {*Status, *Neutral}
    for model, status in (
        ("a", Status.SUCCESS),
        ("b", Status.SUCCESS),
        ("\udcff", Status.ERROR),
        ("c", Neutral.POLICY),
    ):
        metrics.attempt(outcome("groq", model, status))
    metrics.attempt(outcome("grok", "m"))
    assert {status: count for status, count in metrics.outcomes.items() if count} == {
        "success": 3,
        "error": 1,
        "policy": 1,
    }


def test_rejections_go_by_target_and_make_no_name_known(metrics: Metrics) -> None:
    metrics.attempt(outcome("groq", "m", Status.ERROR))
    for provider, model in (("groq", "m"), ("groq", "m"), CONFIGURED, ("groq", "invented"), ("grok", "m")):
        metrics.rejected(provider, model, "open")
    metrics.rejected("groq", "m", "half_open")
    assert {labels: series.rejections for labels, series in metrics.series()} == {
        ("groq", "m"): {"open": 2, "half_open": 1},
        CONFIGURED: {"open": 1},
        ("groq", OTHER_MODEL): {"open": 1},
        (UNKNOWN_PROVIDER, NO_MODEL): {"open": 1},
    }


@pytest.mark.parametrize(
    ("target", "label"),
    [
        (CONFIGURED, CONFIGURED),
        (("groq", "m"), ("groq", "m")),
        (("groq", NO_MODEL), ("groq", NO_MODEL)),
        (("groq", "invented"), ("groq", OTHER_MODEL)),
        (("groq", "\udcff"), ("groq", OTHER_MODEL)),
        (("groq", "bi\u202edi"), ("groq", OTHER_MODEL)),
        (("grok", "m"), (UNKNOWN_PROVIDER, NO_MODEL)),
        (('"}', "\udcff"), (UNKNOWN_PROVIDER, NO_MODEL)),
    ],
)
def test_labels_of_what_has_no_series(target: tuple[str, str], label: tuple[str, str]) -> None:
    world = World(LOOPBACK)
    metrics = world.metrics
    metrics.attempt(outcome("groq", "m"))
    before = names(metrics)
    assert metrics.label(*target) == label
    metrics.rerouted(*target, *CONFIGURED, "timeout")
    metrics.rerouted(*CONFIGURED, *target, "timeout")
    assert set(metrics.reroutes) == {(*label, *CONFIGURED, "timeout"), (*CONFIGURED, *label, "timeout")}
    assert names(metrics) == before


def test_reroutes_are_bounded_and_none_is_lost(metrics: Metrics, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "REROUTES", 3)
    for number in range(10):
        metrics.attempt(outcome("groq", f"m-{number}"))
        for _ in range(2):
            metrics.rerouted("groq", f"m-{number}", "openrouter", NO_MODEL, "open")
    assert metrics.reroutes == {
        ("groq", "m-0", "openrouter", NO_MODEL, "open"): 2,
        ("groq", "m-1", "openrouter", NO_MODEL, "open"): 2,
        ("groq", "m-2", "openrouter", NO_MODEL, "open"): 2,
        ("groq", OTHER_MODEL, "openrouter", OTHER_MODEL, "open"): 14,
    }


def test_retries_and_spent_budgets_go_by_provider(metrics: Metrics) -> None:
    for provider in ("groq", "groq", "invented-1", "invented-2"):
        metrics.retried(provider, "timeout")
        metrics.overspent(provider)
    assert metrics.retries == {("groq", "timeout"): 2, (UNKNOWN_PROVIDER, "timeout"): 2}
    assert metrics.overspendings == {"groq": 2, UNKNOWN_PROVIDER: 2}


def test_transitions_are_counted_by_what_kind_of_reason() -> None:
    world = World()
    told = world.metrics.transitions
    for seconds in (60.0, 90.0):
        world.registry.open("groq", CONFIGURED[1], 1000.0, seconds)
    assert told == {
        ("target", "groq", "closed", "open", "manual"): 1,
        ("target", "groq", "open", "open", "manual"): 1,
    }
