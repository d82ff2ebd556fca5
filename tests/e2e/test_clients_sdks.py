"""The official SDKs get through Detour what they get without it, and its health tells the truth about every call."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from proxy.fake import Seen
from tests.e2e.road import CALLER_KEY, Road, hasty, open_road, plain, same_request
from tests.e2e.sdk import (
    ANTHROPIC,
    CHAT,
    CHAT_STREAM,
    MESSAGE,
    MESSAGE_STREAM,
    OPENAI,
    RESPONSE,
    RESPONSE_STREAM,
    USER,
    Call,
    Clients,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")

CALLS = [*(("openai", call) for call in OPENAI), *(("anthropic", call) for call in ANTHROPIC)]
STREAMS = [("openai", CHAT_STREAM), ("openai", RESPONSE_STREAM), ("anthropic", MESSAGE_STREAM)]
STREAM_IDS = [call.name for _, call in STREAMS]
REFUSED = [("openai", CHAT), ("openai", CHAT_STREAM), ("anthropic", MESSAGE), ("anthropic", MESSAGE_STREAM)]
BOTH = pytest.mark.parametrize("sync", [True, False], ids=["sync", "async"])


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def road(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Road]:
    async with open_road(tmp_path_factory.mktemp("sdks"), limits={"request_body": "1MiB"}) as found:
        yield found


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def sdk() -> AsyncIterator[Clients]:
    clients = Clients()
    yield clients
    await clients.close()


async def both_ways(road: Road, sdk: Clients, kind: str, call: Call, model: str, *, sync: bool) -> list[Any]:
    """Make a call without Detour and with it: the provider sees the same, the client gets the same."""
    first = len(road.fake.log)
    direct = await sdk.run(kind, road.fake.url, call, model, sync=sync)
    through = await sdk.run(kind, road.through(kind), call, model, sync=sync)
    assert through == direct
    assert len(road.fake.log) == first + 2
    same_request(*road.fake.log[first:])
    return through


@BOTH
@pytest.mark.parametrize(("kind", "call"), CALLS, ids=[f"{kind}-{call.name}" for kind, call in CALLS])
async def test_every_call_is_the_same_with_detour_in_the_way(
    road: Road, sdk: Clients, kind: str, call: Call, sync: bool
) -> None:
    model = road.model("ok")
    got = await both_ways(road, sdk, kind, call, model, sync=sync)
    assert got
    assert not isinstance(got[-1], dict) or "class" not in got[-1], got
    record = await road.settles(kind, model, "success")
    assert record is not None
    assert (record["p50_first_byte_ms"] is None) is False


@pytest.mark.parametrize(
    "script",
    [
        "ok@events=500",
        "ok@events=20,size=5000",
        "ok@events=1",
        "slow-comments@first=0.2,gap=0.02",
        "chunk-details",
    ],
)
@pytest.mark.parametrize(("kind", "call"), STREAMS, ids=STREAM_IDS)
async def test_streams_of_all_sorts_are_the_same(road: Road, sdk: Clients, kind: str, call: Call, script: str) -> None:
    model = road.model(script)
    got = await both_ways(road, sdk, kind, call, model, sync=False)
    assert "class" not in got[-1], got[-1]
    await road.settles(kind, model, "success")


@pytest.mark.parametrize(("kind", "call"), STREAMS, ids=STREAM_IDS)
async def test_what_comes_behind_an_answer_meets_no_other(road: Road, sdk: Clients, kind: str, call: Call) -> None:
    """Without Detour these bytes are the answer to the next request on the connection."""
    model = road.model("extra-bytes")
    other = "x" * len(model)
    whole = await sdk.run(kind, road.fake.url, call, other, sync=False)
    for _ in range(3):
        got = await sdk.run(kind, road.through(kind), call, model, sync=False)
        assert _renamed(got, model, other) == whole
    await road.settles(kind, model, "success", 3)


STATUSES: list[tuple[str, str]] = [
    ("fail-400", "caller_error"),
    ("context-length", "caller_error"),
    ("policy", "policy"),
    ("fail-401", "error"),
    ("fail-402", "error"),
    ("fail-403", "error"),
    ("fail-404", "error"),
    ("fail-408", "timeout"),
    ("fail-413", "caller_error"),
    ("fail-422", "caller_error"),
    ("rate-limit", "rate_limited"),
    ("rate-limit-5", "rate_limited"),
    ("rate-limit@retry=2,form=ms", "rate_limited"),
    ("quota", "error"),
    ("fail-500", "error"),
    ("fail-502", "error"),
    ("fail-503", "error"),
    ("fail-503@retry=7", "error"),
    ("fail-504", "timeout"),
    ("fail-529", "error"),
]
CLASSES = {
    ("openai", "fail-400"): "BadRequestError",
    ("openai", "fail-401"): "AuthenticationError",
    ("openai", "fail-403"): "PermissionDeniedError",
    ("openai", "fail-404"): "NotFoundError",
    ("openai", "fail-408"): "APIStatusError",
    ("openai", "fail-422"): "UnprocessableEntityError",
    ("openai", "rate-limit-5"): "RateLimitError",
    ("openai", "fail-500"): "InternalServerError",
    ("openai", "fail-503"): "InternalServerError",
    ("openai", "fail-529"): "InternalServerError",
    ("anthropic", "fail-400"): "BadRequestError",
    ("anthropic", "fail-401"): "AuthenticationError",
    ("anthropic", "fail-403"): "PermissionDeniedError",
    ("anthropic", "fail-404"): "NotFoundError",
    ("anthropic", "fail-408"): "RequestTimeoutError",
    ("anthropic", "fail-413"): "ContentTooLargeError",
    ("anthropic", "rate-limit-5"): "RateLimitError",
    ("anthropic", "fail-500"): "InternalServerError",
    ("anthropic", "fail-503"): "ServiceUnavailableError",
    ("anthropic", "fail-504"): "GatewayTimeoutError",
    ("anthropic", "fail-529"): "OverloadedError",
}


@pytest.mark.parametrize(("kind", "call"), REFUSED, ids=[call.name for _, call in REFUSED])
@pytest.mark.parametrize(("script", "status"), STATUSES, ids=[script for script, _ in STATUSES])
async def test_a_refusal_raises_the_class_it_raises_without_detour(
    road: Road, sdk: Clients, kind: str, call: Call, script: str, status: str
) -> None:
    model = road.model(script)
    (told,) = await both_ways(road, sdk, kind, call, model, sync=call is CHAT)
    wanted = CLASSES.get((kind, script))
    assert wanted is None or told["class"].rpartition(".")[2] == wanted
    if script == "rate-limit-5":
        assert told["waits"] == {"retry-after": "5"}
    await road.settles(kind, model, status)


IN_BAND = [
    ("openai", CHAT_STREAM, "error-first"),
    ("openai", CHAT_STREAM, "error-late"),
    ("openai", CHAT_STREAM, "error-late@shape=finish"),
    ("openai", RESPONSE_STREAM, "error-first"),
    ("openai", CHAT, "error-200"),
    ("anthropic", MESSAGE_STREAM, "error-first"),
    ("anthropic", MESSAGE_STREAM, "error-late"),
]


@BOTH
@pytest.mark.parametrize(
    ("kind", "call", "script"), IN_BAND, ids=[f"{call.name}-{script}" for _, call, script in IN_BAND]
)
async def test_an_error_inside_an_answer_is_told_as_it_came(
    road: Road, sdk: Clients, kind: str, call: Call, script: str, sync: bool
) -> None:
    model = road.model(script)
    await both_ways(road, sdk, kind, call, model, sync=sync)
    await road.settles(kind, model, "error")


@BOTH
async def test_a_response_that_failed_says_so_and_does_not_look_whole(road: Road, sdk: Clients, sync: bool) -> None:
    """`response.failed` raises nothing in the SDK; behind it the connection ends without its last chunk."""
    model = road.model("error-late@shape=failed")
    direct = await sdk.run("openai", road.fake.url, RESPONSE_STREAM, model, sync=sync)
    through = await sdk.run("openai", road.through("openai"), RESPONSE_STREAM, model, sync=sync)
    assert direct[-1]["type"] == "response.failed"
    assert through[: len(direct)] == direct
    await road.settles("openai", model, "error")


BROKEN = [
    ("truncate", "error", "truncated"),
    ("cut", "network_error", ""),
    ("reset", "network_error", ""),
    ("bad-chunk", "network_error", ""),
    ("stall", "timeout", "stalled after"),
    ("stall-comments@after=2", "timeout", "stalled after"),
]


@pytest.mark.parametrize(("kind", "call"), STREAMS, ids=STREAM_IDS)
@pytest.mark.parametrize(("script", "status", "text"), BROKEN, ids=[row[0] for row in BROKEN])
async def test_a_stream_that_breaks_raises_behind_what_was_delivered(
    road: Road, sdk: Clients, kind: str, call: Call, script: str, status: str, text: str
) -> None:
    provider = hasty(kind) if status == "timeout" else kind
    model = road.model(script)
    *events, told = await sdk.run(kind, road.through(provider), call, model, sync=False)
    other = "x" * len(model)
    whole = await sdk.run(kind, road.fake.url, call, other, sync=False)
    assert _renamed(events, model, other) == whole[: len(events)]
    assert len(events) >= 3
    assert told["class"].rpartition(".")[2] in ("APIError", "APIStatusError"), told
    assert model in told["text"]
    assert text in told["text"]
    record = await road.settles(provider, model, status)
    assert record is not None
    assert text in record["last_error_message"]


def _renamed(event: Any, model: str, other: str) -> Any:
    """An event with another model's name in it."""
    if isinstance(event, dict):
        return {key: _renamed(item, model, other) for key, item in event.items()}
    if isinstance(event, list):
        return [_renamed(item, model, other) for item in event]
    return other if event == model else event


