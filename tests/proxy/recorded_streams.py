"""Streams of all dialects as they come over the wire, and what is to be seen in them."""

from __future__ import annotations

import json
from typing import Any

from msgspec import Struct


class Recorded(Struct, frozen=True):
    name: str
    endpoint: str
    dialect: str
    body: bytes
    content: int
    events: int
    shape: str = "sse"
    terminal: bool = True
    finish: str | None = None
    blocked: str | None = None
    error: tuple[int, str] | None = None


def data(*documents: Any, end: str = "\n") -> bytes:
    lines = (
        json.dumps(document, separators=(",", ":")) if document != "[DONE]" else "[DONE]" for document in documents
    )
    return "".join(f"data: {line}{end}{end}" for line in lines).encode()


def named(*documents: dict[str, Any], end: str = "\n") -> bytes:
    return b"".join(b"event: " + str(item["type"]).encode() + end.encode() + data(item, end=end) for item in documents)


def chat(delta: dict[str, Any] | None = None, finish: str | None = None, **more: Any) -> dict[str, Any]:
    return {
        "id": "chatcmpl-8",
        "object": "chat.completion.chunk",
        "created": 1730000000,
        "model": "gpt-4o-mini",
        "choices": [{"index": 0, "delta": delta or {}, "logprobs": None, "finish_reason": finish}],
        **more,
    }


def gemini(text: str, finish: str | None = None, **part: Any) -> dict[str, Any]:
    candidate: dict[str, Any] = {"content": {"parts": [{"text": text, **part}], "role": "model"}, "index": 0}
    if finish:
        candidate["finishReason"] = finish
    return {"candidates": [candidate], "usageMetadata": {"promptTokenCount": 4}, "modelVersion": "gemini-2.5-flash"}


