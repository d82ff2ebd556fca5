"""What a request asks the scripted provider for, and the shape of what it answers: the terms of all dialect files."""

from __future__ import annotations

import base64
import itertools
import math
import re
import struct
import time
from collections.abc import Iterable
from typing import Any, Final
from urllib.parse import parse_qsl, unquote

import msgspec
from msgspec import Struct

from proxy.fake_script import Script

JSON: Final = b"application/json"
SSE: Final = b"text/event-stream; charset=utf-8"

_WORDS: Final = ("Detour ", "keeps ", "the ", "traffic ", "moving ", "while ", "providers ", "rest. ")

PNG: Final = base64.b64encode(
    bytes.fromhex(
        "89504e470d0a1a0a0000000d4948445200000001000000010806000000"
        "1f15c4890000000d49444154789c63f8cfc0f01f00050001ff56c72f0d0000000049454e44ae426082"
    )
).decode()
"""A picture of one pixel, base64."""

PAGE: Final = 50
"""Models on a page of a list that comes in pages."""

encode = msgspec.json.Encoder().encode


class Asked(Struct):
    """One request as the dialects understand it."""

    endpoint: str
    dialect: str
    model: str
    streamed: bool
    fields: dict[str, Any]
    """The JSON body's members, or the text parts of a multipart body."""
    path: str
    query: str
    number: int
    """The request's number, for ids."""
    size: int
    """Size of the body in bytes, which the usage figures are made from."""
    script: Script
    offered: tuple[str, ...] = ("ok", "stall")
    """The models that this provider's list names."""

    @property
    def events(self) -> int:
        """How many content events the answer has."""
        return max(1, self.script.whole("events", 5))

    @property
    def text(self) -> str:
        """The whole answer's text."""
        return "".join(self.words)

    @property
    def words(self) -> Iterable[str]:
        """The text of each content event."""
        return itertools.islice(itertools.cycle(_WORDS), self.events)

    @property
    def tokens_in(self) -> int:
        """A plausible number of prompt tokens."""
        return max(1, self.size // 4)

    def parameter(self, name: str) -> str:
        """Return a parameter of the query, empty when it is missing."""
        return dict(parse_qsl(self.query)).get(name, "")

    def page(self, after: int) -> tuple[tuple[str, ...], bool]:
        """Return a page of the list of models that begins behind so many of them, and whether there are more."""
        return self.offered[after : after + PAGE], len(self.offered) > after + PAGE

    def id(self, prefix: str) -> str:
        """Return an id such as this vendor's."""
        return f"{prefix}fake{self.number:012d}"

    def now(self) -> int:
        """Return Unix time in whole seconds, as answers carry it."""
        return int(time.time())

    def vary(self, piece: tuple[bytes, bytes]) -> list[bytes]:
        """Return one content event per word, given what stands before and after the word's JSON text.

        The events repeat after the last word, as one object each, so that a long stream costs little. Each is filled
        up to the script's `size` bytes.
        """
        before, after = piece
        size = self.script.whole("size", 0) - len(before) - len(after)
        made = [before + word.encode().ljust(size, b".") + after for word in itertools.islice(_WORDS, self.events)]
        return list(itertools.islice(itertools.cycle(made), self.events))

    def filled(self, text: str, room: int) -> str:
        """Return `text`, filled up so that a body of otherwise `room` bytes reaches the script's `size`."""
        return text.ljust(self.script.whole("size", 0) - room, ".")


class Answer(Struct):
    """An answer: either `body`, or a stream of `opening`, `content` and `closing` pieces.

    Openings are what vendors send before any content (role deltas, `message_start`); closings hold the terminal.
    A piece may be several events on the wire; the pieces of `content` are what `after=` counts.
    """

    content_type: bytes = JSON
    body: bytes = b""
    opening: list[bytes] = []
    content: list[bytes] = []
    closing: list[bytes] = []
    streamed: bool = False
    comment: bytes = b": keep-alive\n\n"
    """What this vendor sends to keep a silent line open."""
    headers: tuple[tuple[bytes, bytes], ...] = ()


def json_answer(document: object) -> Answer:
    """Return an answer of one JSON document."""
    return Answer(JSON, encode(document))


def data(document: object) -> bytes:
    """Return a nameless server-sent event."""
    return b"data: " + encode(document) + b"\n\n"


def event(name: str, document: object) -> bytes:
    """Return a named server-sent event."""
    return b"event: " + name.encode() + b"\ndata: " + encode(document) + b"\n\n"


MARK: Final = "\x00"
"""Stands for a word inside a document that is cut in two around it."""


def around(piece: bytes) -> tuple[bytes, bytes]:
    """Cut an encoded event in two at its `MARK`."""
    before, _, after = piece.partition(b"\\u0000")
    return before, after


def vector(length: int, seed: int) -> list[float]:
    """Return an embedding of unit length that differs by `seed`."""
    raw = [math.sin(seed + index + 1) for index in range(length)]
    norm = math.sqrt(sum(value * value for value in raw)) or 1.0
    return [value / norm for value in raw]


def packed(values: list[float]) -> str:
    """Return floats as the little-endian base64 the OpenAI SDK asks for."""
    return base64.b64encode(struct.pack(f"<{len(values)}f", *values)).decode()


def fields_of(content_type: bytes, body: bytes | bytearray) -> dict[str, Any]:
    """Return the members of a JSON object or the short text parts of a multipart body; {} for anything else."""
    if b"multipart/" in content_type.lower():
        return {name.decode("latin-1"): value.decode("utf-8", "replace") for name, value in _PART.findall(body)}
    try:
        document = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}


_PART: Final = re.compile(
    rb'content-disposition: *form-data; *name="([^"\r\n]{1,64})"\r\n(?:[^\r\n]+\r\n)*\r\n([^\r\n]{0,4096})\r\n--', re.I
)


def flag(value: object) -> bool:
    """Read a stream flag: JSON true, or the word in a multipart part."""
    return value is True or value in ("true", "True", "1")


def model_in_path(path: str) -> str:
    """Return the model of a Gemini or Vertex path: what stands between `models/` and the last colon."""
    return unquote(path.rpartition("models/")[2].rpartition(":")[0])