@pytest.mark.parametrize(("kind", "call"), STREAMS, ids=STREAM_IDS)
async def test_an_announced_length_that_is_missed_is_missed_here_too(
    road: Road, sdk: Clients, kind: str, call: Call
) -> None:
    """Nothing of ours can be put into a body whose length the client knows."""
    model = road.model("short")
    await both_ways(road, sdk, kind, call, model, sync=False)
    await road.settles(kind, model, "network_error")


NEVER = [
    ("reset-before", 502, "network_error"),
    ("close-before", 502, "network_error"),
    ("garbage", 502, "network_error"),
    ("bad-framing", 502, "network_error"),
    ("silent", 504, "timeout"),
]


@pytest.mark.parametrize(("kind", "call"), REFUSED, ids=[call.name for _, call in REFUSED])
@pytest.mark.parametrize(("script", "code", "status"), NEVER, ids=[row[0] for row in NEVER])
async def test_an_answer_that_never_came_is_an_answer_of_ours(
    road: Road, sdk: Clients, kind: str, call: Call, script: str, code: int, status: str
) -> None:
    provider = hasty(kind) if status == "timeout" else kind
    model = road.model(script)
    (told,) = await sdk.run(kind, road.through(provider), call, model, sync=False)
    assert told["status_code"] == code
    names = {
        "openai": "InternalServerError",
        "anthropic": "GatewayTimeoutError" if code == 504 else "InternalServerError",
    }
    assert told["class"].rpartition(".")[2] == names[kind]
    assert f"{provider}/{model}" in told["text"]
    await road.settles(provider, model, status)


