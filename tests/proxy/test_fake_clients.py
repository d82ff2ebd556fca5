"""The vendors' own SDKs take the scripted provider's answers for real ones."""

from __future__ import annotations

import asyncio
import base64
import math
import os
from collections.abc import AsyncIterator, Callable
from typing import Any

import anthropic
import openai
import pytest

from proxy.fake import FakeProvider

TEXT = "Detour keeps the traffic moving "
USER: Any = [{"role": "user", "content": "Where to?"}]


@pytest.fixture
async def fake() -> AsyncIterator[FakeProvider]:
    async with FakeProvider() as provider:
        yield provider


@pytest.fixture
async def client(fake: FakeProvider) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(base_url=f"{fake.url}/v1", api_key="sk-x", max_retries=0, timeout=5) as made:
        yield made


@pytest.fixture
async def claude(fake: FakeProvider) -> AsyncIterator[anthropic.AsyncAnthropic]:
    async with anthropic.AsyncAnthropic(base_url=fake.url, api_key="sk-x", max_retries=0, timeout=5) as made:
        yield made


async def test_chat(client: openai.AsyncOpenAI) -> None:
    answer = await client.chat.completions.create(model="ok", messages=USER)
    assert answer.choices[0].message.content == TEXT
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 5
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + 5
    assert answer._request_id == "req_fake000000000001"


async def test_chat_streamed(client: openai.AsyncOpenAI) -> None:
    chunks = [
        chunk
        async for chunk in await client.chat.completions.create(
            model="ok@events=20,size=300", messages=USER, stream=True, stream_options={"include_usage": True}
        )
    ]
    assert len(chunks) == 1 + 20 + 2
    assert chunks[0].choices[0].delta.role == "assistant"
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices).startswith("Detour .")
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1] == "stop"
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == 20


async def test_completions(client: openai.AsyncOpenAI) -> None:
    whole = await client.completions.create(model="ok", prompt="Where to?")
    stream = await client.completions.create(
        model="ok", prompt="Where to?", stream=True, stream_options={"include_usage": True}
    )
    chunks = [chunk async for chunk in stream]
    assert whole.choices[0].text == TEXT == "".join(chunk.choices[0].text for chunk in chunks if chunk.choices)
    assert chunks[-1].usage is not None


async def test_responses(client: openai.AsyncOpenAI) -> None:
    whole = await client.responses.create(model="ok", input="Where to?")
    assert whole.output_text == TEXT
    assert whole.status == "completed"
    async with client.responses.stream(model="ok", input="Where to?") as stream:
        kinds = [event.type async for event in stream]
        final = await stream.get_final_response()
    assert kinds[:2] == ["response.created", "response.in_progress"]
    assert kinds.count("response.output_text.delta") == 5
    assert kinds[-1] == "response.completed"
    assert final.output_text == TEXT
    assert final.usage is not None
    assert final.usage.output_tokens == 5


async def test_responses_fail_inside_the_stream(client: openai.AsyncOpenAI) -> None:
    stream = await client.responses.create(model="error-late@shape=failed", input="Where to?", stream=True)
    events = [event async for event in stream]
    assert events[-1].type == "response.failed"
    assert events[-1].response.error is not None


async def test_embeddings(client: openai.AsyncOpenAI) -> None:
    for encoding in ("float", "base64", openai.omit):
        answer = await client.embeddings.create(model="ok", input=["a", "b"], dimensions=8, encoding_format=encoding)
        rows: list[Any] = [row.embedding for row in answer.data]
        assert len(rows) == 2
        assert encoding == "base64" or math.isclose(sum(value * value for value in rows[1]), 1, rel_tol=1e-5)
    one = await client.embeddings.create(model="ok", input="a")
    assert len(one.data[0].embedding) == 16


async def test_images(client: openai.AsyncOpenAI) -> None:
    answer = await client.images.generate(model="ok", prompt="a road")
    assert answer.data is not None
    assert base64.b64decode(answer.data[0].b64_json or "").startswith(b"\x89PNG")
    by_url = await client.images.generate(model="ok", prompt="a road", response_format="url")
    assert by_url.data is not None
    assert str(by_url.data[0].url).startswith("https://")
    edited = await client.images.edit(model="ok", image=("a.png", b"\x89PNG", "image/png"), prompt="a fork")
    assert edited.data
    stream = await client.images.generate(model="ok@events=2", prompt="a road", stream=True, partial_images=2)
    kinds = [event.type async for event in stream]
    assert kinds == ["image_generation.partial_image"] * 2 + ["image_generation.completed"]


