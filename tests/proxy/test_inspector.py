from __future__ import annotations

import tracemalloc
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.bounded import LIMIT
from proxy.inspector import LESSONS, Inspector
from tests.proxy.recorded_streams import ROLE, STREAMS, Recorded, chat, data, gemini, named, response, text_delta

KINDS = sorted({(stream.endpoint, stream.dialect, stream.shape) for stream in STREAMS})
by_name = pytest.mark.parametrize("stream", STREAMS, ids=lambda stream: stream.name)


def look(endpoint: str, dialect: str, shape: str, *pieces: bytes) -> Inspector:
    inspector = Inspector(endpoint, dialect, shape)
    for piece in pieces:
        inspector.feed(piece)
    inspector.close()
    return inspector


def state(inspector: Inspector) -> tuple[Any, ...]:
    return (
        inspector.content,
        inspector.events,
        inspector.terminal,
        inspector.finish,
        inspector.blocked,
        inspector.error,
    )


def of(stream: Recorded, *pieces: bytes) -> tuple[Any, ...]:
    return state(look(stream.endpoint, stream.dialect, stream.shape, *pieces))


@by_name
def test_a_recorded_stream_is_read_as_it_is_meant(stream: Recorded) -> None:
    seen = look(stream.endpoint, stream.dialect, stream.shape, stream.body)
    assert (seen.content, seen.events) == (stream.content, stream.events)
    assert seen.terminal is stream.terminal
    assert (seen.finish, seen.blocked) == (stream.finish, stream.blocked)
    assert (seen.error and (seen.error.code, seen.error.type)) == stream.error


@by_name
def test_no_split_changes_what_is_seen(stream: Recorded) -> None:
    whole = of(stream, stream.body)
    for at in range(len(stream.body) + 1):
        assert of(stream, stream.body[:at], stream.body[at:]) == whole


@by_name
def test_byte_by_byte_is_the_same(stream: Recorded) -> None:
    assert of(stream, *(stream.body[at : at + 1] for at in range(len(stream.body)))) == of(stream, stream.body)


@by_name
def test_event_by_event_is_the_same(stream: Recorded) -> None:
    pieces = [piece + b"\n\n" for piece in stream.body.split(b"\n\n")]
    pieces[-1] = pieces[-1][:-2]
    assert of(stream, *pieces) == of(stream, stream.body)


@given(data=st.data())
@settings(max_examples=150, deadline=None)
def test_random_splits_change_nothing(data: st.DataObject) -> None:
    stream = data.draw(st.sampled_from(STREAMS))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream.body)), max_size=12)))
    pieces = [stream.body[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream.body)], strict=True)]
    assert of(stream, *pieces) == of(stream, stream.body)


FRAGMENTS = st.sampled_from(
    [
        *(
            b"\n",
            b"\n\n",
            b"\r",
            b"\r\n",
            b"\r\r",
            b"data: ",
            b"data:",
            b"event: ",
            b"event: error\n",
            b":",
            b" ",
            b"[",
        ),
        *(b"]", b"{", b"}", b'"', b"\\", b"\xff", b"\xef\xbb\xbf", b"[DONE]", b"data: [DONE]\n\n", b"null", b"\x00"),
        *(b'"choices":[', b'{"delta":{"content":"x"}}', b'"error":', b'"type":"error"', b'"type":"message_stop"'),
        *(stream.body for stream in STREAMS),
    ]
)
GARBAGE = st.lists(st.one_of(FRAGMENTS, st.binary(max_size=20)), max_size=12)


@given(kind=st.sampled_from(KINDS), pieces=GARBAGE)
@settings(max_examples=250, deadline=None)
def test_garbage_never_raises_and_splits_never_matter(kind: tuple[str, str, str], pieces: list[bytes]) -> None:
    split = look(*kind, *pieces)
    assert state(split) == state(look(*kind, b"".join(pieces)))
    assert 0 <= split.content <= split.events


@given(
    first=st.sampled_from(["content", "reasoning", "reasoning_content"]),
    texts=st.lists(st.text(max_size=12), max_size=8),
    raw=st.lists(st.binary(max_size=6), max_size=4),
)
@settings(max_examples=150, deadline=None)
def test_a_learnt_frame_says_what_the_whole_parse_says(first: str, texts: list[str], raw: list[bytes]) -> None:
    events = [data(chat({first: text})) for text in ["a", *texts]]
    at = events[0].index(b'"a"') + 1
    events += [events[0][:at] + piece + events[0][at + 1 :] for piece in raw]
    learnt = look("chat", "openai", "sse", data(ROLE), *events)
    afresh = [look("chat", "openai", "sse", event) for event in events]
    assert learnt.content == sum(one.content for one in afresh)
    assert learnt.events == 1 + sum(one.events for one in afresh)
    assert learnt.terminal == any(one.terminal for one in afresh)