@BOTH
@pytest.mark.parametrize(
    ("kind", "call"),
    [("openai", CHAT), ("openai", RESPONSE), ("anthropic", MESSAGE)],
    ids=["chat", "response", "message"],
)
async def test_our_own_refusals_raise_the_sdks_own_classes(
    road: Road, sdk: Clients, kind: str, call: Call, sync: bool
) -> None:
    seen = len(road.fake.log)
    (told,) = await sdk.run(kind, road.through(f"{kind}x"), call, "ok", sync=sync)
    assert told["class"].endswith(".NotFoundError")
    assert kind in told["text"]
    if kind == "openai":
        (told,) = await sdk.run(kind, road.through("groq"), call, "ok", sync=sync, api_key="detour")
        assert told["class"].endswith(".AuthenticationError")
        assert "GROQ_API_KEY" in told["text"]
    large = call.arguments | {"extra_body": {"padding": "x" * (1 << 20)}}
    (told,) = await sdk.run(kind, road.through(kind), call._replace(arguments=large), "ok", sync=sync)
    assert told["status_code"] == 413
    assert told["class"].rpartition(".")[2] == ("APIStatusError" if kind == "openai" else "ContentTooLargeError")
    assert "limits.request_body" in told["text"]
    assert len(road.fake.log) == seen


@BOTH
@pytest.mark.parametrize(
    ("kind", "call"),
    [("openai", CHAT), ("openai", CHAT_STREAM), ("anthropic", MESSAGE)],
    ids=["chat", "stream", "message"],
)
async def test_an_sdk_that_gives_up_is_nobodys_failure(
    road: Road, sdk: Clients, kind: str, call: Call, sync: bool
) -> None:
    model = road.model("silent")
    (told,) = await sdk.run(kind, road.through(kind), call, model, sync=sync, timeout=0.1)
    assert told["class"].endswith(".APITimeoutError")
    await road.fake.until(lambda: road.fake.log[-1].aborted)
    await road.settles(kind, model, "cancelled")


