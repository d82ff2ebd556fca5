"""Open and nowhere to go: what is on the wire, in every dialect (semantics section 8)."""

from __future__ import annotations

import asyncio
import math
import re
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from tests.e2e.pairs import LASTING, Pair, Scene, Sort, open_scene, waits
from tests.e2e.said import own_message

pytestmark = pytest.mark.asyncio(loop_scope="module")

DIALECTS = ("openai", "anthropic", "gemini", "fal")
STREAMED = [(dialect, stream) for dialect in DIALECTS for stream in (False, True) if not (dialect == "fal" and stream)]
"""A stream of fal's is another model: its path says so."""


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def scene(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Scene]:
    sorts = {dialect: Sort(30, dialect, alone=True, breakers=LASTING) for dialect in DIALECTS}
    sorts |= {
        "pair": Sort(8, breakers=LASTING),
        "tried": Sort(4, breakers=LASTING, timeouts={"answer": "3s"}),
    }
    async with open_scene(tmp_path_factory.mktemp("answers"), sorts) as found:
        yield found


def names_both(pair: Pair, said: str) -> bool:
    return said.startswith(f"{pair.first}/{pair.model}: ")


@pytest.mark.parametrize(("dialect", "stream"), STREAMED)
async def test_open_is_503_until_the_next_trial(scene: Scene, dialect: str, stream: bool) -> None:
    pair = scene.take(dialect)
    opened = await pair.trip()
    seen = len(pair.tries)
    before = await pair.breaker()
    got = await pair.ask(stream=stream)
    after = await pair.breaker()
    assert (got.status, got.end) == (503, "clean")
    wait, again = waits(got)
    assert again == "false"
    assert math.ceil(after["seconds_until_retry"]) <= wait <= math.ceil(before["seconds_until_retry"])
    assert 0 < wait <= 50
    said = own_message(dialect, got)
    assert names_both(pair, said), said
    assert opened["reason"] in said, "what was seen"
    assert "503" in said
    assert len(pair.tries) == seen
    assert (got.header("x-detour-provider"), got.header("x-detour-model")) == (pair.first, pair.model)
    assert got.header("x-detour-attempts") == "0"
    assert got.header("x-detour-rerouted-from") is None
    assert re.fullmatch(r"detour;dur=\d+\.\d(, upstream;dur=0\.0)?", got.header("server-timing") or "")


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_a_breaker_opened_by_hand_is_503_too(scene: Scene, dialect: str) -> None:
    pair = scene.take(dialect)
    pair.will("ok")
    status, told = await pair.post("open?for=10m")
    assert (status, told["success"], told["state"]["state"]) == (200, True, "open")
    got = await pair.ask()
    assert got.status == 503
    wait, again = waits(got)
    assert (590 <= wait <= 600, again) == (True, "false")
    assert names_both(pair, own_message(dialect, got))
    assert not pair.tries


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_an_open_provider_is_503_for_every_model_of_it(scene: Scene, dialect: str) -> None:
    pair = scene.take(dialect)
    await pair.post("open?for=90s", model=False)
    got = await pair.ask()
    assert got.status == 503
    wait, again = waits(got)
    assert (85 <= wait <= 90, again) == (True, "false")
    own_message(dialect, got)
    assert not pair.tries


async def test_the_longest_of_several_reasons_is_the_one_told(scene: Scene) -> None:
    pair = scene.take("openai")
    await pair.trip()
    await pair.post("open?for=5m", model=False)
    wait, _ = waits(await pair.ask())
    assert 290 <= wait <= 300


async def test_both_open_is_503_and_no_attempt(scene: Scene) -> None:
    pair = scene.take("pair")
    for target in (f"{pair.first}/{pair.model}", f"{pair.second}/{pair.other}"):
        assert (await scene.post(f"/circuit-breakers/{target}/open?for=10m"))[0] == 200
    got = await pair.ask()
    assert (got.status, waits(got)[1]) == (503, "false")
    assert names_both(pair, own_message("openai", got))
    assert (len(pair.tries), len(pair.others)) == (0, 0)


async def test_a_request_that_is_pinned_is_answered_and_not_rerouted(scene: Scene) -> None:
    pair = scene.take("pair")
    await pair.trip()
    others = len(pair.others)
    got = await pair.ask("x-detour-route: off")
    assert (got.status, waits(got)[1]) == (503, "false")
    assert len(pair.others) == others
    rerouted = await pair.ask()
    assert (rerouted.status, rerouted.header("x-detour-provider")) == (200, pair.second)
    assert rerouted.header("x-detour-rerouted-from") == f"{pair.first}/{pair.model}"
    assert rerouted.header("x-detour-attempts") == "1"
    assert all(seen.header(b"x-detour-route") is None for seen in pair.tries + pair.others)


# -- credentials -------------------------------------------------------------------------------------------------------


CREDENTIALS = [
    ("openai", "fail-401", 401, False),
    ("openai", "fail-402", 402, False),
    ("openai", "fail-403", 403, True),
    ("openai", "fail-404", 404, True),
    ("openai", "quota", 429, False),
    ("anthropic", "fail-401", 401, False),
    ("anthropic", "quota", 400, False),
    ("anthropic", "fail-403", 403, True),
    ("gemini", "bad-key", 400, False),
    ("gemini", "fail-403", 403, True),
    ("fal", "fail-401", 401, False),
]