def test_a_frame_is_used_only_from_an_event_boundary_on() -> None:
    event = data(chat({"content": "a"}))
    assert state(look("chat", "openai", "sse", event, event, b"data: x", event)) == state(
        look("chat", "openai", "sse", event * 2 + b"data: x" + event)
    )


def test_a_frame_is_learnt_from_one_event_alone() -> None:
    """What came before an event in the same bytes must not become a part of its frame."""
    one, two = data(chat({"content": "a"})), data(chat({"content": "bc"}))
    pieces = [data(ROLE), one + two, one + two, data({**USELESS, "choices": []}) + one, one]
    assert look("chat", "openai", "sse", *pieces).content == 6


USELESS = {"id": "x"}


@pytest.mark.parametrize(
    "event",
    [
        pytest.param(data(chat({"content": "x" * 5000})), id="large"),
        pytest.param(data(chat({"content": "x"}), end="\r"), id="CR"),
        pytest.param(b"id: 1\n" + data(chat({"content": "x"})), id="an id"),
        pytest.param(b"event: " + b"n" * 200 + b"\n" + data(chat({"content": "x"})), id="a long name"),
        pytest.param(data(chat({"content": "\n"})), id="escapes"),
        pytest.param(data(chat({"content": "x", "reasoning": "y"})), id="two texts"),
    ],
)
def test_events_without_a_frame_are_counted_all_the_same(event: bytes) -> None:
    inspector = look("chat", "openai", "sse", data(ROLE), *[event] * (LESSONS + 3))
    assert inspector.content == LESSONS + 3


def test_frames_follow_a_stream_that_changes() -> None:
    kinds = ["reasoning", "content", "reasoning", "content", "reasoning", "content"]
    events = [data(chat({kind: text})) for kind in kinds for text in "abc"]
    assert look("chat", "openai", "sse", *events).content == len(events)


def test_content_and_end_are_told_while_it_passes() -> None:
    inspector = Inspector("chat", "openai", "sse")
    seen = []
    for event in (b": hi\n\n", data(ROLE), data(chat({"content": "x"})), data(chat(finish="stop"))):
        inspector.feed(event)
        seen.append((inspector.content, inspector.terminal))
    assert seen == [(0, False), (0, False), (1, False), (1, True)]


def test_the_first_error_stays() -> None:
    events = data({"error": {"code": 503, "message": "a"}}, {"error": {"code": 429, "message": "b"}})
    error = look("chat", "openai", "sse", events).error
    assert error is not None
    assert (error.code, error.message) == (503, "a")


@pytest.mark.parametrize(
    ("endpoint", "dialect", "shape", "expected"),
    [
        ("chat", "openai", "sse", True),
        ("chat", "openai", "opaque", False),
        ("stream_generate", "gemini", "array", True),
        ("messages", "anthropic", "sse", True),
        ("messages", "openai", "sse", False),
        ("other", "openai", "sse", False),
        ("fal", "fal", "sse", False),
        ("predict", "gemini", "sse", False),
    ],
)
def test_only_known_kinds_of_stream_promise_an_end(endpoint: str, dialect: str, shape: str, expected: bool) -> None:
    assert Inspector(endpoint, dialect, shape).has_terminals is expected


def test_an_array_of_an_unknown_kind_promises_no_end() -> None:
    inspector = look("other", "gemini", "array", b'[{"a": "b"}]')
    assert (inspector.content, inspector.terminal) == (1, False)


def test_of_an_opaque_body_every_byte_is_content() -> None:
    inspector = look("audio", "openai", "opaque", b"RIFF", b"", b"1234")
    assert (inspector.content, inspector.events, inspector.terminal) == (8, 0, False)


def test_an_unknown_shape_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="no such shape"):
        Inspector("chat", "openai", "ndjson")


# -- large events -----------------------------------------------------------------------------------------------------

