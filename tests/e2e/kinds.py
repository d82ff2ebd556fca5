"""One request of every kind: the table that the tests of the verdicts go through."""

from __future__ import annotations

import json
from typing import Any

from msgspec import Struct


class Kind(Struct, frozen=True):
    """One kind of request. `shape` is how its answer is divided; `ends` says that its stream promises an end."""

    name: str
    dialect: str
    path: str
    model: str
    body: bytes
    shape: str = "json"
    ends: bool = False
    content_type: bytes = b"application/json"

    @property
    def streamed(self) -> bool:
        """Whether the request asks for a stream."""
        return self.shape in ("sse", "array")


def _json(**fields: object) -> bytes:
    return json.dumps(fields).encode()


_PROMPT: dict[str, Any] = {"messages": [{"role": "user", "content": "hi"}]}
_PARTS: dict[str, Any] = {"contents": [{"parts": [{"text": "hi"}]}]}
_FORM = b"multipart/form-data; boundary=edge"


def _form(*fields: tuple[bytes, bytes]) -> bytes:
    parts = b"".join(b'--edge\r\nContent-Disposition: form-data; name="%b"\r\n\r\n%b\r\n' % field for field in fields)
    file = b'--edge\r\nContent-Disposition: form-data; name="file"; filename="a.mp3"\r\n'
    file += b"Content-Type: audio/mpeg\r\n\r\n\xff\xfb\r\n"
    return parts + file + b"--edge--\r\n"


def _openai(name: str, path: str, *, ends: bool = True, **fields: Any) -> list[Kind]:
    """A kind and its stream."""
    plain = Kind(name, "openai", path, "m", _json(model="m", **fields))
    return [plain, Kind(f"{name}/s", "openai", path, "m", _json(model="m", **fields, stream=True), "sse", ends)]


KINDS: dict[str, Kind] = {
    kind.name: kind
    for kind in (
        *_openai("chat", "/v1/chat/completions", **_PROMPT),
        *_openai("completions", "/v1/completions", prompt="hi"),
        *_openai("responses", "/v1/responses", input="hi"),
        *_openai("images", "/v1/images/generations", prompt="hi"),
        Kind("embeddings", "openai", "/v1/embeddings", "m", _json(model="m", input="hi")),
        Kind(
            "edits", "openai", "/v1/images/edits", "m", _form((b"model", b"m"), (b"prompt", b"hi")), content_type=_FORM
        ),
        Kind("audio", "openai", "/v1/audio/transcriptions", "m", _form((b"model", b"m")), content_type=_FORM),
        Kind(
            "audio/s",
            "openai",
            "/v1/audio/transcriptions",
            "m",
            _form((b"model", b"m"), (b"stream", b"true")),
            "sse",
            True,
            _FORM,
        ),
        Kind("speech", "openai", "/v1/audio/speech", "m", _json(model="m", input="hi", voice="v"), "bytes"),
        Kind(
            "speech/s",
            "openai",
            "/v1/audio/speech",
            "m",
            _json(model="m", input="hi", voice="v", stream_format="sse"),
            "sse",
            True,
        ),
        Kind("messages", "anthropic", "/v1/messages", "m", _json(model="m", max_tokens=9, **_PROMPT)),
        Kind(
            "messages/s",
            "anthropic",
            "/v1/messages",
            "m",
            _json(model="m", max_tokens=9, stream=True, **_PROMPT),
            "sse",
            True,
        ),
        Kind("generate", "gemini", "/v1beta/models/m:generateContent", "m", _json(**_PARTS)),
        Kind(
            "generate/s", "gemini", "/v1beta/models/m:streamGenerateContent?alt=sse", "m", _json(**_PARTS), "sse", True
        ),
        Kind("generate/a", "gemini", "/v1beta/models/m:streamGenerateContent", "m", _json(**_PARTS), "array", True),
        Kind(
            "predict", "gemini", "/v1beta/publishers/google/models/m:predict", "m", _json(instances=[{"prompt": "hi"}])
        ),
        Kind("fal", "fal", "/fal-ai/m", "fal-ai/m", _json(prompt="hi")),
        Kind("fal/s", "fal", "/fal-ai/m/stream", "fal-ai/m/stream", _json(prompt="hi"), "sse"),
    )
}
STREAMS = [name for name, kind in KINDS.items() if kind.streamed]
ENDING = [name for name, kind in KINDS.items() if kind.ends]
PLAIN = [name for name, kind in KINDS.items() if kind.shape == "json"]
DIALECTS = ["chat", "messages", "generate", "fal"]
"""A kind of each dialect."""
DIALECT_STREAMS = ["chat/s", "responses/s", "messages/s", "generate/s", "generate/a", "fal/s"]
"""A stream of each way to tell of an error inside it."""
