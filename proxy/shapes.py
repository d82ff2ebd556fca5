"""What is looked at of the events of each family of streams, where they are plain content.

Decoded into by name, so this module is never compiled: mypyc does not keep the types that msgspec reads.
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct


class Choice(Struct, gc=False):
    """One choice of a `Chunk`."""

    delta: dict[str, Any] | None = None
    text: str | None = None
    finish_reason: str | None = None
    error: Any = None


class Chunk(Struct, gc=False):
    """An event of a stream of choices."""

    choices: list[Choice] | None = None
    error: Any = None
    object: Any = None
    type: Any = None


class Typed(Struct, gc=False):
    """An event that says its type."""

    type: str = ""
    delta: Any = None
    error: Any = None


class Candidate(Struct, gc=False, rename={"finish_reason": "finishReason"}):
    """One candidate of a `Generated`."""

    content: dict[str, Any] | None = None
    finish_reason: str | None = None


class Generated(Struct, gc=False, rename={"feedback": "promptFeedback"}):
    """An event of a Gemini stream."""

    candidates: list[Candidate] | None = None
    feedback: Any = None
    error: Any = None
