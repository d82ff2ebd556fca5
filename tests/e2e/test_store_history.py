"""History in a file over days and weeks that nobody waits for: what is kept, how long, and what is said of it."""

from __future__ import annotations

import math
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from breaker.outcome import Kind, Status
from healthapi.archive import Batch
from healthapi.delta import Delta
from proxy.fake import FakeProvider
from tests.e2e.stored import FILE, ask, fill, history, read, sidecar
from tests.e2e.world import Detour, lab
from tests.healthapi.samples import delta, outcome

pytestmark = pytest.mark.asyncio(loop_scope="module")

MINUTE, HOUR, DAY = 60, 3600, 86400

AGES = {
    # seconds ago: successes, failures
    10 * MINUTE: (9, 1),
    5 * HOUR: (3, 1),
    23 * HOUR: (4, 0),
    26 * HOUR: (1, 3),  # gone from the minutes
    5 * DAY: (2, 6),
    12 * DAY: (10, 0),
    29 * DAY: (0, 5),
    33 * DAY: (100, 100),  # gone from the hours
    400 * DAY: (1000, 0),
}
CALLED = sum(map(sum, AGES.values()))


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def fake() -> AsyncIterator[FakeProvider]:
    async with FakeProvider() as provider:
        yield provider


def at(now: float, age: float, good: int, bad: int, model: str = "ok", kind: Kind = Kind.LIVE) -> Delta:
    """Calls of one minute, so many seconds ago."""
    moment = now - age
    calls = [outcome(Status.TIMEOUT, provider="openai", model=model, at=moment, took=2.0, kind=kind)] * bad
    calls += [outcome(provider="openai", model=model, at=moment, took=0.5, first_byte=0.2, kind=kind)] * good
    return delta(*calls)


def within(seconds: float) -> tuple[int, int]:
    """Calls and successes so many seconds ago or less."""
    found = [counts for age, counts in AGES.items() if age <= seconds]
    return sum(map(sum, found)), sum(good for good, _ in found)


def percentage(seconds: float) -> Any:
    calls, good = within(seconds)
    return pytest.approx(100 * good / calls, abs=0.1)


async def uptimes(running: Detour, model: str) -> list[float | None]:
    record = await running.record("openai", model)
    return [record[f"uptime_percentage_{span}"] for span in ("24h", "7d", "30d")]


async def test_uptimes_and_history_of_what_was_before(fake: FakeProvider, tmp_path: Path) -> None:
    now = time.time()
    old = [at(now, age, good, bad) for age, (good, bad) in sorted(AGES.items(), reverse=True)]
    await fill(tmp_path / FILE, Batch(old), now - 400 * DAY)
    async with sidecar(tmp_path, lab(fake.url)) as running:
        record = await running.record("openai", "ok")
        assert (record["call_count"], record["success_count"]) == (CALLED, sum(good for good, _ in AGES.values()))
        assert await uptimes(running, "ok") == [percentage(DAY), percentage(7 * DAY), percentage(30 * DAY)]
        for window, span in {"1h": HOUR, "24h": DAY, "7d": 7 * DAY, "30d": 30 * DAY}.items():
            for which in ({}, {"provider": "openai"}, {"provider": "openai", "model": "ok"}):
                found = await history(running, window, **which)
                totals = found["totals"]
                assert (totals["calls"], totals["success"]) == within(span), (window, which)
                assert totals["timeout"] == totals["calls"] - totals["success"]
                assert len(found["buckets"]) == sum(age <= span for age in AGES)
                assert totals["uptime_percentage"] == percentage(span)
                newest = found["buckets"][-1]
                assert (newest["calls"], newest["success"], newest["timeout"]) == (10, 9, 1)
                assert newest["error_rate"] == pytest.approx(0.1)
                assert newest["average_response_time_ms"] == pytest.approx(650)
                assert newest["p50_response_time_ms"] == pytest.approx(500, rel=0.05)
                assert newest["p95_response_time_ms"] == pytest.approx(2000, rel=0.05)
                assert newest["p50_first_byte_ms"] is not None
            assert found["bucket_seconds"] == (60 if span <= DAY else 3600)
        assert await ask(running, "ok", times=2) == [200, 200]
        assert (await history(running, "1h"))["totals"]["calls"] == 12
    minutes = read(tmp_path / FILE, "SELECT at, sum(success + timeout) FROM minute GROUP BY at ORDER BY at")
    hours = read(tmp_path / FILE, "SELECT at, sum(success + timeout) FROM hour GROUP BY at ORDER BY at")
    assert minutes[0][0] >= now - DAY - 2 * MINUTE, "minutes are kept for a day"
    assert hours[0][0] >= now - 31 * DAY - HOUR, "hours are kept for thirty days, and the whole of the first"
    for rows, span in ((minutes, DAY), (hours, 30 * DAY)):
        assert sum(calls for _, calls in rows) == 2 * (within(span)[0] + 2), "of the model, and of its provider"
    assert read(tmp_path / FILE, "SELECT success + timeout FROM tally") == [(CALLED + 2,)]


async def test_nothing_seen_is_null_and_not_a_hundred(fake: FakeProvider, tmp_path: Path) -> None:
    now = time.time()
    old = [at(now, 40 * DAY, 5, 0, "forty"), at(now, 9 * DAY + HOUR, 3, 1, "nine"), at(now, 3 * DAY, 0, 4, "three")]
    old += [at(now, HOUR, 1, 1, "probed", Kind.PROBE)]
    await fill(tmp_path / FILE, Batch(old), now - 40 * DAY)
    config = lab(fake.url, models={"never": {"targets": ["anthropic/never"]}})
    async with sidecar(tmp_path, config) as running:
        assert await uptimes(running, "forty") == [None, None, None]
        assert await uptimes(running, "nine") == [None, None, 75]
        assert await uptimes(running, "three") == [None, 0, 0]
        assert await uptimes(running, "probed") == [50, 50, 50]
        for window in ("1h", "24h", "7d", "30d"):
            for which in ({"model": "forty", "provider": "openai"}, {"model": "never", "provider": "anthropic"}):
                found = await history(running, window, **which)
                assert found["buckets"] == []
                totals = found["totals"]
                assert {key for key, value in totals.items() if value == 0} == set(Status) | {"calls"}
                assert all(value is None for value in totals.values() if value != 0)
        for kind, calls in {"probe": 2, "live": 0}.items():
            assert (await history(running, "24h", kind=kind))["totals"]["calls"] == calls
        filled = await history(running, "24h", provider="openai", fill="1")
        assert math.isclose(len(filled["buckets"]), DAY / MINUTE, abs_tol=1)
        assert {row["error_rate"] for row in filled["buckets"] if not row["calls"]} == {None}
        for path in ("provider=nobody", "provider=openai&model=nothing"):
            assert (await running.get(f"/v1/model-health/history?{path}"))[0] == 404
        for path in ("window=2h", "model=forty"):
            assert (await running.get(f"/v1/model-health/history?{path}"))[0] == 400
