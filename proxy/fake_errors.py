"""How each vendor words a refusal: error bodies, the same inside a stream, and what its 429s carry.

A `Problem` says what is wrong in the words OpenAI uses; the tables turn it into the other vendors' words.
Sources: https://platform.openai.com/docs/guides/error-codes, https://docs.anthropic.com/en/api/errors,
https://ai.google.dev/gemini-api/docs/troubleshooting, https://docs.fal.ai/model-apis/errors, https://openrouter.ai/docs/errors.
"""

from __future__ import annotations

import time
from email.utils import formatdate
from typing import Any, Final

from msgspec import Struct

from proxy.fake_asked import Asked, data, encode, event

Headers = list[tuple[bytes, bytes]]


class Problem(Struct, frozen=True):
    """One thing that is wrong: HTTP status, OpenAI's `type` and `code`, and a sentence."""

    status: int
    type: str
    code: str | None
    message: str


_OVERLOADED: Final = "The model is overloaded. Please try again later."

BY_STATUS: Final = {
    400: Problem(400, "invalid_request_error", None, "Invalid value for 'temperature': expected a number."),
    401: Problem(401, "invalid_request_error", "invalid_api_key", "Incorrect API key provided: sk-fa***ke."),
    402: Problem(402, "insufficient_credits", "402", "Insufficient credits. Add more and retry the request."),
    403: Problem(403, "request_forbidden", "unsupported_country", "Country, region, or territory not supported"),
    404: Problem(404, "invalid_request_error", "model_not_found", "The model does not exist or you lack access to it."),
    408: Problem(408, "timeout", None, "Request timed out."),
    413: Problem(413, "invalid_request_error", None, "Request body too large."),
    422: Problem(422, "invalid_request_error", None, "Unprocessable entity: 'messages' is required."),
    429: Problem(429, "requests", "rate_limit_exceeded", "Rate limit reached on requests per min (RPM): Limit 60."),
    500: Problem(500, "server_error", None, "The server had an error while processing your request. Sorry about that!"),
    502: Problem(502, "server_error", None, "Bad gateway."),
    503: Problem(503, "service_unavailable_error", None, _OVERLOADED),
    504: Problem(504, "server_error", None, "The upstream model timed out."),
    529: Problem(529, "overloaded_error", None, "Overloaded"),
}

_ANTHROPIC_TYPES: Final = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
    529: "overloaded_error",
}

_GOOGLE_STATUSES: Final = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}

QUOTA: Final = {
    "openai": Problem(429, "insufficient_quota", "insufficient_quota", "You exceeded your current quota."),
    "anthropic": Problem(400, "", None, "Your credit balance is too low to access the Anthropic API."),
    "gemini": Problem(429, "", None, "You exceeded your current quota, please check your plan and billing details."),
    "fal": Problem(403, "", None, "User is locked. Reason: Exhausted balance. Top up your balance."),
}

BAD_KEY: Final = {
    "openai": BY_STATUS[401],
    "anthropic": Problem(401, "", None, "invalid x-api-key"),
    "gemini": Problem(400, "", "API_KEY_INVALID", "API key not valid. Please pass a valid API key."),
    "fal": Problem(401, "", None, "Authentication is required to access this application."),
}

_TOO_LONG: Final = "This model's maximum context length is 8192 tokens, your messages resulted in 9000 tokens."

CONTEXT_LENGTH: Final = {
    "openai": Problem(400, "invalid_request_error", "context_length_exceeded", _TOO_LONG),
    "anthropic": Problem(400, "", None, "prompt is too long: 210000 tokens > 200000 maximum"),
    "gemini": Problem(400, "", None, "The input token count (1100000) exceeds the maximum number of tokens allowed."),
    "fal": Problem(422, "", "string_too_long", "String should have at most 5000 characters"),
}

_REJECTED: Final = "Your request was rejected as a result of our safety system."

POLICY: Final = {
    "openai": Problem(400, "invalid_request_error", "content_policy_violation", _REJECTED),
    "anthropic": Problem(400, "", None, "Output blocked by content filtering policy"),
    "gemini": Problem(400, "", None, "Image generation failed: violated Google's Responsible AI practices."),
    "fal": Problem(422, "", "content_policy_violation", "The content could not be processed: flagged by a checker."),
}


def problem(status: int) -> Problem:
    """Return what usually goes with an HTTP status."""
    known = BY_STATUS.get(status)
    return known or Problem(status, "server_error" if status >= 500 else "invalid_request_error", None, "It failed.")


def document(asked: Asked, wrong: Problem, retry: float | None = None) -> Any:
    """Return a dialect's error document; `retry` in seconds goes into Gemini's `RetryInfo`."""
    return _DOCUMENTS[asked.dialect](asked, wrong, retry)


