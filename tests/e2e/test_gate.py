"""The gate: until the first content no client notices which target failed; and whose patience counts."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from typing import Any

import anthropic
import openai
import pytest
import pytest_asyncio

from tests.e2e.caller import Got, plain
from tests.e2e.court import together
from tests.e2e.pairs import Pair, Scene, Sort, ask_and_watch, open_scene
from tests.e2e.said import own_message, told
from tests.e2e.world import client

pytestmark = pytest.mark.asyncio(loop_scope="module")

DIALECTS = ("openai", "anthropic", "gemini")
UNSEEN = [
    "silent",
    "stall@after=0",
    "stall-comments@after=0,gap=0.05",
    "error-first",
    "error-first@status=503",
    "error-first@status=429",
    "cut@after=0",
    "reset@after=0",
    "truncate@after=0",
    "close-before",
    "reset-before",
    "garbage",
    "bad-framing",
    "fail-500",
    "fail-503",
    "fail-504",
    "rate-limit-5",
    "slow-first@first=3",
]
"""What may go wrong with a stream before its first content."""
SILENT = ("silent", "stall@after=0", "stall-comments@after=0,gap=0.05", "slow-first@first=3")
WHOLE = ["silent", "fail-500", "fail-503", "fail-504", "reset-before", "garbage", "error-200", "cut", "short"]
"""What may go wrong with an answer that is no stream."""
MARGIN = 0.25
"""Seconds by which Detour gives up before a client would."""
SLACK = 0.6
"""Seconds a busy machine may be late."""
TURNS = 3
"""How often something is tried that a busy machine may be too late for; a breaker opens later."""


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def scene(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Scene]:
    hasty = {"first_byte": "500ms", "idle": "800ms", "answer": "500ms"}
    sorts = {dialect: Sort(36, dialect, timeouts=hasty) for dialect in DIALECTS}
    sorts |= {
        "patient": Sort(40, alone=True),
        "roomy": Sort(12),
        "calm": Sort(4, "anthropic", alone=True),
    }
    async with open_scene(tmp_path_factory.mktemp("gate"), sorts, limits={"replay": "64KiB"}) as found:
        yield found


def readable(got: Got) -> bytes:
    """A stream without what differs from one answer to the next."""
    return re.sub(rb"fake\d+|msg_\w+|req_\w+", b"#", plain(got.body))


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_a_stream_that_fails_before_its_content_moves_unseen(scene: Scene, dialect: str) -> None:
    await together(*(moves_unseen(scene.take(dialect), script) for script in UNSEEN))


async def moves_unseen(pair: Pair, script: str) -> None:
    pair.will(script)
    alone = await pair.directly(stream=True)
    got = await pair.ask(stream=True)
    assert (got.status, got.end) == (200, "clean"), (script, got)
    assert readable(got) == readable(alone), f"{script}: one clean stream, and nothing of the first"
    comes_from_the_other(pair, got)
    # What a dead idle connection took with it is sent once more, and that was no attempt.
    tries = [seen for seen in pair.tries if seen.status or not seen.reused or "before" not in script]
    assert got.header("x-detour-attempts") == str(len(tries) + 1), script
    assert len(tries) in (1, 2), script
    if script in SILENT:
        assert len(tries) == 1, f"{script}: a silent route is never asked twice"
        await pair.scene.fake.until(lambda: pair.tries[0].aborted)


def comes_from_the_other(pair: Pair, got: Got) -> None:
    assert got.header("x-detour-provider") == pair.second
    assert got.header("x-detour-model") == pair.other
    assert got.header("x-detour-rerouted-from") == f"{pair.first}/{pair.model}"
    assert len(pair.others) == 1


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_an_answer_that_is_no_stream_moves_too(scene: Scene, dialect: str) -> None:
    await together(*(moves_whole(scene.take(dialect), script) for script in WHOLE))


async def moves_whole(pair: Pair, script: str) -> None:
    pair.will(script)
    alone = await pair.directly()
    got = await pair.ask()
    assert (got.status, got.end) == (200, "clean"), (script, got)
    assert readable(got) == readable(alone), script
    comes_from_the_other(pair, got)


@pytest.mark.parametrize("script", ["stall@after=1", "cut@after=1", "error-late@after=1"])
async def test_after_its_first_content_a_stream_stays(scene: Scene, script: str) -> None:
    pair = scene.take("openai")
    pair.will(script)
    got = await pair.ask(stream=True)
    assert (got.status, got.header("x-detour-provider")) == (200, pair.first)
    assert b'"error"' in got.body
    assert not pair.others
    assert got.header("x-detour-attempts") == "1"


async def test_a_body_too_large_to_keep_stays_where_it_went(scene: Scene) -> None:
    """Nothing can be sent a second time that is not there any more: the provider's own answer passes as it came."""
    pair = scene.take("openai")
    pair.will("fail-503")
    got = await pair.ask(pad="x" * 300_000)
    assert (got.status, got.header("x-detour-provider"), got.header("x-detour-attempts")) == (503, pair.first, "1")
    assert got.header("x-should-retry") is None
    assert (len(pair.tries), len(pair.others)) == (1, 0)
    await pair.post("open?for=1m")
    got = await pair.ask(pad="x" * 300_000)
    assert (got.status, got.header("x-should-retry")) == (503, "false")
    assert (len(pair.tries), len(pair.others)) == (1, 0)


