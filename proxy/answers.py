"""Answers of ours for what became of a request: one place that turns facts into status, type and advice. Pure.

The statuses are those of semantics section 8; each message names the provider and model, what was seen, and what to do.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING
from urllib.parse import quote

from breaker.outcome import NO_MODEL, Neutral, Status, Verdict
from proxy.body import BodyTimeoutError, BodyTooLargeError
from proxy.errors import Refusal
from proxy.request import BadBodyError

if TYPE_CHECKING:
    from breaker.permit import Rejection

_ADVICE = {
    Status.TIMEOUT: "try again, or raise the limit under `timeouts` for this target",
    Status.NETWORK_ERROR: "the provider cannot be reached or broke the connection; try again or use another provider",
}


class RefusedError(Exception):
    """An exchange ends here with an answer of ours."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.message)
        self.refusal = refusal


def nowhere_else(provider: str, model: str, verdict: Verdict) -> Refusal:
    """What the client is told when an attempt failed, nothing reached it, and there is nowhere else to go."""
    what = provider if model == NO_MODEL else f"{provider}/{model}"
    status = 504 if verdict.status in (Status.TIMEOUT, Neutral.CANCELLED) else 502
    kind = "timeout_error" if status == 504 else "api_error"
    advice = _ADVICE.get(verdict.status) if isinstance(verdict.status, Status) else None
    return Refusal(status, kind, f"{what}: {verdict.message}" + (f"; {advice}" if advice else ""))


def rejected(provider: str, model: str, rejection: Rejection, retry_after: float) -> Refusal:
    """What the client is told when a breaker or a hold-off stands in the way and there is nowhere else to go.

    `retry_after` are the seconds until the next trial somewhere.
    """
    what = provider if model == NO_MODEL else f"{provider}/{model}"
    seconds = max(math.ceil(retry_after), 1)
    wait = ("Retry-After", str(seconds))
    if rejection.kind == "hold_off":
        message = f"{what}: {rejection.reason}; it can be asked again in {seconds} s, and nothing else could stand in"
        return Refusal(429, "rate_limit_error", message, (wait,))
    advice = "send another key, or ask" if rejection.kind == "credential" else "nothing else could stand in; ask"
    message = f"{what}: {rejection.reason}; {advice} again in {seconds} s"
    return Refusal(rejection.status, "circuit_open", message, (wait, ("x-should-retry", "false")))


def field_text(text: str) -> str:
    """A name a caller chose as the value of a header field: what is not plain ASCII is percent-encoded."""
    return text if text.isascii() and text.isprintable() else quote(text, safe=" /:@!$&'()*+,;=-._~", errors="replace")


def too_large(limit: int) -> Refusal:
    """The request's body is larger than `limit` bytes."""
    message = f"the request's body is larger than {limit // (1024 * 1024)} MiB; the bound is `limits.request_body`"
    return Refusal(413, "request_too_large", message)


def bad_body(error: BadBodyError | BodyTimeoutError | BodyTooLargeError) -> Refusal:
    """The request's body did not come as it should."""
    if isinstance(error, BodyTimeoutError):
        return Refusal(408, "invalid_request_error", str(error))
    if isinstance(error, BodyTooLargeError):
        return too_large(error.limit)
    return Refusal(400, "invalid_request_error", str(error))
