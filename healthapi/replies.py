"""Answers before they become HTTP."""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec import Struct

JSON: Final = "application/json"


class Reply(Struct, frozen=True):
    """An answer: body, media type and status."""

    body: bytes
    content_type: str = JSON
    status: int = 200


def reply(document: Struct, status: int = 200) -> Reply:
    """A document as JSON."""
    return Reply(msgspec.json.encode(document), status=status)
