"""The words for what became of a request: statuses, blame, verdicts, outcomes.

Three things are kept apart: what an attempt was (its `Status`, or a `Neutral` kind when it says nothing about the
provider's health), whose doing it was (`Blame`), and whether another attempt may be made (`Retry`). Everything above
this file speaks in these words and nothing else.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Final

NO_MODEL: Final = "~none"
"""Model name of requests that carry none (`GET /models`, files); never shown in model lists."""

OTHER_MODEL: Final = "~other"
"""Model name under which attempts at names beyond the tracking bounds are counted together."""

MESSAGE_LIMIT: Final = 500
"""Longest error message kept with a record, in characters."""


class Status(enum.StrEnum):
    """What a counted attempt was."""

    SUCCESS = "success"
    ERROR = "error"
    TIMEOUT = "timeout"
    RATE_LIMITED = "rate_limited"
    NETWORK_ERROR = "network_error"


class Neutral(enum.StrEnum):
    """Why an attempt changes no health figure: it was not the provider's doing."""

    CALLER_ERROR = "caller_error"
    POLICY = "policy"
    CANCELLED = "cancelled"


class Blame(enum.StrEnum):
    """Whose doing an outcome was, and so whose breaker hears of it."""

    NOBODY = "nobody"
    TARGET = "target"
    PROVIDER = "provider"
    TARGET_CREDENTIAL = "target_credential"
    PROVIDER_CREDENTIAL = "provider_credential"


class Retry(enum.StrEnum):
    """Where another attempt may go."""

    NEVER = "never"
    ANY = "any"
    OTHER_TARGET = "other_target"
    OTHER_PROVIDER = "other_provider"
    LARGER_WINDOW = "larger_window"


class Kind(enum.StrEnum):
    """Who asked: a caller, or Detour's own prober."""

    LIVE = "live"
    PROBE = "probe"


@dataclass(frozen=True)
class Verdict:
    """What one attempt was found to be.

    `message` is one line of at most `MESSAGE_LIMIT` characters with credentials masked, empty for a success.
    `http_status` is the status as judged: an overload inside a 200 stream carries 529 here; None where there was no
    answer. `retry_after` is in seconds.
    """

    status: Status | Neutral
    blame: Blame = Blame.NOBODY
    retry: Retry = Retry.NEVER
    message: str = ""
    http_status: int | None = None
    retry_after: float | None = None

    @property
    def counted(self) -> bool:
        """Whether records and windows count this attempt (it is not neutral)."""
        return isinstance(self.status, Status)


_LIVE: Final = Kind.LIVE
SUCCESS: Final = Verdict(Status.SUCCESS, http_status=200)


class Outcome:
    """One attempt at one target, judged. Times are in seconds; `at` is Unix time of its end.

    `response_time` runs from request sent to last byte, `first_byte` from request sent to the first content event
    (streams) or response head (else), None when there was none. `model` is the provider's own name for it, or
    `NO_MODEL`; the registry changes it to `OTHER_MODEL` for names beyond its bounds.
    """

    __slots__ = (
        "at",
        "first_byte",
        "kind",
        "model",
        "provider",
        "reasoning",
        "response_time",
        "streamed",
        "verdict",
    )

    def __init__(
        self,
        provider: str,
        model: str,
        verdict: Verdict,
        streamed: bool,
        response_time: float,
        first_byte: float | None,
        at: float,
        kind: Kind = _LIVE,
        reasoning: bool = False,
    ) -> None:
        self.provider = provider
        self.model = model
        self.verdict = verdict
        self.streamed = streamed
        self.response_time = response_time
        self.first_byte = first_byte
        self.at = at
        self.kind = kind
        self.reasoning = reasoning
        """Whether reasoning was asked for, which takes its time before the first byte."""

    def named(self, model: str) -> Outcome:
        """The same of a model of that name."""
        return Outcome(
            self.provider,
            model,
            self.verdict,
            self.streamed,
            self.response_time,
            self.first_byte,
            self.at,
            self.kind,
            self.reasoning,
        )


class Answer:
    """One exchange as its client saw it, for metrics and the access log. Times in seconds, sizes in bytes.

    `status` is the HTTP status sent to the client, 0 when the client left before one was. `result` is the last
    attempt's status or neutral kind, or `rejected` when no attempt was made.
    """

    __slots__ = (
        "at",
        "attempts",
        "bytes_in",
        "bytes_out",
        "duration",
        "endpoint",
        "method",
        "model",
        "provider",
        "request_id",
        "result",
        "status",
        "streamed",
        "upstream",
    )

    def __init__(
        self,
        request_id: str,
        method: str,
        provider: str,
        model: str,
        endpoint: str,
        status: int,
        result: str,
        streamed: bool,
        attempts: int,
        duration: float,
        upstream: float,
        bytes_in: int,
        bytes_out: int,
        at: float,
    ) -> None:
        self.request_id = request_id
        self.method = method
        self.provider = provider
        self.model = model
        self.endpoint = endpoint
        self.status = status
        self.result = result
        self.streamed = streamed
        self.attempts = attempts
        self.duration = duration
        self.upstream = upstream
        self.bytes_in = bytes_in
        self.bytes_out = bytes_out
        self.at = at