async def test_a_connection_goes_on_through_all_of_it(scene: Scene) -> None:
    pair = scene.take("openai")
    found = []
    async with client(scene.detour.port) as peer:
        for script, other in (
            ("ok", "ok"),
            ("fail-503", "ok"),
            ("silent", "ok"),
            ("fail-500", "fail-500"),
            ("ok", "ok"),
        ):
            pair.will(script, other)
            await peer.send(pair.request(stream=script == "silent"))
            status, fields, _ = await peer.answer()
            found.append((status, dict(fields)[b"x-detour-provider"].decode()))
        await pair.post("open?for=1m", model=False)
        await peer.send(pair.request("x-detour-route: off"))
        status, fields, _ = await peer.answer()
        found.append((status, dict(fields)[b"x-should-retry"].decode()))
    assert found[:3] == [(200, pair.first), (200, pair.second), (200, pair.second)]
    assert found[3][0] == 500
    assert (found[4][0], found[5]) == (200, (503, "false"))


# -- the exchange's deadline -------------------------------------------------------------------------------------------


async def timed(pair: Pair, *fields: str, stream: bool = False) -> tuple[Got, float]:
    """The answer, and how long it took in all."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    got = await pair.ask(*fields, stream=stream)
    return got, loop.time() - began


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("sort", ["patient", "roomy"])
async def test_a_deadline_bounds_a_silent_exchange(scene: Scene, sort: str, stream: bool) -> None:
    pair = scene.take(sort)
    pair.will("silent", "silent")
    got, took = await timed(pair, "x-detour-deadline-ms: 700", stream=stream)
    assert got.status == 504
    assert own_message("openai", got)
    assert 0.4 < took < 0.7 + SLACK
    assert len(pair.tries) + len(pair.others) <= 2
    await scene.fake.until(lambda: all(seen.aborted for seen in pair.tries + pair.others))


async def test_a_deadline_bounds_a_stream_that_goes_on(scene: Scene) -> None:
    pair = scene.take("patient")
    pair.will("ok@events=100,gap=0.1")
    got, took = await timed(pair, "x-detour-deadline-ms: 700", stream=True)
    assert (got.status, got.end) == (200, "fin"), "never a clean end"
    assert 0.4 < took < 0.7 + SLACK
    assert b'"error"' in got.body
    assert b"[DONE]" not in got.body


async def test_a_deadline_bounds_the_waits_between_attempts(scene: Scene) -> None:
    pair = scene.take("patient")
    pair.will("rate-limit-2")
    got, took = await timed(pair, "x-detour-deadline-ms: 500")
    assert got.status == 429
    assert took < 0.5 + SLACK
    assert len(pair.tries) == 1, "no attempt is started that cannot fit"


@pytest.mark.parametrize("value", ["30000", "0", "", "-5", "soon", "1e3", "9" * 40, "700, 700"])
async def test_a_deadline_that_is_far_or_no_number_is_no_limit(scene: Scene, value: str) -> None:
    pair = scene.take("patient")
    pair.will("ok@delay=0.2")
    got = await pair.ask(f"x-detour-deadline-ms: {value}")
    assert got.status in ((200,) if value == "30000" else (200, 400, 504)), got
    assert all(seen.header(b"x-detour-deadline-ms") is None for seen in pair.tries)


# -- the client's own patience -----------------------------------------------------------------------------------------


FIELDS = ["x-stainless-read-timeout", "x-stainless-timeout"]


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("field", FIELDS)
async def test_a_clients_patience_bounds_the_time_to_the_first_byte(scene: Scene, field: str, stream: bool) -> None:
    pair = scene.take("patient")
    pair.will("silent")
    times: list[float] = []
    while len(times) < TURNS and (not times or times[-1] >= 1.0):
        got, took = await timed(pair, f"{field}: 1.0", stream=stream)
        assert got.status == 504
        assert own_message("openai", got)
        times.append(took)
    assert 1.0 - MARGIN - 0.05 <= times[-1] < 1.0, f"just before the client would have given up: {times}"
    assert pair.tries[0].header(field.encode()) == b"1.0", "it is the client's and goes along"


@pytest.mark.parametrize("field", FIELDS)
async def test_a_clients_patience_bounds_the_gaps(scene: Scene, field: str) -> None:
    pair = scene.take("patient")
    pair.will("stall@after=4,gap=0.3")
    got, took = await timed(pair, f"{field}: 1.0", stream=True)
    assert (got.status, got.end) == (200, "fin")
    assert b'"error"' in got.body
    # Four events, 0.3 s apart, and then the gap.
    assert 0.9 + 1.0 - MARGIN - 0.05 <= took < 1.2 + 1.0 + SLACK


@pytest.mark.parametrize("field", FIELDS)
async def test_patience_is_no_limit_on_a_stream_that_goes_on(scene: Scene, field: str) -> None:
    pair = scene.take("patient")
    pair.will("ok@events=8,gap=0.2")
    got, took = await timed(pair, f"{field}: 0.8", stream=True)
    assert (got.status, got.end) == (200, "clean")
    assert took > 1.0


@pytest.mark.parametrize("field", FIELDS)
async def test_no_patience_is_no_limit(scene: Scene, field: str) -> None:
    pair = scene.take("patient")
    pair.will("ok@delay=0.4")
    values = ["0", "0.0", "-1", "NaN", "inf", "NOT_GIVEN", "", "600", "1e9", "0x10", "9" * 400]
    answers = await asyncio.gather(*(pair.ask(f"{field}: {value}") for value in values))
    assert [got.status for got in answers] == [200] * len(values)


CLIENTS: list[tuple[str, Any]] = [("patient", openai.AsyncOpenAI), ("calm", anthropic.AsyncAnthropic)]


@pytest.mark.parametrize(("sort", "make"), CLIENTS, ids=["openai", "anthropic"])
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
async def test_an_sdk_is_answered_before_its_own_limit(scene: Scene, sort: str, make: Any, stream: bool) -> None:
    """It gets a reason instead of a timeout of its own, and the provider is told to stop."""
    pair = scene.take(sort)
    pair.will("silent")
    base = f"{pair.origin}/v1" if sort == "patient" else pair.origin
    ask = {"model": pair.model, "messages": [{"role": "user", "content": "Where to?"}], "max_tokens": 9}
    async with make(base_url=base, api_key="sk-caller", max_retries=0, timeout=1.5) as client:
        create = client.chat.completions.create if sort == "patient" else client.messages.create
        raised: Any = None
        for _ in range(TURNS):
            with pytest.raises((openai.APIError, anthropic.APIError)) as caught:
                await create(**ask, stream=stream)
            raised = caught.value
            if not isinstance(raised, openai.APITimeoutError | anthropic.APITimeoutError):
                break
    assert isinstance(raised, openai.APIStatusError | anthropic.APIStatusError), raised
    assert raised.status_code == 504
    assert f"{pair.first}/{pair.model}" in str(raised)
    await scene.fake.until(lambda: pair.tries[0].aborted)


async def test_an_sdk_with_patience_left_gets_the_other_targets_answer(scene: Scene) -> None:
    pair = scene.take("openai")
    pair.will("silent")
    base = f"{pair.origin}/v1"
    async with openai.AsyncOpenAI(base_url=base, api_key="sk-caller", max_retries=0, timeout=5.0) as client:
        stream = await client.chat.completions.create(
            model=pair.model, messages=[{"role": "user", "content": "Where to?"}], stream=True
        )
        words = [event.choices[0].delta.content or "" for event in [one async for one in stream] if event.choices]
    assert "".join(words).startswith("Detour keeps")
    assert (len(pair.tries), len(pair.others)) == (1, 1)


async def test_the_head_waits_for_the_first_content(scene: Scene) -> None:
    """Comments are not content: while nothing is proved, nothing is sent."""
    pair = scene.take("roomy")
    pair.will("slow-comments@first=1.5,gap=0.1")
    got, first = await ask_and_watch(scene.detour.port, pair.request(stream=True), 10)
    assert first >= 1.4
    assert (got.status, got.end, got.header("x-detour-provider")) == (200, "clean", pair.first)


async def test_an_error_of_ours_after_the_gate_is_in_the_callers_dialect(scene: Scene) -> None:
    pair = scene.take("anthropic")
    pair.will("stall@after=2")
    got = await pair.ask(stream=True)
    event = got.body.rpartition(b"event: error\ndata: ")[2]
    assert f"{pair.first}/{pair.model}" in told("anthropic", json.loads(event), 504)
