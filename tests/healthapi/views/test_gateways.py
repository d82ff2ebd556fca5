from __future__ import annotations

import pytest

from breaker.outcome import Status
from healthapi.views import gateways
from healthapi.views.gateways import Gateway, GatewaySummary
from tests.healthapi.samples import NOW, many, outcome, sources, store

ABSENT = Gateway(
    status="unknown",
    latency_ms=None,
    available=True,
    last_check=None,
    error=None,
    healthy=False,
    total_models=0,
    configured=True,
)


def test_nothing_seen() -> None:
    document = gateways(sources(store()))
    assert document.success is True
    assert document.timestamp == "2026-01-01T00:00:00.000Z"
    assert list(document.data) == ["google-vertex", "groq", "openai"]
    assert document.data["groq"] == ABSENT
    assert (document.data["openai"].status, document.data["openai"].available) == ("unconfigured", False)
    assert document.summary == GatewaySummary(
        total_gateways=3,
        healthy=0,
        degraded=0,
        unhealthy=0,
        unknown=2,
        unconfigured=1,
        overall_health_percentage=None,
    )


@pytest.mark.parametrize(
    ("good", "bad", "status", "available", "error"),
    [
        (9, 0, "healthy", True, None),
        (9, 1, "degraded", True, "503 overloaded"),
        (0, 9, "unhealthy", False, "503 overloaded"),
        (1, 0, "unknown", True, None),
    ],
)
def test_the_words_for_a_gateway(good: int, bad: int, status: str, available: bool, error: str | None) -> None:
    assert gateways(sources(store(*many(good, bad)))).data["groq"] == Gateway(
        status=status,
        latency_ms=500.0,
        available=available,
        last_check="2026-01-01T00:00:00.000Z",
        error=error,
        healthy=status == "healthy",
        total_models=1,
        configured=True,
    )


def test_one_without_a_credential_is_unconfigured_and_in_no_percentage() -> None:
    kept = store(*many(9, 0), *many(0, 9, provider="openai"), *many(0, 9, provider="gone"))
    document = gateways(sources(kept))
    assert {name: row.status for name, row in document.data.items()} == {
        "gone": "unconfigured",
        "google-vertex": "unknown",
        "groq": "healthy",
        "openai": "unconfigured",
    }
    assert (document.data["openai"].configured, document.data["openai"].error) == (False, "503 overloaded")
    assert document.summary.overall_health_percentage == 100.0
    assert (document.summary.unhealthy, document.summary.unconfigured) == (0, 2)


def test_the_percentage_is_of_known_gateways() -> None:
    kept = store(*many(9, 0), outcome(Status.ERROR, provider="google-vertex", at=NOW))
    assert gateways(sources(kept)).summary.overall_health_percentage == 100.0
    for one in many(0, 9, provider="google-vertex"):
        kept.add(one)
    assert gateways(sources(kept)).summary.overall_health_percentage == 50.0
