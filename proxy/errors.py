"""What clients get when the answer is Detour's own (semantics section 8).

One `Refusal` becomes an answer in the caller's dialect, or, once a stream has begun, an event inside it. The shapes are
the vendors' own, so that their SDKs raise their own error classes.
"""

from __future__ import annotations

import functools
import http
import string
from typing import Any, Final
from urllib.parse import quote

import msgspec

from config.bases import Frozen
from proxy.paths import Endpoint


class Refusal(Frozen):
    """An answer that is Detour's own.

    `status` is the HTTP status, `type` one word for what is wrong, `message` a sentence that says what was seen and
    what to do, `headers` are further fields of the answer.
    """

    status: int
    type: str
    message: str
    headers: tuple[tuple[str, str], ...] = ()


_OPENAI: Final = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
}
_ANTHROPIC: Final = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
    529: "overloaded_error",
}
"""https://docs.anthropic.com/en/api/errors"""
_GEMINI: Final = {
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    501: "UNIMPLEMENTED",
    504: "DEADLINE_EXCEEDED",
}
"""https://cloud.google.com/apis/design/errors"""

_PHRASES: Final = {status.value: status.phrase for status in http.HTTPStatus}
_PRINTABLE: Final = " " + string.punctuation.replace("%", "")
_encode: Final = msgspec.json.Encoder().encode


def body(dialect: str | None, refusal: Refusal) -> bytes:
    """The JSON body of `refusal` as a vendor of `dialect` would write it."""
    return _encode(_shape(dialect, refusal.status, refusal.type, refusal.message))


def answer(dialect: str | None, refusal: Refusal, *, close: bool, head_only: bool, extra: bytes = b"") -> bytes:
    """The whole HTTP/1.1 answer; without its body for a HEAD request. `extra` are header lines with their ends."""
    content = b"" if refusal.status == 204 else body(dialect, refusal)
    head = [f"HTTP/1.1 {refusal.status} {_PHRASES.get(refusal.status, '')}"]
    head += [f"{name}: {value}" for name, value in refusal.headers]
    if content:
        head += ["Content-Type: application/json", f"Content-Length: {len(content)}"]
    if close:
        head.append("Connection: close")
    lines = "\r\n".join(head).encode("latin-1", "replace")
    return b"%b\r\n%b\r\n%b" % (lines, extra, b"" if head_only else content)


def event(
    endpoint: Endpoint,
    message: str,
    type: str,
    status: int,
    *,
    array: bool = False,
    tail: bytes = b"\n\n",
) -> bytes:
    """What ends a broken stream inside the stream itself, in the caller's dialect.

    `tail` are the last bytes that were delivered: an event that broke off in the middle is ended first. `array` says
    that the stream is Gemini's JSON array and not server-sent events.
    """
    shape = _shape(endpoint.dialect, status, type, message)
    if array:
        return b",\n" + _encode(shape)
    name = b""
    if endpoint.dialect == "anthropic":
        name = b"event: error\n"
    elif endpoint.name == "responses":
        # The flat form is the documented one, `error` is what the API sends and the SDK raises on: both.
        shape = {"type": "error", "sequence_number": 0, "code": type, "message": message, "param": None, **shape}
        name = b"event: error\n"
    return b"%b%bdata: %b\n\n" % (_ending(tail, endpoint.dialect), name, _encode(shape))


@functools.lru_cache(maxsize=1024)
def header_text(text: str) -> str:
    """`text` as a field's value: what is not printable ASCII is percent-encoded, and `%` with it."""
    return quote(text.encode("utf-8", "surrogatepass"), safe=_PRINTABLE)


def _ending(tail: bytes, dialect: str) -> bytes:
    """What must come first so that an event after `tail` is one of its own.

    Anthropic's readers look at the name alone, the last one given, so that an unfinished event can be turned into the
    error; elsewhere it can only be ended.
    """
    text = tail.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    if not text or text.endswith(b"\n\n"):
        return b""
    if text.endswith(b"\n"):
        return b"" if dialect == "anthropic" else b"\n"
    return b"\n" if dialect == "anthropic" else b"\n\n"


def _shape(dialect: str | None, status: int, type: str, message: str) -> dict[str, Any]:
    if dialect == "anthropic":
        return {"type": "error", "error": {"type": _ANTHROPIC.get(status, _kind(status)), "message": message}}
    if dialect == "gemini":
        default = "UNAVAILABLE" if status >= 500 else "INVALID_ARGUMENT"
        return {"error": {"code": status, "message": message, "status": _GEMINI.get(status, default)}}
    error = {"message": message, "type": _OPENAI.get(status, _kind(status)), "code": type, "param": None}
    return {"error": error} if dialect == "openai" else {"detail": message, "error": error}


def _kind(status: int) -> str:
    return "invalid_request_error" if status < 500 else "api_error"
