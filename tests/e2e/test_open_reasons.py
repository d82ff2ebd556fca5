"""Why breakers open under real traffic: in a row, by rate, by slowness, at a host or at one of its models."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from tests.e2e.caller import connect
from tests.e2e.pairs import Pair, Scene, Sort, open_scene

pytestmark = pytest.mark.asyncio(loop_scope="module")

RATE = {"failure_threshold": 1000, "min_requests": 10, "failure_rate": 0.5, "open_for": "50s", "jitter": 0}
SLOW = RATE | {"slow_first_byte": "400ms", "slow_rate": 0.8, "min_requests": 4}
LATE = "ok@first=0.8"
"""A stream whose first content is later than `slow_first_byte` allows."""


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def scene(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Scene]:
    sorts = {
        "plain": Sort(12, alone=True),
        "rate": Sort(6, alone=True, breakers=RATE),
        "slow": Sort(8, breakers=SLOW),
        "trial": Sort(1, breakers=SLOW | {"open_for": "500ms"}),
        "only": Sort(2, alone=True, breakers=SLOW),
        "keyed": Sort(2, "anthropic", breakers=SLOW),
    }
    async with open_scene(tmp_path_factory.mktemp("reasons"), sorts) as found:
        yield found


async def rows(pair: Pair) -> dict[str, Any]:
    """The breakers of the first provider."""
    listed = await pair.scene.breakers(f"/circuit-breakers/{pair.first}")
    return dict(listed["circuit_breakers"])


IN_A_ROW = [
    ("fail-500", "target", "500"),
    ("fail-503", "target", "503"),
    ("fail-504", "target", "504"),
    ("error-200", "target", ""),
    ("cut", "target", ""),
    ("reset-before", "provider", ""),
    ("garbage", "provider", ""),
    ("bad-framing", "provider", ""),
]


@pytest.mark.parametrize(("script", "scope", "said"), IN_A_ROW, ids=[row[0] for row in IN_A_ROW])
async def test_five_in_a_row_open_the_one_that_is_to_blame(scene: Scene, script: str, scope: str, said: str) -> None:
    pair = scene.take("plain")
    pair.will(script)
    while (got := await pair.ask()).header("x-detour-attempts") != "0":
        pass
    assert got.status == 503
    found = await rows(pair)
    key = pair.first if scope == "provider" else f"{pair.first}/{pair.model}"
    assert [name for name, row in found.items() if row["state"] == "open"] == [key]
    assert "5 failures in a row" in found[key]["reason"]
    assert said in found[key]["reason"]
    assert await scene.detour.metric("detour_attempts_total", provider=pair.first) == 5


async def test_half_of_what_is_asked_opens_it_by_rate(scene: Scene) -> None:
    pair = scene.take("rate")
    pair.will("flaky@every=2")
    while (await pair.ask()).header("x-detour-attempts") != "0":
        pass
    found = await pair.breaker()
    assert found["state"] == "open"
    assert "5 of 10 requests failed in 60 s" in found["reason"]
    assert len(pair.tries) == 10


async def test_one_ill_model_condemns_no_host_and_two_do(scene: Scene) -> None:
    pair = scene.take("rate")
    pair.will("fail-504")
    scene.fake.models["another"] = "ok"
    for _ in range(6):
        await pair.ask()
    assert (await rows(pair))[pair.first]["state"] == "closed"
    await pair.post("close")
    scene.fake.models["another"] = "fail-504"
    mine, pair.model = pair.model, "another"
    await pair.ask()
    found = await rows(pair)
    pair.model = mine
    assert found[pair.first]["state"] == "open"
    assert "2 models" in found[pair.first]["reason"]


# -- slowness ----------------------------------------------------------------------------------------------------------


async def crowd(pair: Pair, count: int = 4, **more: Any) -> None:
    """So many streams side by side."""
    answers = await asyncio.gather(*(pair.ask(stream=True, **more) for _ in range(count)))
    assert {got.status for got in answers} == {200}


async def test_streams_that_begin_late_open_it(scene: Scene) -> None:
    pair = scene.take("slow")
    pair.will(LATE)
    await crowd(pair)
    found = await pair.is_state("open")
    assert "4 of 4 streamed answers took longer than 0.4 s" in found["reason"]
    assert (await pair.ask()).header("x-detour-provider") == pair.second
    record = await scene.detour.record(pair.first, pair.model)
    assert record["error_count"] == 0, "slow is no failure"


@pytest.mark.parametrize(
    ("sort", "script", "stream", "more"),
    [
        ("only", LATE, True, {}),
        ("slow", "ok@delay=0.8", False, {}),
        ("slow", "slow-comments@first=0.1,gap=0.02", True, {}),
        ("slow", LATE, True, {"reasoning_effort": "high"}),
        ("keyed", LATE, True, {"thinking": {"type": "enabled", "budget_tokens": 1024}}),
    ],
    ids=["nothing-stands-in", "not-streamed", "quick", "reasoning", "thinking"],
)
async def test_what_does_not_count_as_slow(
    scene: Scene, sort: str, script: str, stream: bool, more: dict[str, Any]
) -> None:
    pair = scene.take(sort)
    pair.will(script)
    answers = await asyncio.gather(*(pair.ask(stream=stream, **more) for _ in range(6)))
    assert {got.status for got in answers} == {200}
    await scene.still()
    assert (await pair.breaker())["state"] == "closed"
    assert (await pair.ask(stream=stream, **more)).header("x-detour-provider") == pair.first


@pytest.mark.parametrize(("stays", "state"), [(0.7, "open"), (0.02, "closed")])
@pytest.mark.parametrize("known", [True, False], ids=["known", "new"])
async def test_callers_that_give_up_late_have_seen_it_slow(scene: Scene, stays: float, state: str, known: bool) -> None:
    """They give up before a provider that hangs is timed out here."""
    pair = scene.take("slow")
    if known:
        pair.will("ok")
        await pair.ask()
    pair.will("silent")
    wires = [await connect(scene.detour.port) for _ in range(5)]
    for wire in wires:
        wire.transport.write(pair.request(stream=True))
    await scene.fake.until(lambda: len(pair.tries) == 5 + known)
    await asyncio.sleep(stays)
    for wire in wires:
        wire.transport.close()
    await scene.still()
    assert (await rows(pair)).get(f"{pair.first}/{pair.model}", {"state": "closed"})["state"] == state


async def test_a_slow_trial_fails_where_slowness_opened_it(scene: Scene) -> None:
    pair = scene.take("trial")
    pair.will(LATE)
    await crowd(pair)
    await pair.is_state("open")
    await pair.may_be_tried()
    assert (await pair.ask(stream=True)).header("x-detour-provider") == pair.first
    again = await pair.is_state("open")
    assert 0.5 < again["seconds_until_retry"] <= 1.0
    await pair.may_be_tried()
    pair.will("ok")
    assert [(await pair.ask(stream=True)).header("x-detour-provider") for _ in range(2)] == [pair.first] * 2
    await pair.is_state("closed")