async def test_audio(client: openai.AsyncOpenAI) -> None:
    sound = ("a.mp3", b"\xff\xfb\x90\x64" + bytes(413), "audio/mpeg")
    assert (await client.audio.transcriptions.create(model="ok", file=sound)).text == TEXT
    assert (await client.audio.translations.create(model="ok", file=sound)).text == TEXT
    verbose = await client.audio.transcriptions.create(model="ok", file=sound, response_format="verbose_json")
    assert verbose.segments is not None
    assert verbose.segments[0].text == TEXT
    srt: Any = await client.audio.transcriptions.create(model="ok", file=sound, response_format="srt")
    assert srt.startswith("1\n00:00")
    stream = await client.audio.transcriptions.create(model="ok", file=sound, stream=True)
    kinds = [event.type async for event in stream]
    assert kinds == ["transcript.text.delta"] * 5 + ["transcript.text.done"]


async def test_speech(client: openai.AsyncOpenAI) -> None:
    async with client.audio.speech.with_streaming_response.create(model="ok", input="Go", voice="alloy") as answer:
        sound = await answer.read()
    assert sound.startswith(b"\xff\xfb")
    assert len(sound) == 5 * 417


async def test_models(client: openai.AsyncOpenAI, fake: FakeProvider) -> None:
    assert [model.id async for model in client.models.list()] == ["ok", "stall"]
    assert (await client.models.retrieve("stall")).id == "stall"
    assert [seen.model for seen in fake.log] == ["", ""]


async def test_multipart_model_is_found(client: openai.AsyncOpenAI, fake: FakeProvider) -> None:
    with pytest.raises(openai.InternalServerError):
        await client.audio.transcriptions.create(model="fail-503", file=("a.mp3", b"x"))
    assert (fake.log[0].model, fake.log[0].script) == ("fail-503", "fail-503")


@pytest.mark.parametrize(
    ("model", "error", "code"),
    [
        ("fail-400", openai.BadRequestError, None),
        ("fail-401", openai.AuthenticationError, "invalid_api_key"),
        ("bad-key", openai.AuthenticationError, "invalid_api_key"),
        ("fail-403", openai.PermissionDeniedError, "unsupported_country"),
        ("fail-404", openai.NotFoundError, "model_not_found"),
        ("rate-limit-5", openai.RateLimitError, "rate_limit_exceeded"),
        ("quota", openai.RateLimitError, "insufficient_quota"),
        ("context-length", openai.BadRequestError, "context_length_exceeded"),
        ("policy", openai.BadRequestError, "content_policy_violation"),
        ("fail-500", openai.InternalServerError, None),
        ("fail-529", openai.InternalServerError, None),
        ("reset-before", openai.APIConnectionError, None),
        ("close-before", openai.APIConnectionError, None),
        ("cut", openai.APIConnectionError, None),
    ],
)
async def test_openai_error_classes(
    client: openai.AsyncOpenAI, model: str, error: type[openai.APIError], code: str | None
) -> None:
    with pytest.raises(error) as raised:
        await client.chat.completions.create(model=model, messages=USER)
    assert raised.value.code == code


@pytest.mark.parametrize("model", ["error-first", "error-late", "error-late@shape=finish"])
async def test_errors_inside_an_openai_stream(client: openai.AsyncOpenAI, model: str) -> None:
    stream = await client.chat.completions.create(model=model, messages=USER, stream=True)
    with pytest.raises(openai.APIError, match="Overloaded"):
        _ = [chunk async for chunk in stream]


async def test_timeout(client: openai.AsyncOpenAI, fake: FakeProvider) -> None:
    with pytest.raises(openai.APITimeoutError):
        await client.with_options(timeout=0.05).chat.completions.create(model="silent", messages=USER)
    await fake.until(lambda: fake.log[0].aborted)


async def test_messages(claude: anthropic.AsyncAnthropic) -> None:
    whole = await claude.messages.create(model="ok", max_tokens=10, messages=USER)
    assert whole.content[0].type == "text"
    assert whole.content[0].text == TEXT
    assert (whole.stop_reason, whole.usage.output_tokens) == ("end_turn", 5)
    async with claude.messages.stream(model="ok", max_tokens=10, messages=USER) as stream:
        text = "".join([piece async for piece in stream.text_stream])
        final = await stream.get_final_message()
    assert text == TEXT
    assert (final.stop_reason, final.usage.output_tokens) == ("end_turn", 5)


async def test_anthropic_models_come_in_pages(claude: anthropic.AsyncAnthropic, fake: FakeProvider) -> None:
    fake.offered = [f"claude-{number}" for number in range(120)]
    assert [model.id async for model in claude.models.list()] == fake.offered
    assert len(fake.log) == 3


