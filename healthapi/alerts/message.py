"""What is told of an alert, the same for every channel.

Names of models come from callers and reasons from providers. What is told of them is made harmless here, once: one
line, printable, bounded. What a channel's own syntax would make of it is that channel's business.
"""

from __future__ import annotations

import enum
from functools import lru_cache
from typing import Final

from msgspec import Struct

from config.alerts import Severity

SUBJECT: Final = 300
"""Longest name of what an alert is about, in characters."""

TEXT: Final = 500
"""Longest text of a message, in characters."""

TEST: Final = "test"
"""The rule of messages that only try a channel out."""


class State(enum.StrEnum):
    """Where an alert stands."""

    PENDING = "pending"
    """It has not lasted long enough to be told."""
    FIRING = "firing"
    RESOLVED = "resolved"


class Message(Struct, frozen=True, kw_only=True):
    """One message. `since` and `at` are Unix times: when the trouble began, and when this was written.

    `id` is the alert's, the same for all that is told of it; `key` is the message's own, the same however often it is
    sent. `again`: it says no more than one before it did.
    """

    rule: str
    state: State
    severity: Severity
    subject: str
    value: float | None
    threshold: float | None
    message: str
    since: float
    fleet: str
    instance: str
    id: str
    key: str
    at: float
    again: bool = False

    @property
    def title(self) -> str:
        """The whole in a few words."""
        word = self.severity.value.upper() if self.state is State.FIRING else "RESOLVED"
        return f"[{word}] {self.rule.replace('_', ' ')}: {self.subject}"


def plain(text: str, most: int) -> str:
    """Text from outside as it may be told: printable, in one line, of at most so many characters."""
    return text if len(text) <= most and text.isprintable() else _shown(text, most)


@lru_cache(maxsize=1024)  # the same names come every second
def _shown(text: str, most: int) -> str:
    shown = "".join(c if c.isprintable() else "?" for c in text[:most])
    return shown if len(text) <= most else f"{shown[: most - 1]}…"
