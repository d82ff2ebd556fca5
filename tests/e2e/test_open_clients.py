"""Open and nowhere to go: the real SDKs raise their own error class at once, and know when to ask again."""

from __future__ import annotations

import gc
import os
import time
import warnings
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
import pytest_asyncio

from tests.e2e.pairs import LASTING, Pair, Scene, Sort, open_scene
from tests.e2e.road import CALLER_KEY, failure, in_thread
from tests.e2e.sdk import CHAT, CHAT_STREAM, MESSAGE, MESSAGE_STREAM, RESPONSE, USER, Call, Clients

pytestmark = pytest.mark.asyncio(loop_scope="module")

AT_ONCE = 5.0
"""Seconds that are far fewer than the `Retry-After` an SDK would have waited for, and enough on a busy machine."""
BOTH = pytest.mark.parametrize("sync", [True, False], ids=["sync", "async"])
CALLS = [
    ("openai", CHAT),
    ("openai", CHAT_STREAM),
    ("openai", RESPONSE),
    ("anthropic", MESSAGE),
    ("anthropic", MESSAGE_STREAM),
]
CALL_IDS = [call.name for _, call in CALLS]
OPEN = {"openai": "InternalServerError", "anthropic": "ServiceUnavailableError"}
"""What the SDKs raise for a 503."""


@pytest.fixture(autouse=True, scope="module")
def collected() -> Iterator[None]:
    """What the SDKs leave unclosed is collected here and not in the middle of another test."""
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def scene(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Scene]:
    # Short enough that an SDK would wait for it instead of giving up by itself, long enough to be noticed.
    breakers = LASTING | {"open_for": "40s"}
    sorts = {
        "openai": Sort(30, alone=True, breakers=breakers),
        "anthropic": Sort(20, "anthropic", alone=True, breakers=breakers),
        "impatient": Sort(4, alone=True, breakers=breakers),
    }
    async with open_scene(tmp_path_factory.mktemp("open"), sorts, retries={"max_wait": "1ms"}) as found:
        yield found


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def sdk() -> AsyncIterator[Clients]:
    clients = Clients()
    yield clients
    await clients.close()


async def counted(pair: Pair, raised: Any, classes: str, seen: int, answers: int) -> None:
    """See what an SDK made of an answer of ours, and that it asked once."""
    assert raised["class"].rpartition(".")[2] == classes, raised
    assert f"{pair.first}/{pair.model}" in raised["text"]
    assert len(pair.tries) == seen, "nothing went to the provider"
    assert await pair.scene.answers(pair.first) == answers + 1, "the SDK asked once"


@BOTH
@pytest.mark.parametrize(("kind", "call"), CALLS, ids=CALL_IDS)
async def test_an_open_breaker_raises_at_once_and_is_not_asked_again(
    scene: Scene, sdk: Clients, kind: str, call: Call, sync: bool
) -> None:
    pair = scene.take(kind)
    await pair.trip()
    seen, answers = len(pair.tries), await scene.answers(pair.first)
    before = await pair.breaker()
    began = time.monotonic()
    (raised,) = await sdk.run(kind, pair.origin, call, pair.model, sync=sync, max_retries=2)
    assert time.monotonic() - began < AT_ONCE
    after = await pair.breaker()
    assert raised["status_code"] == 503
    await counted(pair, raised, OPEN[kind], seen, answers)
    assert after["seconds_until_retry"] <= int(raised["waits"]["retry-after"]) < before["seconds_until_retry"] + 1


CREDENTIALS = [
    ("openai", "fail-401", 401, "AuthenticationError"),
    ("openai", "fail-403", 403, "PermissionDeniedError"),
    ("openai", "quota", 429, "RateLimitError"),
    ("anthropic", "fail-401", 401, "AuthenticationError"),
    ("anthropic", "fail-403", 403, "PermissionDeniedError"),
]


@pytest.mark.parametrize(
    ("kind", "script", "status", "classes"), CREDENTIALS, ids=[f"{row[0]}-{row[1]}" for row in CREDENTIALS]
)
async def test_a_refused_key_raises_what_the_provider_had_raised(
    scene: Scene, sdk: Clients, kind: str, script: str, status: int, classes: str
) -> None:
    pair, call = scene.take(kind), CHAT if kind == "openai" else MESSAGE
    pair.will(script)
    for _ in range(2):
        (raised,) = await sdk.run(kind, pair.origin, call, pair.model, sync=False)
        assert raised["class"].rpartition(".")[2] == classes
    seen, answers = len(pair.tries), await scene.answers(pair.first)
    began = time.monotonic()
    (raised,) = await sdk.run(kind, pair.origin, call, pair.model, sync=False, max_retries=2)
    assert time.monotonic() - began < AT_ONCE
    assert raised["status_code"] == status
    assert 0 < int(raised["waits"]["retry-after"]) <= 40
    assert raised["class"].rpartition(".")[2] == classes
    assert len(pair.tries) == seen
    assert await scene.answers(pair.first) == answers + 1
    pair.will("ok")
    other = await sdk.run(kind, pair.origin, call, pair.model, sync=False, api_key="sk-another")
    assert "class" not in other[-1], "another caller's key is not that one"


@BOTH
async def test_an_sdk_waits_for_a_hold_off_by_itself(scene: Scene, sdk: Clients, sync: bool) -> None:
    """Its own patience is right here, so nothing tells it not to ask again."""
    pair = scene.take("impatient")
    pair.will("once@fault=rate-limit-1")
    got = await sdk.run("openai", pair.origin, CHAT, pair.model, sync=sync, max_retries=3)
    assert "class" not in got[-1], got
    assert len(pair.tries) == 2


async def test_a_hold_off_raises_a_rate_limit_error(scene: Scene, sdk: Clients) -> None:
    pair = scene.take("impatient")
    pair.will("rate-limit-30")
    await sdk.run("openai", pair.origin, CHAT, pair.model, sync=False)
    (raised,) = await sdk.run("openai", pair.origin, CHAT, pair.model, sync=False)
    assert raised["class"] == "openai.RateLimitError"
    assert 25 <= int(raised["waits"]["retry-after"]) <= 30
    assert len(pair.tries) == 1


# -- litellm -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def litellm() -> Any:
    os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # nothing is fetched from anywhere
    import litellm as module

    module.suppress_debug_info = True
    module.disable_aiohttp_transport = True
    return module


@pytest.mark.filterwarnings("ignore")  # litellm warns of all sorts of things
@BOTH
@pytest.mark.parametrize(
    ("kind", "classes"), [("openai", {"ServiceUnavailableError"}), ("anthropic", {"ServiceUnavailableError"})]
)
async def test_litellm_raises_at_once(litellm: Any, scene: Scene, kind: str, classes: set[str], sync: bool) -> None:
    pair = scene.take(kind)
    await pair.trip()
    seen, answers = len(pair.tries), await scene.answers(pair.first)
    options = {
        "model": f"{kind}/{pair.model}",
        "api_base": pair.origin + ("/v1" if kind == "openai" else ""),
        "api_key": CALLER_KEY,
        "messages": USER,
    }
    began = time.monotonic()
    work = in_thread(lambda: litellm.completion(**options)) if sync else litellm.acompletion(**options)
    with pytest.raises(Exception, match=f"{pair.first}/{pair.model}") as caught:
        await work
    assert time.monotonic() - began < AT_ONCE
    raised = failure(caught.value)
    assert raised["class"].rpartition(".")[2] in classes
    assert raised["status_code"] == 503
    assert (len(pair.tries), await scene.answers(pair.first)) == (seen, answers + 1)