@pytest.mark.parametrize(("kind", "call"), [("openai", CHAT), ("anthropic", MESSAGE)], ids=["openai", "anthropic"])
async def test_an_sdks_own_retries_are_counted_one_by_one(road: Road, sdk: Clients, kind: str, call: Call) -> None:
    model = road.model("rate-limit@retry=0.01,form=ms")
    (told,) = await sdk.run(kind, road.through(kind), call, model, sync=False, max_retries=2)
    assert told["class"].endswith(".RateLimitError")
    await road.settles(kind, model, "rate_limited", 3)


@pytest.mark.parametrize(("kind", "call"), [("openai", CHAT), ("anthropic", MESSAGE)], ids=["openai", "anthropic"])
async def test_the_word_detour_stands_for_the_configured_key(road: Road, sdk: Clients, kind: str, call: Call) -> None:
    model = road.model("ok")
    await sdk.run(kind, road.through(kind), call, model, sync=False, api_key="detour")
    await road.settles(kind, model, "success")
    keys = {
        "openai": (b"authorization", b"Bearer sk-configured-openai"),
        "anthropic": (b"x-api-key", b"sk-configured-anthropic"),
    }
    assert _keys(road.fake.log[-1]) == [keys[kind]]
    mine = road.model("ok")
    await sdk.run(kind, road.through(kind), call, mine, sync=False)
    await road.settles(kind, mine, "success")
    ((_, key),) = _keys(road.fake.log[-1])
    assert key.removeprefix(b"Bearer ") == CALLER_KEY.encode()


def _keys(seen: Seen) -> list[tuple[bytes, bytes]]:
    return [(name.lower(), value) for name, value in seen.headers if name.lower() in (b"authorization", b"x-api-key")]


async def test_what_names_no_model_is_counted_at_the_provider(road: Road, sdk: Clients) -> None:
    async def ask(kind: str, origin: str) -> list[Any]:
        client = sdk.get(kind, origin, sync=False)
        found = [plain((await client.models.list()).data), plain(await client.models.retrieve("stall"))]
        if kind == "anthropic":
            found.append(plain(await client.messages.count_tokens(model="ok", messages=USER)))
            batch = [{"custom_id": "1", "params": {"model": "ok", "max_tokens": 1, "messages": USER}}]
            found.append(plain(await client.messages.batches.create(requests=batch)))
        return found

    for kind, calls in (("openai", 2), ("anthropic", 4)):
        before = len(road.fake.log)
        assert await ask(kind, road.through(kind)) == await ask(kind, road.fake.url)
        assert len(road.fake.log) == before + 2 * calls
        for through, direct in zip(
            road.fake.log[before : before + calls], road.fake.log[before + calls :], strict=True
        ):
            same_request(direct, through)
        road.expect(kind, "~none", "success", calls)


async def test_the_helpers_of_the_sdks_work(road: Road, sdk: Clients) -> None:
    """The layers above `create`: accumulating streams, raw answers, binary answers that are streamed."""
    results = []
    model = road.model("ok@events=30")
    for origin in (road.fake.url, road.through("openai")):
        client = sdk.get("openai", origin, sync=False)
        async with client.responses.stream(model=model, input="Where to?") as stream:
            kinds = [event.type async for event in stream]
            final = plain(await stream.get_final_response())
        async with client.chat.completions.stream(model=model, messages=USER) as chat:
            text = [event.type async for event in chat]
        async with client.audio.speech.with_streaming_response.create(model=model, input="Go", voice="alloy") as answer:
            sound = await answer.read()
        raw = await client.chat.completions.with_raw_response.create(model=model, messages=USER)
        results.append((kinds, final, text, sound, plain(raw.parse()), plain(raw.headers["x-request-id"])))
    assert results[0] == results[1]
    assert raw.headers["x-detour-provider"] == "openai"
    assert raw.headers["x-detour-model"] == model
    assert raw.headers["x-detour-attempts"] == "1"
    await road.settles("openai", model, "success", 4)


async def test_anthropics_stream_helper_works(road: Road, sdk: Clients) -> None:
    model = road.model("ok")
    finals = []
    for origin in (road.fake.url, road.through("anthropic")):
        client = sdk.get("anthropic", origin, sync=False)
        async with client.messages.stream(model=model, max_tokens=9, messages=USER) as talk:
            finals.append(("".join([piece async for piece in talk.text_stream]), plain(await talk.get_final_message())))
    assert finals[0] == finals[1]
    await road.settles("anthropic", model, "success")
