"""The SLA of a provider over a real admin port."""

from __future__ import annotations

from typing import Any

import pytest

from breaker.outcome import Blame, Kind, Status
from tests.healthapi.admin_world import World
from tests.healthapi.serving import Client, document

CONFIG = """
sla: {availability: 99.5, p95: 2s}
providers:
  groq: {api_key: k, sla: {p95: 500ms}}
  openrouter: {}
  alibaba: {}
"""


@pytest.fixture
def world() -> World:
    """Three hours of groq, with a bad quarter of an hour; keys that are refused at openrouter."""
    made = World(CONFIG)
    for minute in range(180):
        bad = 100 <= minute < 115
        made.attempt("groq", "a", Status.TIMEOUT if bad else Status.SUCCESS, response_time=0.3, first_byte=0.05)
        made.attempt("groq", "b", response_time=0.3, kind=Kind.PROBE)
        if minute == 0:
            made.attempt("openrouter", "m", Status.ERROR, blame=Blame.PROVIDER_CREDENTIAL)
        made.now += 60
    return made


async def sla(client: Client, path: str, status: int = 200) -> dict[str, Any]:
    return await document(client, f"/v1/model-health/provider/{path}", status)


async def test_figures_budget_and_burn_rates(client: Client) -> None:
    told = await sla(client, "groq/sla")
    assert told["objective"] == {"availability": 99.5, "p95_ms": 500.0}
    whole = told["last_30_days"]
    assert (whole["calls"], whole["failures"], whole["met"]) == (360, 15, False)
    assert whole["availability"] == pytest.approx(100 * 345 / 360)
    assert whole["p95_ms"] == pytest.approx(300, rel=0.05)
    budget = told["error_budget"]
    assert (budget["allowed_failures"], budget["used_failures"]) == (pytest.approx(1.8), 15)
    assert budget["left_percentage"] == pytest.approx(100 * (1 - 15 / 1.8))
    assert told["burn_rates"] == {
        "1h": 0.0,
        "6h": pytest.approx(15 / 360 / 0.005),
        "24h": pytest.approx(15 / 360 / 0.005),
        "3d": pytest.approx(15 / 360 / 0.005),
    }
    assert [(hour["at"][11:16], hour["calls"], hour["met"]) for hour in told["hours"][-4:]] == [
        ("00:00", 120, True),
        ("01:00", 120, False),
        ("02:00", 120, True),
        ("03:00", 0, None),
    ]
    assert [day["calls"] for day in told["days"]] == [0] * 29 + [360]


async def test_kinds_and_aliases_and_scopes(client: Client) -> None:
    assert (await sla(client, "groq/sla?kind=live"))["last_30_days"]["calls"] == 180
    probes = await sla(client, "groq/sla?kind=probe&scope=instance")
    assert (probes["last_30_days"]["availability"], probes["last_30_days"]["met"]) == (100.0, True)
    assert (await sla(client, "alibaba-cloud/sla"))["provider"] == "alibaba"


async def test_as_many_are_listed_as_asked_for(client: Client) -> None:
    told = await sla(client, "groq/sla?hours=2&days=0")
    assert ([hour["calls"] for hour in told["hours"]], told["days"]) == ([120, 0], [])
    assert told["last_30_days"]["calls"] == 360


async def test_refused_keys_are_nobody_s_outage(client: Client) -> None:
    whole = (await sla(client, "openrouter/sla"))["last_30_days"]
    assert (whole["calls"], whole["failures"], whole["availability"], whole["met"]) == (1, 0, None, None)


async def test_a_configured_one_that_was_never_called_has_nothing_to_show(client: Client) -> None:
    told = await sla(client, "alibaba/sla")
    assert told["objective"] == {"availability": 99.5, "p95_ms": 2000.0}
    assert told["error_budget"]["left_percentage"] is None


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("absent/sla", 404, "unknown_provider"),
        ("%ff/sla", 404, "unknown_provider"),
        ("groq/sla?kind=both", 400, "bad_parameter"),
        ("groq/sla?scope=world", 400, "bad_parameter"),
        ("groq/sla?hours=25", 400, "bad_parameter"),
        ("groq/sla?days=-1", 400, "bad_parameter"),
    ],
)
async def test_what_is_not_answered(client: Client, path: str, status: int, code: str) -> None:
    assert (await sla(client, path, status))["error"]["code"] == code
