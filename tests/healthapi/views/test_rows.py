from __future__ import annotations

import msgspec

from breaker.outcome import NO_MODEL, OTHER_MODEL, Status
from healthapi.history import DAY
from healthapi.views import model_rows, provider_rows
from healthapi.views.rows import ModelRow, ProviderRow
from tests.healthapi.samples import NOW, many, outcome, sources, store


def test_nothing_seen() -> None:
    providers, models = provider_rows(sources(store())), model_rows(sources(store()))
    assert (providers.data, providers.providers, providers.total_providers, providers.tracked_providers) == (
        [],
        [],
        3,
        0,
    )
    assert (models.data, models.models, models.total_models, models.tracked_models) == ([], [], 2, 0)
    assert providers.metadata == models.metadata
    assert providers.metadata.timestamp == "2026-01-01T00:00:00.000Z"


def test_a_provider_s_row() -> None:
    kept = store(
        *many(9, 0, model="good"),
        *many(9, 1, model="fair"),
        *many(0, 5, model="bad"),
        *many(1, 0, model="new"),
        outcome(model=NO_MODEL, at=NOW + 1, took=0.0),
        outcome(provider="unlisted"),
    )
    document = provider_rows(sources(kept, NOW + 1))
    assert document.data is document.providers
    assert [row.provider for row in document.data] == ["groq", "unlisted"]
    assert (document.total_providers, document.tracked_providers) == (4, 2)
    assert document.data[0] == ProviderRow(
        provider="groq",
        gateway="groq",
        status="degraded",
        total_models=4,
        healthy_models=1,
        degraded_models=1,
        unhealthy_models=1,
        avg_response_time_ms=480.769,
        overall_uptime=100 * 20 / 26,
        last_checked="2026-01-01T00:00:01.000Z",
        error_message="503 overloaded",
        circuit_breaker_state="closed",
        circuit_breaker_reason=None,
    )


def test_a_model_s_row() -> None:
    kept = store(
        *many(3, 0, model="org/m"), outcome(Status.TIMEOUT, model="org/m", at=NOW + 1, took=2.5, message="slow")
    )
    document = model_rows(sources(kept, NOW + 1))
    assert document.data is document.models
    assert (document.total_models, document.tracked_models) == (3, 1)
    assert document.data == [
        ModelRow(
            model_id="org/m",
            provider="groq",
            gateway="groq",
            status="unhealthy",
            response_time_ms=2500.0,
            success_rate=0.75,
            last_checked="2026-01-01T00:00:01.000Z",
            last_success="2026-01-01T00:00:00.000Z",
            last_failure="2026-01-01T00:00:01.000Z",
            error_count=1,
            total_requests=4,
            avg_response_time_ms=1000.0,
            uptime_percentage=75.0,
            error_message="slow",
            circuit_breaker_state="closed",
            circuit_breaker_reason=None,
        )
    ]


def test_configured_targets_are_counted_once_when_they_have_records() -> None:
    document = model_rows(sources(store(outcome(model="llama"), outcome(model="more"))))
    assert (document.total_models, document.tracked_models) == (3, 2)


def test_pseudo_models_have_no_row_and_what_was_not_seen_is_null() -> None:
    kept = store(outcome(model=NO_MODEL), outcome(model=OTHER_MODEL), outcome())
    given = sources(kept, NOW + 3 * DAY)
    assert [row.model_id for row in model_rows(given).data] == ["llama"]
    assert model_rows(given).data[0].uptime_percentage is None
    assert model_rows(given).data[0].status == "unknown"
    row = provider_rows(given).data[0]
    assert (row.status, row.overall_uptime, row.error_message) == ("unknown", None, None)


def test_names_and_messages_no_encoder_takes() -> None:
    given = sources(store(outcome(Status.ERROR, provider="p\udc80", model="m\udc80", message="e\udc80")))
    rows = msgspec.json.decode(msgspec.json.encode((provider_rows(given), model_rows(given))))
    assert rows[0]["data"][0]["provider"] == "p?"
    assert (rows[1]["data"][0]["model_id"], rows[1]["data"][0]["error_message"]) == ("m?", "e?")
