"""The bytes of the benchmark: one request, one stream's head and one event, all of the sizes the report names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

EVENT_BYTES: Final = 190
_EVENT_HEAD: Final = (
    b'data: {"id":"chatcmpl-bench","object":"chat.completion.chunk","created":1700000000,"model":"bench-model",'
    b'"choices":[{"index":0,"delta":{"content":"'
)
_EVENT_TAIL: Final = b'"},"finish_reason":null}]}\n\n'
EVENT: Final = _EVENT_HEAD + b"x" * (EVENT_BYTES - len(_EVENT_HEAD) - len(_EVENT_TAIL)) + _EVENT_TAIL
"""One content event of a chat completion, as OpenAI sends it."""

CHUNK: Final = b"%x\r\n%b\r\n" % (len(EVENT), EVENT)
"""The same as one chunk, the way providers send events."""

STREAM_HEAD: Final = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nCache-Control: no-cache\r\n"
    b"x-request-id: req-bench\r\nTransfer-Encoding: chunked\r\n\r\n"
)

ANSWER: Final = (
    '{"id":"chatcmpl-bench","object":"chat.completion","created":1700000000,"model":"bench-model","choices":'
    '[{"index":0,"message":{"role":"assistant","content":"Take the old road along the river, then the second bridge. '
    'It is longer by ten minutes, but it is open at every hour of the day."},"finish_reason":"stop"}],'
    '"usage":{"prompt_tokens":78,"completion_tokens":33,"total_tokens":111}}'
)


def answer(size: int) -> bytes:
    """The body of a chat completion of so many bytes, at least those of `ANSWER`."""
    head, mark, tail = ANSWER.encode().partition(b"Take the old road")
    return head + b"w" * (size - len(ANSWER)) + mark + tail


def post(path: str, *, stream: bool, headers: Sequence[str] = ()) -> bytes:
    """A whole chat completion request of 480 bytes of JSON; `headers` come besides, or in the place of the same."""
    streamed = b"true" if stream else b"false"
    head = b'{"model":"bench-model","stream":%b,"messages":[{"role":"user","content":"' % streamed
    tail = b'"}],"temperature":0.2,"max_tokens":256}'
    body = head + b"y" * (480 - len(head) - len(tail)) + tail
    fields = {"Content-Type": "application/json", "Authorization": "Bearer sk-benchmark-0123456789"}
    fields |= dict(header.split(": ", 1) for header in headers)
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    first = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n"
    return f"{first}{lines}Content-Length: {len(body)}\r\n\r\n".encode() + body
