"""Answers before they become HTTP."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from typing import Final

import msgspec
from msgspec import Struct

JSON: Final = "application/json"


class Reply(Struct, frozen=True):
    """An answer: bytes of a media type, or a document, which becomes JSON or CSV when it is sent; and a status."""

    written: bytes | bytearray = b""
    content_type: str = JSON
    status: int = 200
    document: Struct | None = None

    @property
    def body(self) -> bytes | bytearray:
        """The answer as bytes, a document as JSON."""
        return self.written if self.document is None else msgspec.json.encode(self.document)


class Stream(Struct, frozen=True):
    """An answer that goes on: `chunks` is called once, when there is somebody to read them, and closed at the end.

    What it raises before its first chunk is answered like any other mistake; so it asks there whether it may.
    """

    chunks: Callable[[], AsyncGenerator[bytes, None]]
    content_type: str


def reply(document: Struct, status: int = 200) -> Reply:
    """An answer that is a document."""
    return Reply(status=status, document=document)
