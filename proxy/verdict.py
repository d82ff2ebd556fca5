"""What became of one attempt: facts in, verdict out (semantics section 1). Pure.

Rows overlap, so their order is the rule: an error inside the stream beats its terminal, a terminal beats how the
connection ended, and a status that is an error beats a body that was cut short. What a status means, wherever it was
said (on the status line, in an event, in a 2xx body), is the table `RULES`, read from the top.

A verdict's `retry` says where another attempt may go as far as this attempt's fate decides it. Whether anything has
reached the client already is for the caller to know: then nothing may be retried.
"""

from __future__ import annotations

import enum
import http
from collections.abc import Callable, Mapping
from typing import Final

from msgspec import Struct

from breaker.outcome import SUCCESS, Blame, Neutral, Retry, Status, Verdict
from config.bases import Frozen
from proxy import kinds
from proxy.inband import InBandError, complaint, error_in_json
from proxy.mask import mask
from proxy.probe import Asks
from proxy.retryafter import retry_after

__all__ = ["RULES", "Ending", "Facts", "InBandError", "error_in_json", "judge"]


class Ending(enum.StrEnum):
    """How an attempt came to its end."""

    COMPLETE = "complete"
    """The body ended as HTTP framing says; whether something is missing is found by the verdict."""
    LOST = "lost"
    """The connection was lost inside the body, or the body fell short of its framing."""
    NO_HEAD = "no_head"
    """No response head within the `answer` limit."""
    NO_CONTENT = "no_content"
    """Streamed: no content event within the `first_byte` limit."""
    STALLED = "stalled"
    """Silence longer than `idle`."""
    CONNECT_TIMEOUT = "connect_timeout"
    UNREACHABLE = "unreachable"
    """No connection: DNS, refused, unreachable, TLS."""
    RESET = "reset"
    """Reset or end of connection before any response byte."""
    MALFORMED = "malformed"
    """The response is not HTTP or breaks its framing rules."""
    CLIENT_LEFT = "client_left"
    TOTAL = "total"
    """The exchange's own `total` limit."""
    OUT_OF_PATIENCE = "out_of_patience"
    """A limit that the caller itself set: it says nothing about the provider."""


class Facts(Struct):
    """What is known of an attempt at its end.

    `headers` have names in lower case. `body` is the decoded beginning of an error or JSON answer, empty for streams.
    `limit` is the time limit that ended the attempt, in seconds. `detail` is a reason in words, such as the system's
    error. `model` is the name asked for, where it is known. `now` is Unix time, for a Retry-After that is a date in an
    answer without one. `error` beats what `body` says. `probe` says what a probe of ours asked, None for a caller's
    request; `lack` what its answer lacks, although it came whole and with a good status. `secrets` went along with it.
    """

    ending: Ending
    status: int | None = None
    headers: Mapping[bytes, bytes] = {}
    body: bytes = b""
    streamed: bool = False
    dialect: str = "openai"
    endpoint: str = "other"
    events: int = 0
    error: InBandError | None = None
    terminal: bool = False
    has_terminals: bool = False
    detail: str = ""
    limit: float | None = None
    model: str = ""
    now: float | None = None
    probe: Asks | None = None
    lack: InBandError | None = None
    secrets: tuple[str, ...] = ()


class Said(Frozen):
    """An error as rules see it: the status it counts as, its words and text in lower case, and where it was said.

    `probe` is as in `Facts`, and `whole` then all that was said, in lower case.
    """

    status: int
    words: frozenset[str]
    text: str
    generation: bool
    model: str
    probe: Asks | None = None
    whole: str = ""

    def is_of(self, words: frozenset[str]) -> bool:
        """Whether it is called by any of `words`."""
        return not words.isdisjoint(self.words)


class Rule(Frozen):
    """One row: when it applies, and what it means."""

    applies: Callable[[Said], bool]
    status: Status | Neutral
    blame: Blame
    retry: Retry


class Row(Frozen):
    """What an ending means by itself, and how it is told."""

    status: Status | Neutral
    blame: Blame
    retry: Retry
    message: str


