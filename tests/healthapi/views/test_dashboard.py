from __future__ import annotations

import msgspec
import pytest

from breaker.outcome import NO_MODEL, OTHER_MODEL, Blame, Status
from healthapi.memory import MemoryStore
from healthapi.views import dashboard
from healthapi.views.dashboard import Dashboard, Parts, Watch, dashboard_model
from healthapi.views.survey import survey
from healthapi.views.ward import ILL, Ward
from tests.healthapi.samples import NOW, many, outcome, sources, store

CONFIG = """
providers:
  groq: {api_key: k}
  openai: {}
  xai: {api_key: k}
models:
  llama: {tier: critical, targets: [groq/llama, openai/gpt]}
"""


def made(
    kept: MemoryStore, stale: tuple[tuple[str, str], ...] = (), watch: Watch | None = None, config: str = CONFIG
) -> Dashboard:
    read = sources(kept, config=config)
    found, ward = survey(read), Ward()
    for target in found.targets:
        ward.add(target, configured=found.providers[target.record.provider].configured)
    rows = [dashboard_model(target) for target in found.targets]
    parts = Parts(ward=ward, models=rows, stale=list(stale), watch=watch or Watch(active=False, spend=None))
    return dashboard(read, found, parts)


def mixed() -> MemoryStore:
    """groq: two well, one fair, one bad, one unknown; openai: one bad, without a key; xai was never called."""
    return store(
        *many(20, 0, model="llama"),
        *many(20, 0, model="vendor/good:free"),
        *many(9, 1, model="fair"),
        *many(1, 9, model="bad"),
        *many(1, 0, model="new"),
        *many(9, 0, model=NO_MODEL),
        *many(0, 9, model=OTHER_MODEL),
        *many(0, 9, provider="openai", model="gpt"),
    )


def test_every_key_of_both_shapes_is_there() -> None:
    told = msgspec.to_builtins(made(mixed()))
    assert told.keys() >= {
        "timestamp", "overall_health", "gateways", "unhealthy_models_by_provider", "problematic_providers",
        "unconfigured_gateways", "recommendations",
        "system_status", "providers", "models", "uptime_metrics", "last_updated", "monitoring_active",
    }  # fmt: skip
    assert told["overall_health"].keys() >= {
        "status", "health_percentage", "healthy_models", "unhealthy_models", "total_models",
    }  # fmt: skip
    assert told["gateways"].keys() >= {"total", "healthy", "unconfigured"}
    assert told["providers"][0].keys() >= {
        "provider", "gateway", "status", "status_color", "models_count", "healthy_count", "uptime", "avg_response_time",
    }  # fmt: skip
    assert told["models"][0].keys() >= {
        "model_id", "name", "provider", "status", "status_color", "response_time", "uptime", "last_checked",
    }  # fmt: skip
    assert told["uptime_metrics"].keys() >= {
        "status", "uptime_percentage", "response_time_avg", "last_incident", "total_requests", "successful_requests",
        "failed_requests", "error_rate", "last_updated",
    }  # fmt: skip
    assert told["recommendations"][0].keys() >= {"priority", "action", "details"}


def test_percentages_leave_out_providers_without_a_credential() -> None:
    told = made(mixed())
    health = told.overall_health
    assert health.health_percentage == "50.0%"
    assert (health.healthy_models, health.degraded_models, health.unhealthy_models, health.unknown_models) == (
        2,
        1,
        1,
        1,
    )
    assert (health.total_models, health.status) == (5, "degraded")
    assert told.system_status.overall_status == "unhealthy"  # with openai, where callers' own keys fail
    assert (told.system_status.tracked_models, told.system_status.unhealthy_models) == (6, 2)
    uptime = told.uptime_metrics
    assert (uptime.total_requests, uptime.successful_requests, uptime.failed_requests) == (79, 60, 19)
    assert uptime.uptime_percentage == pytest.approx(100 * 60 / 79)
    assert uptime.error_rate == pytest.approx(100 * 19 / 79)


def test_the_ill_are_named_by_provider() -> None:
    told = made(mixed())
    assert {name: [row.model_id for row in rows] for name, rows in told.unhealthy_models_by_provider.items()} == {
        "groq": ["bad"],
        "openai": ["gpt"],
    }
    (row,) = told.unhealthy_models_by_provider["groq"]
    assert (row.error_count, row.uptime, row.error_message) == (9, 10.0, "503 overloaded")
    (problem,) = told.problematic_providers
    assert (problem.provider, problem.failure_rate, problem.known_models) == ("openai", "100.0%", 1)


def test_what_lacks_a_key_says_which() -> None:
    told = made(mixed())
    (lacking,) = told.unconfigured_gateways
    assert (lacking.gateway, lacking.missing, lacking.targets) == ("openai", ["OPENAI_API_KEY"], 1)
    assert lacking.error == "set OPENAI_API_KEY"
    assert (told.gateways.total, told.gateways.unconfigured) == (3, 1)


