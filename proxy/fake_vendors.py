"""Answers in the formats of Anthropic, Gemini with Vertex, and fal.

Sources of the shapes: https://docs.anthropic.com/en/api/messages, https://ai.google.dev/api/generate-content,
https://cloud.google.com/vertex-ai/generative-ai/docs/model-reference/imagen-api, https://docs.fal.ai/model-apis.
"""

from __future__ import annotations

from typing import Any, Final

from proxy.fake_asked import MARK, PNG, SSE, Answer, Asked, around, encode, event, json_answer, vector

PING: Final = event("ping", {"type": "ping"})


def messages(asked: Asked) -> Answer:
    """Anthropic messages."""
    usage = {"input_tokens": asked.tokens_in, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0}
    whole: dict[str, Any] = {
        "id": asked.id("msg_"),
        "type": "message",
        "role": "assistant",
        "model": asked.model,
        "content": [{"type": "text", "text": asked.text}],
        "stop_reason": asked.script.word("finish", "end_turn"),
        "stop_sequence": None,
        "usage": {**usage, "output_tokens": asked.events},
    }
    if not asked.streamed:
        return json_answer(whole)
    begun = {**whole, "content": [], "stop_reason": None, "usage": {**usage, "output_tokens": 1}}
    block = {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}
    delta = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": MARK}}
    end = {"stop_reason": whole["stop_reason"], "stop_sequence": None}
    return Answer(
        SSE,
        opening=[
            event("message_start", {"type": "message_start", "message": begun}),
            event("content_block_start", block),
            PING,
        ],
        content=asked.vary(around(event("content_block_delta", delta))),
        closing=[
            event("content_block_stop", {"type": "content_block_stop", "index": 0}),
            event("message_delta", {"type": "message_delta", "delta": end, "usage": {"output_tokens": asked.events}}),
            event("message_stop", {"type": "message_stop"}),
        ],
        streamed=True,
        comment=PING,
    )


def count_tokens(asked: Asked) -> Answer:
    """Anthropic's count of a prompt's tokens."""
    return json_answer({"input_tokens": asked.tokens_in})


def batches(asked: Asked) -> Answer:
    """A message batch that was just created."""
    counts = dict.fromkeys(("processing", "succeeded", "errored", "canceled", "expired"), 0)
    whole = {"id": asked.id("msgbatch_"), "type": "message_batch", "processing_status": "in_progress"}
    times = {"created_at": "2026-01-01T00:00:00Z", "expires_at": "2026-01-02T00:00:00Z"}
    none = dict.fromkeys(("ended_at", "archived_at", "cancel_initiated_at", "results_url"))
    return json_answer({**whole, **times, **none, "request_counts": {**counts, "processing": 1}})


def anthropic_models(asked: Asked) -> Answer:
    """Anthropic's list of models, in pages."""
    last = asked.parameter("after_id")
    names, more = asked.page(asked.offered.index(last) + 1 if last in asked.offered else 0)
    row = {"type": "model", "created_at": "2026-01-01T00:00:00Z"}
    rows = [{"id": name, "display_name": name.upper(), **row} for name in names]
    first, last_id = (names[0], names[-1]) if names else (None, None)
    return json_answer({"data": rows, "has_more": more, "first_id": first, "last_id": last_id})


def generate(asked: Asked) -> Answer:
    """Gemini `generateContent`, and `streamGenerateContent` as events or, without `alt=sse`, as a JSON array."""
    finish = asked.script.word("finish", "STOP")
    if not asked.streamed:
        return json_answer(_candidate(asked, asked.text, finish))
    last = encode(_candidate(asked, "", finish))
    if "alt=sse" in asked.query.split("&"):
        content = asked.vary(around(b"data: " + encode(_candidate(asked, MARK, None)) + b"\r\n\r\n"))
        closing = [b"data: " + last + b"\r\n\r\n"]
        return Answer(b"text/event-stream", content=content, closing=closing, streamed=True, comment=b": ping\r\n\r\n")
    content = asked.vary(around(_COMMA + encode(_candidate(asked, MARK, None))))
    content[0] = content[0].removeprefix(_COMMA)
    return Answer(opening=[b"["], content=content, closing=[_COMMA + last, b"\n]\n"], streamed=True, comment=b"\n")


_COMMA: Final = b"\n,\r\n"


def _candidate(asked: Asked, text: str, finish: str | None) -> dict[str, Any]:
    whole = {"content": {"parts": [{"text": text}], "role": "model"}, "index": 0}
    usage = {"promptTokenCount": asked.tokens_in, "totalTokenCount": asked.tokens_in + asked.events}
    if finish is not None:
        whole["finishReason"] = finish
        usage["candidatesTokenCount"] = asked.events
    rest = {"usageMetadata": usage, "modelVersion": asked.model, "responseId": asked.id("")}
    return {"candidates": [whole], **rest}


def predict(_asked: Asked) -> Answer:
    """Vertex `:predict`: images."""
    return json_answer({"predictions": [{"mimeType": "image/png", "bytesBase64Encoded": PNG}]})


def gemini_count(asked: Asked) -> Answer:
    """Gemini's count of a prompt's tokens."""
    return json_answer({"totalTokens": asked.tokens_in})


def gemini_embed(_asked: Asked) -> Answer:
    """Gemini `embedContent`."""
    return json_answer({"embedding": {"values": vector(16, 0)}})


def gemini_models(asked: Asked) -> Answer:
    """Gemini's list of models, in pages."""
    token = asked.parameter("pageToken").removeprefix("after/")
    after = int(token) if token.isdecimal() else 0
    names, more = asked.page(after)
    row = {"version": "001", "supportedGenerationMethods": ["generateContent", "countTokens"]}
    rows = [{"name": f"models/{name}", "displayName": name.upper(), **row} for name in names]
    return json_answer({"models": rows} | ({"nextPageToken": f"after/{after + len(names)}"} if more else {}))


def fal_run(asked: Asked) -> Answer:
    """A fal model run to its end, or followed as events at `…/stream`."""
    image = {"url": f"data:image/png;base64,{PNG}", "width": 1, "height": 1, "content_type": "image/png"}
    result = {
        "images": [image],
        "timings": {"inference": 0.25},
        "seed": 42,
        "has_nsfw_concepts": [False],
        "prompt": str(asked.fields.get("prompt", "")),
    }
    if not asked.streamed:
        return json_answer(result)
    content = [b"data: " + encode({"images": [image], "progress": n}) + b"\n\n" for n in range(asked.events)]
    return Answer(SSE, content=content, closing=[b"data: " + encode(result) + b"\n\n"], streamed=True)


def fal_submit(asked: Asked) -> Answer:
    """A submission taken into fal's queue."""
    return json_answer({"status": "IN_QUEUE", "queue_position": 0, **_queue_urls(asked, asked.id("req-"))})


def fal_poll(asked: Asked) -> Answer:
    """A poll of fal's queue: the status, or the result."""
    if not asked.path.endswith("/status"):
        return fal_run(asked)
    request_id = asked.path.rpartition("/requests/")[2].partition("/")[0]
    return json_answer({"status": "COMPLETED", "logs": None, "metrics": {}, **_queue_urls(asked, request_id)})


def _queue_urls(asked: Asked, request_id: str) -> dict[str, str]:
    base = f"https://queue.fal.run/{asked.model}/requests/{request_id}"
    urls = {"status_url": f"{base}/status", "cancel_url": f"{base}/cancel"}
    return {"request_id": request_id, "response_url": base, **urls}
