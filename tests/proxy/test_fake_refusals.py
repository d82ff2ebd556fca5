from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from proxy.fake import FakeProvider
from tests.proxy.fake_wire import ask, split

PATHS = {
    "openai": "/v1/chat/completions",
    "anthropic": "/v1/messages",
    "gemini": "/v1beta/models/{}:generateContent",
    "fal": "/fal-ai/{}",
}


@pytest.fixture
async def fake() -> AsyncIterator[FakeProvider]:
    async with FakeProvider() as provider:
        yield provider


async def refused(fake: FakeProvider, model: str, dialect: str) -> tuple[int, dict[bytes, bytes], Any]:
    path = PATHS[dialect].format(model.replace("@", "%40").replace("=", "%3D"))
    status, headers, body = split(await ask(fake.port, model, path=path))
    return status, headers, json.loads(body)


@pytest.mark.parametrize(
    ("model", "statuses"),
    [
        ("fail-503", (503, 503, 503, 503)),
        ("fail-418", (418, 418, 418, 418)),
        ("fail-401", (401, 401, 401, 401)),
        ("rate-limit", (429, 429, 429, 429)),
        ("quota", (429, 400, 429, 403)),
        ("bad-key", (401, 401, 400, 401)),
        ("context-length", (400, 400, 400, 422)),
        ("policy", (400, 400, 400, 422)),
        ("policy@status=403", (403, 403, 403, 403)),
        ("error-200", (200, 200, 200, 200)),
        ("error-first", (529, 529, 529, 529)),
    ],
)
async def test_statuses_and_shapes(fake: FakeProvider, model: str, statuses: tuple[int, ...]) -> None:
    for dialect, expected in zip(PATHS, statuses, strict=True):
        status, _, body = await refused(fake, model, dialect)
        assert status == expected
        if dialect == "openai":
            assert {"message", "type", "param", "code"} == body["error"].keys()
        elif dialect == "anthropic":
            assert (body["type"], body["error"].keys()) == ("error", {"type", "message"})
        elif dialect == "gemini":
            assert {"code", "message", "status"} <= body["error"].keys()
        else:
            assert "detail" in body


@pytest.mark.parametrize(
    ("model", "dialect", "path", "value"),
    [
        ("fail-401", "openai", ("error", "code"), "invalid_api_key"),
        ("fail-401", "anthropic", ("error", "type"), "authentication_error"),
        ("fail-529", "anthropic", ("error", "type"), "overloaded_error"),
        ("fail-500", "anthropic", ("error", "type"), "api_error"),
        ("fail-503", "gemini", ("error", "status"), "UNAVAILABLE"),
        ("fail-418", "gemini", ("error", "status"), "UNKNOWN"),
        ("bad-key", "gemini", ("error", "details", 0, "reason"), "API_KEY_INVALID"),
        ("quota", "openai", ("error", "type"), "insufficient_quota"),
        ("context-length", "openai", ("error", "code"), "context_length_exceeded"),
        ("policy", "openai", ("error", "code"), "content_policy_violation"),
        ("policy", "fal", ("detail", 0, "type"), "content_policy_violation"),
        ("error-200", "openai", ("error", "code"), 503),
        ("error-200@status=429", "openai", ("error", "code"), 429),
        ("rate-limit-5", "gemini", ("error", "details", 0, "retryDelay"), "5s"),
    ],
)
async def test_words(fake: FakeProvider, model: str, dialect: str, path: tuple[Any, ...], value: object) -> None:
    _, _, found = await refused(fake, model, dialect)
    for key in path:
        found = found[key]
    assert found == value


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("rate-limit", {}),
        ("rate-limit-5", {b"retry-after": b"5"}),
        ("rate-limit-0.5", {b"retry-after": b"0.5"}),
        ("rate-limit@retry=2,form=ms", {b"retry-after-ms": b"2000"}),
        (
            "rate-limit@retry=90,form=reset",
            {b"x-ratelimit-remaining-tokens": b"0", b"x-ratelimit-reset-tokens": b"1m30s"},
        ),
        (
            "rate-limit@retry=6,form=reset",
            {b"x-ratelimit-reset-tokens": b"6s", b"x-ratelimit-remaining-requests": b"59"},
        ),
        ("rate-limit@retry=0.02,form=reset", {b"x-ratelimit-reset-tokens": b"20ms"}),
        ("rate-limit@retry=5,form=none", {}),
        ("fail-503@retry=7", {b"retry-after": b"7"}),
    ],
)
async def test_waits(fake: FakeProvider, model: str, expected: dict[bytes, bytes]) -> None:
    _, headers, _ = await refused(fake, model, "openai")
    assert expected.items() <= headers.items()
    assert expected or not any(b"retry" in name or b"reset" in name for name in headers)


async def test_a_wait_as_a_date(fake: FakeProvider) -> None:
    _, headers, _ = await refused(fake, "rate-limit@retry=60,form=date", "openai")
    assert headers[b"retry-after"].endswith(b" GMT")


@pytest.mark.parametrize(
    ("model", "path", "ending"),
    [
        ("error-first", "/v1/chat/completions", b'"type":"overloaded_error","param":null,"code":null}}\n\n'),
        ("error-late", "/v1/chat/completions", b'"type":"overloaded_error","param":null,"code":null}}\n\n'),
        ("error-late@shape=finish", "/v1/chat/completions", b"data: [DONE]\n\n"),
        ("error-late", "/v1/responses", b'"message":"Overloaded","param":null,"sequence_number":99}\n\n'),
        ("error-late@shape=failed", "/v1/responses", b'"message":"Overloaded"}},"sequence_number":99}\n\n'),
        ("error-late", "/v1/messages", b'"request_id":"req_fake000000000001"}\n\n'),
        ("", "/v1beta/models/error-late:streamGenerateContent?alt=sse", b'"status":"UNKNOWN"}}\n\n'),
    ],
)
async def test_errors_inside_streams(fake: FakeProvider, model: str, path: str, ending: bytes) -> None:
    status, _, body = split(await ask(fake.port, model, path=path, stream=True))
    assert status == 200
    assert body.endswith(ending)
    assert b"Overloaded" in body
    assert (b"Detour " in body) is ("error-first" not in model)
    assert fake.log[0].events == (0 if "error-first" in model else 3)


async def test_errors_inside_an_array_leave_it_json(fake: FakeProvider) -> None:
    for model, before in (("error-first", 0), ("error-late", 3), ("error-late%40after%3D0", 0)):
        _, _, body = split(await ask(fake.port, path=f"/v1beta/models/{model}:streamGenerateContent"))
        pieces = json.loads(body)
        assert len(pieces) == before + 1
        assert pieces[-1]["error"]["code"] == 529
    status, _, body = split(await ask(fake.port, path="/v1beta/models/fail-503:streamGenerateContent"))
    assert (status, json.loads(body)[0]["error"]["status"]) == (503, "UNAVAILABLE")
