"""Answers in OpenAI's formats: chat, completions, responses, embeddings, images, audio, models.

Source of the shapes: https://platform.openai.com/docs/api-reference.
"""

from __future__ import annotations

import base64
from typing import Any, Final

from proxy.fake_asked import (
    JSON,
    MARK,
    PNG,
    SSE,
    Answer,
    Asked,
    around,
    data,
    encode,
    event,
    json_answer,
    packed,
    vector,
)

DONE: Final = b"data: [DONE]\n\n"

_MP3_FRAME: Final = b"\xff\xfb\x90\x64" + bytes(413)
"""One silent frame: MPEG 1 layer III, 128 kbit/s, 44.1 kHz."""


def _usage(asked: Asked) -> dict[str, Any]:
    return {
        "prompt_tokens": asked.tokens_in,
        "completion_tokens": asked.events,
        "total_tokens": asked.tokens_in + asked.events,
        "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
    }


def _wants_usage(asked: Asked) -> bool:
    options = asked.fields.get("stream_options")
    return isinstance(options, dict) and options.get("include_usage") is True


def chat(asked: Asked) -> Answer:
    """Chat completions."""
    common = {"id": asked.id("chatcmpl-"), "created": asked.now(), "model": asked.model}
    finish = asked.script.word("finish", "stop")
    if asked.streamed:
        return _chat_stream(asked, {**common, "object": "chat.completion.chunk"}, finish)

    def body(text: str) -> bytes:
        message: dict[str, Any] = {"role": "assistant", "content": text, "refusal": None, "annotations": []}
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": finish}
        whole = {**common, "object": "chat.completion", "choices": [choice], "usage": _usage(asked)}
        return encode({**whole, "service_tier": "default", "system_fingerprint": "fp_fake"})

    return _sized(asked, body)


def _sized(asked: Asked, body: Any) -> Answer:
    text = asked.text
    made = body(text)
    if asked.script.whole("size", 0) > len(made):
        made = body(asked.filled(text, len(made) - len(text)))
    return Answer(JSON, made)


def _chat_stream(asked: Asked, common: dict[str, Any], finish: str) -> Answer:
    def chunk(delta: dict[str, Any], reason: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}
        return data({**common, "choices": [choice]})

    closing = [chunk({}, finish)]
    if _wants_usage(asked):
        closing.append(data({**common, "choices": [], "usage": _usage(asked)}))
    return Answer(
        SSE,
        opening=[chunk({"role": "assistant", "content": "", "refusal": None})],
        content=asked.vary(around(chunk({"content": MARK}))),
        closing=[*closing, DONE],
        streamed=True,
    )


def completions(asked: Asked) -> Answer:
    """Legacy completions."""
    common = {"id": asked.id("cmpl-"), "object": "text_completion", "created": asked.now(), "model": asked.model}
    finish = asked.script.word("finish", "stop")

    def choice(text: str, reason: str | None) -> dict[str, Any]:
        return {**common, "choices": [{"text": text, "index": 0, "logprobs": None, "finish_reason": reason}]}

    if not asked.streamed:
        return _sized(asked, lambda text: encode({**choice(text, finish), "usage": _usage(asked)}))
    closing = [data(choice("", finish))]
    if _wants_usage(asked):
        closing.append(data({**common, "choices": [], "usage": _usage(asked)}))
    content = asked.vary(around(data(choice(MARK, None))))
    return Answer(SSE, content=content, closing=[*closing, DONE], streamed=True)


def _response(asked: Asked, status: str, output: list[Any]) -> dict[str, Any]:
    usage = {
        "input_tokens": asked.tokens_in,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": asked.events,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": asked.tokens_in + asked.events,
    }
    return {
        "id": asked.id("resp_"),
        "object": "response",
        "created_at": asked.now(),
        "status": status,
        "background": False,
        "error": None,
        "incomplete_details": {"reason": "max_output_tokens"} if status == "incomplete" else None,
        "instructions": None,
        "max_output_tokens": None,
        "model": asked.model,
        "output": output,
        "parallel_tool_calls": True,
        "previous_response_id": None,
        "reasoning": {"effort": None, "summary": None},
        "store": True,
        "temperature": 1.0,
        "text": {"format": {"type": "text"}},
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1.0,
        "truncation": "disabled",
        "usage": usage if output else None,
        "user": None,
        "metadata": {},
    }


def responses(asked: Asked) -> Answer:
    """Responses."""
    status = asked.script.word("finish", "completed")
    part = {"type": "output_text", "annotations": [], "logprobs": [], "text": asked.text}
    item = {"id": asked.id("msg_"), "type": "message", "status": "completed", "role": "assistant", "content": [part]}
    if not asked.streamed:
        return json_answer(_response(asked, status, [item]))
    numbers = iter(range(asked.events + 16))

    def send(kind: str, **members: object) -> bytes:
        return event(kind, {"type": kind, "sequence_number": next(numbers), **members})

    place = {"item_id": item["id"], "output_index": 0, "content_index": 0}
    begun = _response(asked, "in_progress", [])
    opening = [send("response.created", response=begun), send("response.in_progress", response=begun)]
    first = send("response.output_item.added", output_index=0, item={**item, "status": "in_progress", "content": []})
    first += send("response.content_part.added", **place, part={**part, "text": ""})
    content = [send("response.output_text.delta", **place, delta=word, logprobs=[]) for word in asked.words]
    content[0] = first + content[0]
    closing = [
        send("response.output_text.done", **place, text=asked.text, logprobs=[]),
        send("response.content_part.done", **place, part=part),
        send("response.output_item.done", output_index=0, item=item),
        send(f"response.{status}", response=_response(asked, status, [item])),
    ]
    return Answer(SSE, opening=opening, content=content, closing=closing, streamed=True)


