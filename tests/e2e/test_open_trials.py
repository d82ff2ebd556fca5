"""Half-open: who may try, what a trial decides, and that none is lost."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from tests.e2e.caller import connect, reset
from tests.e2e.pairs import QUICK, Pair, Scene, Sort, open_scene, waits
from tests.e2e.said import own_message
from tests.e2e.world import PATIENCE

pytestmark = pytest.mark.asyncio(loop_scope="module")

CROWD = 50


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def scene(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Scene]:
    timeouts = {"first_byte": "5s", "idle": "5s", "answer": "5s"}
    sorts = {
        "lone": Sort(30, alone=True, breakers=QUICK, timeouts=timeouts),
        "pair": Sort(10, breakers=QUICK, timeouts=timeouts),
        "three": Sort(2, alone=True, breakers=QUICK | {"half_open_requests": 3}, timeouts=timeouts),
        "once": Sort(2, alone=True, breakers=QUICK | {"success_threshold": 1}, timeouts=timeouts),
    }
    async with open_scene(tmp_path_factory.mktemp("trials"), sorts, limits={"replay": "64KiB"}) as found:
        yield found


async def ready(pair: Pair, script: str) -> int:
    """Trip it, wait until it may be tried, let the provider do `script`; how many requests it has seen."""
    await pair.trip()
    await pair.may_be_tried()
    pair.will(script)
    return len(pair.tries)


@pytest.mark.parametrize(("sort", "most"), [("lone", 1), ("three", 3)])
async def test_of_a_crowd_only_so_many_reach_the_provider(scene: Scene, sort: str, most: int) -> None:
    pair = scene.take(sort)
    seen = await ready(pair, "ok@delay=0.7")
    answers = await asyncio.gather(*(pair.ask() for _ in range(CROWD)))
    assert len(pair.tries) == seen + most
    assert Counter(got.status for got in answers) == {200: most, 503: CROWD - most}
    for got in answers:
        if got.status == 503:
            assert waits(got) == (1, "false")
            assert f"{pair.first}/{pair.model}: " in own_message("openai", got)


async def test_a_crowd_beside_a_trial_goes_to_the_other_target(scene: Scene) -> None:
    pair = scene.take("pair")
    seen = await ready(pair, "ok@delay=0.7")
    others = len(pair.others)
    answers = await asyncio.gather(*(pair.ask() for _ in range(CROWD)))
    assert {got.status for got in answers} == {200}
    assert (len(pair.tries), len(pair.others)) == (seen + 1, others + CROWD - 1)
    found = Counter(got.header("x-detour-provider") for got in answers)
    assert found == {pair.first: 1, pair.second: CROWD - 1}


async def test_a_crowd_at_an_open_provider_sends_one_too(scene: Scene) -> None:
    pair = scene.take("lone")
    pair.will("reset-before")
    while (await pair.ask()).status != 503:
        pass

    async def row() -> Any:
        return (await scene.breakers(f"/circuit-breakers/{pair.first}"))["circuit_breakers"][pair.first]

    await scene.comes(row, lambda found: found["state"] == "open" and found["seconds_until_retry"] == 0)
    pair.will("ok@delay=0.7")
    seen = len(pair.tries)
    answers = await asyncio.gather(*(pair.ask() for _ in range(CROWD)))
    assert Counter(got.status for got in answers) == {200: 1, 503: CROWD - 1}
    assert len(pair.tries) == seen + 1


async def test_of_a_crowd_at_two_open_targets_each_gets_one(scene: Scene) -> None:
    pair = scene.take("pair")
    pair.will("fail-503", "fail-503")
    async with asyncio.timeout(PATIENCE):
        while (await pair.ask()).header("x-detour-attempts") != "0":
            pass
    await pair.may_be_tried()

    async def row() -> Any:
        return (await scene.breakers(f"/circuit-breakers/{pair.second}"))["circuit_breakers"]

    await scene.comes(row, lambda rows: rows[f"{pair.second}/{pair.other}"]["seconds_until_retry"] == 0)
    pair.will("ok@delay=0.7", "ok@delay=0.7")
    seen = (len(pair.tries), len(pair.others))
    answers = await asyncio.gather(*(pair.ask() for _ in range(CROWD)))
    assert Counter(got.status for got in answers) == {200: 2, 503: CROWD - 2}
    assert (len(pair.tries), len(pair.others)) == (seen[0] + 1, seen[1] + 1)
    assert {waits(got) for got in answers if got.status == 503} == {(1, "false")}


async def test_two_trials_close_it(scene: Scene) -> None:
    pair = scene.take("lone")
    await ready(pair, "ok")
    states = []
    for _ in range(3):
        assert (await pair.ask()).status == 200
        states.append((await pair.is_settled())["state"])
    assert states == ["half_open", "closed", "closed"]


async def test_one_trial_closes_it_where_one_is_enough(scene: Scene) -> None:
    pair = scene.take("once")
    await ready(pair, "ok")
    assert (await pair.ask()).status == 200
    await pair.is_state("closed")


async def test_a_failed_trial_opens_it_for_twice_as_long(scene: Scene) -> None:
    pair = scene.take("lone")
    seen = await ready(pair, "fail-503")
    got = await pair.ask()
    assert got.status == 503
    assert len(pair.tries) == seen + 1, "the trial's failure is not tried again on a target that has just opened"
    again = await pair.is_state("open")
    assert 1.0 < again["seconds_until_retry"] <= 2.0
    assert "trial" in again["reason"]
    refused = await pair.ask()
    assert (waits(refused)[0], len(pair.tries)) == (2, seen + 1)


@pytest.mark.parametrize("how", ["fin", "rst"])
@pytest.mark.parametrize("script", ["silent", "stall@after=0"])
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
async def test_a_client_that_leaves_during_its_trial_frees_it(
    scene: Scene, how: str, script: str, stream: bool
) -> None:
    pair = scene.take("lone")
    seen = await ready(pair, script)
    wire = await connect(scene.detour.port)
    wire.transport.write(pair.request(stream=stream))
    await scene.fake.until(lambda: len(pair.tries) == seen + 1)
    assert (await pair.ask()).status == 503, "the one trial is out"
    if how == "fin":
        wire.transport.close()
    else:
        reset(wire.transport)
    await scene.fake.until(lambda: pair.tries[-1].aborted)
    assert (await pair.is_settled())["state"] == "half_open", "it decided nothing"
    pair.will("ok")
    assert [(await pair.ask()).status for _ in range(2)] == [200, 200]
    await pair.is_state("closed")


LARGE = 1 << 20
"""Bytes of a body that is sent on before all of it has come."""
UPLOADS = {
    "leaves": (f"Content-Length: {LARGE}", b"x" * 200_000),
    "breaks": ("Transfer-Encoding: chunked", b"30d40\r\n" + b"x" * 200_000 + b"\r\nno size\r\n"),
}


@pytest.mark.parametrize("how", UPLOADS)
async def test_a_body_that_never_ends_frees_its_trial(scene: Scene, how: str) -> None:
    pair = scene.take("lone")
    seen = await ready(pair, "ok")
    field, body = UPLOADS[how]
    wire = await connect(scene.detour.port)
    head = pair.request().partition(b"\r\nContent-Length")[0] + f"\r\n{field}\r\n\r\n".encode()
    begun = f'{{"model":"{pair.model}","messages":[],"pad":"'.encode()
    if how == "breaks":
        begun = b"%x\r\n%b\r\n" % (len(begun), begun)
    wire.transport.write(head + begun + body)
    if how == "leaves":
        await scene.fake.until(lambda: len(pair.tries) == seen + 1)
        reset(wire.transport)
    else:
        assert (await wire.result()).status == 400
        wire.transport.close()
    assert (await pair.is_settled())["state"] in ("open", "half_open"), "it decided nothing"
    pair.will("ok")
    assert [(await pair.ask()).status for _ in range(2)] == [200, 200]
    await pair.is_state("closed")


async def test_a_client_that_leaves_while_a_hold_off_is_waited_for_is_forgotten(scene: Scene) -> None:
    pair = scene.take("lone")
    pair.will("rate-limit-1")
    wire = await connect(scene.detour.port)
    wire.transport.write(pair.request())
    await scene.fake.until(lambda: len(pair.tries) == 1 and pair.tries[0].status == 429)
    reset(wire.transport)
    await scene.still()
    pair.will("ok")
    assert (await pair.ask()).status == 200  # waits for the hold-off itself
    assert len(pair.tries) == 2, "nobody asked for the one that left"


async def test_a_stream_proves_itself_at_its_first_content(scene: Scene) -> None:
    """A long answer must not hold up recovery: the next trial may go while it is still on its way."""
    pair = scene.take("lone")
    await ready(pair, "ok@events=12,gap=0.1")
    wire = await connect(scene.detour.port)
    wire.transport.write(pair.request(stream=True))
    await scene.fake.until(lambda: b'"content":"Detour' in bytes(wire.raw))
    pair.will("ok")
    second = await pair.ask()
    assert second.status == 200
    assert not wire.over.done(), "the first trial is still being told"
    assert (await pair.breaker())["state"] == "closed"
    assert (await wire.result()).end == "clean"
    wire.transport.close()


async def test_a_proved_stream_that_breaks_while_half_open_opens_it_again(scene: Scene) -> None:
    pair = scene.take("lone")
    await ready(pair, "reset@after=3,gap=0.05")
    got = await pair.ask(stream=True)
    assert (got.status, got.end) == (200, "fin")
    again = await pair.is_state("open")
    assert again["reason"]


@pytest.mark.parametrize("script", ["fail-400", "policy", "rate-limit@retry=0.05,form=ms"])
async def test_a_trial_that_says_nothing_of_the_target_decides_nothing(scene: Scene, script: str) -> None:
    pair = scene.take("lone")
    seen = await ready(pair, script)
    await pair.ask()
    assert len(pair.tries) > seen
    assert (await pair.is_settled())["state"] == "half_open"
    pair.will("ok")
    await asyncio.sleep(0.1)  # the hold-off
    assert [(await pair.ask()).status for _ in range(2)] == [200, 200]
    await pair.is_state("closed")


async def test_a_late_failure_from_before_the_trip_changes_nothing(scene: Scene) -> None:
    pair = scene.take("lone")
    pair.will("fail-503@delay=2.5")
    late = [asyncio.create_task(pair.ask("x-detour-route: off")) for _ in range(10)]
    await scene.fake.until(lambda: len(pair.tries) == 10)
    await ready(pair, "ok")
    assert [(await pair.ask()).status for _ in range(2)] == [200, 200]
    closed = await pair.is_state("closed")
    answers = await asyncio.gather(*late)
    assert {got.status for got in answers} <= {200, 503}
    after = await pair.breaker()
    assert (after["state"], after["generation"]) == ("closed", closed["generation"])


@pytest.mark.parametrize("how", ["x-detour-deadline-ms: 60", "x-stainless-read-timeout: 0.3", "leaves"])
async def test_no_caller_can_open_a_breaker_by_hurrying(scene: Scene, how: str) -> None:
    """A limit that is the caller's own says nothing of the provider (section 7: no caller can hurt another)."""
    pair = scene.take("pair")
    pair.will("ok@delay=0.3", "ok@delay=0.3")
    for _ in range(6):
        if how != "leaves":
            await pair.ask(how)
        else:
            wire = await connect(scene.detour.port)
            count = len(pair.tries)
            wire.transport.write(pair.request())
            await scene.fake.until(lambda count=count: len(pair.tries) > count)  # type: ignore[misc]
            reset(wire.transport)
    await scene.still()
    listed = await scene.breakers(f"/circuit-breakers/{pair.first}")
    assert listed["open_count"] == 0, listed
    got = await pair.ask()
    assert (got.status, got.header("x-detour-provider")) == (200, pair.first)
