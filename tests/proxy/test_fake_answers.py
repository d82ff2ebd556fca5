from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from proxy.fake import FakeProvider
from proxy.fake_answers import recognise
from proxy.fake_seen import Seen
from tests.proxy.fake_wire import ask, split

JSON_TYPE = [(b"Content-Type", b"application/json")]


@pytest.fixture
async def fake() -> AsyncIterator[FakeProvider]:
    async with FakeProvider() as provider:
        yield provider


def seen(line: str, body: bytes = b'{"model":"m","stream":true}', headers: Any = None) -> Seen:
    method, _, target = line.partition(" ")
    return Seen(
        number=1,
        connection=1,
        reused=False,
        method=method,
        target=target.encode(),
        version="1.1",
        headers=JSON_TYPE if headers is None else headers,
        at=0.0,
        received=bytearray(body),
        size=len(body),
    )


@pytest.mark.parametrize(
    ("line", "endpoint", "dialect", "model", "streamed"),
    [
        ("POST /v1/chat/completions", "chat", "openai", "m", True),
        ("POST /openai/v1/chat/completions?a=b", "chat", "openai", "m", True),
        ("POST /v1/completions", "completions", "openai", "m", True),
        ("POST /v1/responses", "responses", "openai", "m", True),
        ("POST /v1/responses/resp_1/cancel", "other", "openai", "m", False),
        ("POST /v1/embeddings", "embeddings", "openai", "m", False),
        ("POST /v1/images/generations", "images", "openai", "m", True),
        ("POST /v1/images/edits", "images", "openai", "m", True),
        ("POST /v1/audio/transcriptions", "audio", "openai", "m", True),
        ("POST /v1/audio/speech", "audio", "openai", "m", True),
        ("POST /v1/messages", "messages", "anthropic", "m", True),
        ("POST /v1/messages/count_tokens", "other", "anthropic", "m", False),
        ("POST /v1/messages/batches", "other", "anthropic", "m", False),
        ("POST /v1beta/models/gem-2:generateContent", "generate", "gemini", "gem-2", False),
        ("POST /v1beta/models/gem-2:streamGenerateContent?alt=sse", "stream_generate", "gemini", "gem-2", True),
        ("POST /v1beta/models/ok%40events%3D3:generateContent", "generate", "gemini", "ok@events=3", False),
        (
            "POST /v1/projects/p/locations/l/publishers/google/models/imagen:predict",
            "predict",
            "gemini",
            "imagen",
            False,
        ),
        ("POST /v1beta/models/gem-2:countTokens", "other", "gemini", "gem-2", False),
        ("POST /v1beta/openai/chat/completions", "chat", "openai", "m", True),
        ("POST /fal-ai/flux/dev", "fal", "fal", "fal-ai/flux/dev", False),
        ("POST /fal-ai/flux/dev/stream", "fal", "fal", "fal-ai/flux/dev", True),
        ("POST /queue/fal-ai/flux", "fal", "fal", "fal-ai/flux", False),
        ("GET /queue/fal-ai/flux/requests/7/status", "other", "fal", "fal-ai/flux", False),
        ("GET /v1/chat/completions", "other", "openai", "m", False),
        ("DELETE /v1/files/f", "other", "openai", "m", False),
    ],
)
def test_paths(line: str, endpoint: str, dialect: str, model: str, streamed: bool) -> None:
    asked, _ = recognise(seen(line))
    assert (asked.endpoint, asked.dialect, asked.model, asked.streamed) == (endpoint, dialect, model, streamed)


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"null", b"{", b"\xff\xfe", b'{"model":7}', b'{"model":null,"stream":"maybe"}', b"[" * 100_000],
)
def test_a_body_that_says_nothing(body: bytes) -> None:
    asked, make = recognise(seen("POST /v1/chat/completions", body))
    assert (asked.model, asked.streamed) == ("", False)
    assert json.loads(make(asked).body)["object"] == "chat.completion"


def test_a_multipart_body() -> None:
    body = (
        b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n\x00\x01\r\n'
        b'--x\r\ncontent-disposition: form-data; name="model"\r\nContent-Type: text/plain\r\n\r\nacme/stall\r\n'
        b'--x\r\nContent-Disposition: form-data; name="stream"\r\n\r\ntrue\r\n--x--\r\n'
    )
    headers = [(b"content-type", b"multipart/form-data; boundary=x")]
    asked, _ = recognise(seen("POST /v1/audio/transcriptions", body, headers))
    assert (asked.model, asked.streamed, asked.fields) == (
        "acme/stall",
        True,
        {"model": "acme/stall", "stream": "true"},
    )


