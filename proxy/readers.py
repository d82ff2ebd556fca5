"""Reads one event of each family of streams. Pure.

Each reader has two halves. `full` parses the whole event as tolerantly as can be and decides. In front of it stands a
typed decoding of the few fields that matter, an order of magnitude cheaper, that answers only for what is certainly
plain content and leaves everything else to `full`: both always agree.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import Any, Final

import msgspec

from proxy import terminals
from proxy.bounded import LIMIT
from proxy.inband import describe, error_in, error_in_response, filled, parse
from proxy.shapes import Chunk, Generated, Typed
from proxy.sight import CONTENT, NOTHING, PING, TERMINAL, Sight
from proxy.terminals import PINGS, Family, Grammar

Reader = Callable[[bytes, bytes], Sight]
"""What the event with this name and data is."""

_CUT: Final = LIMIT - len(b"data: ")
"""An event that is no JSON and at least this large was cut: its line was `LIMIT` long."""

_DONE: Final = b"[DONE]"
_HEAD: Final = 2048
_TYPE: Final = re.compile(rb'"type"\s*:\s*"([^"\\]{1,128})"')
_ERROR: Final = re.compile(rb'"error"\s*:\s*(\{[^{}]{0,2000}\})')
_UNREADABLE: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_chunk: Final = msgspec.json.Decoder(Chunk).decode
_typed: Final = msgspec.json.Decoder(Typed).decode
_generated: Final = msgspec.json.Decoder(Generated).decode


def reader(grammar: Grammar) -> Reader:
    """The reader of streams of this grammar."""
    return _READERS[grammar]


# -- choices: chat completions and completions ------------------------------------------------------------------------


def choices(name: bytes, payload: bytes) -> Sight:
    """An event of a chat or text completion."""
    try:
        chunk = _chunk(payload)
    except _UNREADABLE:
        return choices_full(name, payload)
    if chunk.error or chunk.object == "error" or chunk.type == "error":
        return choices_full(name, payload)
    content = False
    for choice in chunk.choices or ():
        if choice.finish_reason or choice.error:
            return choices_full(name, payload)
        if choice.text:
            content = True
        elif choice.delta and not content:
            content = _speaks(choice.delta)
    return CONTENT if content else choices_full(name, payload)


def choices_full(name: bytes, payload: bytes) -> Sight:
    """The same, by a whole parse."""
    if payload.lstrip().startswith(_DONE):
        return TERMINAL
    document = parse(payload)
    if not isinstance(document, dict):
        return NOTHING if len(payload) < _CUT else CONTENT
    found = [choice for choice in _list(document.get("choices")) if isinstance(choice, dict)]
    content = any(filled(choice.get(key)) for choice in found for key in ("delta", "message", "text", "logprobs"))
    finish = next((reason for choice in found if (reason := _word(choice.get("finish_reason")))), None)
    error = error_in(document)
    if not found and error is None and _decoded(name) in PINGS:
        return PING
    return Sight(content=content, terminal=finish is not None, finish=finish, error=error)


# -- typed: responses, messages, images, audio ------------------------------------------------------------------------


def typed(grammar: Grammar, name: bytes, payload: bytes) -> Sight:
    """An event that says its type."""
    try:
        event = _typed(payload)
    except _UNREADABLE:
        return typed_full(grammar, name, payload)
    delta, kind = event.delta, event.type
    # A message_delta may say why the model stopped, which only the whole parse reads.
    if (
        delta
        and not event.error
        and kind.endswith("delta")
        and kind != "message_delta"
        and (type(delta) is str or (_speaks(delta) if type(delta) is dict else filled(delta)))
    ):
        return CONTENT
    return typed_full(grammar, name, payload)


def typed_full(grammar: Grammar, name: bytes, payload: bytes) -> Sight:
    """The same, by a whole parse."""
    document = parse(payload)
    if not isinstance(document, dict):
        if len(payload) < _CUT:
            return PING if _decoded(name) in PINGS else NOTHING
        document = _head(name, payload)
    kind = _word(document.get("type")) or _decoded(name)
    if kind in PINGS:
        return PING
    if kind in grammar.failures:
        return Sight(error=error_in_response(document))
    ends = kind in grammar.terminals or (grammar.endings != () and kind.endswith(grammar.endings))
    return Sight(
        content=ends or _says(grammar, kind, document),
        terminal=ends,
        finish=_finish(grammar, kind, document),
        error=describe(document["error"], document) if document.get("error") else None,
    )


def _says(grammar: Grammar, kind: str, document: dict[str, Any]) -> bool:
    """Whether an event of this type is content: any is but announcements and empty deltas and blocks."""
    if not kind or kind in grammar.quiet:
        return False
    if kind == "content_block_start":
        return filled(document.get("content_block"))
    if kind == "message_delta":
        return True
    for key in ("delta", "audio"):
        if key in document:
            return filled(document[key])
    return True


def _finish(grammar: Grammar, kind: str, document: dict[str, Any]) -> str | None:
    """Why it ended: a message's `stop_reason`; the reason a response is incomplete, else its `status`."""
    if kind == "message_delta":
        return _word(_dict(document.get("delta")).get("stop_reason"))
    if kind not in grammar.terminals:
        return None
    response = _dict(document.get("response"))
    return _word(_dict(response.get("incomplete_details")).get("reason")) or _word(response.get("status"))