def _is_alive(said: Said) -> bool:
    """Whether an error is the answer a probe of ours wanted.

    So few tokens may be less than a model needs to say anything, and a queue that knows of no such request does know
    its application.
    """
    if said.probe is Asks.GENERATION:
        return said.status in (400, 422) and kinds.LIMIT_TEXT.search(said.whole) is not None
    if said.probe in (Asks.QUEUE, Asks.ELSEWHERE):
        return said.status == 404 and kinds.REQUEST_TEXT.search(said.text) is not None and not _names_model(said)
    return False


def _is_context(said: Said) -> bool:
    return said.status in (400, 413, 422) and (
        said.is_of(kinds.CONTEXT) or kinds.CONTEXT_TEXT.search(said.text) is not None
    )


def _is_policy(said: Said) -> bool:
    return said.status in (400, 403, 422, 451) and (
        said.is_of(kinds.POLICY) or kinds.POLICY_TEXT.search(said.text) is not None
    )


def _is_quota(said: Said) -> bool:
    return said.status == 402 or said.is_of(kinds.QUOTA) or kinds.QUOTA_TEXT.search(said.text) is not None


def _is_key(said: Said) -> bool:
    if said.status == 401:
        return True
    return said.status in (400, 403) and (said.is_of(kinds.KEY) or kinds.KEY_TEXT.search(said.text) is not None)


def _is_access(said: Said) -> bool:
    return said.status == 403 or (said.status == 404 and said.generation and _names_model(said))


def _names_model(said: Said) -> bool:
    if said.is_of(kinds.MODEL) or kinds.MODEL_TEXT.search(said.text):
        return True
    return said.model != "" and said.model.lower() in said.text


RULES: Final[tuple[Rule, ...]] = (
    Rule(_is_alive, Status.SUCCESS, Blame.NOBODY, Retry.NEVER),
    Rule(_is_context, Neutral.CALLER_ERROR, Blame.NOBODY, Retry.LARGER_WINDOW),
    Rule(_is_policy, Neutral.POLICY, Blame.NOBODY, Retry.NEVER),
    Rule(_is_quota, Status.ERROR, Blame.PROVIDER_CREDENTIAL, Retry.OTHER_PROVIDER),
    Rule(_is_key, Status.ERROR, Blame.PROVIDER_CREDENTIAL, Retry.OTHER_PROVIDER),
    Rule(lambda said: said.status == 429, Status.RATE_LIMITED, Blame.TARGET_CREDENTIAL, Retry.ANY),
    Rule(lambda said: said.status in (408, 504, 522, 524), Status.TIMEOUT, Blame.TARGET, Retry.ANY),
    Rule(_is_access, Status.ERROR, Blame.TARGET_CREDENTIAL, Retry.OTHER_TARGET),
    Rule(lambda said: said.status >= 500, Status.ERROR, Blame.TARGET, Retry.ANY),
    Rule(lambda said: True, Neutral.CALLER_ERROR, Blame.NOBODY, Retry.NEVER),
)
"""What an error's status and words mean. The first row that applies does."""

WHOLE: Final = 4096
"""Most bytes of an error answer to a probe that are looked through."""

ENDINGS: Final[dict[Ending, Row]] = {
    Ending.LOST: Row(Status.NETWORK_ERROR, Blame.TARGET, Retry.ANY, "connection lost after {progress}"),
    Ending.NO_HEAD: Row(Status.TIMEOUT, Blame.TARGET, Retry.OTHER_TARGET, "no answer{within}"),
    Ending.NO_CONTENT: Row(Status.TIMEOUT, Blame.TARGET, Retry.OTHER_TARGET, "no content{within}"),
    Ending.STALLED: Row(Status.TIMEOUT, Blame.TARGET, Retry.OTHER_TARGET, "stalled after {progress}{silent}"),
    Ending.CONNECT_TIMEOUT: Row(Status.TIMEOUT, Blame.PROVIDER, Retry.ANY, "no connection{within}"),
    Ending.UNREACHABLE: Row(Status.NETWORK_ERROR, Blame.PROVIDER, Retry.ANY, "cannot connect"),
    Ending.RESET: Row(Status.NETWORK_ERROR, Blame.PROVIDER, Retry.ANY, "connection closed before an answer"),
    Ending.MALFORMED: Row(Status.NETWORK_ERROR, Blame.PROVIDER, Retry.ANY, "answer is not valid HTTP"),
    Ending.TOTAL: Row(Status.TIMEOUT, Blame.TARGET, Retry.NEVER, "not finished{within}"),
    Ending.OUT_OF_PATIENCE: Row(
        Neutral.CANCELLED, Blame.NOBODY, Retry.NEVER, "nothing{within}, which is as long as the caller waits"
    ),
}
"""What an ending means when nothing that was said decides."""

