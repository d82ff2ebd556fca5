"""Error objects of all vendors, wherever they stand: in an event of a stream, in a 200, in an error answer.

Known shapes: OpenAI and OpenRouter `{"error": {message, type, code, metadata}}`, an error inside a choice or a
`finish_reason` of `error`, Anthropic `{"type": "error", "error": {…}}`, OpenAI responses `{"type": "error", code,
message}` and a `response` that failed, Gemini `{"error": {code, message, status, details}}` also inside an array, vLLM
`{"object": "error", …}`, FastAPI and fal `{"detail": …}`, Cloudflare `{"errors": […]}`.
"""

from __future__ import annotations

import json
from typing import Any, Final

import msgspec

from config.bases import Frozen
from proxy.kinds import DEFAULT_STATUS, STATUS_OF
from proxy.retryafter import seconds_of

MESSAGE_KEPT: Final = 4096
"""Most characters kept of a vendor's message; what is shown of it is cut and masked by `proxy.mask`."""

_WORDS_KEPT: Final = 64
_DEEPEST: Final = 8

_ENVELOPE: Final = frozenset(
    "error type object id code status message model provider created request_id success".split()  # noqa: SIM905
)
"""Keys that stand beside an error and are no result."""


class InBandError(Frozen):
    """An error as its vendor described it.

    `code` is the HTTP status it counts as, `type` its most telling word, `words` every word it is called by in lower
    case, `retry_after` the seconds its body asks to wait (Gemini's `RetryInfo`).
    """

    code: int
    type: str
    message: str
    words: frozenset[str] = frozenset()
    retry_after: float | None = None


def parse(payload: bytes) -> Any:
    """JSON read as tolerantly as can be; `None` for what is none (`null` says as little). Never raises."""
    try:
        return msgspec.json.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        pass
    try:
        return json.loads(payload.decode("utf-8", "replace"), strict=False, parse_int=_integer)
    except (ValueError, RecursionError):
        return None


def filled(value: object, depth: int = 0) -> bool:
    """Whether there is any text in `value`: a string that is not empty, at any depth but in a `role` or `type`.

    Numbers, booleans and null say nothing. What is nested deeper than any vendor nests counts as text.
    """
    if isinstance(value, str):
        return value != ""
    if depth == _DEEPEST:
        return bool(value) and isinstance(value, list | dict)
    if isinstance(value, list):
        for item in value:
            if filled(item, depth + 1):
                return True
    elif isinstance(value, dict):
        for key, item in value.items():
            if key != "role" and key != "type" and filled(item, depth + 1):
                return True
    return False


def error_in(document: Any) -> InBandError | None:
    """The error that a parsed event or body is or carries, if any. `"error": null` and `{}` are none."""
    if isinstance(document, list):
        return next((found for item in document[:4] if isinstance(item, dict) and (found := error_in(item))), None)
    if not isinstance(document, dict):
        return None
    error = document.get("error")
    if error:
        return describe(error, document)
    if document.get("type") == "error" or document.get("object") == "error":
        return describe(document, {})
    return _in_choices(document.get("choices"))


def error_in_json(body: bytes, dialect: str) -> InBandError | None:
    """The error that a 2xx JSON body carries instead of a result, if any.

    An object that describes an error counts whatever else is there. A bare text counts only where nothing else could
    be the result, and so does every error in the `fal` dialect: there, a model names the fields of its result.
    """
    if b"error" not in body:
        return None
    document = parse(body)
    found = error_in(document)
    if found is None or not isinstance(document, dict) or not document.get("error"):
        return found
    if dialect != "fal" and isinstance(document["error"], dict):
        return found
    result = any(filled(value) for key, value in document.items() if key not in _ENVELOPE)
    return None if result else found


def error_in_response(document: Any) -> InBandError:
    """The error of a `response.failed` or `error` event of the responses API, where it may be nested or absent."""
    found = error_in(document)
    if found is not None:
        return found
    response = document.get("response") if isinstance(document, dict) else None
    found = error_in(response)
    return found if found is not None else describe({}, {})