PICTURE = "iVBORw0KGgo" * 300_000
PROSE = "some words, " * 60_000
IMAGES = {"images": [{"image_url": {"url": PICTURE}}]}
BLOCK = {"type": "content_block_start", "content_block": {"text": PROSE}}
IMAGE = {"type": "image_generation.completed", "b64_json": PICTURE}
ECHO = response("created", response={"instructions": PROSE})
WHOLE = response("completed", response={"output": PROSE})
LARGE = {
    "picture with a finish behind it": ("stream_generate", "gemini", data(gemini(PICTURE, "STOP")), (1, True)),
    "picture in a chat": ("chat", "openai", data(chat(IMAGES, "stop")), (1, True)),
    "completed image": ("images", "openai", named(IMAGE), (1, True)),
    "prose in a chat": ("chat", "openai", data(chat({"content": PROSE})), (1, False)),
    "prose of Gemini": ("stream_generate", "gemini", data(gemini(PROSE)), (1, False)),
    "instructions echoed": ("responses", "openai", named(ECHO), (0, False)),
    "a whole response": ("responses", "openai", named(WHOLE), (1, True)),
    "a response, nameless": ("responses", "openai", data(WHOLE), (1, True)),
    "a large block": ("messages", "anthropic", named(BLOCK), (1, False)),
    "prose of who knows": ("messages", "anthropic", data({"delta": PROSE}), (1, False)),
    "prose elsewhere": ("other", "openai", data({"a": PROSE}), (1, False)),
    "a large comment": (
        "chat",
        "openai",
        b":" + PROSE.encode() + b"\n\n" + data(chat({"content": "a"}, "stop")),
        (1, True),
    ),
    "many data lines": ("chat", "openai", b"data: some words\n" * 60_000 + b"\n", (1, False)),
}


@pytest.mark.parametrize("name", LARGE)
@pytest.mark.parametrize("size", [10_000_000, 65_536, 9_973])
def test_a_large_event_is_read_within_bounds_and_alike_in_all_pieces(name: str, size: int) -> None:
    endpoint, dialect, body, expected = LARGE[name]
    pieces = [body[at : at + size] for at in range(0, len(body), size)]
    inspector = look(endpoint, dialect, "sse", *pieces)
    assert (inspector.content, inspector.terminal) == expected
    assert inspector.error is None


def test_the_error_of_a_large_event_is_found_at_its_head() -> None:
    failed = {"id": "resp_1", "status": "failed", "error": {"code": "server_error", "message": "oops"}}
    inspector = look(
        "responses", "openai", "sse", named(response("failed", response={**failed, "instructions": PROSE}))
    )
    assert inspector.error is not None
    assert (inspector.error.code, inspector.error.message) == (500, "oops")


def test_a_large_failure_without_a_readable_error_is_one_too() -> None:
    inspector = look("responses", "openai", "sse", named(response("failed", response={"instructions": PROSE})))
    assert inspector.error is not None
    assert inspector.error.code == 500


@pytest.mark.parametrize("shape", ["sse", "array"])
@pytest.mark.parametrize("piece", [b"words and ", b"x", b"data: y\n", b"event: z\n", b": c\r\n", b"{", b'"a",'])
def test_memory_is_bounded_whatever_comes(shape: str, piece: bytes) -> None:
    inspector = Inspector("stream_generate", "gemini", shape)
    inspector.feed(b'data: [{"a": "' if shape == "sse" else b'[{"a": "')
    large = piece * (60_000 // len(piece))
    for _ in range(8):
        inspector.feed(large)
    tracemalloc.start()
    try:
        inspector.feed(large)
        inspector.feed(large)
        grown, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert grown < LIMIT
    assert peak < 8 * LIMIT


@pytest.mark.parametrize(
    "piece", [b"\r", b"\n", b"\n\n", b"data: x\r\r", b"data: [DONE]\n\n", b"{}", b"[", b'"', b"\\"]
)
@pytest.mark.parametrize("shape", ["sse", "array"])
def test_no_repetition_takes_more_than_linear_work(shape: str, piece: bytes) -> None:
    """Each piece ends a line, an event or a string; work that grew with the square would not end within the hour."""
    inspector = Inspector("stream_generate", "gemini", shape)
    inspector.feed(b": hi\n\n")
    inspector.feed(piece * (200_000 // len(piece)))
    assert inspector.content == 0


def test_text_deltas_of_responses_are_read_alike_in_any_company() -> None:
    events = [named(text_delta(text)) for text in ("a", "bc", "", "d")]
    assert look("responses", "openai", "sse", *events).content == 3
    assert look("responses", "openai", "sse", b"".join(events)).content == 3