_TRUNCATED: Final = Row(Status.ERROR, Blame.TARGET, Retry.ANY, "stream truncated after {progress}")


def judge(facts: Facts) -> Verdict:
    """The verdict on one attempt."""
    status = facts.status
    if facts.error is not None:
        return _judge_in_band(facts, facts.error)
    if facts.terminal and status is not None and status < 400:
        return _success(status)
    if facts.ending is Ending.CLIENT_LEFT:
        return Verdict(Neutral.CANCELLED, message="the client left", http_status=status)
    if status is not None and status >= 400 and facts.ending is not Ending.MALFORMED:
        return _judge_answer(facts, status)
    if facts.ending is Ending.COMPLETE and status is not None:
        if facts.streamed and facts.has_terminals:
            return _judge_ending(facts, _TRUNCATED)
        error = facts.lack or (error_in_json(facts.body, facts.dialect) if facts.endpoint != "other" else None)
        return _success(status) if error is None else _judge_in_band(facts, error)
    return _judge_ending(facts, ENDINGS.get(facts.ending, ENDINGS[Ending.RESET]))


def _success(status: int) -> Verdict:
    return SUCCESS if status == 200 else Verdict(Status.SUCCESS, http_status=status)


def _judge_ending(facts: Facts, row: Row) -> Verdict:
    progress = _progress(facts) if facts.events or facts.has_terminals else "part of the body"
    within = f" within {facts.limit:g} s" if facts.limit is not None else ""
    silent = f": silent for {facts.limit:g} s" if facts.limit is not None else ""
    message = row.message.format(progress=progress, within=within, silent=silent)
    if facts.detail:
        message = f"{message}: {facts.detail}"
    return Verdict(row.status, row.blame, row.retry, mask(message, facts.secrets), facts.status)


def _judge_in_band(facts: Facts, error: InBandError) -> Verdict:
    where = f" (in the stream, after {_progress(facts)})" if facts.error is not None else " (in a successful answer)"
    return _judge_said(facts, error, _told(error.code, error) + where)


def _judge_answer(facts: Facts, status: int) -> Verdict:
    error = complaint(facts.body, status)
    return _judge_said(facts, error, _told(status, error))


def _judge_said(facts: Facts, error: InBandError, message: str) -> Verdict:
    whole = facts.body[:WHOLE].decode("utf-8", "replace").lower() if facts.probe is not None else ""
    generation = facts.endpoint != "other"
    said = Said(error.code, error.words, error.message.lower(), generation, facts.model, facts.probe, whole)
    rule = next(rule for rule in RULES if rule.applies(said))
    if rule.status is Status.SUCCESS:
        return _success(error.code)
    wait = retry_after(facts.headers, error.retry_after, facts.now) if isinstance(rule.status, Status) else None
    return Verdict(rule.status, rule.blame, rule.retry, mask(message, facts.secrets), error.code, wait)


def _progress(facts: Facts) -> str:
    return f"{facts.events} event{'' if facts.events == 1 else 's'}"


def _told(status: int, error: InBandError) -> str:
    """Status, word and text of an error: `529 overloaded_error: Overloaded`."""
    try:
        name = error.type or http.HTTPStatus(status).phrase
    except ValueError:
        name = ""
    told = f"{status} {name}".rstrip()
    return f"{told}: {error.message}" if error.message else told
