"""What a request's body, or its path, tells about the generation it asks for.

A body of JSON is decoded once, everything unknown skipped. What that decoder refuses (a cut body, a field of a wrong
type) is read by the scanner in `proxy.partial`. Nothing here raises: bodies are hostile.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import msgspec
from msgspec import UNSET, Raw
from msgspec.structs import astuple

from breaker.outcome import NO_MODEL
from proxy import multipart, partial, paths
from proxy.abridge import LARGE, abridged
from proxy.fields import Fields, Generation
from proxy.paths import Endpoint

LONGEST_MODEL: Final = 256
"""Characters of a model's name; what is longer is no name."""
LONGEST_VALUE: Final = 4096
"""Bytes of an object that is looked into; a longer one is taken for asking."""

_REFERENCES: Final = (
    b'"file_id"',
    b'"file_ids"',
    b'"fileUri"',
    b'"file_uri"',
    b'"vector_store_ids"',
    b'"item_reference"',
    b'"container"',
    b'"encrypted_content"',
)
"""Names of fields that refer to something that lives at one provider, wherever they stand."""


@dataclass(init=False)
class Peek:
    """What is known of a request before it is sent; not changed once it is made.

    `model` is `NO_MODEL` when none was found. `reasoning` says that reasoning or thinking is asked for, `background`
    that the result is fetched later. `pinned` says that a field of the request itself refers to something that lives at
    one provider; `pins` looks deeper.
    """

    model: str = NO_MODEL
    stream: bool = False
    reasoning: bool = False
    pinned: bool = False
    background: bool = False

    def __init__(
        self,
        model: str = NO_MODEL,
        stream: bool = False,
        reasoning: bool = False,
        pinned: bool = False,
        background: bool = False,
    ) -> None:
        self.model = model
        self.stream = stream
        self.reasoning = reasoning
        self.pinned = pinned
        self.background = background

    def pins(self, body: bytes | bytearray) -> bool:
        """Whether the request can be answered by one provider only.

        As long as `peek` itself for a body of some size: ask only when another provider is considered.
        """
        return self.pinned or any(reference in body for reference in _REFERENCES)


_decode: Final = msgspec.json.Decoder(Fields).decode
_decode_generation: Final = msgspec.json.Decoder(Generation).decode
_NAMES: Final = {field.encode_name: field.name for field in msgspec.structs.fields(Fields)}
_TEXTS: Final = frozenset(("model", "stream_format", "reasoning_effort"))
_FLAGS: Final = frozenset(("stream", "background", "enable_thinking"))
_FAILURES: Final = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
_EMPTY: Final = (b"null", b'""')
_NOTHING: Final = Peek()
_PLAIN: Final = astuple(Fields())[2:]
"""The fields behind model and stream of a request that asks for nothing special, as nearly all do."""


def peek(endpoint: Endpoint, path: str, content_type: bytes, body: bytes | bytearray, prefix: str = "") -> Peek:
    """Look at a request, of whose body `body` is all or the first part; `prefix` is the provider's part of `path`."""
    if endpoint.model_in == "none":
        return _NOTHING
    if endpoint.model_in == "path":
        return _by_path(endpoint, path, body, prefix)
    if content_type[:10].lower() == b"multipart/":
        parts = multipart.fields(content_type, body, ("model", "stream", "stream_format"))
        streamed = parts.get("stream") == "true" or parts.get("stream_format") == "sse"
        return Peek(_model(parts.get("model")), streamed)
    fields = _fields(body)
    model = _model(fields.model)
    if astuple(fields)[2:] == _PLAIN:
        return Peek(model, fields.stream is True)
    return Peek(
        model,
        fields.stream is True or fields.stream_format == "sse",
        _reasons(fields),
        _refers(fields),
        fields.background is True,
    )


def _by_path(endpoint: Endpoint, path: str, body: bytes | bytearray, prefix: str) -> Peek:
    model = _model(paths.model(endpoint, path, prefix))
    if endpoint.dialect != "gemini":
        return Peek(model, path.endswith("/stream"))
    fields = _fields(body)
    return Peek(model, endpoint.name == "stream_generate", _reasons(fields), _refers(fields))


def _model(name: str | None) -> str:
    """The name when it is one: printable, not too long, and none of those that begin with `~` and are ours."""
    if not name or len(name) > LONGEST_MODEL or name[0] == "~" or not name.isprintable():
        return NO_MODEL
    return name


def _fields(body: bytes | bytearray) -> Fields:
    if not body:
        return Fields()
    if len(body) >= LARGE:
        body = abridged(body)
    try:
        return _decode(body)
    except _FAILURES:
        return _salvaged(body)


def _salvaged(body: bytes | bytearray) -> Fields:
    """What can be had of a body that is cut or has fields of wrong types."""
    fields = Fields()
    for name, value in partial.fields(body, _NAMES).items():
        if name in _TEXTS:
            setattr(fields, _NAMES[name], partial.text(value) if len(value) <= LONGEST_VALUE else None)
        elif name in _FLAGS:
            setattr(fields, _NAMES[name], value == b"true")
        else:
            setattr(fields, _NAMES[name], Raw(value))
    return fields


def _reasons(fields: Fields) -> bool:
    """Whether reasoning or thinking is asked for, in any vendor's way."""
    if fields.reasoning_effort and fields.reasoning_effort != "none":
        return True
    return bool(
        fields.enable_thinking
        or (fields.reasoning is not UNSET and _asks(fields.reasoning))
        or (fields.thinking is not UNSET and _asks(fields.thinking))
        or (fields.generation is not UNSET and _thinks(fields.generation))
        or (fields.generation_config is not UNSET and _thinks(fields.generation_config))
    )


def _thinks(raw: Raw) -> bool:
    """Whether Gemini's generation settings ask for thinking."""
    try:
        generation = _decode_generation(raw)
    except _FAILURES:
        return False
    return any(one is not UNSET and _asks(one) for one in (generation.thinking, generation.thinking_config))


def _asks(raw: Raw) -> bool:
    """Whether a setting for reasoning is on: `{"type": "disabled"}`, `{"effort": "none"}`, zeros and null are not."""
    view = memoryview(raw)
    if len(view) > LONGEST_VALUE:
        return True
    try:
        value = msgspec.json.decode(view)
    except _FAILURES:
        return False
    if not isinstance(value, dict):
        return bool(value) and value != "none"
    off = value.get("type") == "disabled" or value.get("effort") == "none" or value.get("enabled") is False
    return not off and any(value.values())


def _refers(fields: Fields) -> bool:
    """Whether a field refers to something that lives at one provider."""
    return (
        (fields.previous_response_id is not UNSET and _says_something(fields.previous_response_id))
        or (fields.conversation is not UNSET and _says_something(fields.conversation))
        or (fields.container is not UNSET and _says_something(fields.container))
        or (fields.cached is not UNSET and _says_something(fields.cached))
        or (fields.cached_content is not UNSET and _says_something(fields.cached_content))
        or (fields.prompt is not UNSET and memoryview(fields.prompt)[:1].tobytes() == b"{")
    )


def _says_something(raw: Raw) -> bool:
    return memoryview(raw)[:4].tobytes() not in _EMPTY
