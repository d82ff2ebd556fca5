"""The bytes of the benchmark: one request, one stream's head and one event, all of the sizes the report names."""

from __future__ import annotations

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


def post(path: str, *, stream: bool) -> bytes:
    """A whole chat completion request of 480 bytes of JSON."""
    streamed = b"true" if stream else b"false"
    head = b'{"model":"bench-model","stream":%b,"messages":[{"role":"user","content":"' % streamed
    tail = b'"}],"temperature":0.2,"max_tokens":256}'
    body = head + b"y" * (480 - len(head) - len(tail)) + tail
    return (
        b"POST %b HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        b"Authorization: Bearer sk-benchmark-0123456789\r\nContent-Length: %d\r\n\r\n%b"
    ) % (path.encode(), len(body), body)
