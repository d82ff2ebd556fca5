"""The fields of request bodies that are looked at, of all dialects.

Decoded into by name, so this module is never compiled: mypyc does not keep the types that msgspec reads.
"""

from __future__ import annotations

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

_Optional = Raw | UnsetType


class Fields(Struct, gc=False):
    """A body, as well-meaning callers type it."""

    model: str | None = None
    stream: bool | None = None
    stream_format: str | None = None
    background: bool | str | None = None
    reasoning_effort: str | None = None
    enable_thinking: bool | None = None
    reasoning: _Optional = UNSET
    thinking: _Optional = UNSET
    generation: _Optional = msgspec.field(default=UNSET, name="generationConfig")
    generation_config: _Optional = UNSET
    previous_response_id: _Optional = UNSET
    conversation: _Optional = UNSET
    prompt: _Optional = UNSET
    container: _Optional = UNSET
    cached: _Optional = msgspec.field(default=UNSET, name="cachedContent")
    cached_content: _Optional = UNSET


class Generation(Struct, gc=False):
    """Gemini's generation settings."""

    thinking: _Optional = msgspec.field(default=UNSET, name="thinkingConfig")
    thinking_config: _Optional = UNSET