def _head(name: bytes, payload: bytes) -> dict[str, Any]:
    """What an event too large to be kept whole shows: its type, an error near its beginning, no empty block."""
    head = payload[:_HEAD]
    found = _TYPE.search(head)
    error = _ERROR.search(head)
    return {
        "type": _decoded(name or (found.group(1) if found else b"large")),
        "error": parse(error.group(1)) if error else None,
        "content_block": "large",
    }


# -- candidates: Gemini -----------------------------------------------------------------------------------------------


def candidates(_name: bytes, payload: bytes) -> Sight:
    """An event of a Gemini stream, or an element of its array."""
    try:
        event = _generated(payload)
    except _UNREADABLE:
        return candidates_full(payload)
    if event.error or event.feedback:
        return candidates_full(payload)
    content = False
    for candidate in event.candidates or ():
        if candidate.finish_reason:
            return candidates_full(payload)
        content = content or filled(candidate.content)
    return CONTENT if content else candidates_full(payload)


def candidates_full(payload: bytes) -> Sight:
    """The same, by a whole parse."""
    document = parse(payload)
    if not isinstance(document, dict):
        return Sight(error=error_in(document)) if len(payload) < _CUT else CONTENT
    found = [item for item in _list(document.get("candidates")) if isinstance(item, dict)]
    finish = next((reason for item in found if (reason := _word(item.get("finishReason")))), None)
    blocked = _word(_dict(document.get("promptFeedback")).get("blockReason"))
    return Sight(
        content=any(filled(item.get("content")) for item in found),
        terminal=finish is not None or blocked is not None,
        finish=finish,
        blocked=blocked,
        error=describe(document["error"], document) if document.get("error") else None,
    )


# -- plain: everything else -------------------------------------------------------------------------------------------


def plain(name: bytes, payload: bytes) -> Sight:
    """An event of a stream nothing is known of: any data is content, an error object is an error."""
    text = payload.strip()
    if not text or text == _DONE:
        return NOTHING
    document = parse(text)
    kind = _word(document.get("type")) if isinstance(document, dict) else None
    if (kind or _decoded(name)) in PINGS:
        return PING
    error = error_in(document) if isinstance(document, dict) else None
    return Sight(content=error is None, error=error)


def failure(payload: bytes) -> Sight:
    """An event named `error`: one whatever its data."""
    document = parse(payload)
    if isinstance(document, dict):
        found = error_in(document) or describe(document, {})
    else:
        found = describe(payload.decode("utf-8", "replace"), {})
    return Sight(error=found)


def _speaks(delta: dict[str, Any]) -> bool:
    """`filled` for a delta, whose values are mostly plain strings."""
    for key, value in delta.items():
        if value and key != "role" and key != "type" and (type(value) is str or filled(value, 1)):
            return True
    return False


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _dict(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _decoded(name: bytes) -> str:
    return name.decode("utf-8", "replace")


def _word(value: object) -> str | None:
    return value[:128] if isinstance(value, str) and value else None


_OF_FAMILY: Final[dict[Family, Reader]] = {Family.CHOICES: choices, Family.CANDIDATES: candidates, Family.PLAIN: plain}
_READERS: Final[dict[Grammar, Reader]] = {
    known: _OF_FAMILY.get(known.family) or partial(typed, known)
    for known in (*terminals.GRAMMARS.values(), terminals.PLAIN)
}