async def test_anthropic_extras(claude: anthropic.AsyncAnthropic) -> None:
    assert (await claude.messages.count_tokens(model="ok", messages=USER)).input_tokens > 0
    assert [model.id async for model in claude.models.list()] == ["ok", "stall"]
    batch = await claude.messages.batches.create(
        requests=[{"custom_id": "1", "params": {"model": "ok", "max_tokens": 1, "messages": USER}}]
    )
    assert batch.processing_status == "in_progress"


@pytest.mark.parametrize(
    ("model", "error"),
    [
        ("fail-401", anthropic.AuthenticationError),
        ("quota", anthropic.BadRequestError),
        ("rate-limit-5", anthropic.RateLimitError),
        ("context-length", anthropic.BadRequestError),
        ("fail-529", anthropic.APIStatusError),
        ("reset-before", anthropic.APIConnectionError),
    ],
)
async def test_anthropic_error_classes(
    claude: anthropic.AsyncAnthropic, model: str, error: type[anthropic.APIError]
) -> None:
    with pytest.raises(error):
        await claude.messages.create(model=model, max_tokens=10, messages=USER)


@pytest.mark.parametrize("model", ["error-first", "error-late"])
async def test_errors_inside_an_anthropic_stream(claude: anthropic.AsyncAnthropic, model: str) -> None:
    with pytest.raises(anthropic.APIStatusError, match="Overloaded"):
        async with claude.messages.stream(model=model, max_tokens=10, messages=USER) as stream:
            await stream.until_done()


async def test_the_blocking_sdks(fake: FakeProvider) -> None:
    def talk() -> list[str | None]:
        with openai.OpenAI(base_url=f"{fake.url}/v1", api_key="x", max_retries=0, timeout=5) as one:
            whole = one.chat.completions.create(model="ok", messages=USER).choices[0].message.content
            chunks = one.chat.completions.create(model="ok", messages=USER, stream=True)
            pieces = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
        with anthropic.Anthropic(base_url=fake.url, api_key="x", max_retries=0, timeout=5) as two:
            message: Any = two.messages.create(model="ok", max_tokens=10, messages=USER).content[0]
            with two.messages.stream(model="ok", max_tokens=10, messages=USER) as stream:
                final = stream.get_final_text()
        return [whole, pieces, message.text, final]

    assert await asyncio.to_thread(talk) == [TEXT] * 4
    assert [(seen.connection, seen.reused) for seen in fake.log] == [(1, False), (1, True), (2, False), (2, True)]


@pytest.mark.filterwarnings("ignore")
class TestLiteLLM:
    """litellm itself warns of all sorts of things at import."""

    @pytest.fixture
    async def litellm(self) -> AsyncIterator[Any]:
        os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # nothing is fetched from anywhere
        import litellm

        litellm.suppress_debug_info = True
        litellm.disable_aiohttp_transport = True
        yield litellm
        # It keeps its clients for later calls, and with them the loop of this test.
        await litellm.close_litellm_async_clients()
        litellm.in_memory_llm_clients_cache.flush_cache()

    @pytest.mark.parametrize(
        ("model", "base"),
        [
            ("openai/ok", "{}/v1"),
            ("anthropic/ok", "{}"),
            ("gemini/ok", "{}/v1beta"),
        ],
    )
    async def test_completion(self, litellm: Any, fake: FakeProvider, model: str, base: str) -> None:
        options = {
            "model": model,
            "messages": USER,
            "api_base": base.format(fake.url),
            "api_key": "x",
            "num_retries": 0,
        }
        whole = await litellm.acompletion(**options)
        assert whole.choices[0].message.content.strip() == TEXT.strip()
        assert whole.usage.completion_tokens == 5
        stream = await litellm.acompletion(stream=True, **options)
        assert "".join([chunk.choices[0].delta.content or "" async for chunk in stream]).strip() == TEXT.strip()

    @pytest.mark.parametrize(
        ("model", "error"),
        [
            ("openai/fail-401", "AuthenticationError"),
            ("openai/rate-limit", "RateLimitError"),
            ("openai/context-length", "ContextWindowExceededError"),
            ("openai/fail-503", "ServiceUnavailableError"),
        ],
    )
    async def test_error_classes(self, litellm: Any, fake: FakeProvider, model: str, error: str) -> None:
        failing: Callable[..., Any] = litellm.acompletion
        with pytest.raises(getattr(litellm, error)):
            await failing(model=model, messages=USER, api_base=f"{fake.url}/v1", api_key="x", max_retries=0)

    async def test_embedding(self, litellm: Any, fake: FakeProvider) -> None:
        answer = await litellm.aembedding(model="openai/ok", input=["a"], api_base=f"{fake.url}/v1", api_key="x")
        assert len(answer.data[0]["embedding"]) == 16
