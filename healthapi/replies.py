"""Answers before they become HTTP."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from typing import Final

import msgspec
from msgspec import Struct

JSON: Final = "application/json"


class Reply(Struct, frozen=True):
    """An answer: body, media type and status."""

    body: bytes
    content_type: str = JSON
    status: int = 200


class Stream(Struct, frozen=True):
    """An answer that goes on: `chunks` is called once, when there is somebody to read them, and closed at the end.

    What it raises before its first chunk is answered like any other mistake; so it asks there whether it may.
    """

    chunks: Callable[[], AsyncGenerator[bytes, None]]
    content_type: str


def reply(document: Struct, status: int = 200) -> Reply:
    """A document as JSON."""
    return Reply(msgspec.json.encode(document), status=status)
