"""Answers and events of Detour's own, as they are and as the real SDKs take them."""

from __future__ import annotations

import json
from typing import Any

import anthropic
import httpx
import httpx2
import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy import errors
from proxy.errors import Refusal
from proxy.paths import CHAT, COMPLETIONS, FAL, IMAGES, MESSAGES, RESPONSES, STREAM_GENERATE, Endpoint

MESSAGE = 'groq/llama: 503 "overloaded"\nnaïve'


def parsed(answer: bytes) -> tuple[bytes, list[bytes], bytes]:
    head, _, body = answer.partition(b"\r\n\r\n")
    first, *lines = head.split(b"\r\n")
    return first, lines, body


# -- bodies -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("dialect", "status", "body"),
    [
        (
            "openai",
            502,
            {"error": {"message": MESSAGE, "type": "api_error", "code": "network_error", "param": None}},
        ),
        (
            "openai",
            401,
            {"error": {"message": MESSAGE, "type": "authentication_error", "code": "network_error", "param": None}},
        ),
        ("anthropic", 502, {"type": "error", "error": {"type": "api_error", "message": MESSAGE}}),
        ("anthropic", 504, {"type": "error", "error": {"type": "timeout_error", "message": MESSAGE}}),
        ("anthropic", 400, {"type": "error", "error": {"type": "invalid_request_error", "message": MESSAGE}}),
        ("gemini", 502, {"error": {"code": 502, "message": MESSAGE, "status": "UNAVAILABLE"}}),
        ("gemini", 504, {"error": {"code": 504, "message": MESSAGE, "status": "DEADLINE_EXCEEDED"}}),
        ("gemini", 413, {"error": {"code": 413, "message": MESSAGE, "status": "INVALID_ARGUMENT"}}),
        (
            "fal",
            404,
            {
                "detail": MESSAGE,
                "error": {"message": MESSAGE, "type": "not_found_error", "code": "network_error", "param": None},
            },
        ),
        (
            None,
            429,
            {
                "detail": MESSAGE,
                "error": {"message": MESSAGE, "type": "rate_limit_error", "code": "network_error", "param": None},
            },
        ),
    ],
)
def test_bodies(dialect: str | None, status: int, body: dict[str, Any]) -> None:
    assert json.loads(errors.body(dialect, Refusal(status, "network_error", MESSAGE))) == body


# -- whole answers ----------------------------------------------------------------------------------------------------


def test_answer_to_the_byte() -> None:
    refusal = Refusal(503, "unavailable", "é", (("Retry-After", "7"), ("x-should-retry", "false")))
    made = errors.answer("anthropic", refusal, close=True, head_only=False, extra=b"x-detour-request-id: a-1\r\n")
    body = '{"type":"error","error":{"type":"api_error","message":"é"}}'.encode()
    assert made == (
        b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 7\r\nx-should-retry: false\r\n"
        b"Content-Type: application/json\r\nContent-Length: %d\r\nConnection: close\r\n"
        b"x-detour-request-id: a-1\r\n\r\n%b"
    ) % (len(body), body)


def test_an_answer_to_head_has_the_length_and_no_body() -> None:
    refusal = Refusal(404, "unknown_provider", "x")
    first, lines, body = parsed(errors.answer(None, refusal, close=False, head_only=True))
    assert first == b"HTTP/1.1 404 Not Found"
    assert b"Content-Length: %d" % len(errors.body(None, refusal)) in lines
    assert b"Connection: close" not in lines
    assert body == b""


def test_a_status_without_a_phrase() -> None:
    first, _, _ = parsed(errors.answer(None, Refusal(529, "x", "x"), close=False, head_only=False))
    assert first == b"HTTP/1.1 529 "


@given(st.text(max_size=40))
def test_header_text_is_one_line_of_ascii(text: str) -> None:
    made = errors.header_text(text)
    assert made.isascii()
    assert made.isprintable()


def test_header_text() -> None:
    assert errors.header_text("meta-llama/Llama 3:70b@x") == "meta-llama/Llama 3:70b@x"
    assert errors.header_text("a\r\nb%é\udcff") == "a%0D%0Ab%25%C3%A9%ED%B3%BF"


