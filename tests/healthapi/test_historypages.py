"""History over a real admin port: outcomes go in as the data plane tells them, and come out through the archive."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pytest

from breaker.outcome import NO_MODEL, Kind, Neutral, Status
from tests.healthapi.admin_world import LOOPBACK, World
from tests.healthapi.serving import Client, document, serving

PATH = "/v1/model-health/history"
STRANGE = ["a/b:free", "bad-\udcff", "nul\x00l", "line\nfeed", "}{", "x" * 4000, "\u202e", " "]


def busy() -> World:
    """Two providers in two hours: groq well and probed, openrouter failing for a while."""
    world = World(LOOPBACK.replace("openrouter: {}", "openrouter: {}\n  alibaba: {}"))
    for minute in range(120):
        world.attempt("groq", "llama-3.3-70b-versatile", response_time=1.0, first_byte=0.1)
        if minute % 10 == 0:
            world.attempt("groq", "llama-3.3-70b-versatile", kind=Kind.PROBE, response_time=9.0)
        if minute % 2 == 0:
            bad = 60 <= minute < 70
            world.attempt("openrouter", "a", Status.TIMEOUT if bad else Status.SUCCESS)
            world.attempt("openrouter", "b", Status.RATE_LIMITED, first_byte=None)
        world.attempt("openrouter", "a", Neutral.CALLER_ERROR)
        world.now += 60
    return world


@pytest.fixture
def world() -> World:
    return busy()


async def history(client: Client, query: str, status: int = 200) -> dict[str, Any]:
    return await document(client, f"{PATH}?{query}", status)


async def totals(client: Client, query: str) -> dict[str, Any]:
    found: dict[str, Any] = (await history(client, query))["totals"]
    return found


# Buckets 0 to 120 minutes after the start, the last of them running and empty.
@pytest.mark.parametrize(
    ("query", "calls", "success"),
    [
        ("", 252, 187),
        ("provider=groq", 132, 132),
        ("provider=groq&kind=live", 120, 120),
        ("provider=groq&kind=probe", 12, 12),
        ("provider=groq&model=llama-3.3-70b-versatile", 132, 132),
        ("provider=groq&window=1h", 66, 66),
        ("provider=openrouter", 120, 55),
        ("provider=openrouter&model=a", 60, 55),
        ("provider=openrouter&model=a&window=1h", 30, 25),
        ("provider=openrouter&model=b&window=7d", 60, 0),
        ("provider=openrouter&model=b&window=30d&scope=instance", 60, 0),
        ("provider=openrouter&model=~all", 120, 55),
    ],
)
async def test_sums(client: Client, query: str, calls: int, success: int) -> None:
    found = await history(client, query)
    sums = found["totals"]
    assert (sums["calls"], sums["success"]) == (calls, success)
    assert sums["success_rate"] == pytest.approx(success / calls)
    assert sums["uptime_percentage"] == pytest.approx(100 * success / calls)
    for name in ("calls", "success", "error", "timeout", "rate_limited", "network_error"):
        assert sums[name] == sum(bucket[name] for bucket in found["buckets"])
    assert [bucket["at"] for bucket in found["buckets"]] == sorted(bucket["at"] for bucket in found["buckets"])


async def test_each_status_has_its_count(client: Client) -> None:
    sums = await totals(client, "provider=openrouter")
    assert (sums["success"], sums["timeout"], sums["rate_limited"], sums["error"]) == (55, 5, 60, 0)


async def test_minutes_and_hours(client: Client) -> None:
    minutes = await history(client, "provider=openrouter&model=a")
    assert (minutes["window"], minutes["bucket_seconds"]) == ("24h", 60)
    assert (minutes["from"], minutes["to"]) == ("2025-12-31T02:00:00.000Z", "2026-01-01T02:00:00.000Z")
    assert [bucket["at"] for bucket in minutes["buckets"][:2]] == [
        "2026-01-01T00:00:00.000Z",
        "2026-01-01T00:02:00.000Z",
    ]
    bad = [bucket for bucket in minutes["buckets"] if bucket["timeout"]]
    assert [bucket["at"][11:16] for bucket in bad] == ["01:00", "01:02", "01:04", "01:06", "01:08"]
    assert {bucket["error_rate"] for bucket in bad} == {1.0}
    hours = await history(client, "provider=openrouter&model=a&window=7d")
    assert hours["bucket_seconds"] == 3600
    assert [(bucket["at"][11:13], bucket["success"], bucket["timeout"]) for bucket in hours["buckets"]] == [
        ("00", 30, 0),
        ("01", 25, 5),
    ]


async def test_times_are_of_the_bucket_and_of_the_kind(client: Client) -> None:
    found = await history(client, "provider=groq&window=1h")
    probed, plain = found["buckets"][0], found["buckets"][1]
    assert (probed["calls"], probed["average_response_time_ms"]) == (2, 5000.0)
    assert probed["p95_response_time_ms"] == pytest.approx(9000, rel=0.05)
    assert (plain["calls"], plain["average_response_time_ms"]) == (1, 1000.0)
    assert plain["p50_first_byte_ms"] == pytest.approx(100, rel=0.05)
    live = await totals(client, "provider=groq&kind=live")
    assert live["average_response_time_ms"] == 1000.0
    throttled = await totals(client, "provider=openrouter&model=b")
    assert throttled["p50_first_byte_ms"] is None
    assert throttled["p50_response_time_ms"] == pytest.approx(500, rel=0.05)


@pytest.mark.parametrize(("window", "count"), [("1h", 61), ("24h", 1441), ("7d", 169), ("30d", 721)])
async def test_filled_up(client: Client, window: str, count: int) -> None:
    found = await history(client, f"provider=groq&window={window}&fill=1")
    assert len(found["buckets"]) == count
    assert found["buckets"][0]["at"] == found["from"]
    assert found["buckets"][-1]["calls"] == 0
    sparse = await history(client, f"provider=groq&window={window}&fill=0")
    assert sparse["buckets"] == [bucket for bucket in found["buckets"] if bucket["calls"]]
    assert sparse["totals"] == found["totals"]


async def test_what_just_happened_is_in_the_running_bucket() -> None:
    world = busy()
    world.now += 30
    client = await serving(world)
    try:
        world.attempt("groq", "new")
        found = await history(client, "provider=groq&model=new")
        assert found["to"] == "2026-01-01T02:00:30.000Z"
        assert [(bucket["at"], bucket["calls"]) for bucket in found["buckets"]] == [("2026-01-01T02:00:00.000Z", 1)]
    finally:
        await client.close()


async def test_configured_ones_have_an_empty_history(client: Client) -> None:
    assert (await totals(client, "provider=alibaba"))["calls"] == 0
    assert (await history(client, "provider=alibaba-cloud"))["provider"] == "alibaba"
    world = World()
    other = await serving(world)
    try:
        empty = await history(other, "provider=groq&model=llama-3.3-70b-versatile")
        assert (empty["totals"]["success_rate"], empty["buckets"]) == (None, [])
        assert (await history(other, ""))["totals"]["calls"] == 0
    finally:
        await other.close()


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("provider=absent", "unknown_provider"),
        ("provider=absent&model=m", "unknown_model"),
        ("provider=groq&model=absent", "unknown_model"),
        ("provider=groq&model=a", "unknown_model"),
        ("provider=%ff", "unknown_provider"),
        ("provider=groq&model=%ff", "unknown_model"),
    ],
)
async def test_what_nobody_knows_is_404(client: Client, query: str, code: str) -> None:
    assert (await history(client, query, 404))["error"]["code"] == code


@pytest.mark.parametrize(
    "query",
    [
        "model=a",
        "window=2h",
        "window=1H",
        "kind=both",
        "scope=world",
        "provider=groq&provider=groq",
        "window=1h&window=1h",
    ],
)
async def test_what_cannot_be_meant_is_400(client: Client, query: str) -> None:
    assert (await history(client, query, 400))["error"]["code"] == "bad_parameter"


@pytest.mark.parametrize("model", STRANGE)
async def test_any_name_has_its_history(model: str) -> None:
    world = World()
    world.attempt("groq", model)
    client = await serving(world)
    try:
        name = quote(model.encode("utf-8", "surrogateescape"), safe="")
        assert (await totals(client, f"provider=groq&model={name}"))["calls"] == 1
    finally:
        await client.close()


async def test_requests_without_a_model_count_for_their_provider() -> None:
    world = World()
    world.attempt("groq", NO_MODEL)
    client = await serving(world)
    try:
        assert (await totals(client, "provider=groq"))["calls"] == 1
        assert (await totals(client, f"provider=groq&model={NO_MODEL}"))["calls"] == 1
    finally:
        await client.close()


async def test_a_model_that_was_cleaned_up_leaves_its_provider_s_history() -> None:
    world = World()
    world.attempt("groq", "gone")
    client = await serving(world)
    try:
        assert (await totals(client, "provider=groq&model=gone"))["calls"] == 1
        assert await world.keeper.remove([("groq", "gone")]) == 1
        assert (await history(client, "provider=groq&model=gone", 404))["error"]["code"] == "unknown_model"
        assert (await totals(client, "provider=groq"))["calls"] == 1
    finally:
        await client.close()
