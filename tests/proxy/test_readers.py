"""The short way of each reader agrees with its whole parse; what single streams mean is in `test_inspector`."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy import readers, terminals
from proxy.sight import CONTENT, Sight
from proxy.sse import Splitter
from proxy.terminals import GRAMMARS, Family, Grammar
from tests.proxy.recorded_streams import STREAMS, chat, delta, gemini, text_delta

FULL = {
    Family.CHOICES: lambda grammar, name, payload: readers.choices_full(name, payload),
    Family.TYPED: readers.typed_full,
    Family.CANDIDATES: lambda grammar, name, payload: readers.candidates_full(payload),
}
GRAMMARS_READ = sorted(set(GRAMMARS.values()), key=repr)


def short(grammar: Grammar, name: bytes, payload: bytes) -> Sight:
    return readers.reader(grammar)(name, payload)


def whole(grammar: Grammar, name: bytes, payload: bytes) -> Sight:
    return FULL[grammar.family](grammar, name, payload)


WORDS = st.sampled_from(
    [
        *("", "a", "role", "error", "stop", "assistant", "ping", "message_delta", "content_block_delta", "x.delta"),
        *(
            "response.output_text.delta",
            "speech.audio.done",
            "message_stop",
            "content_block_start",
            "STOP",
            "response.failed",
        ),
    ]
)
KEYS = st.sampled_from(
    [
        *(
            "choices",
            "delta",
            "content",
            "text",
            "type",
            "role",
            "finish_reason",
            "error",
            "logprobs",
            "message",
            "object",
        ),
        *("candidates", "parts", "finishReason", "promptFeedback", "blockReason", "code", "status", "stop_reason"),
        *("content_block", "audio", "response", "incomplete_details", "reason", "tool_calls", "details", "metadata"),
    ]
)
LEAVES = st.one_of(WORDS, st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=4))
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(KEYS, inner, max_size=4)),
    max_leaves=12,
)
DELTAS = st.dictionaries(KEYS, VALUES, max_size=3)
CHOICES = st.fixed_dictionaries({}, optional={"delta": DELTAS, "text": LEAVES, "finish_reason": WORDS, "error": VALUES})
EVENTS = st.one_of(
    VALUES,
    st.fixed_dictionaries({"choices": st.lists(CHOICES, max_size=3)}, optional={"error": VALUES, "type": WORDS}),
    st.fixed_dictionaries({"type": WORDS}, optional={"delta": st.one_of(DELTAS, VALUES), "error": VALUES}),
    st.fixed_dictionaries(
        {
            "candidates": st.lists(
                st.fixed_dictionaries({}, optional={"content": VALUES, "finishReason": WORDS}), max_size=3
            )
        },
        optional={"error": VALUES, "promptFeedback": VALUES},
    ),
)
REAL = [
    (GRAMMARS[stream.dialect, stream.endpoint], *event)
    for stream in STREAMS
    if stream.shape == "sse" and (stream.dialect, stream.endpoint) in GRAMMARS
    for event in Splitter().feed(stream.body)
]


@given(grammar=st.sampled_from(GRAMMARS_READ), name=st.sampled_from([b"", b"ping", b"x.delta"]), document=EVENTS)
@settings(max_examples=300, deadline=None)
def test_both_ways_agree_on_any_document(grammar: Grammar, name: bytes, document: Any) -> None:
    payload = json.dumps(document).encode()
    assert short(grammar, name, payload) == whole(grammar, name, payload)


@given(event=st.sampled_from(REAL), at=st.integers(0, 400), put=st.binary(max_size=3), taken=st.integers(0, 3))
@settings(max_examples=300, deadline=None)
def test_both_ways_agree_on_damaged_events(
    event: tuple[Grammar, bytes, bytes], at: int, put: bytes, taken: int
) -> None:
    grammar, name, payload = event
    at %= len(payload) + 1
    damaged = payload[:at] + put + payload[at + taken :]
    assert short(grammar, name, damaged) == whole(grammar, name, damaged)


@pytest.mark.parametrize(
    "payload",
    [
        pytest.param(
            b'{"choices":[{"delta":{"content":"\\ud800"}}],"type":"x.delta","delta":"\\ud800"}', id="lone surrogate"
        ),
        pytest.param(b'{"choices":[{"delta":{"content":"\xff"}}],"delta":"\xff","type":"x.delta"}', id="not UTF-8"),
        pytest.param(
            b'{"choices":[{"delta":{"content":"a\x01"}}],"delta":"\x01","type":"x.delta"}', id="control character"
        ),
        pytest.param(b'{"a":' + b"9" * 5000 + b',"choices":[{"delta":{"content":"a"}}]}', id="endless number"),
        pytest.param(b'{"a":NaN,"choices":[{"delta":{"content":"a"}}],"delta":"a","type":"x.delta"}', id="NaN"),
        pytest.param(b'{"choices":1,"choices":[{"delta":{"content":"a"}}]}', id="twice, wrong first"),
        pytest.param(b'{"choices":[{"delta":{"content":"a"},"finish_reason":3}]}', id="finish is a number"),
        pytest.param(b'{"choices":[null,{"delta":"a"}]}', id="odd choices"),
        pytest.param(b'{"delta":' + b"[" * 5000 + b'"a"' + b"]" * 5000 + b"}", id="bottomless"),
        pytest.param(b'{"choices":[{"delta":{"a":' + b"[" * 20 + b'"a"' + b"]" * 20 + b"}}]}", id="deep"),
        pytest.param(
            b'{"candidates":[{"content":{"parts":[{"text":"a"}]}},3,{"content":[]}],"promptFeedback":[]}', id="odd"
        ),
    ],
)
@pytest.mark.parametrize("grammar", GRAMMARS_READ, ids=repr)
def test_both_ways_agree_on_odd_json(grammar: Grammar, payload: bytes) -> None:
    assert short(grammar, b"", payload) == whole(grammar, b"", payload)


def test_plain_content_is_one_shared_object() -> None:
    """What the hot path relies on."""
    assert short(terminals.CHOICES, b"", json.dumps(chat({"content": "a"})).encode()) is CONTENT
    assert short(terminals.RESPONSES, b"", json.dumps(text_delta("a")).encode()) is CONTENT
    assert short(terminals.MESSAGES, b"", json.dumps(delta(0, "text_delta", text="a")).encode()) is CONTENT
    assert short(terminals.CANDIDATES, b"", json.dumps(gemini("a")).encode()) is CONTENT