def test_recommendations_come_from_all_of_it() -> None:
    told = made(mixed(), stale=(("groq", "old"),))
    assert [(one.priority, one.names) for one in told.recommendations] == [
        ("CRITICAL", ["groq/bad", "groq/fair"]),
        ("HIGH", ["openai"]),
        ("MEDIUM", ["openai"]),
        ("LOW", ["groq/old"]),
    ]


def test_rows_read_as_the_contract_has_them() -> None:
    told = made(mixed())
    groq, openai = told.providers
    assert (groq.status, groq.status_color, groq.models_count, groq.healthy_count) == ("Degraded", "yellow", 5, 2)
    assert (openai.status, openai.status_color, openai.uptime, openai.configured) == ("Offline", "red", "0.0%", False)
    rows = {row.model_id: row for row in told.models}
    good = rows["vendor/good:free"]
    assert (good.name, good.status, good.status_color, good.uptime) == ("good:free", "Healthy", "green", "100.0%")
    assert good.response_time == "500ms"
    assert {name: row.status for name, row in rows.items()} == {
        "llama": "Healthy",
        "vendor/good:free": "Healthy",
        "fair": "Degraded",
        "bad": "Unhealthy",
        "new": "Unknown",
        "gpt": "Unhealthy",
    }


def test_nothing_seen_invents_nothing() -> None:
    told = made(store())
    assert (told.overall_health.health_percentage, told.overall_health.total_models) == (None, 0)
    uptime = told.uptime_metrics
    assert (uptime.status, uptime.uptime_percentage, uptime.error_rate) == ("unknown", None, None)
    assert (uptime.response_time_avg, uptime.last_incident, uptime.total_requests) == (None, None, 0)
    assert [one.priority for one in told.recommendations] == ["HIGH"]  # the missing key
    assert told.probes is None


@pytest.mark.parametrize(
    ("good", "bad", "status"), [(20, 0, "operational"), (9, 1, "degraded"), (0, 9, "outage"), (1, 0, "unknown")]
)
def test_the_word_of_a_status_page(good: int, bad: int, status: str) -> None:
    assert made(store(*many(good, bad))).uptime_metrics.status == status


def test_the_last_incident_is_the_last_failure() -> None:
    kept = store(*many(9, 0), outcome(Status.ERROR, at=NOW - 60), outcome(Status.ERROR, model="x", at=NOW - 30))
    assert made(kept).uptime_metrics.last_incident == "2025-12-31T23:59:30.000Z"


def test_a_record_whose_provider_left_the_configuration_is_told_of() -> None:
    told = made(store(*many(9, 0, provider="gone")))
    lacking = {one.gateway: one for one in told.unconfigured_gateways}
    assert lacking["gone"].error == "set providers.gone"


def test_a_key_whose_address_lacks_a_part_is_of_no_use() -> None:
    config = "providers: {cloudflare-workers-ai: {api_key: k}}\nmodels: {m: {targets: [cloudflare-workers-ai/a]}}"
    told = made(store(), config=config)
    (lacking,) = told.unconfigured_gateways
    assert (lacking.gateway, lacking.targets) == ("cloudflare-workers-ai", 1)
    assert (lacking.missing, lacking.error) == (["CLOUDFLARE_ACCOUNT_ID"], "set CLOUDFLARE_ACCOUNT_ID")
    assert [(one.priority, one.names) for one in told.recommendations] == [("HIGH", ["cloudflare-workers-ai"])]


def test_models_that_are_degraded_are_named_too() -> None:
    kept = store(*many(20, 0), *(one for number in range(3) for one in many(9, 1, model=f"fair{number}")))
    (one,) = made(kept, config="providers: {groq: {api_key: k}}").recommendations
    assert (one.priority, sorted(one.names)) == ("CRITICAL", ["groq/fair0", "groq/fair1", "groq/fair2"])
    assert one.details == "1 of 4 known models are healthy, 0 unhealthy, 3 degraded"


def test_bad_keys_of_callers_make_nothing_ill() -> None:
    kept = store(*(outcome(Status.ERROR, blame=Blame.PROVIDER_CREDENTIAL) for _ in range(50)))
    told = made(kept)
    assert told.overall_health.unknown_models == 1
    assert told.unhealthy_models_by_provider == {}


def test_so_many_are_listed_of_one_provider() -> None:
    kept = store(*(one for number in range(ILL + 20) for one in many(0, 5, model=f"m{number}")))
    told = made(kept)
    assert len(told.unhealthy_models_by_provider["groq"]) == ILL
    assert told.overall_health.unhealthy_models == ILL + 20
    assert told.recommendations[0].more == ILL + 10


@pytest.mark.parametrize("model", ["bad-\udcff", "nul\x00l", "line\nfeed", "}{", "x" * 4000, "\u202e", "a/", "/"])
def test_any_name_can_be_told(model: str) -> None:
    told = msgspec.json.encode(made(store(*many(0, 9, model=model)), stale=(("groq", model),)))
    assert msgspec.json.decode(told)["models"][0]["name"]
