from __future__ import annotations

import msgspec
import pytest

from breaker.outcome import NO_MODEL, OTHER_MODEL, Kind, Status
from healthapi.history import DAY
from healthapi.views import Sources, model_health
from healthapi.views.record import ModelHealth
from tests.healthapi.samples import NOW, outcome, sources, store

FIELDS = (
    "provider model last_response_time_ms last_status last_called_at call_count success_count error_count "
    "average_response_time_ms last_error_message created_at updated_at gateway monitoring_tier circuit_breaker_state "
    "consecutive_failures consecutive_successes last_success_at last_failure_at uptime_percentage_24h "
    "uptime_percentage_7d uptime_percentage_30d p50_response_time_ms p95_response_time_ms p99_response_time_ms "
    "p50_first_byte_ms p95_first_byte_ms circuit_breaker_reason delisted"
)


def found(given: Sources, model: str = "llama", kind: Kind | None = None) -> ModelHealth:
    document = model_health(given, "groq", model, kind)
    assert document is not None
    return document


def test_the_fields_are_those_of_the_contract() -> None:
    assert " ".join(ModelHealth.__struct_fields__) == FIELDS


def test_a_record_to_the_last_field() -> None:
    kept = store(
        outcome(took=0.4, first_byte=0.1, at=NOW - 10),
        outcome(Status.TIMEOUT, took=1.6, first_byte=None, at=NOW - 5.5, message="stalled after 3 events"),
    )
    near = msgspec.to_builtins(found(sources(kept)))
    quantiles = [near.pop(f"{name}_ms") for name in FIELDS.replace("_ms", "").split() if name[0] == "p" and "_" in name]
    assert quantiles == pytest.approx([400, 1600, 1600, 100, 100], rel=0.05)
    assert near == {
        "provider": "groq",
        "model": "llama",
        "last_response_time_ms": 1600.0,
        "last_status": "timeout",
        "last_called_at": "2025-12-31T23:59:54.500Z",
        "call_count": 2,
        "success_count": 1,
        "error_count": 1,
        "average_response_time_ms": 1000.0,
        "last_error_message": "stalled after 3 events",
        "created_at": "2025-12-31T23:59:50.000Z",
        "updated_at": "2025-12-31T23:59:54.500Z",
        "gateway": "groq",
        "monitoring_tier": "critical",
        "circuit_breaker_state": "closed",
        "circuit_breaker_reason": None,
        "delisted": False,
        "consecutive_failures": 1,
        "consecutive_successes": 0,
        "last_success_at": "2025-12-31T23:59:50.000Z",
        "last_failure_at": "2025-12-31T23:59:54.500Z",
        "uptime_percentage_24h": 50.0,
        "uptime_percentage_7d": 50.0,
        "uptime_percentage_30d": 50.0,
    }


def test_no_record_is_none_and_asking_creates_none() -> None:
    given = sources(store(outcome()))
    assert model_health(given, "groq", "never called") is None
    assert model_health(given, "nobody", "llama") is None
    assert len(list(given.store.records())) == 1


def test_an_alias_finds_the_provider() -> None:
    given = sources(store(outcome(provider="google-vertex", model="publishers/google/models/gemini")))
    document = model_health(given, "google", "publishers/google/models/gemini")
    assert document is not None
    assert document.provider == document.gateway == "google-vertex"


@pytest.mark.parametrize("model", [NO_MODEL, OTHER_MODEL])
def test_a_pseudo_model_is_shown_to_who_asks_for_it_by_name(model: str) -> None:
    assert found(sources(store(outcome(model=model))), model).call_count == 1


def test_what_was_never_measured_is_null() -> None:
    document = found(sources(store(outcome(Status.TIMEOUT, first_byte=None)), NOW + 40 * DAY))
    assert document.p50_first_byte_ms is document.p95_first_byte_ms is None
    assert document.last_success_at is None
    assert document.uptime_percentage_24h is document.uptime_percentage_7d is document.uptime_percentage_30d is None
    assert document.call_count == 1


def test_uptime_looks_at_each_period_and_at_every_counted_attempt() -> None:
    kept = store(
        outcome(Status.ERROR, at=NOW - 20 * DAY),
        outcome(Status.ERROR, at=NOW - 20 * DAY),
        outcome(Status.RATE_LIMITED, at=NOW - 3 * DAY),
        outcome(at=NOW - 3600, kind=Kind.PROBE),
    )
    document = found(sources(kept))
    assert document.uptime_percentage_24h == 100.0
    assert document.uptime_percentage_7d == 50.0
    assert document.uptime_percentage_30d == 25.0


def test_one_kind_of_traffic_alone() -> None:
    kept = store(outcome(took=1), outcome(Status.ERROR, kind=Kind.PROBE, took=3, at=NOW + 1))
    given = sources(kept, NOW + 1)
    both, live, probed = (found(given, kind=kind) for kind in (None, Kind.LIVE, Kind.PROBE))
    assert [one.call_count for one in (both, live, probed)] == [2, 1, 1]
    assert [one.error_count for one in (both, live, probed)] == [1, 0, 1]
    assert [one.average_response_time_ms for one in (both, live, probed)] == [2000, 1000, 3000]
    assert [one.last_status for one in (both, live, probed)] == ["error", "success", "error"]
    assert [one.uptime_percentage_24h for one in (both, live, probed)] == [50, 100, 0]
    assert model_health(sources(store(outcome())), "groq", "llama", Kind.PROBE) is None


def test_a_name_no_encoder_takes_is_shown_all_the_same() -> None:
    given = sources(store(outcome(Status.ERROR, model="a\udcff/b", message="no \ud800 such")))
    document = msgspec.json.decode(msgspec.json.encode(found(given, "a\udcff/b")))
    assert (document["model"], document["last_error_message"]) == ("a?/b", "no ? such")