async def test_gemini_streams_as_events_and_as_an_array(fake: FakeProvider) -> None:
    path = "/v1beta/models/ok:streamGenerateContent"
    _, headers, events = split(await ask(fake.port, path=path + "?alt=sse"))
    assert headers[b"content-type"] == b"text/event-stream"
    documents = [json.loads(line.removeprefix(b"data: ")) for line in events.split(b"\r\n\r\n") if line]
    _, headers, array = split(await ask(fake.port, path=path))
    assert headers[b"content-type"] == b"application/json"
    for pieces in (documents, json.loads(array)):
        texts = [piece["candidates"][0]["content"]["parts"][0]["text"] for piece in pieces]
        assert "".join(texts) == "Detour keeps the traffic moving "
        assert [piece["candidates"][0].get("finishReason") for piece in pieces] == [None] * 5 + ["STOP"]
        assert pieces[-1]["usageMetadata"]["candidatesTokenCount"] == 5


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("/v1beta/models/ok:generateContent", "candidates"),
        ("/v1/projects/p/models/imagen:predict", "predictions"),
        ("/v1beta/models/ok:countTokens", "totalTokens"),
        ("/v1beta/models/ok:embedContent", "embedding"),
        ("/fal-ai/flux/dev", "images"),
        ("/queue/fal-ai/flux/dev", "response_url"),
        ("/v1/elsewhere", "object"),
    ],
)
async def test_documents(fake: FakeProvider, path: str, found: str) -> None:
    status, _, body = split(await ask(fake.port, path=path))
    assert status == 200
    assert found in json.loads(body)


async def test_fal_queue_and_stream(fake: FakeProvider) -> None:
    polls = [split(await ask(fake.port, method="GET", path=f"/fal-ai/flux/requests/7{end}")) for end in ("/status", "")]
    assert json.loads(polls[0][2])["status"] == "COMPLETED"
    assert json.loads(polls[0][2])["request_id"] == "7"
    assert "images" in json.loads(polls[1][2])
    _, headers, body = split(await ask(fake.port, path="/fal-ai/flux/stream"))
    assert headers[b"content-type"].startswith(b"text/event-stream")
    assert body.count(b"data: ") == 6


async def test_lists_of_models(fake: FakeProvider) -> None:
    lists = [
        await ask(fake.port, method="GET", path="/v1/models"),
        await ask(fake.port, method="GET", path="/v1/models", headers=("anthropic-version: 2023-06-01",)),
        await ask(fake.port, method="GET", path="/v1beta/models"),
    ]
    first = [json.loads(split(answer)[2]) for answer in lists]
    assert [first[0]["data"][0]["id"], first[1]["data"][0]["id"], first[2]["models"][0]["name"]] == [
        "ok",
        "ok",
        "models/ok",
    ]


async def test_sizes_are_exact(fake: FakeProvider) -> None:
    _, headers, body = split(await ask(fake.port, "ok@size=4096"))
    assert (headers[b"content-length"], len(body)) == (b"4096", 4096)
    _, _, stream = split(await ask(fake.port, "ok@size=250,events=9", stream=True))
    events = [piece for piece in stream.split(b"\n\n") if b'"content":"' in piece and b"assistant" not in piece]
    assert {len(piece) + 2 for piece in events} == {250}
    assert len(events) == 9


@pytest.mark.parametrize(
    ("path", "finish", "expected"),
    [
        ("/v1/chat/completions", "content_filter", b'"finish_reason":"content_filter"'),
        ("/v1/completions", "length", b'"finish_reason":"length"'),
        ("/v1/responses", "incomplete", b"event: response.incomplete"),
        ("/v1/messages", "refusal", b'"stop_reason":"refusal"'),
        ("/v1beta/models/ok%40finish%3DSAFETY:streamGenerateContent", "SAFETY", b'"finishReason":"SAFETY"'),
    ],
)
async def test_finish_reasons(fake: FakeProvider, path: str, finish: str, expected: bytes) -> None:
    assert expected in await ask(fake.port, f"ok@finish={finish}", path=path, stream=True)


async def test_speech_as_events(fake: FakeProvider) -> None:
    _, _, body = split(await ask(fake.port, path="/v1/audio/speech", stream_format="sse"))
    assert body.count(b"event: speech.audio.delta\n") == 5
    assert body.count(b"event: speech.audio.done\n") == 1


@pytest.mark.parametrize(("form", "start"), [("text", b"Detour"), ("srt", b"1\n00:"), ("vtt", b"WEBVTT")])
async def test_transcripts_that_are_no_json(fake: FakeProvider, form: str, start: bytes) -> None:
    _, headers, body = split(await ask(fake.port, path="/v1/audio/transcriptions", response_format=form))
    assert headers[b"content-type"].startswith(b"text/plain")
    assert body.startswith(start)
