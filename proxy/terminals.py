"""Which event ends a stream, which are content and which are errors: a table per (dialect, endpoint). Data only.

A stream that is not in the table promises no end: its clean end is success. A content event is any but comments,
pings, role and empty deltas, and the announcements listed as `quiet`.
"""

from __future__ import annotations

import enum
from typing import Final

from config.bases import Frozen


class Family(enum.StrEnum):
    """How the events of a stream are built."""

    CHOICES = "choices"
    """`choices[]` with `delta` or `text` and a `finish_reason`; `[DONE]` after the last."""
    TYPED = "typed"
    """Each event says its `type`."""
    CANDIDATES = "candidates"
    """Gemini: `candidates[]` with `content` and a `finishReason`, or `promptFeedback`."""
    PLAIN = "plain"
    """Nothing is known but errors."""


class Grammar(Frozen):
    """How to read the events of one kind of stream.

    `terminals` are the types that end it, `endings` what such types end with, `quiet` the types that are no content,
    `failures` the types that are errors. Families without types have their ends in their reader.
    """

    family: Family
    terminals: frozenset[str] = frozenset()
    endings: tuple[str, ...] = ()
    quiet: frozenset[str] = frozenset()
    failures: frozenset[str] = frozenset()

    @property
    def ends(self) -> bool:
        """Whether such a stream promises an end of its own."""
        return self.family is not Family.PLAIN


PINGS: Final = frozenset({"ping", "keepalive", "keep_alive", "heartbeat", "response.keep_alive"})
"""Types, or names, of events that only keep the line alive (OpenAI sends `keepalive` while it reasons)."""

CHOICES: Final = Grammar(Family.CHOICES)
CANDIDATES: Final = Grammar(Family.CANDIDATES)
PLAIN: Final = Grammar(Family.PLAIN)

RESPONSES: Final = Grammar(
    Family.TYPED,
    terminals=frozenset({"response.completed", "response.incomplete"}),
    quiet=frozenset({"response.created", "response.queued", "response.in_progress"}),
    failures=frozenset({"error", "response.failed", "response.error"}),
)
MESSAGES: Final = Grammar(
    Family.TYPED,
    terminals=frozenset({"message_stop"}),
    quiet=frozenset({"message_start"}),
    failures=frozenset({"error"}),
)
MEDIA: Final = Grammar(Family.TYPED, endings=(".completed", ".done"), failures=frozenset({"error"}))

GRAMMARS: Final[dict[tuple[str, str], Grammar]] = {
    ("openai", "chat"): CHOICES,
    ("openai", "completions"): CHOICES,
    ("openai", "responses"): RESPONSES,
    ("openai", "images"): MEDIA,
    ("openai", "audio"): MEDIA,
    ("anthropic", "messages"): MESSAGES,
    ("gemini", "stream_generate"): CANDIDATES,
}


def grammar(dialect: str, endpoint: str) -> Grammar:
    """How to read the events of a stream of this dialect and endpoint."""
    return GRAMMARS.get((dialect, endpoint), PLAIN)


def expected(dialect: str, endpoint: str, shape: str) -> bool:
    """Whether a clean end without a terminal means that something is missing. `shape` as in `Inspector`."""
    return shape in ("sse", "array") and grammar(dialect, endpoint).ends