@pytest.mark.parametrize(
    ("dialect", "script", "status", "target"), CREDENTIALS, ids=[f"{row[0]}-{row[1]}" for row in CREDENTIALS]
)
async def test_a_key_that_is_refused_is_told_so_without_asking_again(
    scene: Scene, dialect: str, script: str, status: int, target: bool
) -> None:
    pair = scene.take(dialect)
    pair.will(script)
    theirs = [await pair.ask(key="sk-spoilt-key") for _ in range(2)]
    assert {got.status for got in theirs} == {status}
    assert {got.header("x-should-retry") for got in theirs} == {None}, "the provider's own answer, as it came"
    got = await pair.ask(key="sk-spoilt-key")
    assert (got.status, len(pair.tries)) == (status, 2)
    wait, again = waits(got)
    assert (40 < wait <= 50, again) == (True, "false")
    assert pair.first in own_message(dialect, got)
    assert b"spoilt" not in got.body
    pair.will("ok")
    assert (await pair.ask(key="sk-good-key")).status == 200
    assert (await pair.ask()).status == 200, "nor is it the provider's configured key"
    await _only_the_key_is_ill(pair, target)


async def _only_the_key_is_ill(pair: Pair, target: bool) -> None:
    listed = await pair.scene.breakers(f"/circuit-breakers/{pair.first}")
    opened = {key: row for key, row in listed["circuit_breakers"].items() if row["state"] == "open"}
    ((key, row),) = opened.items()
    begin = f"{pair.first}/{pair.model}" if target else pair.first
    assert re.fullmatch(re.escape(begin) + "#key:[0-9a-f]{8}", key), key
    assert row["scope"] == "credential"
    assert "spoilt" not in str(listed)
    assert (await pair.breaker())["state"] == "closed"
    record = await pair.scene.detour.record(pair.first, pair.model)
    assert record["circuit_breaker_state"] == "closed"


async def test_a_refused_key_goes_where_another_is_configured(scene: Scene) -> None:
    pair = scene.take("pair")
    pair.will("fail-401")
    answers = [await pair.ask(key="sk-spoilt-key") for _ in range(4)]
    assert {got.status for got in answers} == {200}
    assert {got.header("x-detour-provider") for got in answers} == {pair.second}
    assert [got.header("x-detour-attempts") for got in answers] == ["2", "2", "1", "1"]
    assert len(pair.tries) == 2
    keys = {seen.header(b"authorization") for seen in pair.others}
    assert keys == {f"Bearer sk-{pair.second}".encode()}, "nobody's credential ever reaches another provider"
    assert not any(b"spoilt" in value for seen in pair.others for _, value in seen.headers)


# -- hold-offs ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("dialect", "stream"), STREAMED)
async def test_a_hold_off_is_429_with_what_is_left_of_it(scene: Scene, dialect: str, stream: bool) -> None:
    pair = scene.take(dialect)
    pair.will("rate-limit-30")
    theirs = await pair.ask(key="sk-busy-key", stream=stream)
    assert theirs.status == 429
    got = await pair.ask(key="sk-busy-key", stream=stream)
    assert (got.status, got.end, len(pair.tries)) == (429, "clean", 1)
    wait, again = waits(got)
    assert (25 <= wait <= 30, again) == (True, None)
    assert pair.first in own_message(dialect, got)
    pair.will("ok")
    assert (await pair.ask(key="sk-idle-key", stream=stream)).status == 200, "another key has another limit"
    assert (await pair.breaker())["state"] == "closed", "a rate limit is no illness"


async def test_a_held_off_target_sends_its_traffic_elsewhere(scene: Scene) -> None:
    pair = scene.take("pair")
    pair.will("rate-limit-30")
    answers = [await pair.ask() for _ in range(3)]
    assert {(got.status, got.header("x-detour-provider")) for got in answers} == {(200, pair.second)}
    assert [got.header("x-detour-attempts") for got in answers] == ["2", "1", "1"]
    assert (len(pair.tries), len(pair.others)) == (1, 3)


async def test_a_short_hold_off_is_waited_for(scene: Scene) -> None:
    pair = scene.take("tried")
    await scene.post(f"/circuit-breakers/{pair.second}/{pair.other}/open?for=10m")
    pair.will("once@fault=rate-limit-1")
    loop = asyncio.get_running_loop()
    began = loop.time()
    first, second = await asyncio.gather(pair.ask(), pair.ask())
    assert {first.status, second.status} == {200}
    assert 0.9 < loop.time() - began < 3
    assert sorted(seen.status for seen in pair.tries) == [200, 200, 429]


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_names_that_are_no_text_are_data(scene: Scene, dialect: str) -> None:
    """A message never carries more than one line, whatever a provider said that opened the breaker."""
    pair = scene.take(dialect)

    def shout(talk: Any) -> None:
        body = b'{"error":{"message":"line\\r\\nX-Evil: 1\\u001b[31m sk-live-' + b"a" * 60 + b'","code":503}}'
        talk.send(talk.head(503, [(b"content-type", b"application/json")], length=len(body)) + body)
        talk.finish()

    scene.fake.scripts[pair.model] = shout
    opened = await pair.trip(pair.model)
    got = await pair.ask()
    assert got.status == 503
    assert got.header("x-evil") is None
    for text in (opened["reason"], own_message(dialect, got)):
        assert text.isprintable(), text
        assert "a" * 60 not in text
