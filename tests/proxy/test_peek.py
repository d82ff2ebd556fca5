"""What a request tells about the generation it asks for."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from breaker.outcome import NO_MODEL, OTHER_MODEL
from proxy import peek as module
from proxy.paths import (
    AUDIO,
    CHAT,
    FAL,
    GENERATE,
    IMAGE_EDITS,
    MESSAGES,
    PREDICT,
    RESPONSES,
    SPEECH,
    STREAM_GENERATE,
    Endpoint,
    find,
)
from proxy.peek import LONGEST_MODEL, LONGEST_VALUE, Peek, peek

JSON = b"application/json"
GEMINI = "/v1beta/models/gemini-2.5-flash:generateContent"
FORM = b"multipart/form-data; boundary=B"


def look(body: bytes | bytearray | dict[str, Any], endpoint: Endpoint = CHAT) -> Peek:
    return peek(endpoint, "/v1/x", JSON, json.dumps(body).encode() if isinstance(body, dict) else body)


# -- model and stream -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "model", "stream"),
    [
        (b'{"model":"m","stream":true}', "m", True),
        (b'{"model":"m","stream":false}', "m", False),
        (b'{"model":"m","stream":null}', "m", False),
        (b'{"model":"m","stream":1}', "m", False),
        (b'{"model":"m","stream":"true"}', "m", False),
        (b'{"stream":true,"model":7}', NO_MODEL, True),
        (b'{"stream":true,"model":null}', NO_MODEL, True),
        (b'{"stream":true,"model":["m"]}', NO_MODEL, True),
        (b'{"stream":true}', NO_MODEL, True),
        (b'{"model":"a","model":"b"}', "b", False),
        (b'{"model":"a","model":7}', NO_MODEL, False),
        (b'{"mod\\u0065l":"\\u006d\\/x"}', "m/x", False),
        (b'{"model":"\\ud83d\\ude00"}', "😀", False),
        (b'{"model":"\\ud83d"}', NO_MODEL, False),
        (b'\xef\xbb\xbf{"model":"m"}', "m", False),
        (b'{"model":"m","x":NaN}', "m", False),
        (b'{"model":"m","stream":true', "m", False),
        (b'{"model":"m","stream":true,"messages":[{"role":"us', "m", True),
        (b'{"messages":[{"model":"no"}],"model":"m","x":"', "m", False),
        (b'{"messages":[{"model":"no"}', NO_MODEL, False),
        (b'{"model":"m\xff"}', NO_MODEL, False),
        (b'{"x":"\xff","model":"m"}', "m", False),
        (b'{"model":"m"} x', "m", False),
        (b'{"model":"m","x":' + b"[" * 100_000, "m", False),
        (b'[{"model":"m"}]', NO_MODEL, False),
        (b'"m"', NO_MODEL, False),
        (b"", NO_MODEL, False),
        (b"\x1f\x8b\x08\x00", NO_MODEL, False),
        (b'{"input":"x","model":"tts","stream_format":"sse"}', "tts", True),
        (b'{"model":"tts","stream_format":"audio"}', "tts", False),
        (b'{"model":"tts","stream_format":7}', "tts", False),
    ],
)
def test_model_and_stream(body: bytes, model: str, stream: bool) -> None:
    for form in (body, bytearray(body)):
        found = look(form)
        assert (found.model, found.stream) == (model, stream)


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("meta-llama/Llama-3.3-70B:free", True),
        ("../../etc/passwd", True),
        ("<script>", True),
        ("modèle", True),
        ("m" * LONGEST_MODEL, True),
        ("m" * (LONGEST_MODEL + 1), False),
        ("m" * 100_000, False),
        ("", False),
        ("a\nb", False),
        ("a\x00", False),
        ("a\x7f", False),
        ("a\u2028b", False),
        ("a\u202eb", False),
        (NO_MODEL, False),
        (OTHER_MODEL, False),
        ("~anything", False),
    ],
)
def test_names_are_data_but_not_any_data(name: str, kept: bool) -> None:
    expected = name if kept else NO_MODEL
    assert look({"model": name}).model == expected
    assert look({"model": name, "stream": 7}).model == expected


def test_a_buffer_can_grow_after_a_look() -> None:
    body = bytearray(b'{"model":"m","reasoning":{"effort":"low"},"prompt":{"id":"p"},"conversation":"c"}')
    found = look(body)
    assert (found.model, found.reasoning, found.pinned) == ("m", True, True)
    body += b"more"
    cut = bytearray(b'{"model":"m","reasoning":{"effort":"low"},"x":')
    assert look(cut).reasoning
    cut += b"more"


# -- reasoning --------------------------------------------------------------------------------------------------------

REASONING = [
    ({"reasoning_effort": "low"}, True),
    ({"reasoning_effort": "none"}, False),
    ({"reasoning_effort": None}, False),
    ({"reasoning_effort": ""}, False),
    ({"reasoning": {"effort": "high"}}, True),
    ({"reasoning": {"effort": "none"}}, False),
    ({"reasoning": {"effort": "none", "summary": "auto"}}, False),
    ({"reasoning": {"effort": None}}, False),
    ({"reasoning": {"summary": "auto"}}, True),
    ({"reasoning": {"enabled": True}}, True),
    ({"reasoning": {"enabled": False, "max_tokens": 5}}, False),
    ({"reasoning": {"max_tokens": 2000}}, True),
    ({"reasoning": {}}, False),
    ({"reasoning": None}, False),
    ({"reasoning": True}, True),
    ({"reasoning": "none"}, False),
    ({"reasoning": "x" * (LONGEST_VALUE + 1)}, True),
    ({"thinking": {"type": "enabled", "budget_tokens": 1024}}, True),
    ({"thinking": {"type": "adaptive"}}, True),
    ({"thinking": {"type": "disabled"}}, False),
    ({"enable_thinking": True}, True),
    ({"enable_thinking": False}, False),
    ({"generationConfig": {"thinkingConfig": {"thinkingBudget": 1024}}}, True),
    ({"generationConfig": {"thinkingConfig": {"thinkingBudget": -1}}}, True),
    ({"generationConfig": {"thinkingConfig": {"thinkingBudget": 0, "includeThoughts": False}}}, False),
    ({"generationConfig": {"temperature": 1}}, False),
    ({"generationConfig": 7}, False),
    ({"generationConfig": None}, False),
    ({"generation_config": {"thinking_config": {"thinking_level": "high"}}}, True),
    ({"messages": [{"reasoning": {"effort": "high"}}]}, False),
    ({}, False),
]


@pytest.mark.parametrize(("fields", "expected"), REASONING)
def test_reasoning(fields: dict[str, Any], expected: bool) -> None:
    assert look({"model": "m", **fields}).reasoning is expected
    assert look(json.dumps({**fields, "y": 1}).encode()[:-1]).reasoning is expected
    assert peek(GENERATE, GEMINI, JSON, json.dumps(fields).encode()).reasoning is expected


@pytest.mark.parametrize("value", [b'{"a":NaN}', b"[" * 2_000 + b"]" * 2_000, b'{"x":"\xff"}'])
def test_settings_that_cannot_be_read_ask_for_nothing(value: bytes) -> None:
    assert not look(b'{"reasoning":' + value + b',"x":').reasoning
    assert not look(b'{"generationConfig":{"thinkingConfig":' + value + b'},"x":').reasoning


# -- what lives at one provider ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"previous_response_id": "resp_1"}, True),
        ({"previous_response_id": None}, False),
        ({"previous_response_id": ""}, False),
        ({"conversation": "conv_1"}, True),
        ({"conversation": {"id": "conv_1"}}, True),
        ({"container": "container_1"}, True),
        ({"cachedContent": "cachedContents/1"}, True),
        ({"cached_content": "cachedContents/1"}, True),
        ({"prompt": {"id": "pmpt_1"}}, True),
        ({"prompt": "once upon a time"}, False),
        ({"prompt": [1, 2, 3]}, False),
        ({"prompt": None}, False),
        ({}, False),
    ],
)
def test_pinned(fields: dict[str, Any], expected: bool) -> None:
    body = json.dumps({"model": "m", **fields}).encode()
    assert look(body, RESPONSES).pinned is expected
    assert look(body, RESPONSES).pins(body) is expected
    assert peek(GENERATE, GEMINI, JSON, body).pinned is expected


@pytest.mark.parametrize(
    "item",
    [
        {"type": "input_file", "file_id": "file-1"},
        {"type": "document", "source": {"type": "file", "file_id": "file_1"}},
        {"fileData": {"fileUri": "https://generativelanguage.googleapis.com/v1beta/files/1"}},
        {"type": "item_reference", "id": "rs_1"},
        {"type": "reasoning", "encrypted_content": "gAAAA"},
        {"type": "file_search", "vector_store_ids": ["vs_1"]},
        {"type": "code_interpreter", "container": "cntr_1"},
    ],
)
def test_references_anywhere_in_the_body_pin(item: dict[str, Any]) -> None:
    body = json.dumps({"model": "m", "input": [item]}).encode()
    assert not look(body).pinned
    assert look(body).pins(body)


def test_text_about_references_does_not_pin() -> None:
    body = json.dumps({"model": "m", "input": 'what is a "file_id"?'}).encode()
    assert not look(body).pins(body)


@pytest.mark.parametrize(("value", "expected"), [(True, True), (False, False), ("transparent", False), (None, False)])
def test_background(value: object, expected: bool) -> None:
    assert look({"model": "m", "background": value}, RESPONSES).background is expected


# -- where else models are found --------------------------------------------------------------------------------------


def part(name: str, value: str) -> bytes:
    return f'--B\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()


@pytest.mark.parametrize("endpoint", [AUDIO, IMAGE_EDITS, SPEECH, CHAT])
@pytest.mark.parametrize("kind", [FORM, b"Multipart/Form-Data; boundary=B"])
def test_multipart(endpoint: Endpoint, kind: bytes) -> None:
    body = part("file", "x" * 1000) + part("stream", "true") + part("model", "whisper-1") + part("file", "")
    assert peek(endpoint, "/v1/audio/transcriptions", kind, body) == Peek("whisper-1", stream=True)
    assert peek(endpoint, "/v1/audio/transcriptions", kind, b"") == Peek()
    body = part("model", "~none") + part("stream", "false") + part("stream_format", "sse") + b"--B--"
    assert peek(endpoint, "/v1/audio/transcriptions", kind, body) == Peek(NO_MODEL, stream=True)


def test_edits_may_come_as_json() -> None:
    assert peek(IMAGE_EDITS, "/v1/images/edits", JSON, b'{"model":"gpt-image-1"}') == Peek("gpt-image-1")


@pytest.mark.parametrize(
    ("endpoint", "path", "expected"),
    [
        (GENERATE, GEMINI, Peek("gemini-2.5-flash")),
        (STREAM_GENERATE, "/v1beta/models/g:streamGenerateContent", Peek("g", stream=True)),
        (STREAM_GENERATE, "/v1beta/models/a%0Ab:streamGenerateContent", Peek(stream=True)),
        (PREDICT, "/v1/projects/p/locations/l/publishers/google/models/imagen-4:predict", Peek("imagen-4")),
        (FAL, "/fal-ai/flux/dev", Peek("fal-ai/flux/dev")),
        (FAL, "/fal-ai/flux/stream", Peek("fal-ai/flux/stream", stream=True)),
        (FAL, "/%00", Peek()),
    ],
)
@pytest.mark.parametrize("body", [b"", b"{}", b'{"model":"no","stream":true', b"\xff"])
def test_models_in_paths(endpoint: Endpoint, path: str, expected: Peek, body: bytes) -> None:
    assert peek(endpoint, path, JSON, body) == expected


def test_the_prefix_is_no_part_of_a_model() -> None:
    assert peek(FAL, "/proxied/fal-ai/flux", JSON, b"{}", "/proxied").model == "fal-ai/flux"


def test_other_requests_have_no_model(monkeypatch: pytest.MonkeyPatch) -> None:
    from config.load import load_text

    openai = load_text(None, {}).provider("openai")
    assert openai is not None
    other = find("POST", "/v1/files", openai)
    assert peek(other, "/v1/files", JSON, b'{"model":"m","stream":true}') == Peek()


# -- properties -------------------------------------------------------------------------------------------------------

INTERESTING = [
    "model",
    "stream",
    "stream_format",
    "reasoning",
    "reasoning_effort",
    "thinking",
    "enable_thinking",
    "background",
    "prompt",
    "conversation",
    "generationConfig",
    "messages",
    "x",
]
scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.sampled_from(["m", "sse", "none", "~none", "a\\u0041", "\ud800", "😀"])
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(INTERESTING), inner, max_size=3),
)
documents = st.lists(st.tuples(st.sampled_from(INTERESTING), values), max_size=8)


def escaped(text: str) -> str:
    """A JSON string with every character escaped."""
    units = text.encode("utf-16-be", "surrogatepass")
    return '"' + "".join(f"\\u{units[i]:02x}{units[i + 1]:02X}" for i in range(0, len(units), 2)) + '"'


def plain(text: str) -> str:
    return json.dumps(text)


@given(documents, st.booleans(), st.booleans(), st.sampled_from(["", " ", "\r\n\t"]))
def test_it_agrees_with_json(document: list[tuple[str, Any]], odd: bool, ascii_only: bool, gap: str) -> None:
    name_of = escaped if odd else plain
    inner = f",{gap}".join(
        f"{name_of(name)}{gap}:{gap}"
        + (name_of(value) if isinstance(value, str) else json.dumps(value, ensure_ascii=ascii_only))
        for name, value in document
    )
    body = f"{gap}{{{gap}{inner}{gap}}}{gap}".encode("utf-8", "surrogatepass")
    found = look(body, MESSAGES)
    expected = dict(document)
    model = expected.get("model")
    valid = isinstance(model, str) and 0 < len(model) <= LONGEST_MODEL and model.isprintable() and model[0] != "~"
    assert found.model == (model if valid else NO_MODEL)
    assert found.stream is (expected.get("stream") is True or expected.get("stream_format") == "sse")
    assert found.background is (expected.get("background") is True)
    if expected.get("reasoning_effort") in ("m", "sse"):
        assert found.reasoning


@given(documents, st.text(min_size=1, max_size=10), st.data())
def test_a_model_that_is_whole_in_the_part_is_found(
    before: list[tuple[str, Any]], model: str, data: st.DataObject
) -> None:
    inner = "".join(f"{json.dumps(name)}:{json.dumps(value)}," for name, value in before)
    start = f'{{{inner}"model":{json.dumps(model)}'.encode()
    rest = data.draw(st.sampled_from([b"", b",", b',"messages":[{"a":"b', b',"x":{"y":[1,', b" , ", b',"model":"oth']))
    expected = model if model.isprintable() and model[0] != "~" else NO_MODEL
    assert look(start + rest).model == expected


@given(st.binary(), st.binary(max_size=30), st.sampled_from([CHAT, AUDIO, GENERATE, STREAM_GENERATE, FAL, PREDICT]))
def test_garbage(body: bytes, content_type: bytes, endpoint: Endpoint) -> None:
    peek(endpoint, "/x", content_type, body)
    peek(endpoint, "/x", JSON, b"{" + body)
    peek(endpoint, "/x", JSON, b'{"model":"' + body)
    peek(endpoint, "/x", FORM, b"--B\r\n" + body)


@given(st.text(max_size=30), st.sampled_from([GENERATE, FAL, PREDICT]))
def test_garbage_in_paths(path: str, endpoint: Endpoint) -> None:
    peek(endpoint, path, JSON, b"")


def test_fields_that_are_looked_at_are_all_salvaged() -> None:
    assert set(module._TEXTS | module._FLAGS) <= set(module._NAMES)
