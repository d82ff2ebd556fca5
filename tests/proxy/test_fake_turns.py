from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import pytest

from proxy.fake import FakeProvider
from proxy.fake_turns import out
from tests.proxy.fake_wire import ask, split


@pytest.fixture
async def fake() -> AsyncIterator[FakeProvider]:
    async with FakeProvider() as provider:
        yield provider


async def statuses(fake: FakeProvider, model: str, times: int) -> list[int]:
    return [split(await ask(fake.port, model))[0] for _ in range(times)]


async def test_flaky(fake: FakeProvider) -> None:
    assert await statuses(fake, "flaky@every=3", 6) == [200, 200, 503, 200, 200, 503]
    assert await statuses(fake, "a/flaky@every=2,fault=rate-limit-3", 2) == [200, 429]


@pytest.mark.parametrize(
    ("script", "seen"),
    [
        ("once", [503, 200, 200]),
        ("once@fault=fail-500", [500, 200, 200]),
        ("once@after=2,fault=rate-limit@retry=9", [429, 429, 200]),
        ("once@after=0", [200, 200, 200]),
    ],
)
async def test_once(fake: FakeProvider, script: str, seen: list[int]) -> None:
    assert await statuses(fake, script, 3) == seen


async def test_each_name_has_its_own_first_time() -> None:
    async with FakeProvider(models={"one": "once@fault=fail-500", "two": "once@fault=fail-500"}) as fake:
        assert await statuses(fake, "one", 2) == [500, 200]
        assert await statuses(fake, "two", 2) == [500, 200]


@pytest.mark.parametrize(
    ("since", "start", "window", "period", "on"),
    [
        (0, 0, 60, 0, True),
        (59.9, 0, 60, 0, True),
        (60, 0, 60, 0, False),
        (1e6, 0, 60, 0, False),
        (9.9, 10, 5, 0, False),
        (10, 10, 5, 0, True),
        (15, 10, 5, 0, False),
        (25, 10, 5, 15, True),
        (30, 10, 5, 15, False),
        (40.1, 10, 5, 15, True),
        (0, 0, 0, 0, False),
        (7, 0, 10, 5, True),
    ],
)
def test_when_an_outage_is_on(since: float, start: float, window: float, period: float, on: bool) -> None:
    assert out(since, start, window, period) is on


@pytest.mark.parametrize(
    ("options", "ago", "status"),
    [
        ("", 0, 503),
        ("", 61, 200),
        ("@window=120,fault=fail-500", 61, 500),
        ("@start=1000", 0, 200),
        ("@start=50,window=20", 60, 503),
        ("@start=50,window=20", 100, 200),
        ("@start=50,window=20,period=100", 160, 503),
    ],
)
async def test_outage(fake: FakeProvider, options: str, ago: float, status: int) -> None:
    """Its first request is put into the past instead of waiting."""
    model = f"outage{options}"
    fake.memory["outage", model] = asyncio.get_running_loop().time() - ago
    assert await statuses(fake, model, 2) == [status, status]


async def test_an_outage_begins_with_the_first_request(fake: FakeProvider) -> None:
    assert await statuses(fake, "outage@window=3600", 2) == [503, 503]
    assert fake.log[0].at <= fake.memory["outage", "outage@window=3600"] <= fake.log[1].at


async def test_in_between_it_answers_as_its_options_say(fake: FakeProvider) -> None:
    _, _, body = split(await ask(fake.port, "outage@start=3600,events=2", stream=True))
    assert fake.log[0].events == 2
    assert body.endswith(b"data: [DONE]\n\n")


async def test_limited(fake: FakeProvider) -> None:
    answers = [split(await ask(fake.port, "limited@after=2,window=60")) for _ in range(4)]
    assert [status for status, _, _ in answers] == [200, 200, 429, 429]
    assert 1 <= int(answers[3][1][b"retry-after"]) <= 60
    assert split(await ask(fake.port, "other/limited@after=1,window=60"))[0] == 200
    status, _, body = split(await ask(fake.port, path="/v1beta/models/limited%40after%3D0:generateContent"))
    assert status == 429
    assert json.loads(body)["error"]["details"][0]["retryDelay"] == "10s"