def complaint(body: bytes, status: int) -> InBandError:
    """What the body of an error answer says; `code` is the answer's own `status`. What is no JSON is a text."""
    document = parse(body)
    found = error_in(document)
    if found is None and isinstance(document, dict):
        found = _loose(document)
    if found is None:
        return InBandError(status, "", body[:MESSAGE_KEPT].decode("utf-8", "replace"))
    return InBandError(status, found.type, found.message, found.words, found.retry_after)


def describe(error: Any, outer: dict[str, Any]) -> InBandError:
    """An error object, or a text in its place, with the object it stands in."""
    inner = error if isinstance(error, dict) else {}
    words = [*_words(inner), *_words(outer)]
    message = _message(inner) or (error if isinstance(error, str) else "") or _message(outer)
    code = next((number for number in _numbers(inner, outer) if 400 <= number <= 599), None)
    if code is None:
        code = next((STATUS_OF[word] for word in words if word in STATUS_OF), DEFAULT_STATUS)
    telling = next((word for word in words if word not in ("error", "invalid_request_error")), "")
    return InBandError(
        code=code,
        type=telling or (words[0] if words else ""),
        message=message[:MESSAGE_KEPT],
        words=frozenset(words),
        retry_after=_retry_delay(inner),
    )


def _in_choices(choices: Any) -> InBandError | None:
    for choice in choices if isinstance(choices, list) else ():
        if not isinstance(choice, dict):
            continue
        if choice.get("error"):
            return describe(choice["error"], {})
        if choice.get("finish_reason") == "error":
            return InBandError(DEFAULT_STATUS, "error", "finish_reason error")
    return None


def _loose(document: dict[str, Any]) -> InBandError | None:
    """Error bodies without an `error`: `detail`, `errors`, or the words beside each other."""
    listed = document.get("detail") or document.get("errors")
    first = listed[0] if isinstance(listed, list) and listed else listed
    if first is not None:
        return describe(first, document)
    return describe(document, {}) if _message(document) or _words(document) else None


def _message(source: dict[str, Any]) -> str:
    for key in ("message", "msg", "detail", "error_description", "title"):
        value = source.get(key)
        if isinstance(value, str) and value:
            return value
    return ""


def _words(source: dict[str, Any]) -> list[str]:
    """Words from the most telling to the least."""
    found = [source.get("code"), source.get("status"), source.get("type")]
    details = source.get("details")
    for detail in details[:16] if isinstance(details, list) else ():
        if isinstance(detail, dict):
            found.insert(0, detail.get("reason"))
    metadata = source.get("metadata")
    if isinstance(metadata, dict):
        found.append(metadata.get("error_type"))
    return [word.lower()[:_WORDS_KEPT] for word in found if isinstance(word, str) and word and not word.isdigit()]


def _numbers(*sources: dict[str, Any]) -> list[int]:
    found: list[int] = []
    for source in sources:
        for key in ("code", "status", "status_code"):
            value = source.get(key)
            if isinstance(value, str) and len(value) == 3 and value.isascii() and value.isdigit():
                value = int(value)
            if isinstance(value, int) and not isinstance(value, bool):
                found.append(value)
    return found


def _retry_delay(error: dict[str, Any]) -> float | None:
    """Gemini: `details[]` with an `@type` of `google.rpc.RetryInfo` and a `retryDelay` like `13.5s`."""
    details = error.get("details")
    for detail in details[:16] if isinstance(details, list) else ():
        if isinstance(detail, dict) and str(detail.get("@type")).endswith("google.rpc.RetryInfo"):
            delay = detail.get("retryDelay")
            return seconds_of(delay) if isinstance(delay, str) else None
    return None


def _integer(digits: str) -> int | float:
    """A JSON integer; one too long to be anything but noise becomes a float, which takes no time to make."""
    return int(digits) if len(digits) < 20 else float(digits)