USAGE = {**chat(), "choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}}
ROLE = chat({"role": "assistant", "content": "", "refusal": None})
START = {"type": "message_start", "message": {"id": "msg_1", "type": "message", "role": "assistant", "content": []}}
STOP = {"type": "message_stop"}
PING = {"type": "ping"}


def block(index: int, **fields: Any) -> dict[str, Any]:
    return {"type": "content_block_start", "index": index, "content_block": fields}


def delta(index: int, kind: str, **fields: Any) -> dict[str, Any]:
    return {"type": "content_block_delta", "index": index, "delta": {"type": kind, **fields}}


def stopped(reason: str) -> dict[str, Any]:
    return {
        "type": "message_delta",
        "delta": {"stop_reason": reason, "stop_sequence": None},
        "usage": {"output_tokens": 9},
    }


def block_stop(index: int) -> dict[str, Any]:
    return {"type": "content_block_stop", "index": index}


def response(kind: str, **fields: Any) -> dict[str, Any]:
    return {"type": f"response.{kind}", "sequence_number": 7, **fields}


def text_delta(text: str) -> dict[str, Any]:
    return response("output_text.delta", item_id="msg_1", output_index=0, content_index=0, delta=text, logprobs=[])


CREATED = response("created", response={"id": "resp_1", "status": "in_progress", "error": None, "output": []})
COMPLETED = response(
    "completed", response={"id": "resp_1", "status": "completed", "error": None, "output": [{"a": "b"}]}
)
TOOL = {"index": 0, "id": "call_1", "type": "function", "function": {"name": "sum", "arguments": ""}}

STREAMS: list[Recorded] = [
    Recorded(
        "chat, text",
        "chat",
        "openai",
        data(
            ROLE, chat({"content": "Hé\u2028llo"}), chat({"content": ' "you"\n'}), chat(finish="stop"), USAGE, "[DONE]"
        ),
        content=2,
        events=6,
        finish="stop",
    ),
    Recorded(
        "chat, CR LF and no [DONE]",
        "chat",
        "openai",
        data(ROLE, chat({"content": "a"}), chat(finish="length"), end="\r\n"),
        content=1,
        events=3,
        finish="length",
    ),
    Recorded(
        "chat, CR",
        "chat",
        "openai",
        data(ROLE, chat({"content": "a"}), chat(finish="stop"), end="\r"),
        content=1,
        events=3,
        finish="stop",
    ),
    Recorded(
        "chat, BOM and no last blank line",
        "chat",
        "openai",
        b"\xef\xbb\xbf" + data(chat({"content": "a"})) + b"data: [DONE]",
        content=1,
        events=2,
    ),
    Recorded("chat, only [DONE]", "chat", "openai", data(chat({"content": "a"}), "[DONE]"), content=1, events=2),
    Recorded(
        "chat, multi-line data",
        "chat",
        "openai",
        b'id: 3\nretry: 5\ndata: {"choices":\ndata:[{"delta":{"content":"x"}}]}\n\ndata:[DONE]\n\n',
        content=1,
        events=2,
    ),
    Recorded(
        "chat, comments hide nothing",
        "chat",
        "openai",
        b": OPENROUTER PROCESSING\n\n" * 3 + data(ROLE) + b":\n\n: keep-alive\n\n",
        content=0,
        events=1,
        terminal=False,
    ),
    Recorded(
        "chat, reasoning then tools",
        "chat",
        "openai",
        data(
            ROLE,
            chat({"content": None, "reasoning_content": "hm"}),
            chat({"reasoning": "so", "content": ""}),
            chat({"tool_calls": [TOOL]}),
            chat({"tool_calls": [{"index": 0, "function": {"arguments": '{"a"'}}]}),
            chat({"tool_calls": [{"index": 0, "function": {"arguments": ""}}]}),
            chat({"function_call": {"name": "f", "arguments": ""}}),
            chat({"refusal": "I can't"}),
            chat({"audio": {"id": "audio_1", "data": "UklGRg=="}}),
            chat(finish="tool_calls"),
            "[DONE]",
        ),
        content=7,
        events=11,
        finish="tool_calls",
    ),
    Recorded(
        "chat, log probabilities only",
        "chat",
        "openai",
        data({"choices": [{"delta": {"content": ""}, "logprobs": {"content": [{"token": "\\xe2", "logprob": -0.1}]}}]}),
        content=1,
        events=1,
        terminal=False,
    ),
    Recorded(
        "chat, whole message at the end",
        "chat",
        "openai",
        data({"choices": [{"message": {"role": "assistant", "content": "x"}, "finish_reason": "stop"}]}),
        content=1,
        events=1,
        finish="stop",
    ),
    Recorded("chat, usage is neither", "chat", "openai", data(ROLE, USAGE), content=0, events=2, terminal=False),
    Recorded(
        "chat, truncated", "chat", "openai", data(ROLE, chat({"content": "a"})), content=1, events=2, terminal=False
    ),
    Recorded(
        "chat, obfuscation",
        "chat",
        "openai",
        data(*(chat({"content": "abc"[: n % 3 + 1]}, obfuscation="x" * n) for n in range(9)), "[DONE]"),
        content=9,
        events=10,
    ),
    Recorded(
        "chat, many alike",
        "chat",
        "openai",
        data(ROLE, *(chat({"content": f"t{n}"}) for n in range(12)), chat({"content": ""}), chat(finish="stop")),
        content=12,
        events=15,
        finish="stop",
    ),
    Recorded(
        "chat, two choices",
        "chat",
        "openai",
        data({"choices": [{"delta": {"content": "a"}}, {"delta": {"content": "b"}}, {"delta": None}]}, "[DONE]"),
        content=1,
        events=2,
    ),
    Recorded(
        "chat, OpenRouter error",
        "chat",
        "openai",
        data(
            ROLE,
            {
                **chat({"content": ""}, "error"),
                "error": {
                    "code": 502,
                    "message": "Provider disconnected",
                    "metadata": {"error_type": "provider_error"},
                },
            },
        ),
        content=0,
        events=2,
        finish="error",
        error=(502, "provider_error"),
    ),
    Recorded(
        "chat, error inside the choice",
        "chat",
        "openai",
        data(
            {
                "choices": [
                    {"delta": {"content": ""}, "finish_reason": "error", "error": {"code": 429, "message": "slow"}}
                ]
            }
        ),
        content=0,
        events=1,
        finish="error",
        error=(429, ""),
    ),
    Recorded(
        "chat, finish_reason error alone",
        "chat",
        "openai",
        data(chat({"content": "x"}), chat(finish="error"), "[DONE]"),
        content=1,
        events=3,
        finish="error",
        error=(500, "error"),
    ),
    Recorded(
        "chat, error object",
        "chat",
        "openai",
        data({"error": {"message": "Overloaded", "type": "overloaded_error", "code": None}}),
        content=0,
        events=1,
        terminal=False,
        error=(529, "overloaded_error"),
    ),
    Recorded(
        "chat, vLLM error",
        "chat",
        "openai",
        data(
            {"object": "error", "message": "too long", "type": "BadRequestError", "param": None, "code": 400}, "[DONE]"
        ),
        content=0,
        events=2,
        error=(400, "badrequesterror"),
    ),
    Recorded(
        "chat, error after content",
        "chat",
        "openai",
        data(
            chat({"content": "x"}), {"error": {"message": "The server had an error", "type": "server_error"}}, "[DONE]"
        ),
        content=1,
        events=3,
        error=(500, "server_error"),
    ),
    Recorded(
        "chat, error null is none",
        "chat",
        "openai",
        data({**chat({"content": "x"}), "error": None}, chat(finish="stop")),
        content=1,
        events=2,
        finish="stop",
    ),
    Recorded(
        "chat, named error without data",
        "chat",
        "openai",
        b"event: error\n\n",
        content=0,
        events=1,
        terminal=False,
        error=(500, ""),
    ),
    Recorded(
        "chat, pings",
        "chat",
        "openai",
        b"event: ping\ndata: {}\n\n" + data(chat({"content": "x"}), "[DONE]"),
        content=1,
        events=2,
    ),
    Recorded(
        "chat, not JSON",
        "chat",
        "openai",
        b"data: hello\n\ndata:\n\ndata: 5\n\ndata: [1]\n\n",
        content=0,
        events=4,
        terminal=False,
    ),
    Recorded(
        "completions",
        "completions",
        "openai",
        data(
            {"choices": [{"text": "a", "finish_reason": None}]},
            {"choices": [{"text": "", "finish_reason": "stop"}]},
            "[DONE]",
        ),
        content=1,
        events=3,
        finish="stop",
    ),
    Recorded(
        "responses",
        "responses",
        "openai",
        named(
            CREATED,
            response("in_progress", response={"status": "in_progress"}),
            {"type": "keepalive", "sequence_number": 3},
            response("output_item.added", item={"type": "message", "content": []}),
            text_delta("Hi"),
            text_delta(" you"),
            text_delta(""),
            response("output_text.done", text="Hi you"),
            COMPLETED,
        ),
        content=5,
        events=8,
        finish="completed",
    ),
    Recorded(
        "responses, incomplete",
        "responses",
        "openai",
        named(
            text_delta("Hi"),
            response(
                "incomplete", response={"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}
            ),
        ),
        content=2,
        events=2,
        finish="max_output_tokens",
    ),
    Recorded(
        "responses, failed",
        "responses",
        "openai",
        named(
            CREATED,
            response(
                "failed",
                response={"status": "failed", "error": {"code": "rate_limit_exceeded", "message": "Slow down"}},
            ),
        ),
        content=0,
        events=2,
        terminal=False,
        error=(429, "rate_limit_exceeded"),
    ),
    Recorded(
        "responses, failed and silent",
        "responses",
        "openai",
        named(response("failed", response={"status": "failed", "error": None})),
        content=0,
        events=1,
        terminal=False,
        error=(500, ""),
    ),
    Recorded(
        "responses, error event",
        "responses",
        "openai",
        named({"type": "error", "code": "server_error", "message": "oops", "param": None}),
        content=0,
        events=1,
        terminal=False,
        error=(500, "server_error"),
    ),
    Recorded(
        "responses, error event without name",
        "responses",
        "openai",
        data({"type": "error", "code": "server_error", "message": "oops"}),
        content=0,
        events=1,
        terminal=False,
        error=(500, "server_error"),
    ),
    Recorded(
        "responses, queued only",
        "responses",
        "openai",
        named(CREATED, response("queued")),
        content=0,
        events=2,
        terminal=False,
    ),
    Recorded(
        "responses, function call",
        "responses",
        "openai",
        named(
            response("function_call_arguments.delta", delta='{"a":'),
            response("reasoning_summary_text.delta", delta="hm"),
            COMPLETED,
        ),
        content=3,
        events=3,
        finish="completed",
    ),
    Recorded(
        "messages",
        "messages",
        "anthropic",
        named(
            START,
            block(0, type="text", text=""),
            PING,
            delta(0, "text_delta", text="Hello"),
            delta(0, "text_delta", text=""),
            delta(0, "text_delta", text="!"),
            block_stop(0),
            stopped("end_turn"),
            STOP,
        ),
        content=5,
        events=8,
        finish="end_turn",
    ),
    Recorded(
        "messages, thinking and tools",
        "messages",
        "anthropic",
        named(
            START,
            block(0, type="thinking", thinking="", signature=""),
            delta(0, "thinking_delta", thinking="hm"),
            delta(0, "signature_delta", signature="EqQBCgIYAhIM"),
            block(1, type="tool_use", id="toolu_1", name="sum", input={}),
            delta(1, "input_json_delta", partial_json=""),
            delta(1, "input_json_delta", partial_json='{"a": 1'),
            block(2, type="redacted_thinking", data="EmwK"),
            delta(3, "citations_delta", citation={"type": "char_location", "cited_text": "x"}),
            stopped("tool_use"),
            STOP,
            end="\r\n",
        ),
        content=8,
        events=11,
        finish="tool_use",
    ),
    Recorded(
        "messages, overloaded",
        "messages",
        "anthropic",
        named(
            START,
            PING,
            {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}, "request_id": "req_1"},
        ),
        content=0,
        events=2,
        terminal=False,
        error=(529, "overloaded_error"),
    ),
    Recorded(
        "messages, error is no JSON",
        "messages",
        "anthropic",
        b"event: error\ndata: upstream broke\n\n",
        content=0,
        events=1,
        terminal=False,
        error=(500, ""),
    ),
    Recorded(
        "messages, error beside a type",
        "messages",
        "anthropic",
        data({"type": "message_stop", "error": {"type": "api_error", "message": "x"}}),
        content=1,
        events=1,
        error=(500, "api_error"),
    ),
    Recorded(
        "messages, pings for ever",
        "messages",
        "anthropic",
        named(START) + named(PING) * 5 + b"event: ping\ndata: \n\n",
        content=0,
        events=1,
        terminal=False,
    ),
    Recorded(
        "messages, no type",
        "messages",
        "anthropic",
        b"data: {}\n\nevent: message_stop\ndata: {}\n\n",
        content=1,
        events=2,
    ),
    Recorded(
        "messages, nonsense",
        "messages",
        "anthropic",
        b'data: x\n\ndata: {"type":3,"delta":{"a":"b"}}\n\n',
        content=0,
        events=2,
        terminal=False,
    ),
    Recorded(
        "gemini, SSE",
        "stream_generate",
        "gemini",
        data(gemini("Hello"), gemini(""), gemini("", thoughtSignature="Ct"), gemini(" you", "STOP"), end="\r\n"),
        content=3,
        events=4,
        finish="STOP",
    ),
    Recorded(
        "gemini, truncated",
        "stream_generate",
        "gemini",
        data(gemini("Hello"), gemini(" you")),
        content=2,
        events=2,
        terminal=False,
    ),
    Recorded(
        "gemini, blocked",
        "stream_generate",
        "gemini",
        data({"promptFeedback": {"blockReason": "SAFETY"}, "usageMetadata": {}}),
        content=0,
        events=1,
        blocked="SAFETY",
    ),
    Recorded(
        "gemini, function call",
        "stream_generate",
        "gemini",
        data(
            {
                "candidates": [
                    {"content": {"parts": [{"functionCall": {"name": "f", "args": {}}}]}, "finishReason": "STOP"}
                ]
            }
        ),
        content=1,
        events=1,
        finish="STOP",
    ),
    Recorded(
        "gemini, error",
        "stream_generate",
        "gemini",
        data(gemini("Hello"), {"error": {"code": 503, "message": "The model is overloaded.", "status": "UNAVAILABLE"}}),
        content=1,
        events=2,
        terminal=False,
        error=(503, "unavailable"),
    ),
    Recorded(
        "gemini, error in a list",
        "stream_generate",
        "gemini",
        data([{"error": {"code": 500, "message": "x", "status": "INTERNAL"}}]),
        content=0,
        events=1,
        terminal=False,
        error=(500, "internal"),
    ),
    Recorded("gemini, not JSON", "stream_generate", "gemini", b"data: x\n\n", content=0, events=1, terminal=False),
    Recorded(
        "gemini, array",
        "stream_generate",
        "gemini",
        json.dumps([gemini('He"}]\\ llo'), gemini(" you"), gemini("!", "STOP")], indent=2).encode(),
        content=3,
        events=3,
        finish="STOP",
        shape="array",
    ),
    Recorded(
        "gemini, array without its end",
        "stream_generate",
        "gemini",
        b"[" + json.dumps(gemini("x", "STOP")).encode() + b"\n,",
        content=1,
        events=1,
        finish="STOP",
        terminal=False,
        shape="array",
    ),
    Recorded("gemini, empty array", "stream_generate", "gemini", b" [ ] trailing", content=0, events=0, shape="array"),
    Recorded(
        "gemini, error in the array",
        "stream_generate",
        "gemini",
        b'[{"error": {"code": 429, "message": "Quota", "status": "RESOURCE_EXHAUSTED"}}\n]\n',
        content=0,
        events=1,
        shape="array",
        error=(429, "resource_exhausted"),
    ),
    Recorded(
        "gemini, error for an array",
        "stream_generate",
        "gemini",
        b'{"error": {"code": 400, "message": "x", "status": "INVALID_ARGUMENT"}}',
        content=0,
        events=1,
        shape="array",
        error=(400, "invalid_argument"),
    ),
    Recorded(
        "gemini, nonsense for an array",
        "stream_generate",
        "gemini",
        b'] } "a[" [1, "{", [{"a": 1}], {"a": [}]} ] }',
        content=0,
        events=1,
        shape="array",
        terminal=False,
    ),
    Recorded(
        "images",
        "images",
        "openai",
        named(
            {"type": "image_generation.partial_image", "b64_json": "aGVsbG8="},
            {"type": "image_generation.completed", "b64_json": "aGVsbG8="},
        ),
        content=2,
        events=2,
    ),
    Recorded(
        "image edits",
        "images",
        "openai",
        named({"type": "image_edit.completed", "b64_json": "aGVsbG8="}),
        content=1,
        events=1,
    ),
    Recorded(
        "speech",
        "audio",
        "openai",
        data(
            {"type": "speech.audio.delta", "audio": ""},
            {"type": "speech.audio.delta", "audio": "UklGRg=="},
            {"type": "speech.audio.done", "usage": {}},
        ),
        content=2,
        events=3,
    ),
    Recorded(
        "transcription",
        "audio",
        "openai",
        data(
            {"type": "transcript.text.delta", "delta": "Hi"},
            {"type": "transcript.text.segment", "text": "Hi"},
            {"type": "transcript.text.done", "text": "Hi"},
        ),
        content=3,
        events=3,
    ),
    Recorded(
        "transcription, truncated",
        "audio",
        "openai",
        data({"type": "transcript.text.delta", "delta": "Hi"}),
        content=1,
        events=1,
        terminal=False,
    ),
    Recorded(
        "something else",
        "other",
        "openai",
        data({"a": 1}, {"type": "ping"}, "[DONE]") + b"data: x\n\nevent: ping\ndata: y\n\ndata:\n\n",
        content=2,
        events=4,
        terminal=False,
    ),
    Recorded(
        "something else, error",
        "fal",
        "fal",
        data({"a": 1}, {"error": {"message": "x", "type": "server_error"}}),
        content=1,
        events=2,
        terminal=False,
        error=(500, "server_error"),
    ),
]