# -- events -----------------------------------------------------------------------------------------------------------

ERROR = {"message": MESSAGE, "type": "api_error", "code": "network_error", "param": None}


@pytest.mark.parametrize(
    ("endpoint", "name", "data"),
    [
        (CHAT, None, {"error": ERROR}),
        (IMAGES, None, {"error": ERROR}),
        (
            RESPONSES,
            "error",
            {
                "type": "error",
                "sequence_number": 0,
                "code": "network_error",
                "message": MESSAGE,
                "param": None,
                "error": ERROR,
            },
        ),
        (MESSAGES, "error", {"type": "error", "error": {"type": "api_error", "message": MESSAGE}}),
        (STREAM_GENERATE, None, {"error": {"code": 502, "message": MESSAGE, "status": "UNAVAILABLE"}}),
        (FAL, None, {"detail": MESSAGE, "error": ERROR}),
    ],
)
def test_events(endpoint: Endpoint, name: str | None, data: dict[str, Any]) -> None:
    made = errors.event(endpoint, MESSAGE, "network_error", 502).decode()
    assert made.endswith("\n\n")
    lines = made[:-2].split("\n")
    assert lines[:-1] == ([f"event: {name}"] if name else [])
    assert lines[-1].startswith("data: ")
    assert json.loads(lines[-1].removeprefix("data: ")) == data


def test_an_array_gets_one_more_element() -> None:
    made = errors.event(STREAM_GENERATE, MESSAGE, "network_error", 502, array=True)
    whole = json.loads(b'[{"candidates":[]}' + made + b"]")
    assert whole[-1] == {"error": {"code": 502, "message": MESSAGE, "status": "UNAVAILABLE"}}


@pytest.mark.parametrize(
    ("endpoint", "tail", "start"),
    [
        (CHAT, b"", b"data: "),
        (CHAT, b"}\n\n", b"data: "),
        (CHAT, b"}\r\n\r\n", b"data: "),
        (CHAT, b"}\r\r", b"data: "),
        (CHAT, b"}\n", b"\ndata: "),
        (CHAT, b"}\r\n", b"\ndata: "),
        (CHAT, b'"par', b"\n\ndata: "),
        (MESSAGES, b"}\n\n", b"event: error\n"),
        (MESSAGES, b"}\n", b"event: error\n"),
        (MESSAGES, b'"par', b"\nevent: error\n"),
    ],
)
def test_an_event_that_broke_off_is_ended_first(endpoint: Endpoint, tail: bytes, start: bytes) -> None:
    assert errors.event(endpoint, "m", "t", 502, tail=tail).startswith(start)


# -- the real SDKs ----------------------------------------------------------------------------------------------------


def openai_client(content: bytes, status: int = 200, kind: str = "text/event-stream") -> openai.OpenAI:
    def serve(request: httpx.Request) -> httpx.Response:
        return httpx.Response(status, headers={"content-type": kind}, content=content)

    http = httpx.Client(transport=httpx.MockTransport(serve))
    return openai.OpenAI(api_key="k", base_url="http://detour.test/v1", http_client=http, max_retries=0)


