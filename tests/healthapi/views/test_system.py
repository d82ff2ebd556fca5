from __future__ import annotations

from breaker.outcome import NO_MODEL
from healthapi.history import DAY
from healthapi.views import system
from healthapi.views.system import System
from tests.healthapi.samples import NOW, many, sources, store


def test_nothing_seen() -> None:
    assert system(sources(store())) == System(
        overall_status="unknown",
        total_providers=3,
        healthy_providers=0,
        degraded_providers=0,
        unhealthy_providers=0,
        total_models=2,
        healthy_models=0,
        degraded_models=0,
        unhealthy_models=0,
        total_gateways=3,
        healthy_gateways=0,
        tracked_models=0,
        tracked_providers=0,
        system_uptime=None,
        last_updated="2026-01-01T00:00:00.000Z",
    )


def test_everything_at_once() -> None:
    kept = store(
        *many(9, 0, model="llama"),
        *many(9, 1, model="fair"),
        *many(0, 5, provider="google-vertex", model="bad"),
        *many(9, 0, provider="openai", model="good"),
        *many(1, 0, provider="openai", model="new"),
        *many(1, 0, provider="openai", model=NO_MODEL),
    )
    assert system(sources(kept)) == System(
        overall_status="degraded",
        total_providers=3,
        healthy_providers=1,
        degraded_providers=1,
        unhealthy_providers=1,
        total_models=6,
        healthy_models=2,
        degraded_models=1,
        unhealthy_models=1,
        total_gateways=3,
        healthy_gateways=0,
        tracked_models=5,
        tracked_providers=3,
        system_uptime=100 * 18 / 24,
        last_updated="2026-01-01T00:00:00.000Z",
    )


def test_half_of_the_providers_offline_is_unhealthy() -> None:
    kept = store(*many(9, 0), *many(0, 9, provider="openai"))
    assert system(sources(kept)).overall_status == "unhealthy"


def test_all_well_is_healthy() -> None:
    document = system(sources(store(*many(9, 0))))
    assert (document.overall_status, document.healthy_gateways, document.system_uptime) == ("healthy", 1, 100.0)


def test_uptime_is_null_again_when_a_day_has_passed_without_traffic() -> None:
    assert system(sources(store(*many(9, 0)), NOW + 2 * DAY)).system_uptime is None
