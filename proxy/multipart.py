"""Short values out of a multipart body (RFC 7578), all or the first part of it."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from typing import Final

MOST_PARTS: Final = 1_000
"""Parts that are looked at."""
LONGEST_HEAD: Final = 4096
"""Bytes of a part's own header."""
LONGEST_VALUE: Final = 1024
"""Bytes of a value that is looked at."""

_BOUNDARY: Final = re.compile(rb';[ \t]*boundary=(?:"([^"\r\n]{1,200})"|([^\s;",]{1,200}))', re.IGNORECASE)
_NAME: Final = re.compile(rb';[ \t]*name=(?:"([^"\r\n]*)"|([^\s;"]+))', re.IGNORECASE)
_DISPOSITION: Final = re.compile(rb"(?:^|\r?\n)content-disposition:[ \t]*form-data([^\r\n]*)", re.IGNORECASE)
_CLOSED: Final = re.compile(rb"--[ \t]*+(?:\r?\n|\Z)")
"""What follows the last delimiter."""
_HEAD_END: Final = re.compile(rb"\r?\n\r?\n")


def fields(content_type: bytes, body: bytes | bytearray, wanted: Collection[str]) -> dict[str, str]:
    """The whole values of the parts named in `wanted`, the last of each name. Never raises."""
    return {
        name: bytes(body[start:end]).decode("utf-8", "surrogateescape")
        for name, start, end in _walk(content_type, body)
        if name is not None and name in wanted
    }


def places(content_type: bytes, body: bytes | bytearray, name: str) -> list[tuple[int, int]]:
    """Where the values of the parts called `name` begin and end, in a whole body; else nowhere."""
    found = list(_walk(content_type, body))
    whole = bool(found) and found[-1][0] is None
    return [(start, end) for part, start, end in found if part == name] if whole else []


def _walk(content_type: bytes, body: bytes | bytearray) -> Iterator[tuple[str | None, int, int]]:
    """Name, beginning and end of each short part; at last, without a name, the end of a whole body."""
    boundary = _BOUNDARY.search(content_type)
    if boundary is None:
        return
    delimiter = b"--" + (boundary[1] or boundary[2])
    at = body.find(delimiter)
    for _ in range(MOST_PARTS):
        if at < 0:
            break
        start = at + len(delimiter)
        at = body.find(b"\n" + delimiter, start)
        if at < 0:
            break
        part = _part(body, start, at)
        if part is not None:
            yield part
        at += 1
        if _CLOSED.match(body, at + len(delimiter)):
            yield None, at, at
            break


def _part(body: bytes | bytearray, start: int, end: int) -> tuple[str, int, int] | None:
    """Name, beginning and end of the value between two delimiters; None for a file or anything long or odd."""
    head_end = _HEAD_END.search(body, start, min(end, start + LONGEST_HEAD))
    if head_end is None or end - head_end.end() > LONGEST_VALUE:
        return None
    disposition = _DISPOSITION.search(body, start, head_end.start())
    name = _NAME.search(disposition[1]) if disposition is not None else None
    if name is None:
        return None
    if end > head_end.end() and body[end - 1] == 0x0D:
        end -= 1
    return (name[1] or name[2] or b"").decode("utf-8", "replace"), head_end.end(), end