def body(asked: Asked, wrong: Problem, retry: float | None = None) -> bytes:
    """Return a dialect's error body. Gemini's array stream wraps it in an array, as the real one does."""
    made = document(asked, wrong, retry)
    return encode([made] if _in_array(asked) else made)


def _in_array(asked: Asked) -> bool:
    return asked.endpoint == "stream_generate" and "alt=sse" not in asked.query


def _openai(_asked: Asked, wrong: Problem, _retry: float | None) -> Any:
    return {"error": {"message": wrong.message, "type": wrong.type, "param": None, "code": wrong.code}}


def _anthropic(asked: Asked, wrong: Problem, _retry: float | None) -> Any:
    kind = _ANTHROPIC_TYPES.get(wrong.status, "api_error")
    return {"type": "error", "error": {"type": kind, "message": wrong.message}, "request_id": asked.id("req_")}


def _gemini(_asked: Asked, wrong: Problem, retry: float | None) -> Any:
    whole: dict[str, Any] = {"code": wrong.status, "message": wrong.message}
    whole["status"] = _GOOGLE_STATUSES.get(wrong.status, "UNKNOWN")
    if wrong.code == "API_KEY_INVALID":
        info = {"reason": wrong.code, "domain": "googleapis.com", "metadata": {}}
        whole["details"] = [{"@type": "type.googleapis.com/google.rpc.ErrorInfo", **info}]
    elif retry is not None:
        delay = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": f"{retry:g}s"}
        whole["details"] = [delay]
    return {"error": whole}


def _fal(_asked: Asked, wrong: Problem, _retry: float | None) -> Any:
    if wrong.status != 422:
        return {"detail": wrong.message}
    return {"detail": [{"loc": ["body", "prompt"], "msg": wrong.message, "type": wrong.code or "value_error"}]}


_DOCUMENTS: Final = {"openai": _openai, "anthropic": _anthropic, "gemini": _gemini, "fal": _fal}


def in_band(asked: Asked, wrong: Problem, shape: str = "") -> list[bytes]:
    """Return the pieces by which a stream reports `wrong` after its head went out with 200.

    Shapes: `finish` (OpenRouter's: an `error` beside a choice with `finish_reason: "error"`) on chat paths, `failed`
    (`response.failed` in place of `error`) on responses; else the vendor's usual one.
    """
    if asked.dialect == "anthropic":
        return [event("error", document(asked, wrong))]
    if _in_array(asked):
        return [b"\n,\r\n" + encode(document(asked, wrong)) + b"\n]\n"]
    if asked.endpoint == "responses":
        return [_responses_failure(asked, wrong, shape)]
    if shape == "finish":
        return [_finish_error(asked, wrong), b"data: [DONE]\n\n"]
    return [data(document(asked, wrong))]


def _responses_failure(asked: Asked, wrong: Problem, shape: str) -> bytes:
    code = wrong.code or wrong.type
    if shape != "failed":
        whole = {"type": "error", "code": code, "message": wrong.message, "param": None, "sequence_number": 99}
        return event("error", whole)
    inner = {"id": asked.id("resp_"), "object": "response", "created_at": asked.now(), "status": "failed", "output": []}
    inner |= {"model": asked.model, "error": {"code": code, "message": wrong.message}}
    return event("response.failed", {"type": "response.failed", "response": inner, "sequence_number": 99})


def _finish_error(asked: Asked, wrong: Problem) -> bytes:
    choice = {"index": 0, "delta": {"content": ""}, "finish_reason": "error", "native_finish_reason": "error"}
    common = {"id": asked.id("gen-"), "object": "chat.completion.chunk", "created": asked.now(), "model": asked.model}
    error = {"code": wrong.status, "message": wrong.message}
    return data({**common, "provider": "Fake", "error": error, "choices": [choice]})


def retry_headers(form: str, seconds: float) -> Headers:
    """Return the headers that name a wait: forms `seconds`, `date`, `ms`, `reset`; none for `body` and `none`."""
    if form == "date":
        return [(b"retry-after", formatdate(time.time() + seconds, usegmt=True).encode())]
    if form == "ms":
        return [(b"retry-after-ms", b"%d" % round(seconds * 1000))]
    if form == "reset":
        left = [(b"x-ratelimit-remaining-requests", b"59"), (b"x-ratelimit-reset-requests", b"1s")]
        return [*left, (b"x-ratelimit-remaining-tokens", b"0"), (b"x-ratelimit-reset-tokens", _span(seconds))]
    return [(b"retry-after", f"{seconds:g}".encode())] if form == "seconds" else []


def _span(seconds: float) -> bytes:
    """Write a time as OpenAI does in its rate-limit headers: `20ms`, `6s`, `1m30s`."""
    if seconds < 1:
        return b"%dms" % round(seconds * 1000)
    minutes, rest = divmod(seconds, 60)
    return (f"{int(minutes)}m" if minutes else "").encode() + f"{rest:g}s".encode()