def embeddings(asked: Asked) -> Answer:
    """Embeddings, as floats or as the base64 the SDK asks for by default."""
    given = asked.fields.get("input", "")
    many = len(given) if isinstance(given, list) and given and not isinstance(given[0], int) else 1
    wanted = asked.fields.get("dimensions")
    length = wanted if isinstance(wanted, int) and 0 < wanted <= 4096 else 16
    made = [vector(length, index) for index in range(many)]
    as_text = asked.fields.get("encoding_format") == "base64"
    rows = [
        {"object": "embedding", "index": index, "embedding": packed(values) if as_text else values}
        for index, values in enumerate(made)
    ]
    usage = {"prompt_tokens": asked.tokens_in, "total_tokens": asked.tokens_in}
    return json_answer({"object": "list", "data": rows, "model": asked.model, "usage": usage})


def images(asked: Asked) -> Answer:
    """Image generations and edits, plain and as a stream of partial images."""
    usage = {
        "input_tokens": asked.tokens_in,
        "input_tokens_details": {"image_tokens": 0, "text_tokens": asked.tokens_in},
        "output_tokens": 272,
        "total_tokens": asked.tokens_in + 272,
    }
    look = {"background": "opaque", "output_format": "png", "quality": "low", "size": "1024x1024"}
    if not asked.streamed:
        url = f"https://images.example.invalid/{asked.id('img-')}.png"
        by_url = asked.fields.get("response_format") == "url"
        row = {"url": url} if by_url else {"b64_json": PNG}
        return json_answer({"created": asked.now(), "data": [row], **look, "usage": usage})
    kind = "image_edit" if asked.path.endswith("/edits") else "image_generation"

    def send(name: str, **members: object) -> bytes:
        whole = {"type": f"{kind}.{name}", "b64_json": PNG, "created_at": asked.now(), **look, **members}
        return event(f"{kind}.{name}", whole)

    content = [send("partial_image", partial_image_index=index) for index in range(asked.events)]
    return Answer(SSE, content=content, closing=[send("completed", usage=usage)], streamed=True)


def transcription(asked: Asked) -> Answer:
    """Audio to text: JSON, verbose JSON, plain text, subtitles, or a stream of deltas."""
    usage = {
        "type": "tokens",
        "input_tokens": asked.tokens_in,
        "input_token_details": {"text_tokens": 0, "audio_tokens": asked.tokens_in},
        "output_tokens": asked.events,
        "total_tokens": asked.tokens_in + asked.events,
    }
    if asked.streamed:
        content = asked.vary(around(event("transcript.text.delta", {"type": "transcript.text.delta", "delta": MARK})))
        done = {"type": "transcript.text.done", "text": asked.text, "usage": usage}
        return Answer(SSE, content=content, closing=[event("transcript.text.done", done)], streamed=True)
    form = asked.fields.get("response_format", "json")
    if form in _SUBTITLES:
        return Answer(b"text/plain; charset=utf-8", _SUBTITLES[form].format(text=asked.text).encode())
    if form == "verbose_json":
        segment = {"id": 0, "seek": 0, "start": 0.0, "end": 1.0, "text": asked.text, "tokens": [1], "temperature": 0.0}
        segment |= {"avg_logprob": -0.1, "compression_ratio": 1.0, "no_speech_prob": 0.0}
        spoken = {"task": "transcribe", "language": "english", "duration": 1.0, "text": asked.text}
        return json_answer({**spoken, "segments": [segment], "usage": {"type": "duration", "seconds": 1}})
    return json_answer({"text": asked.text, "usage": usage})


_SUBTITLES: Final = {
    "text": "{text}\n",
    "srt": "1\n00:00:00,000 --> 00:00:01,000\n{text}\n\n",
    "vtt": "WEBVTT\n\n00:00:00.000 --> 00:00:01.000\n{text}\n\n",
}


def speech(asked: Asked) -> Answer:
    """Text to audio: MP3 frames, chunked as OpenAI sends them, or server-sent events."""
    if asked.fields.get("stream_format") != "sse":
        return Answer(b"audio/mpeg", content=[_MP3_FRAME] * asked.events, streamed=True, comment=_MP3_FRAME)
    audio = base64.b64encode(_MP3_FRAME).decode()
    piece = event("speech.audio.delta", {"type": "speech.audio.delta", "audio": audio})
    usage = {"input_tokens": asked.tokens_in, "output_tokens": asked.events, "total_tokens": asked.tokens_in + 5}
    done = event("speech.audio.done", {"type": "speech.audio.done", "usage": usage})
    return Answer(SSE, content=[piece] * asked.events, closing=[done], streamed=True)


def models(asked: Asked) -> Answer:
    """The list of models, or one of them."""
    row = {"object": "model", "created": 1_700_000_000, "owned_by": "fake"}
    one = asked.path.rpartition("/models")[2].strip("/")
    if one:
        return json_answer({"id": one, **row})
    return json_answer({"object": "list", "data": [{"id": name, **row} for name in asked.offered]})
