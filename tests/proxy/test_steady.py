from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy import readers
from proxy.sight import CONTENT
from proxy.sse import Splitter
from proxy.steady import Frame, learn
from proxy.terminals import grammar
from tests.proxy.recorded_streams import STREAMS, chat, delta, gemini, stopped, text_delta

OPENAI_CHAT = ("openai", "chat")
RESPONSES = ("openai", "responses")
MESSAGES = ("anthropic", "messages")
GEMINI = ("gemini", "stream_generate")


def learnt(kind: tuple[str, str], payload: bytes) -> Frame | None:
    return learn(b"data: ", b"", payload, b"\n\n", readers.reader(grammar(*kind)))


def packed(document: dict[str, Any]) -> bytes:
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode()


def event(document: dict[str, Any]) -> bytes:
    return b"data: " + packed(document) + b"\n\n"


def counted(text: str, *counts: int) -> dict[str, Any]:
    return {**gemini(text), "usageMetadata": {"promptTokenCount": counts[0], "candidatesTokenCount": counts[1]}}


@pytest.mark.parametrize(
    ("kind", "one", "another"),
    [
        (OPENAI_CHAT, chat({"content": "Hello"}), chat({"content": " you é \u2028"})),
        (
            OPENAI_CHAT,
            chat({"content": "", "reasoning_content": "hm"}),
            chat({"content": "", "reasoning_content": "x"}),
        ),
        (OPENAI_CHAT, chat({"content": "a"}, obfuscation="abc"), chat({"content": "bcd"}, obfuscation="")),
        (RESPONSES, text_delta("a"), {**text_delta("b"), "sequence_number": 1234567}),
        (RESPONSES, text_delta("a"), {**text_delta("b"), "sequence_number": 0}),
        (MESSAGES, delta(0, "text_delta", text="a"), delta(0, "text_delta", text="b")),
        (MESSAGES, delta(0, "thinking_delta", thinking="a"), delta(0, "thinking_delta", thinking="b")),
        (MESSAGES, delta(0, "input_json_delta", partial_json="{a"), delta(0, "input_json_delta", partial_json="b}")),
        (GEMINI, counted("a", 4, 1), counted("bc", 4, 250)),
    ],
)
def test_the_next_event_fits(kind: tuple[str, str], one: dict[str, Any], another: dict[str, Any]) -> None:
    frame = learnt(kind, packed(one))
    assert frame is not None
    assert frame.fits(event(one))
    assert frame.fits(event(another))


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(event(chat({"content": ""})), id="empty"),
        pytest.param(event(chat({"content": "\n"})), id="escapes"),
        pytest.param(event(chat({"content": 'a"b'})), id="quotes"),
        pytest.param(event(chat({"content": "a"}, "stop")), id="an end"),
        pytest.param(event(chat({"content": "a", "refusal": "b"})), id="more fields"),
        pytest.param(event(chat({"role": "a"})), id="other fields"),
        pytest.param(event(chat({"content": "a"}))[:-1], id="incomplete"),
        pytest.param(event(chat({"content": "a"})) + b"\n", id="more bytes"),
        pytest.param(event(chat({"content": "a"})) * 2, id="two events"),
        pytest.param(event(chat({"content": "a"})).replace(b'"a"', b'"a\rb"'), id="a line end inside"),
        pytest.param(event({**chat({"content": "a"}), "id": "another"}), id="another id"),
        pytest.param(b"", id="nothing"),
    ],
)
def test_what_differs_in_more_than_its_text_does_not_fit(data: bytes) -> None:
    frame = learnt(OPENAI_CHAT, packed(chat({"content": "Hello"})))
    assert frame is not None
    assert not frame.fits(data)


@pytest.mark.parametrize("number", ["01", "-1", "1.5", "1e3", '"1"', "", "9" * 16, "null"])
def test_only_plain_numbers_fit_where_a_number_was(number: str) -> None:
    frame = learnt(RESPONSES, packed(text_delta("a")))
    assert frame is not None
    assert not frame.fits(event(text_delta("a")).replace(b":7,", f":{number},".encode()))


@pytest.mark.parametrize(
    ("kind", "document"),
    [
        pytest.param(OPENAI_CHAT, chat({"content": "Hello", "reasoning": "both"}), id="two texts"),
        pytest.param(
            OPENAI_CHAT, chat({"tool_calls": [{"id": "c", "function": {"arguments": "{a"}}]}), id="an id besides"
        ),
        pytest.param(OPENAI_CHAT, chat({"content": "Hello"}, "stop"), id="an end"),
        pytest.param(OPENAI_CHAT, {"content": "Hello"}, id="no content"),
        pytest.param(OPENAI_CHAT, chat({"content": "\n"}), id="escapes"),
        pytest.param(OPENAI_CHAT, {**chat({"content": "a"}), "text": "b"}, id="a text that is not looked at"),
        pytest.param(MESSAGES, stopped("end_turn"), id="no text"),
    ],
)
def test_no_frame_where_the_text_alone_does_not_decide(kind: tuple[str, str], document: dict[str, Any]) -> None:
    assert learnt(kind, packed(document)) is None


LEARNT = [
    (kind, payload, frame)
    for stream in STREAMS
    if stream.shape == "sse" and (kind := (stream.dialect, stream.endpoint))
    for name, payload in Splitter().feed(stream.body)
    if b"\n" not in payload and readers.reader(grammar(*kind))(name, payload) is CONTENT
    if (frame := learn(b"data: ", name, payload, b"\n\n", readers.reader(grammar(*kind)))) is not None
]


def test_there_are_frames_to_try() -> None:
    assert {kind for kind, _, _ in LEARNT} >= {OPENAI_CHAT, RESPONSES, MESSAGES, GEMINI}


@given(which=st.sampled_from(LEARNT), at=st.integers(0, 500), put=st.binary(max_size=5), taken=st.integers(0, 5))
@settings(max_examples=1000, deadline=None)
def test_whatever_fits_is_content(which: tuple[tuple[str, str], bytes, Frame], at: int, put: bytes, taken: int) -> None:
    """Changed in any place by any bytes: what still fits, the whole parse calls content and nothing else."""
    kind, payload, frame = which
    at %= len(payload) + 1
    changed = payload[:at] + put + payload[at + taken :]
    if frame.fits(b"data: " + changed + b"\n\n"):
        sight = readers.reader(grammar(*kind))(b"", changed)
        assert sight == CONTENT
        assert Splitter().feed(b"data: " + changed + b"\n\n") == [(b"", changed)]
