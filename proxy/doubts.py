"""Requests behind which aiohttp's parser cannot be trusted with the bytes that follow. Pure.

Two kinds, found with aiohttp 3.14.5:
- chunked ones: the last field of a trailer section becomes the first field of the connection's next request, whoever
  that is for. Behind them goes a new parser, which knows of no trailers.
- those for an upgrade that the parser does not know, h2c for one: they are served as any other, but what came behind
  them in the same read is forgotten, so that the next read begins in the middle of something.

Neither can be told from what the parser says. So such a request must be the last thing in the read that it ends in;
where it is not, or may not be, its connection ends with its answer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from aiohttp.http_parser import RawRequestMessage

KNOWN_UPGRADE: Final = "websocket"
"""The one upgrade that the parser stops for (`ALLOWED_UPGRADES` there)."""
BLANK: Final = b"\r\n\r\n"


def doubtful(request: RawRequestMessage) -> bool:
    """Whether `request` is one of them."""
    return request.chunked or foreign(request)


def foreign(request: RawRequestMessage) -> bool:
    """Whether `request` asks for an upgrade that the parser does not know."""
    return request.upgrade and request.headers.get("Upgrade", "").lower() != KNOWN_UPGRADE


def ends_with(data: bytes, size: int, *, alone: bool, whole: bool) -> bool:
    """Whether a read certainly ends with a request that is not chunked and has `size` bytes of its body in it.

    `alone` says that no other request ended in the read, `whole` that it began with the request's head.
    """
    if not whole:
        return size == len(data)
    begin = len(data) - len(data.lstrip(b"\r\n"))
    return alone and data.find(BLANK, begin) + len(BLANK) + size == len(data)