def anthropic_client(content: bytes, status: int = 200, kind: str = "text/event-stream") -> anthropic.Anthropic:
    def serve(request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(status, headers={"content-type": kind}, content=content)

    http = httpx2.Client(transport=httpx2.MockTransport(serve))
    return anthropic.Anthropic(api_key="k", base_url="http://detour.test", http_client=http, max_retries=0)


STATUSES = [
    (400, openai.BadRequestError, anthropic.BadRequestError),
    (401, openai.AuthenticationError, anthropic.AuthenticationError),
    (403, openai.PermissionDeniedError, anthropic.PermissionDeniedError),
    (404, openai.NotFoundError, anthropic.NotFoundError),
    (429, openai.RateLimitError, anthropic.RateLimitError),
    (502, openai.InternalServerError, anthropic.InternalServerError),
    (503, openai.InternalServerError, anthropic.InternalServerError),
    (504, openai.InternalServerError, anthropic.InternalServerError),
]


@pytest.mark.parametrize(("status", "theirs", "others"), STATUSES)
@pytest.mark.parametrize("dialect", ["openai", None])
def test_openai_raises_its_own_classes(
    status: int, theirs: type[openai.APIStatusError], others: object, dialect: str | None
) -> None:
    content = errors.body(dialect, Refusal(status, "network_error", MESSAGE))
    with openai_client(content, status, "application/json") as client, pytest.raises(theirs) as caught:
        client.chat.completions.create(model="m", messages=[])
    assert caught.value.status_code == status
    assert caught.value.code == "network_error"
    assert isinstance(caught.value.body, dict)
    assert caught.value.body["message"] == MESSAGE


@pytest.mark.parametrize(("status", "others", "theirs"), STATUSES)
def test_anthropic_raises_its_own_classes(status: int, others: object, theirs: type[anthropic.APIStatusError]) -> None:
    content = errors.body("anthropic", Refusal(status, "network_error", MESSAGE))
    with anthropic_client(content, status, "application/json") as client, pytest.raises(theirs) as caught:
        client.messages.create(model="m", messages=[], max_tokens=1)
    assert caught.value.status_code == status
    assert isinstance(caught.value.body, dict)
    assert caught.value.body["error"]["message"] == MESSAGE


CHUNK = b'data: {"id":"1","object":"chat.completion.chunk","created":1,"model":"m","choices":[]}\n\n'


def test_openai_raises_on_an_event_in_a_chat_stream() -> None:
    content = CHUNK + errors.event(CHAT, MESSAGE, "network_error", 502, tail=CHUNK[-4:])
    with openai_client(content) as client:
        stream = client.chat.completions.create(model="m", messages=[], stream=True)
        assert next(stream).id == "1"
        with pytest.raises(openai.APIError) as caught:
            next(stream)
    assert caught.value.message == MESSAGE
    assert caught.value.code == "network_error"


def test_openai_gets_a_whole_event_before_the_error() -> None:
    """A stream that broke after an event's line and before the empty one: both arrive."""
    content = CHUNK[:-1] + errors.event(COMPLETIONS, MESSAGE, "network_error", 502, tail=CHUNK[:-1][-4:])
    with openai_client(content) as client:
        stream = client.completions.create(model="m", prompt="p", stream=True)
        assert next(stream).id == "1"
        with pytest.raises(openai.APIError):
            next(stream)


def test_openai_raises_on_an_event_in_a_responses_stream() -> None:
    first = b'event: response.output_text.delta\ndata: {"type":"response.output_text.delta","delta":"a"}\n\n'
    content = first + errors.event(RESPONSES, MESSAGE, "network_error", 502)
    with openai_client(content) as client:
        stream = client.responses.create(model="m", input="i", stream=True)
        assert next(stream).type == "response.output_text.delta"
        with pytest.raises(openai.APIError) as caught:
            next(stream)
    assert caught.value.message == MESSAGE


PING = b'event: ping\ndata: {"type":"ping"}\n\n'
DELTA = b'event: content_block_stop\ndata: {"type":"content_block_stop","index":0}\n\n'


@pytest.mark.parametrize("cut", [0, 1, 2, 20, len(DELTA) - 1])
def test_anthropic_raises_wherever_its_stream_broke(cut: int) -> None:
    content = PING + (DELTA[:-cut] if cut else DELTA)
    content += errors.event(MESSAGES, MESSAGE, "network_error", 502, tail=content[-4:])
    with anthropic_client(content) as client:
        stream = client.messages.create(model="m", messages=[], max_tokens=1, stream=True)
        with pytest.raises(anthropic.APIStatusError) as caught:
            list(stream)
    assert "network" in str(caught.value) or "groq" in str(caught.value)


@pytest.mark.parametrize("close", [False, True])
def test_an_answer_that_has_no_body_says_nothing_of_one(close: bool) -> None:
    first, lines, body = parsed(errors.answer("openai", Refusal(204, "", ""), close=close, head_only=False))
    assert (first, lines, body) == (b"HTTP/1.1 204 No Content", [b"Connection: close"] if close else [], b"")
