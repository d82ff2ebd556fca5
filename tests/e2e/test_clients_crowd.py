"""Two hundred callers at once, of all fates: afterwards everybody who counts has counted the same."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any, NamedTuple
from urllib.parse import quote

import aiohttp
import pytest
import pytest_asyncio
from yarl import URL

from proxy.fake import Ended
from tests.e2e.road import CALLER_KEY, Metrics, Road, descriptors, open_road
from tests.e2e.world import PATIENCE, eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")

CALLERS = 200
CALLS = 6

PATHS = {
    ("openai", "chat"): "/v1/chat/completions",
    ("openai", "responses"): "/v1/responses",
    ("openai", "embeddings"): "/v1/embeddings",
    ("anthropic", "messages"): "/v1/messages",
    ("gemini", "generate"): "/v1beta/models/{}:generateContent",
    ("gemini", "stream"): "/v1beta/models/{}:streamGenerateContent?alt=sse",
    ("fal", "run"): "/{}",
}


class Fate(NamedTuple):
    """A script, what an attempt at it comes to and which status the client gets: not streamed and streamed."""

    script: str
    whole: tuple[str, int]
    streamed: tuple[str, int]


OK = ("success", 200)
FATES = [
    *[Fate("ok", OK, OK)] * 6,
    Fate("ok@events=60,gap=0.002", OK, OK),
    Fate("slow-first@first=0.05", OK, OK),
    Fate("fail-503", ("error", 503), ("error", 503)),
    Fate("fail-529", ("error", 529), ("error", 529)),
    Fate("fail-401", ("error", 401), ("error", 401)),
    Fate("fail-504", ("timeout", 504), ("timeout", 504)),
    Fate("rate-limit-5", ("rate_limited", 429), ("rate_limited", 429)),
    Fate("context-length", ("caller_error", 0), ("caller_error", 0)),
    Fate("fail-422", ("caller_error", 422), ("caller_error", 422)),
    Fate("error-200", ("error", 200), ("error", 200)),
    Fate("error-first", ("error", 529), ("error", 200)),
    Fate("error-late", ("error", 529), ("error", 200)),
    Fate("truncate", OK, ("error", 200)),
    Fate("cut", ("network_error", 0), ("network_error", 200)),
    Fate("reset-before", ("network_error", 502), ("network_error", 502)),
    Fate("close-before", ("network_error", 502), ("network_error", 502)),
    Fate("garbage", ("network_error", 502), ("network_error", 502)),
    Fate("silent", ("timeout", 504), ("timeout", 504)),
    Fate("stall@after=1", ("timeout", 0), ("timeout", 200)),
]
LEAVING = ["ok@events=100000,gap=0.01", "silent", "stall@after=2", "slow-comments@first=30,gap=0.05"]


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def road(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Road]:
    # Warnings about what was never awaited or closed would be lines of the log that `detour` complains of.
    limits = {"connect": "10s", "first_byte": "3s", "idle": "3s", "answer": "3s", "total": "20s", "stream_total": "20s"}
    async with open_road(tmp_path_factory.mktemp("crowd"), env={"PYTHONWARNINGS": "default"}, timeouts=limits) as found:
        yield found


class Crowd:
    """Callers with one session, and what they have to find in the figures afterwards."""

    def __init__(self, road: Road, session: aiohttp.ClientSession) -> None:
        self.road = road
        self.session = session
        self.sent: Counter[str] = Counter()
        """Calls by model."""
        self.answers: Counter[tuple[str, str, str]] = Counter()
        """What clients got, by (provider, status, streamed); `0` for those that left before a head."""
        self._seen: Counter[str] = Counter()

    async def caller(self, number: int) -> None:
        dice = random.Random(number)
        for turn in range(CALLS):
            (provider, kind), path = dice.choice(list(PATHS.items()))
            streamed = kind == "stream" or (kind in ("chat", "responses", "messages") and dice.random() < 0.6)
            leaves = dice.random() < 0.15
            if leaves:
                script = dice.choice(LEAVING if streamed else ["silent"])
                await self.leave(provider, kind, path, f"{number}-{turn}/{script}", streamed)
            else:
                await self.call(provider, kind, path, dice.choice(FATES), streamed, dice.randrange(3))

    def request(self, provider: str, kind: str, path: str, model: str, streamed: bool) -> Any:
        if kind == "run":
            model = "fal-ai/" + model
        name = quote(model, safe="") if provider == "gemini" else model
        url = URL(self.road.through(provider) + path.format(name), encoded=True)
        self.sent[model] += 1
        body: dict[str, Any] = {
            "model": model,
            "input": "a",
            "prompt": "a",
            "messages": [],
            "contents": [],
            "max_tokens": 5,
        }
        if provider in ("gemini", "fal"):
            del body["model"]
        elif streamed:
            body["stream"] = True
        return model, self.session.post(url, json=body, headers={"Authorization": f"Bearer {CALLER_KEY}"})

    async def call(self, provider: str, kind: str, path: str, fate: Fate, streamed: bool, family: int) -> None:
        """One call that is waited for; models are shared by a few families of callers."""
        model, sending = self.request(
            provider, kind, path, f"crowd-{kind}-{family}{'s' * streamed}/{fate.script}", streamed
        )
        status, wanted = fate.streamed if streamed else fate.whole
        if kind == "run" and fate.script == "error-200":
            status = "success"  # fal's errors are a `detail`, which no 200 is judged by
        code = 0
        with contextlib.suppress(aiohttp.ClientPayloadError, aiohttp.ServerDisconnectedError, aiohttp.ClientOSError):
            async with sending as answer:
                code = answer.status
                await answer.read()
        assert not wanted or code == wanted, (provider, model, streamed, code)
        self.road.expect(provider, model, status)
        self.answers[provider, str(code), str(streamed).lower()] += 1

    async def leave(self, provider: str, kind: str, path: str, model: str, streamed: bool) -> None:
        """One call that is left once it is under way: before the head, or behind some of the answer."""
        model, sending = self.request(provider, kind, path, model, streamed)
        code = 0
        if "ok@" in model or "stall" in model:
            async with sending as answer:
                code = answer.status
                await answer.content.readany()
                answer.close()
        else:
            task = asyncio.ensure_future(sending)
            await self.road.fake.until(lambda: model in self.road.fake.counts, PATIENCE)
            task.cancel()
            await asyncio.wait([task])
        self.road.expect(provider, model, "cancelled")
        self.answers[provider, str(code), str(streamed).lower()] += 1


async def test_everybody_has_counted_the_same(road: Road) -> None:
    await road.detour.get("/livez")
    before = descriptors(road.detour)
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=PATIENCE)) as session:
        crowd = Crowd(road, session)
        async with asyncio.TaskGroup() as group:
            for number in range(CALLERS):
                group.create_task(crowd.caller(number))
        await road.still()
    assert crowd.sent.total() == CALLERS * CALLS == crowd.answers.total() == road.ledger.total()
    assert len({status for _, _, status in road.ledger}) == 7

    # The scripted provider saw every call once, and once more those that found their connection dead (no attempt;
    # never at fal, where a run may create something).
    fake = road.fake
    await fake.until(lambda: not fake.busy, PATIENCE)
    dead = [seen for seen in fake.log if seen.reused and seen.ended in (Ended.RESET, Ended.CLOSED) and not seen.sent]
    again = Counter(seen.model for seen in dead if seen.dialect != "fal")
    assert Counter(seen.model for seen in fake.log) == crowd.sent + again
    left = Counter({model: calls for (_, model, status), calls in road.ledger.items() if status == "cancelled"})
    assert left <= Counter(seen.model for seen in fake.log if seen.aborted)

    # What clients got is what the metrics say they got.
    metrics = Metrics(await road.metrics())
    assert metrics.by("detour_requests_total", "provider", "status", "streamed") == crowd.answers
    counted = metrics.by("detour_attempts_total", "provider", "status")
    timed = Counter({provider: 0 for provider, _ in counted})
    for (provider, status), calls in counted.items():
        timed[provider] += calls if status not in ("caller_error", "policy", "cancelled") else 0
    found = Counter(
        {key[0]: calls for key, calls in metrics.by("detour_response_time_seconds_count", "provider").items()}
    )
    assert found == timed

    # Nothing is left but connections to the provider that wait for the next request.
    idle = int(metrics.total("detour_upstream_connections", state="idle"))
    assert metrics.total("detour_upstream_connections") == idle == len(fake.open)
    assert metrics.total("detour_open_permits") == metrics.total("detour_in_flight_requests") == 0
    await eventually(lambda: descriptors(road.detour) <= before + idle)
    await road.truth()
