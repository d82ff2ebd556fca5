"""What is held of an answer, and until when."""

from __future__ import annotations

import pytest

from proxy.gate import HOLD_BODY, HOLD_STREAM, Gate
from proxy.inspector import Inspector

COMMENT = b": ping\n\n"
CONTENT = b'data: {"choices":[{"delta":{"content":"hi"}}]}\n\n'
FINISH = b'data: {"choices":[{"delta":{},"finish_reason":"stop"}]}\n\n'
ERROR = b'data: {"error":{"message":"overloaded","type":"overloaded_error"}}\n\n'


def gate(*parts: bytes) -> Gate:
    made = Gate()
    for part in parts:
        made.hold(part)
    return made


@pytest.mark.parametrize(
    ("parts", "status", "done", "readable", "ready"),
    [
        ([b"{}"], 200, True, True, True),
        ([b"{}"], 200, False, True, False),
        ([b"{}"], 500, True, True, False),
        ([b"{}"], 200, True, False, False),
        ([b'{"error":1}'], 200, True, True, False),
        ([b"{", b"}"], 200, True, True, False),
        ([], 200, True, True, True),
        ([b""], 200, True, True, True),
        ([b"x" * HOLD_BODY], 500, False, True, False),
        ([b"x" * HOLD_BODY, b"x"], 500, False, True, True),
    ],
)
def test_bodies(parts: list[bytes], status: int, done: bool, readable: bool, ready: bool) -> None:
    assert gate(*parts).body_ready(status, done=done, readable=readable) is ready


@pytest.mark.parametrize(
    ("stream", "done", "passes", "last", "ready"),
    [
        (COMMENT, False, True, True, False),
        (COMMENT + CONTENT, False, True, False, True),
        (FINISH, False, True, False, True),
        (COMMENT, True, True, True, True),
        (COMMENT, True, False, True, False),
        (ERROR, False, True, True, True),
        (ERROR, False, True, False, False),
        (ERROR, True, True, True, False),
        (ERROR, True, True, False, False),
    ],
)
def test_streams(stream: bytes, done: bool, passes: bool, last: bool, ready: bool) -> None:
    inspector = Inspector("chat", "openai", "sse")
    inspector.feed(stream)
    assert gate(stream).stream_ready(inspector, done=done, passes=passes, last=last) is ready


def test_a_stream_of_comments_is_not_held_for_ever() -> None:
    inspector = Inspector("chat", "openai", "sse")
    assert gate(b"x" * (HOLD_STREAM + 1)).stream_ready(inspector, done=False, passes=True, last=True)


def test_opening_lets_everything_through_once() -> None:
    made = gate(b"a", b"b")
    assert (made.shut, made.open(), made.shut) == (True, b"ab", False)
    assert made.held == [b"a", b"b"]  # for the verdict
    made.forget()
    assert made.held == []
