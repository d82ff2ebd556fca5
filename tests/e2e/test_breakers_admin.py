"""Breakers seen and moved from outside, while real requests run into them."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import pytest_asyncio

from tests.e2e.pairs import LASTING, QUICK, TOKEN, Pair, Scene, Sort, Told, open_scene, waits
from tests.e2e.world import PATIENCE, detour

pytestmark = pytest.mark.asyncio(loop_scope="module")

ROW = {
    "provider",
    "state",
    "failure_count",
    "success_count",
    "failure_rate",
    "recent_requests",
    "opened_at",
    "seconds_until_retry",
    "reason",
    "generation",
}
"""What `docs/health-api.md` promises of a breaker's state, `model` beside it where it is a target's."""


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def scene(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Scene]:
    sorts = {
        "quick": Sort(12, breakers=QUICK),
        "lasting": Sort(20, breakers=LASTING),
        "lone": Sort(20, alone=True, breakers=LASTING),
        "observed": Sort(4, alone=True, breakers=LASTING | {"mode": "observe"}),
        "off": Sort(4, alone=True, breakers=LASTING | {"mode": "off"}),
    }
    async with open_scene(tmp_path_factory.mktemp("admin"), sorts) as found:
        yield found


# -- what is shown -----------------------------------------------------------------------------------------------------


async def test_real_failures_trip_a_breaker_and_everybody_shows_it(scene: Scene) -> None:
    pair = scene.take("lone")
    pair.will("ok")
    assert (await pair.ask()).status == 200
    calm = await pair.breaker()
    assert ROW | {"model"} <= calm.keys()
    assert (calm["provider"], calm["model"], calm["state"]) == (pair.first, pair.model, "closed")
    assert (calm["success_count"], calm["failure_count"], calm["failure_rate"]) == (1, 0, 0)
    assert (calm["recent_requests"], calm["opened_at"], calm["reason"]) == (1, None, None)
    assert not calm["seconds_until_retry"]
    shown = await pair.trip()
    assert ROW | {"model"} <= shown.keys()
    assert shown["generation"] > calm["generation"]
    assert "503" in shown["reason"]
    assert "2" in shown["reason"], "how many failures"
    assert 45 < shown["seconds_until_retry"] <= 50
    assert abs(datetime.fromisoformat(shown["opened_at"]).timestamp() - datetime.now().timestamp()) < 60
    record = await scene.detour.record(pair.first, pair.model)
    assert record["circuit_breaker_state"] == "open"
    assert record["consecutive_failures"] >= 2
    await _live_status(scene, pair)


async def _live_status(scene: Scene, pair: Pair) -> None:
    """An open breaker makes its model unhealthy, however little is known of it otherwise."""
    _, models = await scene.detour.get("/health/models")
    (row,) = [row for row in models["data"] if row["model_id"] == pair.model]
    assert (row["provider"], row["status"]) == (pair.first, "unhealthy")
    _, providers = await scene.detour.get("/health/providers")
    (row,) = [row for row in providers["data"] if row["provider"] == pair.first]
    assert row["status"] == "offline", "more than half of its models are unhealthy"


async def test_an_open_provider_is_offline(scene: Scene) -> None:
    pair = scene.take("lasting")
    pair.will("reset-before")
    for _ in range(3):
        assert (await pair.ask()).status == 200
    listed = await scene.breakers(f"/circuit-breakers/{pair.first}")
    row = listed["circuit_breakers"][pair.first]
    assert (row["state"], row.get("model"), row["scope"]) == ("open", None, "provider")
    assert listed["open_count"] == 1
    _, providers = await scene.detour.get("/health/providers")
    (shown,) = [one for one in providers["data"] if one["provider"] == pair.first]
    assert shown["status"] == "offline"
    _, gateways = await scene.detour.get("/health/gateways")
    assert gateways["data"][pair.first]["status"] == "unhealthy"


async def test_the_list_counts_what_it_holds(scene: Scene) -> None:
    pair = scene.take("lone")
    await pair.trip()
    listed = await scene.breakers()
    rows = listed["circuit_breakers"]
    assert rows[f"{pair.first}/{pair.model}"]["state"] == "open"
    states = Counter(row["state"] for row in rows.values())
    assert listed["total_count"] == len(rows)
    assert (listed["open_count"], listed["half_open_count"], listed["closed_count"]) == (
        states["open"],
        states["half_open"],
        states["closed"],
    )


async def test_reading_creates_nothing(scene: Scene) -> None:
    pair = scene.take("lone")
    before = await scene.breakers()
    for path in (f"{pair.first}/never-asked", "nobody", "nobody/m", f"{pair.first}/a/b%2Fc", "%00", "..", "a" * 3000):
        status, told = await scene.detour.get(f"/circuit-breakers/{path}")
        assert status in (400, 404), path
        assert set(told) >= {"detail", "error"}
    for path in ("nobody/m/reset", "nobody/open?for=1m", f"nobody/{'x' * 300}/close"):
        status, _ = await scene.post(f"/circuit-breakers/{path}")
        assert status in (400, 404), path
    after = await scene.breakers()
    assert after["circuit_breakers"].keys() == before["circuit_breakers"].keys()


async def test_a_model_with_slashes_is_reached_both_ways(scene: Scene) -> None:
    pair = scene.take("lone")
    pair.model = "acme/rocket/reset"
    pair.will("fail-503")
    for _ in range(3):
        await pair.ask()
    for name in (pair.model, quote(pair.model, safe="")):
        status, found = await scene.detour.get(f"/circuit-breakers/{pair.first}/{name}")
        assert (status, found["model"], found["state"]) == (200, pair.model, "open")
        status, told = await scene.post(f"/circuit-breakers/{pair.first}/{name}/close")
        assert (status, told["state"]["state"]) == (200, "closed")
        status, told = await scene.post(f"/circuit-breakers/{pair.first}/{name}/open?for=1m")
        assert (status, told["state"]["state"]) == (200, "open")


# -- what is moved -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("verb", ["open?for=1m", "close", "reset"])
async def test_nobody_moves_a_breaker_without_the_token(scene: Scene, verb: str) -> None:
    pair = scene.take("lone")
    opened = await pair.trip()
    for token in (None, "", "wrong", TOKEN + "x", TOKEN[:-1]):
        status, told = await pair.post(verb, token=token)
        assert (status, told["error"]["status"]) == (401, 401)
    status, _ = await scene.post("/circuit-breakers/reset-all", token=None)
    assert status == 401
    after = await pair.breaker()
    assert (after["state"], after["generation"]) == ("open", opened["generation"])


async def test_without_a_token_configured_nobody_moves_anything(tmp_path: Path) -> None:
    async with detour({"log": {"format": "json"}, "providers": {"openai": {}}}, path=tmp_path / "d.yaml") as running:
        scene: Any = type("Bare", (), {"detour": running})()
        for path in ("openai/open?for=1m", "openai/close", "openai/reset", "openai/m/reset", "reset-all"):
            status, told = await Scene.post(scene, f"/circuit-breakers/{path}")
            assert (status, "admin.token" in told["detail"]) == (403, True)
        assert (await running.get("/circuit-breakers"))[1]["open_count"] == 0


@pytest.mark.parametrize("model", [True, False], ids=["target", "provider"])
async def test_opened_by_hand_it_refuses_until_its_time_is_over(scene: Scene, model: bool) -> None:
    pair = scene.take("quick")
    pair.will("ok")
    assert (await pair.ask()).header("x-detour-provider") == pair.first
    status, told = await pair.post("open?for=1500ms", model=model)
    assert (status, told["success"]) == (200, True)
    assert told["message"]
    assert told["state"]["state"] == "open"
    assert 1 < told["state"]["seconds_until_retry"] <= 1.5
    assert "manual" in told["state"]["reason"].lower() or "hand" in told["state"]["reason"].lower()
    assert (await pair.ask()).header("x-detour-provider") == pair.second
    assert len(pair.tries) == 1

    async def moved() -> str | None:
        return (await pair.ask()).header("x-detour-provider")

    await scene.comes(moved, lambda provider: provider == pair.first)
    assert [await moved() for _ in range(3)] == [pair.first] * 3
    listed = await scene.breakers(f"/circuit-breakers/{pair.first}")
    assert listed["open_count"] == listed["half_open_count"] == 0


@pytest.mark.parametrize("verb", ["close", "reset"])
async def test_closed_by_hand_it_admits_at_once(scene: Scene, verb: str) -> None:
    pair = scene.take("lasting")
    await pair.trip()
    pair.will("ok")
    seen = len(pair.tries)
    status, told = await pair.post(verb)
    assert (status, told["success"], told["state"]["state"]) == (200, True, "closed")
    assert (await pair.ask()).header("x-detour-provider") == pair.first
    assert len(pair.tries) == seen + 1
    shown = await pair.breaker()
    assert (shown["state"], shown["seconds_until_retry"] or 0) == ("closed", 0)


async def test_a_reset_of_a_provider_reaches_what_is_below_it(scene: Scene) -> None:
    pair = scene.take("lasting")
    await pair.trip()
    pair.will("fail-401")
    await pair.post("close")
    for _ in range(2):
        await pair.ask(key="sk-spoilt")
    await pair.post("open?for=5m")
    await pair.post("open?for=5m", model=False)
    listed = await scene.breakers(f"/circuit-breakers/{pair.first}")
    assert listed["open_count"] == 3, listed
    status, told = await pair.post("reset", model=False)
    assert (status, told["success"]) == (200, True)
    listed = await scene.breakers(f"/circuit-breakers/{pair.first}")
    assert listed["open_count"] == listed["half_open_count"] == 0
    pair.will("ok")
    got = await pair.ask(key="sk-spoilt")
    assert (got.status, got.header("x-detour-provider")) == (200, pair.first)


async def test_a_reset_ends_hold_offs(scene: Scene) -> None:
    pair = scene.take("lone")
    pair.will("rate-limit-30")
    await pair.ask()
    assert (await pair.ask()).status == 429
    assert len(pair.tries) == 1
    shown = (await scene.breakers(f"/circuit-breakers/{pair.first}"))["circuit_breakers"]
    assert any((row.get("hold_off_seconds") or 0) > 20 for row in shown.values()), shown
    assert (await pair.post("reset", model=False))[0] == 200
    pair.will("ok")
    assert (await pair.ask()).status == 200


async def test_bad_times_are_refused(scene: Scene) -> None:
    pair = scene.take("lone")
    for given in ("open?for=", "open?for=soon", "open?for=-1m", "open?for=0s", "open?for=9999999h", "open?for=1e9"):
        status, told = await pair.post(given, model=False)
        assert status == 400, given
        assert told["detail"]
    listed = await scene.breakers(f"/circuit-breakers/{pair.first}")
    assert listed["open_count"] == 0


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
async def test_a_verb_is_post_only(scene: Scene, method: str) -> None:
    pair = scene.take("lone")
    await pair.trip()
    for verb in ("open", "close"):
        path = f"/circuit-breakers/{pair.first}/{pair.model}/{verb}"
        if method == "GET":
            assert (await scene.detour.get(path))[0] in (404, 405)
    assert (await pair.breaker())["state"] == "open"


# -- events ------------------------------------------------------------------------------------------------------------


async def transitions(told: AsyncIterator[Told], pair: Pair, count: int) -> list[Told]:
    """The next transitions of the first target."""
    found: list[Told] = []
    async with asyncio.timeout(PATIENCE):
        async for one in told:
            mine = one.event == "transition" and one.data["provider"] == pair.first
            if mine and one.data.get("model") == pair.model:
                found.append(one)
            if len(found) == count:
                break
    return found


async def test_transitions_are_told_as_they_happen(scene: Scene) -> None:
    pair = scene.take("quick")
    async with scene.events() as told:
        await pair.trip()
        await pair.may_be_tried()
        pair.will("ok")
        assert {(await pair.ask()).status for _ in range(2)} == {200}
        found = await transitions(told, pair, 3)
    assert [one.data["state"] for one in found] == ["open", "half_open", "closed"]
    assert all(one.data["reason"] for one in found)
    assert "503" in found[0].data["reason"]
    assert len({one.id for one in found} - {None}) == 3


async def test_a_reader_that_comes_back_has_missed_nothing(scene: Scene) -> None:
    pair = scene.take("lasting")
    pair.will("ok")
    await pair.ask()
    verbs = ["open?for=1m", "close"] * 6
    async with scene.events() as told:
        for verb in verbs[:3]:
            await pair.post(verb)
        begun = await transitions(told, pair, 3)
    for verb in verbs[3:]:
        await pair.post(verb)
    async with scene.events(last=begun[1].id) as told:
        rest = await transitions(told, pair, len(verbs) - 2)
    states = [one.data["state"] for one in [*begun[:2], *rest]]
    assert states == ["open", "closed"] * 6
    assert rest[0].id == begun[2].id, "the one after the last that was read"
    async with scene.events(last="no-such-event") as told:
        assert len(await transitions(told, pair, len(verbs))) == len(verbs), "all that is kept"


async def test_outcomes_are_summed_each_second(scene: Scene) -> None:
    pair = scene.take("lone")
    pair.will("ok")
    async with scene.events() as told:
        for _ in range(3):
            await pair.ask()
        total, seen = 0, 0
        async with asyncio.timeout(PATIENCE):
            async for one in told:
                if one.event != "outcomes":
                    continue
                assert one.id is None, "nothing to come back to"
                seen += 1
                total += _successes(one.data)
                if total >= 3:
                    break
    assert (total, seen <= 4) == (3, True)


def _successes(document: Any) -> int:
    """The number that stands under `success`, wherever it is."""
    if isinstance(document, dict):
        return sum(
            value if key == "success" and isinstance(value, int) else _successes(value)
            for key, value in document.items()
        )
    return 0


async def test_readers_are_limited_and_do_not_hurt_traffic(scene: Scene) -> None:
    pair = scene.take("lone")
    pair.will("ok")
    async with contextlib.AsyncExitStack() as stack:

        async def joins() -> bool:
            try:
                await stack.enter_async_context(scene.events())
            except AssertionError:
                return False
            return True

        for _ in range(32):
            # Those of the tests before may not be missed yet.
            await scene.comes(joins, bool)
        status, _ = await scene.detour.get("/v1/events")
        assert status == 503
        assert (await pair.ask()).status == 200
        assert (await scene.detour.get("/livez"))[0] == 200
    async with contextlib.AsyncExitStack() as stack:
        await scene.comes(joins, bool)


async def test_readers_do_not_keep_a_process_from_stopping(tmp_path: Path) -> None:
    async with contextlib.AsyncExitStack() as stack:
        async with open_scene(tmp_path, {"end": Sort(1)}) as scene:
            told = await stack.enter_async_context(scene.events())
            began = asyncio.get_running_loop().time()
        assert asyncio.get_running_loop().time() - began < 10
        assert [one async for one in told if one.event == "transition"] == [], "a clean end"


# -- metrics -----------------------------------------------------------------------------------------------------------


async def test_the_counters_tell_the_story_of_one_breaker(scene: Scene) -> None:
    pair = scene.take("lone")
    metric = scene.detour.metric
    await pair.trip()
    mine = {"provider": pair.first, "model": pair.model}
    assert await metric("detour_breaker_state", scope="target", state="open", **mine) == 1
    assert await metric("detour_breaker_state", scope="target", state="closed", **mine) == 0
    moved = {"scope": "target", "provider": pair.first, "from": "closed", "to": "open", "cause": "consecutive"}
    assert await metric("detour_breaker_transitions_total", **moved) == 1
    rejected = await metric("detour_rejections_total", kind="open", **mine)
    await pair.ask()
    await pair.ask()
    assert await metric("detour_rejections_total", kind="open", **mine) == rejected + 2
    assert await metric("detour_retries_total", provider=pair.first, cause="error") == 1
    assert await metric("detour_retry_budget_left", provider=pair.first) >= 0
    await pair.post("close")
    assert await metric("detour_breaker_state", scope="target", state="open", **mine) == 0
    moved = moved | {"from": "open", "to": "closed", "cause": "manual"}
    assert await metric("detour_breaker_transitions_total", **moved) == 1


async def test_reroutes_are_counted_from_and_to(scene: Scene) -> None:
    pair = scene.take("lasting")
    await pair.trip()
    way = {
        "from_provider": pair.first,
        "from_model": pair.model,
        "to_provider": pair.second,
        "to_model": pair.other,
    }
    metric = scene.detour.metric
    failed = await metric("detour_reroutes_total", cause="error", **way)
    assert failed == 1
    for _ in range(3):
        assert (await pair.ask()).header("x-detour-provider") == pair.second
    assert await metric("detour_reroutes_total", cause="open", **way) == 3
    assert await metric("detour_reroutes_total", **way) == failed + 3


# -- modes -------------------------------------------------------------------------------------------------------------


async def test_observe_judges_and_shows_and_blocks_nothing(scene: Scene) -> None:
    pair = scene.take("observed")
    await pair.trip()
    seen = len(pair.tries)
    pair.will("rate-limit-30")
    assert [(await pair.ask()).status for _ in range(3)] == [429] * 3
    assert len(pair.tries) >= seen + 3, "neither the breaker nor a hold-off is in the way"
    assert (await pair.breaker())["state"] == "open"
    assert await scene.detour.metric("detour_rejections_total", provider=pair.first) == 0
    assert await scene.detour.metric("detour_breaker_transitions_total", provider=pair.first) >= 1


async def test_off_judges_nothing(scene: Scene) -> None:
    pair = scene.take("off")
    pair.will("fail-503")
    for _ in range(8):
        assert (await pair.ask()).status == 503
    assert len(pair.tries) >= 8
    listed = await scene.breakers(f"/circuit-breakers/{pair.first}")
    assert listed["open_count"] == 0
    pair.will("rate-limit-30")
    seen = len(pair.tries)
    for _ in range(3):
        assert (await pair.ask()).status == 429
    assert len(pair.tries) >= seen + 3
    assert (await scene.detour.record(pair.first, pair.model))["error_count"] == len(pair.tries)


async def test_when_all_are_open_try_goes_to_one_all_the_same(tmp_path: Path) -> None:
    async with open_scene(tmp_path, {"all": Sort(1, breakers=LASTING)}, routing={"when_all_open": "try"}) as scene:
        pair = scene.take("all")
        pair.will("fail-503", "fail-503")
        for _ in range(4):
            await pair.ask()
        listed = await scene.breakers()
        assert listed["open_count"] == 2, listed
        pair.will("ok", "ok")
        opened = {key: row["generation"] for key, row in listed["circuit_breakers"].items()}
        for _ in range(4):
            assert (await pair.ask()).status == 200
        after = (await scene.breakers())["circuit_breakers"]
        assert {key: after[key]["generation"] for key in opened} == opened, "it is no trial and moves nothing"
        pair.will("fail-503", "fail-503")
        got = await pair.ask()
        assert got.status == 503
        assert got.header("x-should-retry") is None, "the provider's own answer, as it came"


async def test_routing_switched_off_pins_every_request(tmp_path: Path) -> None:
    async with open_scene(tmp_path, {"off": Sort(1, breakers=LASTING)}, routing={"enabled": False}) as scene:
        pair = scene.take("off")
        await pair.trip()
        got = await pair.ask()
        assert (got.status, waits(got)[1]) == (503, "false")
        assert not pair.others
