"""Streams nobody would send: the same verdict however they were cut, and never more memory than a few events."""

from __future__ import annotations

import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.bounded import LIMIT
from proxy.inspector import Inspector
from tests.fuzz.subjects import STREAMS, inspector
from tests.proxy.recorded_streams import STREAMS as RECORDED

WORDS = [
    *(
        b"\n",
        b"\n\n",
        b"\r",
        b"\r\n",
        b"\r\n\r\n",
        b"\r\r",
        b"data: ",
        b"data:",
        b"data",
        b"event: ",
        b"event: error\n",
    ),
    *(
        b":",
        b": ping\n\n",
        b"id: 1\n",
        b"retry: 1\n",
        b" ",
        b"[",
        b"]",
        b"{",
        b"}",
        b",",
        b'"',
        b"\\",
        b"\\u0000",
        b"\x00",
    ),
    *(
        b"\xff",
        b"\xed\xa0\x80",
        b"\xef\xbb\xbf",
        b"[DONE]",
        b"data: [DONE]\n\n",
        b"null",
        b"NaN",
        b"1e999",
        b"9" * 5000,
    ),
    *(
        b'"choices":[',
        b'{"delta":{"content":"x"}}',
        b'"error":',
        b'"type":"error"',
        b'"message":"m"',
        b'"code":',
        b"429",
    ),
    *(
        b'"finish_reason":"stop"',
        b'"type":"message_stop"',
        b'"type":"response.completed"',
        b'"candidates":[',
        b'"detail":',
    ),
    *(b"{" * 300, b"[" * 1200, b'{"a":' * 600, b"x" * 5000, b"data: x\n" * 300),
]
recorded = st.sampled_from(RECORDED).flatmap(
    lambda stream: st.tuples(st.integers(0, len(stream.body)), st.integers(0, len(stream.body))).map(
        lambda ends: stream.body[min(ends) : max(ends)]
    )
)
bodies = st.lists(st.one_of(st.sampled_from(WORDS), recorded, st.binary(max_size=12)), max_size=10).map(b"".join)


@given(kind=st.integers(0, len(STREAMS) - 1), sizes=st.binary(min_size=3, max_size=3), body=bodies)
@settings(max_examples=300, deadline=None)
def test_no_cut_changes_the_verdict(kind: int, sizes: bytes, body: bytes) -> None:
    inspector(bytes([kind]) + sizes + body)


@given(
    kind=st.sampled_from(STREAMS),
    unit=st.lists(st.sampled_from(WORDS), min_size=1, max_size=4).map(b"".join),
    begin=bodies,
    piece=st.integers(1, 70_000),
)
@settings(max_examples=12, deadline=None)
def test_no_body_takes_more_memory_than_a_few_events(
    kind: tuple[str, str, str], unit: bytes, begin: bytes, piece: int
) -> None:
    seen = Inspector(*kind)
    seen.feed(begin)
    data = unit * (1 + piece // len(unit))
    rounds = 1 + 4 * LIMIT // len(data) if len(data) > 4096 else 40
    tracemalloc.start()
    try:
        for _ in range(rounds):
            seen.feed(data)
        grown, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert grown < 3 * LIMIT


@pytest.mark.parametrize("stream", RECORDED, ids=lambda stream: stream.name)
def test_what_was_recorded_is_a_seed(stream: object) -> None:
    """The subjects hold of what providers really send, which is where fuzzing by hand begins."""
    for kind in range(len(STREAMS)):
        inspector(bytes([kind, 3, 7, 1]) + stream.body)  # type: ignore[attr-defined]
